"""Whether a tenant can still be administered under its policies: a policy must not lock out whoever could lift it.

Asked is whether some administrator key could change and delete policies, called with from where the actor calls and as
the actor calls: now, and at some hour of this week, of one in a year and of one in ten years.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_interface
from typing import Final

import msgspec

from hatchpay.access.directory import KeyRow, RoleRow
from hatchpay.access.policy import CompiledPolicies, compile_policies
from hatchpay.access.routes import Match, Route
from hatchpay.access.rules import Asked
from hatchpay.admin.ports import DirectoryView
from hatchpay.admin.views import Actor
from hatchpay.identity.principal import Principal

__all__ = ["is_administrable"]

_HOUR_US: Final = 3_600_000_000
_WEEK_H: Final = 7 * 24
_YEAR_US: Final = 365 * 24 * _HOUR_US
_WEEKS_FROM_US: Final = (0, _YEAR_US, 10 * _YEAR_US)
# It shares no divisor with the hours of a week: times of day and days of the week both change from the first step on.
_STEP_H: Final = 25
_MOST_JUDGEMENTS: Final = 5_000
_MOST_S: Final = 1.0
_MOST_ADDRESSES: Final = 8
_LOOPBACK: Final = "127.0.0.1"
_NEEDED: Final = tuple(
    Match(Route(method=method, template="/v1/policies/{id}", permission=permission, control=True), ("",))
    for method, permission in (("PUT", "access.policies.update"), ("DELETE", "access.policies.delete"))
)


def is_administrable(
    view: DirectoryView, tenant_id: str, actor: Actor, now: int, elapsed_s: Callable[[], float] = time.monotonic
) -> bool:
    """By some administrator key, as everything stands in `view`; `now` in microseconds since the epoch.

    `elapsed_s` never goes back; what cannot be told within a second of it counts as no.
    """
    until_s = elapsed_s() + _MOST_S
    rows = view.policies(tenant_id)
    if not rows:
        return view.administrators(tenant_id) > 0
    keys = view.administrator_keys(tenant_id)
    if not keys:
        return False
    roles = view.roles_by_id(tenant_id, frozenset[str]().union(*(key.role_ids for key in keys)))
    policies = compile_policies(reversed(rows), {role.name: role.id for role in roles.values()})
    return _Trial(policies, keys, roles, actor, now, lambda: elapsed_s() >= until_s).passes()


class _Trial:
    """Judges anew only what could come out differently, and gives up, as if nobody were let through, after thousands
    of judgements, or when `is_late`: the directory is locked meanwhile.
    """

    def __init__(
        self,
        policies: CompiledPolicies,
        keys: Sequence[KeyRow],
        roles: dict[str, RoleRow],
        actor: Actor,
        now: int,
        is_late: Callable[[], bool],
    ) -> None:
        self._policies = policies
        self._now = now
        self._is_late = is_late
        self._left = _MOST_JUDGEMENTS
        forbids = [forbid for match in _NEEDED for forbid in policies.concerning(match.route.permission or "")]
        self._asked_for = frozenset[str]().union(*(forbid.context for forbid in forbids))
        self._actor = actor
        named = {name for forbid in forbids for _, name in forbid.entities}
        alike: dict[tuple[object, ...], Principal] = {}
        for key in keys:
            own = key.id if key.id in named or "principal_id" in self._asked_for else ""
            alike.setdefault((key.role_ids, own), _principal(key, roles))
        self._callers = tuple(alike.values())
        named_addresses = sorted({address for forbid in forbids for address in forbid.addresses})
        self._addresses = self._from(named_addresses)

    def passes(self) -> bool:
        if not self._anybody(self._now):
            return False
        if "time" not in self._asked_for:
            return True
        return all(any(map(self._anybody, _hours(self._now + start))) for start in _WEEKS_FROM_US)

    def _from(self, named: Sequence[str]) -> tuple[str | None, ...]:
        """The actor's address. Somebody at the machine has none: then any that the policies name, and loopback."""
        if self._actor.client_ip is not None or "client_ip" not in self._asked_for:
            return (self._actor.client_ip,)
        return (_LOOPBACK, *(str(ip_interface(text).ip) for text in named[:_MOST_ADDRESSES] if _is_address(text)))

    def _anybody(self, at_us: int) -> bool:
        return any(self._lets_through(caller, ip, at_us) for caller in self._callers for ip in self._addresses)

    def _lets_through(self, caller: Principal, client_ip: str | None, at_us: int) -> bool:
        token = self._actor.principal.token
        if token is not None and token.issued_us is not None:
            # Whoever comes back in a year has a token that is as old then as this one is now.
            token = msgspec.structs.replace(token, issued_us=token.issued_us + at_us - self._now)
        caller = msgspec.structs.replace(caller, token=token)
        for match in _NEEDED:
            self._left -= 1
            asked = Asked(principal=caller, match=match, unit=None, now_us=at_us, client_ip=client_ip)
            if self._left < 0 or self._is_late() or self._policies.judge(asked) is not None:
                return False
        return True


def _principal(key: KeyRow, roles: dict[str, RoleRow]) -> Principal:
    names = tuple(sorted(roles[role_id].name for role_id in key.role_ids))
    return Principal(key.id, "api_key", key.tenant_id, key.id, names, {}, key.limits)


def _hours(start_us: int) -> Iterator[int]:
    return (start_us + (number * _STEP_H % _WEEK_H) * _HOUR_US for number in range(_WEEK_H))


def _is_address(text: str) -> bool:
    try:
        ip_interface(text)
    except ValueError:
        return False
    return True
