"""What the control API is made of: the use cases, the history, and what makes a change count at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from anyio import CapacityLimiter

from hatchpay.admin.business_units import BusinessUnits
from hatchpay.admin.issuers import Issuers
from hatchpay.admin.keys import Keys
from hatchpay.admin.permissions import Permissions
from hatchpay.admin.roles import Roles
from hatchpay.admin.tenants import Tenants
from hatchpay.admin.tokens import Tokens
from hatchpay.audit.ports import History
from hatchpay.control.published import PublishedKeys
from hatchpay.identity.authenticator import ApiKeyAuthenticator
from hatchpay.identity.tokens import TokenAuthenticator

__all__ = ["Apart", "Services"]


class Apart:
    """Threads of their own for calls that wait for others' servers."""

    def __init__(self, threads: int = 4) -> None:
        self._threads = threads
        self._limiter: CapacityLimiter | None = None

    @property
    def limiter(self) -> CapacityLimiter:
        # Made on first use: it belongs to the loop that runs then.
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._threads)
        return self._limiter


@dataclass(frozen=True, slots=True)
class Services:
    """`changed` is awaited after every successful write, before its answer: it puts the change into force."""

    keys: Keys
    roles: Roles
    permissions: Permissions
    units: BusinessUnits
    tenants: Tenants
    issuers: Issuers
    tokens: Tokens
    key_authenticator: ApiKeyAuthenticator
    token_authenticator: TokenAuthenticator
    published: PublishedKeys
    history: History
    changed: Callable[[], Awaitable[None]]
    fetching: Apart = field(default_factory=Apart)
