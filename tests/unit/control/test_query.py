"""Query strings are read as strictly as bodies."""

from __future__ import annotations

import pytest

from hatchpay.control.query import NoQuery, PageQuery, Query, parse_query
from hatchpay.errors import HatchPayError


def refusal(raw: bytes, model: type[Query] = PageQuery) -> tuple[int, str, str | None]:
    with pytest.raises(HatchPayError) as caught:
        parse_query(raw, model)
    return caught.value.status, caught.value.code, caught.value.field


def test_a_list_gives_fifty_items_unless_asked_for_another_number() -> None:
    assert parse_query(b"", PageQuery).limit == 50
    assert parse_query(b"limit=200&cursor=abc_-9", PageQuery) == PageQuery(limit="200", cursor="abc_-9")  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [b"0", b"201", b"-1", b"+1", b"1.0", b"1e2", b"", b"%20", b"ten", b"%D9%A1", b"0001"])
def test_a_limit_is_a_whole_number_from_1_to_200(limit: bytes) -> None:
    assert refusal(b"limit=" + limit) == (422, "invalid_field", "limit")


@pytest.mark.parametrize("cursor", [b"", b"%20", b"a=b", b"a%0A", b"%C3%A4", b"a" * 301])
def test_a_cursor_that_we_never_gave_is_refused(cursor: bytes) -> None:
    assert refusal(b"cursor=" + cursor) == (400, "invalid_cursor", "cursor")


def test_an_unknown_parameter_is_named() -> None:
    assert refusal(b"limt=5") == (422, "unknown_parameter", "limt")
    assert refusal(b"limit=5", NoQuery) == (422, "unknown_parameter", "limit")
    assert refusal(b"4111111111111111=1") == (422, "unknown_parameter", "?")


@pytest.mark.parametrize("raw", [b"limit=5&limit=5", b"limit=5&l%69mit=6", b"limit=5&cursor=a&limit=5"])
def test_a_parameter_that_stands_twice_is_named(raw: bytes) -> None:
    assert refusal(raw) == (400, "duplicate_parameter", "limit")


@pytest.mark.parametrize(
    "raw",
    [
        b"limit",
        b"&",
        b"limit=5&",
        b"cursor=%FF",
        b"cursor=%ED%A0%80",
        b"cursor=\xc3\xa4",
        b"a=1&" * 60 + b"b=1",
    ],
)
def test_what_is_no_query_is_refused(raw: bytes) -> None:
    assert refusal(raw) == (400, "invalid_query", None)


def test_nul_is_refused() -> None:
    assert refusal(b"cursor=a%00") == (422, "invalid_field", "cursor")
