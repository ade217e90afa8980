"""What the control API is made of: the use cases, the history, and what makes a change count at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from anyio import CapacityLimiter

from hatchpay.admin.advice import Advice
from hatchpay.admin.business_units import BusinessUnits
from hatchpay.admin.erasures import Erasures
from hatchpay.admin.explain import Explanations
from hatchpay.admin.export_access import ExportAccess
from hatchpay.admin.issuers import Issuers
from hatchpay.admin.keys import Keys
from hatchpay.admin.others_tokens import OthersTokens
from hatchpay.admin.permissions import Permissions
from hatchpay.admin.policies import Policies
from hatchpay.admin.rehearse import Rehearsals
from hatchpay.admin.roles import Roles
from hatchpay.admin.streams import Streams
from hatchpay.admin.tenants import Tenants
from hatchpay.admin.tokens import Tokens
from hatchpay.audit.export.run import Exporter
from hatchpay.audit.ports import History, Receipts
from hatchpay.control.export_answer import ExportSlots
from hatchpay.control.published import PublishedKeys
from hatchpay.identity.authenticator import ApiKeyAuthenticator
from hatchpay.identity.tokens import TokenAuthenticator

__all__ = ["Services"]

_FETCHING: Final = 4
_WALKING: Final = 2
_CHECKING: Final = 2


@dataclass(frozen=True, slots=True)
class Services:
    """`changed` is awaited after every successful write, before its answer: it puts the change into force. `fetching`
    bounds the threads of calls that wait for others' servers, `walking` those that read the record from end to end or
    rehearse, `checking` those that write policies; `export_slots` the exports.
    """

    keys: Keys
    roles: Roles
    permissions: Permissions
    explanations: Explanations
    policies: Policies
    units: BusinessUnits
    tenants: Tenants
    advice: Advice
    issuers: Issuers
    tokens: Tokens
    others_tokens: OthersTokens
    key_authenticator: ApiKeyAuthenticator
    token_authenticator: TokenAuthenticator
    published: PublishedKeys
    history: History
    receipts: Receipts
    erasures: Erasures
    rehearsals: Rehearsals
    exporter: Exporter
    export_access: ExportAccess
    streams: Streams
    changed: Callable[[], Awaitable[None]]
    fetching: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_FETCHING))
    walking: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_WALKING))
    checking: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_CHECKING))
    export_slots: ExportSlots = field(default_factory=ExportSlots)
