"""`If-Match` is read as RFC 9110, section 13.1.1, says, or refused."""

from __future__ import annotations

import pytest

from hatchpay.admin.versions import IfMatch
from hatchpay.control.conditions import parse_if_match
from hatchpay.errors import MalformedRequest


def tags(*values: str) -> frozenset[str] | None:
    condition = parse_if_match(values)
    assert condition is not None
    return condition.tags


def test_without_the_header_there_is_no_condition() -> None:
    assert parse_if_match([]) is None


@pytest.mark.parametrize("value", ["*", " * ", "\t*"])
def test_a_star_is_met_by_whatever_exists(value: str) -> None:
    assert parse_if_match([value]) == IfMatch(None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (['"xyzzy"'], {"xyzzy"}),
        (['"xyzzy", "r2d2xxxx", "c3piozzzz"'], {"xyzzy", "r2d2xxxx", "c3piozzzz"}),
        (['"a"', '"b"'], {"a", "b"}),
        (['""'], {""}),
        (['"a,b"\t,"c"'], {"a,b", "c"}),
        ([',, "a" ,, "b" ,'], {"a", "b"}),
        (['"W/"'], {"W/"}),
        (['"\xe9"'], {"\xe9"}),
    ],
)
def test_a_list_of_tags_on_one_line_or_several(values: list[str], expected: set[str]) -> None:
    assert tags(*values) == expected


def test_a_weak_tag_never_matches() -> None:
    assert tags('W/"a"') == frozenset()
    assert tags('W/"a", "b"') == {"b"}


@pytest.mark.parametrize(
    "values",
    [
        [""],
        [","],
        ["a"],
        ['"a'],
        ['a"'],
        ['"a" "b"'],
        ['"a";"b"'],
        ['w/"a"'],
        ['W/ "a"'],
        ["W/a"],
        ['"a b"'],
        ['"a\x7f"'],
        ["**"],
        ["*, *"],
        ['*, "a"'],
        ["*", '"a"'],
        ['"a"', "", "x"],
    ],
)
def test_what_is_neither_is_refused_without_being_repeated(values: list[str]) -> None:
    with pytest.raises(MalformedRequest) as refusal:
        parse_if_match(values)
    assert (refusal.value.status, refusal.value.code) == (400, "invalid_if_match")


def test_a_long_list_that_ends_badly_is_refused_at_once() -> None:
    with pytest.raises(MalformedRequest):
        parse_if_match(['"a" , ,' * 20_000 + "!"])
