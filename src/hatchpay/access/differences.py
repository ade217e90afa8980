"""What differs, counted by principal and route, with a few samples of each."""

from __future__ import annotations

from typing import Final

import msgspec

from hatchpay.access.recorded import Recorded
from hatchpay.access.replay import Verdict

__all__ = ["MOST_GROUPS", "Differences", "Group"]

MOST_GROUPS: Final = 1_000
_SAMPLES: Final = 5


class Group(msgspec.Struct, kw_only=True):
    """Requests of one principal to one route that came out alike. Times are microseconds since the epoch."""

    principal_id: str
    key_id: str | None
    method: str
    route: str
    permission: str
    reason: str
    missing: str | None
    first_us: int
    last_us: int
    count: int = 0
    samples: list[str] = []


class Differences:
    def __init__(self) -> None:
        self.count = 0
        self._groups: dict[tuple[str | None, ...], Group] = {}

    @property
    def group_count(self) -> int:
        return len(self._groups)

    def add(self, record: Recorded, verdict: Verdict) -> None:
        self.count += 1
        alike = (record.principal_id, record.key_id, record.method, record.route, verdict.reason, verdict.missing)
        group = self._groups.get(alike)
        if group is None:
            group = self._groups[alike] = _begun(record, verdict)
        group.count += 1
        group.first_us = min(group.first_us, record.started_us)
        group.last_us = max(group.last_us, record.started_us)
        if len(group.samples) < _SAMPLES:
            group.samples.append(record.request_id)

    def largest(self) -> list[Group]:
        """At most MOST_GROUPS, those of most requests first; among equals by name, so that the order is always one."""
        return sorted(self._groups.values(), key=_place)[:MOST_GROUPS]


def _begun(record: Recorded, verdict: Verdict) -> Group:
    return Group(
        principal_id=record.principal_id or "",
        key_id=record.key_id,
        method=record.method,
        route=record.route or "",
        permission=verdict.permission or "",
        reason=verdict.reason,
        missing=verdict.missing,
        first_us=record.started_us,
        last_us=record.started_us,
    )


def _place(group: Group) -> tuple[int, str, str, str, str]:
    return -group.count, group.principal_id, group.route, group.method, group.reason
