"""From the record to what was used: one walk over a tenant's requests.

A use is a request that was allowed because its caller held the permission that its route needs. Whoever calls with a
key, or with a token of it, uses the key; a user of a trusted issuer uses the roles that the token named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from hatchpay.access.advisor import DAY_US, Observation, Use, merged
from hatchpay.audit.ports import Replay
from hatchpay.audit.record import Record

__all__ = ["Visible", "observe", "observe_since"]

Visible = Callable[[Record], bool]
"""Whether a record counts for whoever asks."""

# Calls that authenticate their callers themselves, and what they may ask of them: the record does not say whether
# they did, so every such call by a holder counts as a use.
_ASKED_INSIDE: Final = {"/v1/auth/introspect": "auth.tokens.read", "/v1/auth/revoke": "auth.tokens.revoke"}
_ALWAYS: Final = 2**62

_Tally = dict[str, list[int]]
"""By permission: count, first and last use."""


def observe(replay: Replay, tenant_id: str, days: int, now_us: int, visible: Visible | None = None) -> Observation:
    """The last `days` days before `now_us`; all records count where `visible` is None. Raises AuditUnavailable."""
    began = min((record.started_us for record in next(replay.records(tenant_id, 0, now_us), ())), default=None)
    return _collected(replay.records(tenant_id, now_us - days * DAY_US, now_us), visible, days, now_us, began)


def observe_since(replay: Replay, tenant_id: str, from_us: int) -> Observation:
    """All that began then or later and is recorded by now. Raises AuditUnavailable."""
    return _collected(replay.records(tenant_id, from_us, _ALWAYS), None, 0, from_us, from_us)


def _collected(
    batches: Iterable[list[Record]], visible: Visible | None, days: int, now_us: int, began_us: int | None
) -> Observation:
    keys: dict[str, _Tally] = {}
    users: dict[tuple[str, ...], _Tally] = {}
    asked: set[str] = set()
    for batch in batches:
        for record in batch if visible is None else filter(visible, batch):
            permission = record.permission or _inside(record)
            if permission is None:
                continue
            if record.decision != "allow":
                asked.add(permission)
                continue
            if record.key_id is not None:
                _count(keys.setdefault(record.key_id, {}), permission, record.started_us)
            if record.issuer_id is not None:
                _count(users.setdefault(record.roles, {}), permission, record.started_us)
    asked.update(permission for tally in (*keys.values(), *users.values()) for permission in tally)
    return Observation(
        days=days,
        now_us=now_us,
        began_us=began_us,
        keys={key_id: _uses(tally) for key_id, tally in keys.items()},
        users=_by_role(users),
        asked=frozenset(asked),
    )


def _count(tally: _Tally, permission: str, at_us: int) -> None:
    seen = tally.get(permission)
    if seen is None:
        tally[permission] = [1, at_us, at_us]
        return
    seen[0] += 1
    # Records stand in the order of their completion.
    if at_us > seen[2]:
        seen[2] = at_us
    elif at_us < seen[1]:
        seen[1] = at_us


def _inside(record: Record) -> str | None:
    if record.rule != "route:self_authenticating" or record.key_id is None or record.route is None:
        return None
    return _ASKED_INSIDE.get(record.route)


def _uses(tally: _Tally) -> dict[str, Use]:
    return {permission: Use(count, first, last) for permission, (count, first, last) in tally.items()}


def _by_role(tallies: dict[tuple[str, ...], _Tally]) -> dict[str, dict[str, Use]]:
    """Each of the roles that a user named counts."""
    found: dict[str, dict[str, Use]] = {}
    for names, tally in tallies.items():
        for name in names:
            found[name] = merged([found.get(name, {}), _uses(tally)])
    return found
