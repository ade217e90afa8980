"""The next messages of a stream: read from the ledger, filtered, encoded, and bounded in number and size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from hatchpay.audit.ports import Feed
from hatchpay.audit.stream import ndjson, otlp, syslog, webhook
from hatchpay.audit.stream.event import Event, event_of, takes
from hatchpay.audit.stream.ports import Message
from hatchpay.audit.stream.row import StreamRow

__all__ = ["MAX_BYTES", "MAX_EVENTS", "Batch", "encoded", "next_batch"]

MAX_EVENTS: Final = 500
MAX_BYTES: Final = 256 * 1024
"""Of JSON. A single event that is larger is sent alone."""

_READ: Final = 64
_MOST_READ: Final = 2_000


class Batch(msgspec.Struct, frozen=True):
    """`messages` in their order; whatever else lies up to `through` is not for this stream. `more` may follow."""

    messages: list[Message]
    through: int
    more: bool


def next_batch(feed: Feed, row: StreamRow, cursor: int, horizon: int, most: int, hostname: str) -> Batch:
    """What lies behind `cursor` and up to `horizon`: at most `most` events, and so many records that nobody else waits
    for long. Raises AuditUnavailable.
    """
    events: list[Event] = []
    size, read, through = 0, 0, cursor
    while read < _MOST_READ:
        page = feed.after(through, min(_READ, most), row.tenant_id)
        for kept in page:
            if kept.seq > horizon:
                return Batch(encoded(row, events, hostname), through, more=False)
            event = event_of(kept)
            if takes(row, event):
                events.append(event)
                size += len(event.json())
            through, read = kept.seq, read + 1
            if len(events) >= most or size >= MAX_BYTES:
                return Batch(encoded(row, events, hostname), through, more=True)
        if not page:
            return Batch(encoded(row, events, hostname), max(through, horizon), more=False)
    return Batch(encoded(row, events, hostname), through, more=True)


def encoded(row: StreamRow, events: list[Event], hostname: str) -> list[Message]:
    """In the format of the stream's kind: one message, or one for each event."""
    if row.kind == "webhook":
        return list(_webhooks(events))
    if not events:
        return []
    match row.kind:
        case "otlp":
            payload = otlp.encode(events)
        case "syslog":
            payload = syslog.encode(events, hostname)
        case _:
            payload = ndjson.encode(events)
    return [_message(payload, events)]


def _webhooks(events: list[Event]) -> Iterator[Message]:
    for event in events:
        yield _message(webhook.encode(event), [event], webhook.message_id(event))


def _message(payload: bytes, events: list[Event], message_id: str = "") -> Message:
    return Message(
        payload=payload,
        count=len(events),
        first_seq=events[0].seq,
        last_seq=events[-1].seq,
        oldest_us=min(event.at_us + event.record.response_time_us for event in events),
        id=message_id,
    )
