"""The parser of API keys accepts exactly what is issued."""

from __future__ import annotations

import random
import string
import uuid

from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.errors import MalformedToken
from hatchpay.tokens.apikey import ApiKey, Environment, decode_id, encode_id, issue, parse

DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase

ids = st.uuids().map(str)
environments = st.sampled_from(["live", "test"])
seeds = st.integers(0, 2**32)


def _issue(key_id: str, environment: Environment, seed: int) -> ApiKey:
    return issue(key_id, environment, random.Random(seed).randrange)


def _accepts(text: str) -> bool:
    try:
        parse(text)
    except MalformedToken:
        return False
    return True


@settings(deadline=None)
@given(ids, environments, seeds)
def test_what_is_issued_is_parsed_to_the_same_key(key_id: str, environment: Environment, seed: int) -> None:
    key = _issue(key_id, environment, seed)
    assert parse(key.text) == key
    assert (parse(key.text).id, parse(key.text).environment) == (key_id, environment)


@settings(deadline=None)
@given(ids, environments, seeds, st.integers(0, 68), st.sampled_from(DIGITS + "_-.+ é\0"))
def test_one_wrong_character_is_always_noticed(
    key_id: str, environment: Environment, seed: int, place: int, character: str
) -> None:
    text = _issue(key_id, environment, seed).text
    changed = text[:place] + character + text[place + 1 :]
    assert _accepts(changed) == (changed == text)


@settings(deadline=None)
@given(ids, seeds, st.integers(0, 67))
def test_two_neighbours_that_changed_places_are_always_noticed(key_id: str, seed: int, place: int) -> None:
    text = _issue(key_id, "live", seed).text
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    assert _accepts(swapped) == (swapped == text)


@settings(deadline=None)
@given(ids, seeds, st.integers(0, 68))
def test_a_lost_or_doubled_character_is_always_noticed(key_id: str, seed: int, place: int) -> None:
    text = _issue(key_id, "live", seed).text
    assert not _accepts(text[:place] + text[place + 1 :])
    assert not _accepts(text[:place] + text[place] + text[place:])


@settings(deadline=None)
@given(st.one_of(st.text(max_size=80), st.from_regex(r"hp_(live|test)_[0-9A-Za-z]{61}", fullmatch=True)))
def test_what_is_made_up_is_refused(text: str) -> None:
    assert not _accepts(text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=DIGITS, min_size=22, max_size=22))
def test_an_id_is_read_exactly_where_it_would_be_written(locator: str) -> None:
    value = 0
    for digit in locator:
        value = value * 62 + DIGITS.index(digit)
    if value < 2**128:
        assert decode_id(locator) == str(uuid.UUID(int=value))
        assert encode_id(decode_id(locator)) == locator
    else:
        try:
            decode_id(locator)
        except MalformedToken:
            return
        raise AssertionError("more than 128 bits were read as a UUID")


@settings(deadline=None)
@given(ids, ids)
def test_locators_of_two_ids_sort_like_the_ids(one: str, other: str) -> None:
    assert (encode_id(one) < encode_id(other)) == (one < other)
