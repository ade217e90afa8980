"""What a caller with a limited rate has left: counted for each request, told with each answer.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10, Lists of RFC 9651's structured fields:

    RateLimit-Policy: "key";q=100;w=60, "role:till";q=5000;w=86400
    RateLimit: "key";r=99;t=1, "role:till";r=4711;t=18
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from hatchpay.access.rate_limit import NO_COUNTERS, Counters, Level, Spent
from hatchpay.errors import RateLimited, Unavailable
from hatchpay.identity.principal import Bucket

__all__ = ["ALLOWANCE_HEADERS", "BUSY", "PAUSES_S", "Allowance", "Header", "Meter"]

Header = tuple[bytes, bytes]

_log: Final = logging.getLogger("hatchpay.limits")
_POLICY: Final = b"ratelimit-policy"
_LEVEL: Final = b"ratelimit"
ALLOWANCE_HEADERS: Final = frozenset({_POLICY, _LEVEL})

PAUSES_S: Final = tuple(2**number / 1000 for number in range(10))
"""How long a request waits before each further try while others are counted: a second, all in all."""

BUSY: Final = Unavailable("the request could not be counted yet", code="rate_limits_unavailable")


class Allowance(msgspec.Struct, frozen=True):
    """`headers` go with every answer. Where `lacking` is set, that bucket was empty and the request is refused."""

    headers: tuple[Header, ...] = ()
    lacking: Bucket | None = None
    refusal: RateLimited | None = None


class Meter:
    """Counts in `counters`. What cannot be counted is refused, unless `allow_on_failure`."""

    def __init__(self, counters: Counters = NO_COUNTERS, *, allow_on_failure: bool = False) -> None:
        self._counters = counters
        self._allow_on_failure = allow_on_failure
        self._failing = False

    def count(self, buckets: Sequence[Bucket], now_us: int, *, last: bool) -> Allowance | None:
        """None where others are just being counted: ask again, unless this was the `last` time.

        Raises Unavailable where the request cannot be counted, and is refused therefore.
        """
        try:
            spent = self._counters.spend(buckets, now_us)
            if spent is None and last:
                raise Unavailable("requests could not be counted in time", code="rate_limits_unavailable")
        except Unavailable as error:
            self._report(error)
            if self._allow_on_failure:
                return Allowance()
            raise
        self._failing = False
        return None if spent is None else _allowance(buckets, spent)

    def _report(self, error: Unavailable) -> None:
        """Once, until it works again."""
        if not self._failing:
            consequence = "let through uncounted" if self._allow_on_failure else "refused"
            _log.error("%s; requests with a limited rate are %s", error.detail, consequence)
        self._failing = True


def _allowance(buckets: Sequence[Bucket], spent: Spent) -> Allowance:
    policies = ", ".join(f'"{one.policy}";q={one.limit.requests};w={one.limit.window_s}' for one in buckets)
    levels = ", ".join(_level(one, level) for one, level in zip(buckets, spent.levels, strict=True))
    headers = ((_POLICY, policies.encode()), (_LEVEL, levels.encode()))
    if not spent.lacking:
        return Allowance(headers)
    # The one that makes the caller wait longest.
    number = max(spent.lacking, key=lambda number: spent.levels[number].next_us)
    wait_s = _seconds(spent.levels[number])
    lacking = buckets[number]
    refusal = RateLimited("too many requests; the RateLimit header says what is left of them", retry_after_s=wait_s)
    return Allowance(headers, lacking, refusal)


def _level(bucket: Bucket, level: Level) -> str:
    until = f";t={_seconds(level)}" if level.next_us else ""
    return f'"{bucket.policy}";r={level.remaining}{until}'


def _seconds(level: Level) -> int:
    """Rounded up, so that nobody comes too early."""
    return -(-level.next_us // 1_000_000)
