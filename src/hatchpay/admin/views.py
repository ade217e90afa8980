"""What the use cases take and give: immutable values that the API and the command line both show as they are.

Times in views are RFC 3339 text with `Z`, or None. No view holds a secret but `CreatedKey`, once.
"""

from __future__ import annotations

from typing import Generic, Literal, Self, TypeVar

import msgspec

from hatchpay.identity.principal import Principal, RateLimit
from hatchpay.tokens.apikey import Environment

__all__ = [
    "Actor",
    "BusinessUnitView",
    "CreatedKey",
    "KeyChanges",
    "KeyView",
    "NewKey",
    "Onboarded",
    "Page",
    "PermissionView",
    "PolicyView",
    "PreviousSecretView",
    "RateLimitView",
    "RoleDraft",
    "RoleReference",
    "RoleView",
    "TenantView",
    "Versioned",
    "UnitChanges",
]

Item = TypeVar("Item")


class Versioned(msgspec.Struct, frozen=True, dict=True):
    """Base of the views of what can be changed. Their entity tag is beside what is shown, not a member of it."""

    @property
    def etag(self) -> str:
        return str(self.__dict__["etag"])

    def tagged(self, etag: str) -> Self:
        """This very view, once it has its entity tag."""
        self.__dict__["etag"] = etag
        return self


class Actor(msgspec.Struct, frozen=True):
    """Who acts, in which recorded request, and from where; somebody at the machine itself has no `client_ip`."""

    principal: Principal
    request_id: str
    client_ip: str | None = None


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """`next_cursor` is None on the last page; a cursor is opaque to callers."""

    data: tuple[Item, ...]
    next_cursor: str | None


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """`expires_at_us` in microseconds since the epoch; `allowed_cidrs` as text such as `192.0.2.0/24`."""

    name: str
    description: str = ""
    environment: Environment = "live"
    owner: str | None = None
    expires_at_us: int | None = None
    business_unit_ids: tuple[str, ...] | None = None
    allowed_cidrs: tuple[str, ...] | None = None
    metadata: dict[str, str] = {}
    rate_limits: tuple[RateLimit, ...] = ()


class KeyChanges(msgspec.Struct, frozen=True, kw_only=True):
    """UNSET fields stay as they are; None lifts a limit."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    status: Literal["enabled", "disabled"] | msgspec.UnsetType = msgspec.UNSET
    owner: str | msgspec.UnsetType | None = msgspec.UNSET
    expires_at_us: int | msgspec.UnsetType | None = msgspec.UNSET
    business_unit_ids: tuple[str, ...] | msgspec.UnsetType | None = msgspec.UNSET
    allowed_cidrs: tuple[str, ...] | msgspec.UnsetType | None = msgspec.UNSET
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    rate_limits: tuple[RateLimit, ...] | msgspec.UnsetType = msgspec.UNSET


class RateLimitView(msgspec.Struct, frozen=True):
    requests: int
    window_seconds: int


class RoleReference(msgspec.Struct, frozen=True):
    """A role that a key holds: for the whole tenant, or for `business_unit_ids` only."""

    id: str
    name: str
    business_unit_ids: tuple[str, ...] | None = None


class PreviousSecretView(msgspec.Struct, frozen=True):
    """A secret that a rotation has replaced and that still works until `expires_at`."""

    last_four: str
    expires_at: str
    last_used_at: str | None
    last_used_ip: str | None


class KeyView(Versioned, frozen=True, kw_only=True):
    """`prefix` is the start of the key's text, up to and with its id; enough to find it, useless to call with."""

    id: str
    name: str
    description: str
    environment: Environment
    status: Literal["enabled", "disabled", "expired"]
    roles: tuple[RoleReference, ...]
    owner: str | None
    prefix: str
    last_four: str
    expires_at: str | None
    business_unit_ids: tuple[str, ...] | None
    allowed_cidrs: tuple[str, ...] | None
    metadata: dict[str, str]
    rate_limits: tuple[RateLimitView, ...]
    created_at: str
    updated_at: str
    last_used_at: str | None
    last_used_ip: str | None
    previous_secrets: tuple[PreviousSecretView, ...]


class CreatedKey(msgspec.Struct, frozen=True):
    """The only value that carries a key's text; shown once, kept nowhere."""

    view: KeyView
    key: str

    def __repr__(self) -> str:
        return f"CreatedKey({self.view.id})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("id", self.view.id)]


class RoleDraft(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    description: str = ""
    permissions: tuple[str, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()


class RoleView(Versioned, frozen=True, kw_only=True):
    id: str
    name: str
    description: str
    builtin: bool
    permissions: tuple[str, ...]
    rate_limits: tuple[RateLimitView, ...]


class PermissionView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    description: str
    service: str
    read_only: bool
    sensitive: bool
    administrative: bool


class PolicyView(Versioned, frozen=True, kw_only=True):
    """`text` is Cedar: one or more `forbid` statements."""

    id: str
    name: str
    text: str
    created_at: str
    updated_at: str


class BusinessUnitView(Versioned, frozen=True, kw_only=True):
    id: str
    name: str
    timezone_name: str
    status: Literal["active", "archived"]
    created_at: str
    updated_at: str


class UnitChanges(msgspec.Struct, frozen=True, kw_only=True):
    """UNSET fields stay as they are."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    timezone_name: str | msgspec.UnsetType = msgspec.UNSET
    status: Literal["active", "archived"] | msgspec.UnsetType = msgspec.UNSET


class TenantView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    created_at: str


class Onboarded(msgspec.Struct, frozen=True):
    """A new tenant and its first admin key."""

    tenant: TenantView
    api_key: CreatedKey
