"""One record as an event: its type, how grave it is, its JSON, and whether a stream takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from hatchpay.audit.ports import Kept
from hatchpay.audit.record import Record
from hatchpay.audit.stream.row import StreamRow
from hatchpay.clock import format_time

__all__ = ["OTHER", "Event", "Severity", "event_of", "takes"]

Severity = Literal["info", "warning", "error"]

OTHER: Final = "hatchpay.requests.other"
"""The type of a record that has neither a permission nor a change: nobody was proven, or no route listed it."""

_FAILED: Final = frozenset({"failed", "indeterminate"})


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`type` is the request's permission, else its first change, else OTHER; `types` are all that it may be asked for
    by. `at_us` is when the request began, `data` the record as the history shows it.
    """

    seq: int
    type: str
    types: frozenset[str]
    severity: Severity
    at_us: int
    record: Record
    data: Mapping[str, object]

    @property
    def at(self) -> str:
        return format_time(self.at_us)

    def json(self, data: Mapping[str, object] | None = None) -> bytes:
        """One line of JSON: `data`, or all of it, behind its `type`."""
        line = msgspec.json.encode({"type": self.type, **(self.data if data is None else data)})
        # A body stands there as it was stored, and may be written over several lines.
        return msgspec.json.format(line, indent=-1) if b"\n" in line or b"\r" in line else line


def event_of(kept: Kept) -> Event:
    record = kept.record
    changes = [str(change["event"]) for change in kept.changes]
    data = kept.flat()
    if kept.leaf is not None:
        data = {**data, "leaf_index": kept.leaf.index, "leaf_hash": kept.leaf.hash.hex()}
    return Event(
        seq=kept.seq,
        type=record.permission or next(iter(changes), OTHER),
        types=frozenset([record.permission, *changes] if record.permission else changes or [OTHER]),
        severity=_severity(record),
        at_us=record.started_us,
        record=record,
        data=data,
    )


def takes(row: StreamRow, event: Event) -> bool:
    """Whether it is of the stream's tenant, its business units and its types."""
    record = event.record
    return (
        record.tenant_id == row.tenant_id
        and (row.business_unit_ids is None or record.business_unit_id in row.business_unit_ids)
        and (row.event_types is None or not event.types.isdisjoint(row.event_types))
    )


def _severity(record: Record) -> Severity:
    if record.state in _FAILED or (record.status or 0) >= 500:
        return "error"
    return "warning" if record.decision == "deny" or record.state == "refused" else "info"
