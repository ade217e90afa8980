"""What the commands ask of the program around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, NoReturn, Protocol, TypeVar

import msgspec

from hatchpay.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from hatchpay.access.route_check import RouteFindings
    from hatchpay.admin.advice import Advice
    from hatchpay.admin.explain_views import ExplanationView, Question
    from hatchpay.admin.export_access import ExportAccess
    from hatchpay.admin.keys import Keys
    from hatchpay.admin.permissions import Permissions
    from hatchpay.admin.policies import Policies
    from hatchpay.admin.rehearse import Rehearsals
    from hatchpay.admin.roles import Roles
    from hatchpay.admin.signing_keys import SigningKeys
    from hatchpay.admin.streams import Streams
    from hatchpay.admin.tenants import Tenants
    from hatchpay.admin.token_views import IssuedToken, TokenWish
    from hatchpay.admin.views import Actor
    from hatchpay.audit.export.run import Exporter
    from hatchpay.audit.ports import History, Receipts
    from hatchpay.audit.verifying import Flaw, Holds, Progress, VerifyWish
    from hatchpay.identity.principal import Principal
    from hatchpay.settings import Settings

__all__ = [
    "CaseOutcome",
    "Finding",
    "Local",
    "OpenLocal",
    "PepperVersion",
    "PolicyText",
    "Ports",
    "TokenInspection",
    "Trail",
]

Answer = TypeVar("Answer")


class Finding(msgspec.Struct, frozen=True):
    """What one check has found. `items` names the things that need somebody's hand."""

    check: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    items: tuple[str, ...] = ()


class PolicyText(msgspec.Struct, frozen=True):
    """A policy by its name."""

    name: str
    text: str


class CaseOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One case of a policy test: what was expected, and what was decided, by which policy and why."""

    name: str
    passed: bool
    expected: str
    decision: Literal["allow", "deny"]
    policy: str | None
    reason: str | None
    missing: str | None


class PepperVersion(msgspec.Struct, frozen=True):
    """`secrets` counts the secrets that are under this pepper and have not ended."""

    version: int
    current: bool
    secrets: int


class TokenInspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says, each part as far as it can be read, and what becomes of it.

    `reason` is the code of why it is refused, or None; then `principal` is whoever it proves.
    """

    header: Mapping[str, object] | None
    claims: Mapping[str, object] | None
    reason: str | None = None
    principal: Principal | None = None

    def __repr__(self) -> str:
        return f"TokenInspection(reason={self.reason!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("reason", self.reason)]


class Trail(Protocol):
    """The verifiable logs."""

    @property
    def receipts(self) -> Receipts: ...

    def verify(self, wish: VerifyWish) -> Iterator[Progress | Flaw | Holds]:
        """One Flaw or one Holds for each tenant; Progress in between. See audit.verifying."""
        ...


class Local(Protocol):
    """The use cases, by access to the data directory. Reading goes to them directly, writing through `act`."""

    @property
    def keys(self) -> Keys: ...

    @property
    def roles(self) -> Roles: ...

    @property
    def permissions(self) -> Permissions: ...

    @property
    def advice(self) -> Advice: ...

    @property
    def policies(self) -> Policies: ...

    @property
    def tenants(self) -> Tenants: ...

    @property
    def signing_keys(self) -> SigningKeys: ...

    @property
    def history(self) -> History: ...

    @property
    def exporter(self) -> Exporter: ...

    @property
    def export_access(self) -> ExportAccess: ...

    @property
    def streams(self) -> Streams: ...

    @property
    def rehearsals(self) -> Rehearsals:
        """By the route table of the settings; without one, only HatchPay's own calls are known."""
        ...

    @property
    def trail(self) -> Trail: ...

    def rotate_log_key(self) -> list[tuple[str, str]]:
        """Recorded. Returns the vkey of each log from now on, by its tenant's id."""
        ...

    def reader(self, tenant_id: str) -> Actor:
        """Somebody who may read everything of a tenant."""
        ...

    def act(self, command: str, tenant_id: str, use: Callable[[Actor], Answer]) -> Answer:
        """Run `use`, recorded like a request; `command` is the command without its arguments.

        Raises what `use` raises, and AuditUnavailable where the record cannot be stored.
        """
        ...

    def peppers(self) -> list[PepperVersion]: ...

    def rotate_pepper(self) -> int:
        """Recorded. Returns the new version."""
        ...

    def retire_pepper(self, version: int) -> tuple[str, ...]:
        """Recorded. Returns the ids of the keys that it has disabled."""
        ...

    def issue_token(self, key: str, tenant_id: str | None, wish: TokenWish) -> IssuedToken:
        """Recorded. `key` is an API key's text, or its id; only then `tenant_id` is needed.

        Raises Unauthenticated, NotFound or InvalidInput where the key is none that may have a token, or not of that
        tenant, and what admin.tokens.Tokens.issue raises.
        """
        ...

    def inspect_token(self, text: str) -> TokenInspection:
        """Judged as a server would, but asks nobody and records nothing."""
        ...

    def explain(self, tenant_id: str, question: Question, routes: Path | None) -> ExplanationView:
        """As a server would that serves the API of the route table `routes`, by default that of the settings.

        Records nothing. Raises InvalidInput where a route table is needed and there is none, SettingsError for one that
        cannot be read, and what admin.explain.Explanations raises.
        """
        ...


class OpenLocal(Protocol):
    def __call__(self, settings: Settings, *, create: bool) -> AbstractContextManager[Local]:
        """`create` makes the data directory where there is none; else SettingsError says so."""
        ...


def _absent(*_: object) -> NoReturn:
    raise SettingsError("this program has no witness", code="not_available")


class Ports(msgspec.Struct, frozen=True):
    """`serve` runs until it is told to stop and hands `announce` a line per address; see app.serve.

    `derive_routes` gives the text of a route table for an API, a file or module:attribute, with the entries of another
    table going before; `check_routes` compares the API with its table. Both raise SettingsError; the first
    InvalidInput where nothing is left to list. `test_policies` runs the cases of a file on the policies given, in the
    folder given, or named in it; see app.policy_tests. `serve_witness` runs until it is told to stop, as `serve`: it
    gets the witness's directory, name and HOST:PORT, and the logs' keys; `witness_vkey` gives its public key.
    """

    open_local: OpenLocal
    serve: Callable[[Settings, str | None, Callable[[str], None]], None]
    diagnose: Callable[[Settings], list[Finding]]
    derive_routes: Callable[[str, Path | None], str]
    check_routes: Callable[[Settings, str], RouteFindings]
    test_policies: Callable[[Path, Path | None, Sequence[PolicyText] | None], list[CaseOutcome]]
    serve_witness: Callable[[Path, str, str, Sequence[str], Callable[[str], None]], None] = _absent
    witness_vkey: Callable[[Path, str], str] = _absent
