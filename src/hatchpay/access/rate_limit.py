"""Rate limits: the arithmetic of a token bucket, and what counts requests.

A bucket holds `requests` tokens and is refilled evenly, `requests` in `window_s` seconds. All that is kept of it is
when it will be full again (the generic cell rate algorithm): microseconds since the epoch, and `part` / `requests` of
one more, so that nothing is ever rounded. A bucket that is full needs not be kept at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from hatchpay.errors import Unavailable
from hatchpay.identity.principal import Bucket, RateLimit

__all__ = ["FULL", "MAX_REQUESTS", "MAX_WINDOW_S", "NO_COUNTERS", "Counters", "Level", "Spent", "loosen", "take"]

MAX_REQUESTS: Final = 1_000_000_000
MAX_WINDOW_S: Final = 31 * 24 * 3600
_US: Final = 1_000_000


class Level(msgspec.Struct, frozen=True):
    """A bucket at one moment: `full_us` and `part` are what is kept of it, `remaining` its whole tokens.

    `next_us` is how long it takes until it has one more, 0 where it is full.
    """

    full_us: int
    part: int
    remaining: int
    next_us: int


FULL: Final = (0, 0)
"""What is kept of a bucket that was never used, or has been full for long."""


def take(kept: tuple[int, int], limit: RateLimit, now_us: int, count: int = 1) -> Level | None:
    """The bucket after `count` (0 or 1) tokens were taken from it; None where it has not so many.

    What is kept of it may be of another limit of the same window, or of a clock that was ahead: then the bucket counts
    as empty, never as emptier than that.
    """
    requests, cost = limit.requests, limit.window_s * _US
    # From here on in units of 1 / requests microseconds, in which a token is worth the window in microseconds.
    now, size = now_us * requests, requests * cost
    full_us, part = kept
    owed = min(max(full_us * requests + min(part, requests - 1) - now, 0), size) + count * cost
    if owed > size:
        return None
    remaining, started = divmod(size - owed, cost)
    full_us, part = divmod(now + owed, requests)
    return Level(full_us, part, remaining, -((started - cost) // requests) if owed else 0)


def loosen(old: Sequence[RateLimit], new: Sequence[RateLimit]) -> bool:
    """Whether `new` could let through what `old` would not. Another window does: its counting begins anew."""
    kept = {limit.window_s: limit.requests for limit in new}
    return any(kept.get(limit.window_s, MAX_REQUESTS + 1) > limit.requests for limit in old)


class Spent(msgspec.Struct, frozen=True):
    """`levels` are those of the buckets asked for, in their order. Where the buckets at `lacking` had no token,
    nothing was taken from any.
    """

    levels: tuple[Level, ...]
    lacking: tuple[int, ...] = ()


class Counters(Protocol):
    """What all processes of a machine count in."""

    def spend(self, buckets: Sequence[Bucket], now_us: int) -> Spent | None:
        """Takes a token from each of the buckets, or from none; nobody sees anything in between.

        Takes microseconds, and never waits: None where somebody else is at it at this moment, and nothing was taken.
        Raises Unavailable where nothing can be counted.
        """
        ...


class _NoCounters:
    def spend(self, buckets: Sequence[Bucket], now_us: int) -> Spent | None:
        raise Unavailable("there is nothing to count requests in", code="rate_limits_unavailable")


NO_COUNTERS: Final[Counters] = _NoCounters()
