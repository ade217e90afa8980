"""A token bucket, exact to the last token."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatchpay.access.rate_limit import FULL, MAX_REQUESTS, MAX_WINDOW_S, NO_COUNTERS, Level, loosen, take
from hatchpay.errors import Unavailable
from hatchpay.identity.principal import RateLimit

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
MINUTE = RateLimit(60, 60)


def used_up(limit: RateLimit, now: int = NOW) -> tuple[int, int]:
    kept = FULL
    for _ in range(limit.requests):
        kept = kept_of(take(kept, limit, now))
    return kept


def kept_of(level: Level | None) -> tuple[int, int]:
    assert level is not None
    return level.full_us, level.part


def test_a_fresh_bucket_gives_its_tokens_at_once_and_then_none() -> None:
    limit = RateLimit(3, 60)
    kept, left = FULL, []
    for _ in range(3):
        level = take(kept, limit, NOW)
        assert level is not None
        kept = (level.full_us, level.part)
        left.append((level.remaining, level.next_us))
    assert left == [(2, 20 * SECOND), (1, 20 * SECOND), (0, 20 * SECOND)]
    assert take(kept, limit, NOW) is None


def test_it_is_refilled_evenly() -> None:
    kept = used_up(MINUTE)
    assert take(kept, MINUTE, NOW + SECOND - 1) is None
    level = take(kept, MINUTE, NOW + SECOND)
    assert level is not None
    assert level.remaining == 0
    assert take(kept_of(level), MINUTE, NOW + SECOND) is None
    rested = take(kept, MINUTE, NOW + 60 * SECOND)
    assert rested is not None
    assert rested.remaining == 59


def test_looking_takes_nothing() -> None:
    assert take(FULL, MINUTE, NOW, 0) == Level(NOW, 0, 60, 0)
    level = take(used_up(MINUTE), MINUTE, NOW + SECOND // 2, 0)
    assert level is not None
    assert (level.remaining, level.next_us) == (0, SECOND // 2)
    assert kept_of(level) == used_up(MINUTE)


@pytest.mark.parametrize("limit", [RateLimit(7, 1), RateLimit(1000, 7), RateLimit(999, 86_399), RateLimit(1, 1)])
def test_what_cannot_be_divided_evenly_is_not_rounded(limit: RateLimit) -> None:
    kept = used_up(limit)
    assert take(kept, limit, NOW) is None
    # One whole window later it is full to the token, though each token took a fraction of a microsecond.
    kept = kept_of(take(kept, limit, NOW + limit.window_s * SECOND, 0))
    for _ in range(limit.requests):
        kept = kept_of(take(kept, limit, NOW + limit.window_s * SECOND))
    assert take(kept, limit, NOW + limit.window_s * SECOND) is None


def test_the_largest_limit_counts_exactly() -> None:
    limit = RateLimit(MAX_REQUESTS, 1)
    level = take(FULL, limit, NOW)
    assert level is not None
    assert level.remaining == MAX_REQUESTS - 1
    assert (level.full_us, level.part) == (NOW, SECOND)
    longest = take(FULL, RateLimit(1, MAX_WINDOW_S), NOW)
    assert longest is not None
    assert longest.full_us == NOW + MAX_WINDOW_S * SECOND


def test_a_clock_that_is_set_back_leaves_the_bucket_empty_for_no_longer_than_its_window() -> None:
    kept = used_up(MINUTE)
    earlier = NOW - 86_400 * SECOND
    assert take(kept, MINUTE, earlier) is None
    level = take(kept, MINUTE, earlier, 0)
    assert level is not None
    assert (level.remaining, level.next_us) == (0, SECOND)
    assert take(kept_of(level), MINUTE, earlier + SECOND) is not None


def test_under_another_limit_of_the_same_window_the_same_share_is_used() -> None:
    kept = FULL
    for _ in range(30):
        kept = kept_of(take(kept, MINUTE, NOW))
    wider = take(kept, RateLimit(600, 60), NOW, 0)
    tighter = take(kept, RateLimit(6, 60), NOW, 0)
    assert wider is not None
    assert tighter is not None
    assert (wider.remaining, tighter.remaining) == (300, 3)


@given(
    requests=st.integers(1, 50),
    window_s=st.integers(1, 100),
    steps=st.lists(st.integers(0, 3 * SECOND), max_size=60),
)
def test_it_decides_as_a_bucket_that_is_filled_drop_by_drop(requests: int, window_s: int, steps: list[int]) -> None:
    limit, now, kept, tokens = RateLimit(requests, window_s), NOW, FULL, Fraction(requests)
    for step in steps:
        now += step
        tokens = min(Fraction(requests), tokens + Fraction(step * requests, window_s * SECOND))
        level = take(kept, limit, now)
        assert (level is not None) == (tokens >= 1)
        if level is not None:
            tokens -= 1
            kept = (level.full_us, level.part)
            assert level.remaining == tokens // 1
            missing = (tokens // 1 + 1 - tokens) * window_s * SECOND / requests
            assert level.next_us == -(-missing // 1)


@pytest.mark.parametrize(
    ("old", "new", "is_looser"),
    [
        ([], [], False),
        ([], [MINUTE], False),
        ([MINUTE], [MINUTE], False),
        ([MINUTE], [RateLimit(59, 60)], False),
        ([MINUTE], [MINUTE, RateLimit(1, 1)], False),
        ([MINUTE], [RateLimit(61, 60)], True),
        ([MINUTE], [], True),
        ([MINUTE], [RateLimit(1, 61)], True),
        ([MINUTE, RateLimit(5, 1)], [MINUTE], True),
    ],
)
def test_what_lets_more_through_is_looser(old: list[RateLimit], new: list[RateLimit], is_looser: bool) -> None:
    assert loosen(old, new) is is_looser


def test_without_counters_nothing_can_be_counted() -> None:
    with pytest.raises(Unavailable) as refusal:
        NO_COUNTERS.spend([], NOW)
    assert refusal.value.code == "rate_limits_unavailable"
