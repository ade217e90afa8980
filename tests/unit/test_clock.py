"""Times are microseconds since the epoch within, RFC 3339 in UTC without."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.clock import format_time, parse_time, wall_us

YEAR_1970_TO_9999 = st.integers(0, 253_402_300_799_999_999)


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (1_000_000_000_000_000, "2001-09-09T01:46:40.000000Z"),
        (1_234_567_890_123_456, "2009-02-13T23:31:30.123456Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_written_in_utc_with_six_decimals_and_read_back(us: int, text: str) -> None:
    assert format_time(us) == text
    assert parse_time(text) == us


@settings(deadline=None)
@given(YEAR_1970_TO_9999)
def test_what_is_written_is_read_back_exactly_and_always_as_long(us: int) -> None:
    text = format_time(us)
    assert parse_time(text) == us
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)


@settings(deadline=None)
@given(YEAR_1970_TO_9999, YEAR_1970_TO_9999)
def test_texts_sort_like_their_times(one: int, other: int) -> None:
    assert (format_time(one) < format_time(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("1970-01-01T05:30:00.000001+05:30", 1),
        ("1970-01-01T00:00:01Z", 1_000_000),
    ],
)
def test_an_offset_is_reckoned_in(text: str, us: int) -> None:
    assert parse_time(text) == us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01 00:00:00Z",
        "1970-02-30T00:00:00Z",
        "1970-01-01T24:00:01Z",
        "0",
    ],
)
def test_a_time_without_date_time_of_day_or_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)


def test_the_wall_clock_counts_microseconds_since_the_epoch() -> None:
    before = time.time()
    now = wall_us()
    assert before - 1 < now / 1e6 < time.time() + 1
    assert abs(datetime.fromtimestamp(now / 1e6, UTC).timestamp() * 1e6 - parse_time(format_time(now))) < 10
