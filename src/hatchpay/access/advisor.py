"""What a key or a role needs of what it holds, judged by what its holders did. Pure.

Times are microseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from hatchpay.access.directory import KeyRow, RoleRow
from hatchpay.access.permission import CONTROL_PERMISSIONS, PLATFORM_PERMISSIONS
from hatchpay.identity.principal import RateLimit

__all__ = [
    "DAY_US",
    "Confidence",
    "Need",
    "Observation",
    "Use",
    "advise_key",
    "advise_role",
    "holders",
    "merged",
    "strictest",
    "together",
]

DAY_US: Final = 86_400_000_000
Confidence = Literal["low", "medium", "high"]

_SHORT_DAYS: Final = 7
_LONG_DAYS: Final = 30
_FEW_REQUESTS: Final = 20
_OWN: Final = frozenset(permission.name for permission in (*CONTROL_PERMISSIONS, *PLATFORM_PERMISSIONS))


class Use(msgspec.Struct, frozen=True, gc=False):
    """How often a permission was used, and when first and last."""

    count: int
    first_us: int
    last_us: int


Uses = Mapping[str, Use]
"""By permission."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant's callers did in `days` days up to `now_us`.

    `keys` has the uses of each key by its id, `users` those of trusted issuers' users by the name of each role that
    they held. `asked` are the permissions that any request needed, allowed or not. `began_us` is when the tenant's
    first request began, however long ago; None where there was none.
    """

    days: int
    now_us: int
    began_us: int | None = None
    keys: Mapping[str, Uses] = {}
    users: Mapping[str, Uses] = {}
    asked: frozenset[str] = frozenset()

    @property
    def from_us(self) -> int:
        return self.now_us - self.days * DAY_US

    def days_since(self, created_us: int) -> int:
        """For how many whole days something has been observed that was made then."""
        if self.began_us is None:
            return 0
        return max(0, min(self.days, (self.now_us - max(created_us, self.began_us)) // DAY_US))


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """`used` are the uses of what is held. `unseen` are those of the unused that no request of the tenant asked for:
    an application may ask for them inside its handlers, which no record shows.

    `smallest` is the existing role with the fewest permissions that covers what was used, gives nothing besides what is
    held, and limits the rate exactly as that is limited; `proposed` are the permissions of a role that would be made,
    where none fits exactly.
    """

    held: frozenset[str]
    used: Uses
    unseen: frozenset[str]
    smallest: RoleRow | None
    proposed: frozenset[str] | None
    observed_days: int

    @property
    def unused(self) -> frozenset[str]:
        return self.held - self.used.keys()

    @property
    def requests(self) -> int:
        return sum(use.count for use in self.used.values())

    @property
    def fitting(self) -> RoleRow | None:
        """The existing role that holds exactly what was used."""
        exact = self.smallest is not None and self.smallest.permissions == self.used.keys()
        return self.smallest if exact else None

    @property
    def confidence(self) -> Confidence:
        if self.observed_days < _SHORT_DAYS or 0 < self.requests < _FEW_REQUESTS:
            return "low"
        return "medium" if self.observed_days < _LONG_DAYS else "high"


def advise_key(key: KeyRow, roles: Mapping[str, RoleRow], observation: Observation) -> Need:
    """`roles` are all of the tenant's, by id."""
    mine = [roles[role_id] for role_id in key.role_ids]
    held = frozenset[str]().union(*(role.permissions for role in mine))
    used = _within(observation.keys.get(key.id, {}), held)
    smallest = _smallest(held, used, strictest(mine), roles.values())
    return _need(held, used, smallest, key.created_us, observation)


def advise_role(role: RoleRow, keys: Iterable[KeyRow], roles: Mapping[str, RoleRow], observation: Observation) -> Need:
    """`keys` are those that hold the role, `roles` all of the tenant's by id.

    What a holder could also do by another role counts as a use of this one.
    """
    used = merged(
        [
            *(_within(observation.keys.get(key.id, {}), role.permissions) for key in keys),
            _within(observation.users.get(role.name, {}), role.permissions),
        ]
    )
    others = [other for other in roles.values() if other.id != role.id]
    smallest = _smallest(role.permissions, used, strictest([role]), others)
    return _need(role.permissions, used, smallest, role.created_us, observation)


def holders(observation: Observation, permission: str, keys: Iterable[KeyRow]) -> list[KeyRow]:
    """Those of `keys` that used the permission."""
    return [key for key in keys if permission in observation.keys.get(key.id, {})]


def merged(parts: Sequence[Uses]) -> dict[str, Use]:
    whole: dict[str, Use] = {}
    for part in parts:
        for permission, use in part.items():
            other = whole.get(permission)
            whole[permission] = use if other is None else _both(other, use)
    return whole


def together(one: Observation, later: Observation) -> Observation:
    """What was used in either; where the two overlap, the counts are too high."""
    keys = {key_id: merged([one.keys.get(key_id, {}), uses]) for key_id, uses in later.keys.items()}
    users = {name: merged([one.users.get(name, {}), uses]) for name, uses in later.users.items()}
    return msgspec.structs.replace(one, keys={**one.keys, **keys}, users={**one.users, **users})


def strictest(roles: Iterable[RoleRow]) -> tuple[RateLimit, ...]:
    """The rate limits of the roles together, one for each window, the shortest first."""
    found: dict[int, RateLimit] = {}
    for limit in (limit for role in roles for limit in role.rate_limits):
        known = found.get(limit.window_s)
        found[limit.window_s] = limit if known is None or limit.requests < known.requests else known
    return tuple(found[window_s] for window_s in sorted(found))


def _need(
    held: frozenset[str], used: Uses, smallest: RoleRow | None, created_us: int, observation: Observation
) -> Need:
    exact = smallest is not None and smallest.permissions == used.keys()
    nothing_to_do = not used or exact or used.keys() == held
    return Need(
        held=held,
        used=used,
        unseen=held - used.keys() - observation.asked - _OWN,
        smallest=smallest,
        proposed=None if nothing_to_do else frozenset(used),
        observed_days=observation.days_since(created_us),
    )


def _smallest(
    held: frozenset[str], used: Uses, limits: tuple[RateLimit, ...], roles: Iterable[RoleRow]
) -> RoleRow | None:
    """Among those that give nothing besides, and have exactly the `limits` to which the holder is subject; of equals
    the oldest.
    """
    if not used:
        return None
    covering = [role for role in roles if used.keys() <= role.permissions <= held and strictest([role]) == limits]
    return min(covering, key=lambda role: (len(role.permissions), role.id), default=None)


def _within(uses: Uses, held: frozenset[str]) -> dict[str, Use]:
    return {permission: use for permission, use in uses.items() if permission in held}


def _both(one: Use, other: Use) -> Use:
    return Use(one.count + other.count, min(one.first_us, other.first_us), max(one.last_us, other.last_us))
