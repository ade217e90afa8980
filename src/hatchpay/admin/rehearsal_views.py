"""What a rehearsal takes and gives: immutable values that the API and the command line both show as they are."""

from __future__ import annotations

import msgspec

__all__ = [
    "Change",
    "DifferenceGroup",
    "DifferencesView",
    "KeyRoles",
    "PolicyText",
    "RehearsalView",
    "RolePermissions",
]


class KeyRoles(msgspec.Struct, frozen=True):
    """A key would hold these roles, and no others."""

    key_id: str
    role_ids: tuple[str, ...]


class RolePermissions(msgspec.Struct, frozen=True):
    """A custom role would hold these permissions, and no others."""

    role_id: str
    permissions: tuple[str, ...]


class PolicyText(msgspec.Struct, frozen=True):
    """There would be one more policy, or another one in the place of that with this name."""

    name: str
    text: str


Change = KeyRoles | RolePermissions | PolicyText


class DifferenceGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of one principal to one route that come out alike; `samples` are the ids of some of them.

    `reason` and `missing` are those of the denial: after the change where it denies, now where it allows. `name` is the
    key's, None for users and for keys that are not the caller's to see.
    """

    principal_id: str
    key_id: str | None
    name: str | None
    method: str
    route: str
    permission: str
    count: int
    reason: str
    missing: str | None
    samples: tuple[str, ...]
    first_at: str
    last_at: str


class DifferencesView(msgspec.Struct, frozen=True):
    """`count` are all requests; `groups` at most 1,000, the largest first, and `more_groups` how many there are yet."""

    count: int
    groups: tuple[DifferenceGroup, ...]
    more_groups: int


class RehearsalView(msgspec.Struct, frozen=True, kw_only=True):
    """What a change would do to the requests recorded from `from` to before `to`.

    `requests` are all of them. Those that are `skipped` are none that access decides, or of a caller who is gone, by
    reason; of the `undecided`, the record does not tell enough, and `undecided_because` counts them by reason.
    `denied` were allowed and would not be any more, `allowed` would be and now are not.
    """

    from_: str = msgspec.field(name="from")
    to: str
    requests: int
    skipped: dict[str, int]
    undecided: int
    undecided_because: dict[str, int]
    denied: DifferencesView
    allowed: DifferencesView
