"""Time, as a value that is handed in.

Wall times are integers: microseconds since the Unix epoch, UTC. On the wire they are RFC 3339 with `Z`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

__all__ = ["Clock", "earliest", "format_time", "parse_time", "wall_us"]

Clock = Callable[[], int]
"""Returns the wall time in microseconds since the epoch."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def wall_us() -> int:
    return time.time_ns() // 1000


def earliest(*ends: int | None) -> int | None:
    """The first of these moments, of which None is never; None where there is no other."""
    return min((end for end in ends if end is not None), default=None)


def format_time(us: int) -> str:
    """`2026-11-24T02:10:42.000001Z`: RFC 3339, always UTC, always six decimals."""
    seconds, fraction = divmod(us, 1_000_000)
    return f"{_to_the_second(seconds)}.{fraction:06}Z"


@lru_cache(maxsize=1024)
def _to_the_second(seconds: int) -> str:
    # Times mostly come in order, many within one second; formatting costs more than all else that is made of one.
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def parse_time(text: str) -> int:
    """RFC 3339 with an offset, to microseconds since the epoch. Raises ValueError; a time without offset is one."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or "T" not in text.upper():
        raise ValueError("a time needs a date, a time of day and an offset, as in 2026-01-31T09:30:00Z")
    return (moment - _EPOCH) // _MICROSECOND
