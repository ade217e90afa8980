"""Plain HTTP collectors: one flat record per line of JSON, as the history shows it, with its `type`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hatchpay.audit.stream.event import Event

__all__ = ["CONTENT_TYPE", "encode"]

CONTENT_TYPE: Final = "application/x-ndjson"


def encode(events: Sequence[Event]) -> bytes:
    return b"".join(event.json() + b"\n" for event in events)
