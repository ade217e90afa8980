"""What advice about access looks like to callers: immutable values that the API and the command line both show.

Times are RFC 3339 text with `Z`, or None.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from hatchpay.access.advisor import Confidence
from hatchpay.access.findings import Finding
from hatchpay.admin.views import RoleReference, RoleView

__all__ = [
    "AdviceOverview",
    "AdviceWish",
    "AppliedAdvice",
    "HolderUse",
    "KeyAdvice",
    "KeySummary",
    "OnlyUser",
    "PermissionUse",
    "ProposedRole",
    "RoleAdvice",
    "SmallestRole",
    "UserUse",
]

Status = Literal["enabled", "disabled", "expired"]


class PermissionUse(msgspec.Struct, frozen=True):
    """The evidence: in how many allowed requests a permission was used, and when."""

    permission: str
    count: int
    first_used_at: str
    last_used_at: str


class SmallestRole(msgspec.Struct, frozen=True):
    """An existing role; `unused` counts those of its permissions that were not used."""

    id: str
    name: str
    unused: int


class ProposedRole(msgspec.Struct, frozen=True):
    name: str
    permissions: tuple[str, ...]


class OnlyUser(msgspec.Struct, frozen=True):
    """A permission of a role that one key only has used."""

    permission: str
    key_id: str
    key_name: str


class HolderUse(msgspec.Struct, frozen=True):
    """A key that holds a role, and its use of that role's permissions."""

    key_id: str
    name: str
    used: int
    requests: int
    last_used_at: str | None


class UserUse(msgspec.Struct, frozen=True):
    """What users of trusted issuers did with a role, all of them together."""

    used: int
    requests: int
    last_used_at: str


class KeyAdvice(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="key"):
    """What a key needs of what it holds. `last_used_at` is when it last proved anybody, refused requests included."""

    key_id: str
    name: str
    status: Status
    owner: str | None
    roles: tuple[RoleReference, ...]
    days: int
    observed_days: int
    requests: int
    confidence: Confidence
    last_used_at: str | None
    held: tuple[str, ...]
    used: tuple[PermissionUse, ...]
    unused: tuple[str, ...]
    unseen: tuple[str, ...]
    used_by_this_key_only: tuple[str, ...]
    smallest_role: SmallestRole | None
    proposed_role: ProposedRole | None
    findings: tuple[Finding, ...]


class RoleAdvice(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="role"):
    """What the holders of a role need of it. `keys` are at most 200 of the `key_count`, the busiest first."""

    role_id: str
    name: str
    builtin: bool
    days: int
    observed_days: int
    requests: int
    confidence: Confidence
    held: tuple[str, ...]
    used: tuple[PermissionUse, ...]
    unused: tuple[str, ...]
    unseen: tuple[str, ...]
    used_by_one_key_only: tuple[OnlyUser, ...]
    smallest_role: SmallestRole | None
    proposed_role: ProposedRole | None
    findings: tuple[Finding, ...]
    key_count: int
    keys: tuple[HolderUse, ...]
    users: UserUse | None


class KeySummary(msgspec.Struct, frozen=True, kw_only=True):
    """One key in the overview; `held`, `used` and `unused` count permissions."""

    key_id: str
    name: str
    status: Status
    roles: tuple[RoleReference, ...]
    held: int
    used: int
    unused: int
    requests: int
    observed_days: int
    confidence: Confidence
    last_used_at: str | None
    findings: tuple[Finding, ...]


class AdviceOverview(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="overview"):
    """At most 200 of the `with_findings` keys of all `key_count`, the gravest findings first."""

    days: int
    key_count: int
    with_findings: int
    data: tuple[KeySummary, ...]


class AdviceWish(msgspec.Struct, frozen=True, kw_only=True):
    """Whose advice to apply. For a key, `role_id` is an existing role to use instead; alone, the role to reduce."""

    key_id: str | None = None
    role_id: str | None = None
    days: int = 30
    force: bool = False


class AppliedAdvice(msgspec.Struct, frozen=True, kw_only=True):
    """`role` is the one that the key holds now, made for it where `created`; or the role that was reduced, for which
    `key_id` is None. The counts are of permissions.
    """

    key_id: str | None
    role: RoleView
    created: bool
    permissions_before: int
    permissions_after: int
    removed: tuple[str, ...]
    observed_days: int
    confidence: Confidence
