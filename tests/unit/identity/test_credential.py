"""Which credential a request carries, and when that is ambiguous."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.errors import MalformedRequest
from hatchpay.identity.credential import challenge, extract, refuse_in_query

KEY = "hp_live_02tcRIyrxLXTR81B3dqdOx0123456789ABCDEFGHIJKLMNOPQRSTUVW0aBcDe"
RAW = KEY.encode()


def test_without_a_header_there_is_no_credential() -> None:
    assert extract([], []) is None


@pytest.mark.parametrize("value", [RAW, b" " + RAW, RAW + b"\t "])
def test_x_api_key_is_the_credential_without_the_white_space_around_it(value: bytes) -> None:
    assert extract([value], []) == KEY


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER   ", b"  Bearer "])
def test_a_bearer_token_is_the_credential_however_the_scheme_is_written(scheme: bytes) -> None:
    assert extract([], [scheme + RAW]) == KEY


@pytest.mark.parametrize(
    "value",
    [b"", b"Bearer", b"Bearer ", b"Basic " + RAW, RAW, b"Bearer\t" + RAW, b"Digest a=b"],
)
def test_another_scheme_is_a_credential_that_nobody_knows_and_not_none_at_all(value: bytes) -> None:
    assert extract([], [value]) == ""


@pytest.mark.parametrize("rest", [" x", "\tx", ", Bearer y"])
def test_all_that_stands_after_the_scheme_is_one_credential_which_nobody_knows(rest: str) -> None:
    """Not the part before the white space, which somebody else might take for it."""
    assert extract([], [b"Bearer " + (KEY + rest).encode()]) == KEY + rest


def test_the_challenge_names_both_ways_and_says_where_a_token_was_refused() -> None:
    both = 'Bearer realm="hatchpay", ApiKey realm="hatchpay" header="X-API-Key"'
    assert challenge("credential_missing") == challenge("credential_invalid") == both
    assert challenge("invalid_token") == both.replace('pay",', 'pay", error="invalid_token",', 1)


def test_an_empty_x_api_key_is_a_credential_that_nobody_knows() -> None:
    assert extract([b""], []) == ""


@pytest.mark.parametrize("space", [b"\xa0", b"\x85", b"\x1f", b"\x0c"])
def test_only_blanks_and_tabs_are_white_space_in_a_header(space: bytes) -> None:
    assert extract([space + RAW], []) != KEY
    assert extract([], [space + b"Bearer " + RAW]) == ""


@pytest.mark.parametrize("authorization", [b"Bearer " + RAW, b"Basic x", b""])
def test_any_authorization_beside_an_x_api_key_is_two_credentials(authorization: bytes) -> None:
    with pytest.raises(MalformedRequest) as caught:
        extract([RAW], [authorization])
    assert (caught.value.code, caught.value.status) == ("multiple_credentials", 400)


def test_more_of_each_are_still_two_credentials() -> None:
    with pytest.raises(MalformedRequest) as caught:
        extract([RAW, RAW], [b"Bearer " + RAW])
    assert caught.value.code == "multiple_credentials"


@pytest.mark.parametrize(
    ("api_keys", "authorizations"),
    [
        ([RAW, RAW], []),
        ([RAW, b""], []),
        ([], [b"Bearer " + RAW] * 2),
        ([], [b"Bearer a", b"Basic b"]),
        ([RAW + b"," + RAW], []),
        ([RAW + b", x"], []),
    ],
)
def test_the_same_header_twice_is_ambiguous_even_where_both_agree(
    api_keys: list[bytes], authorizations: list[bytes]
) -> None:
    with pytest.raises(MalformedRequest) as caught:
        extract(api_keys, authorizations)
    assert (caught.value.code, caught.value.status) == ("duplicate_header", 400)
    assert KEY not in str(caught.value)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20), max_size=3), st.lists(st.binary(max_size=20), max_size=3))
def test_two_header_values_are_never_one_credential(api_keys: list[bytes], authorizations: list[bytes]) -> None:
    try:
        found = extract(api_keys, authorizations)
    except MalformedRequest as error:
        assert error.status == 400
    else:
        assert len(api_keys) + len(authorizations) <= 1
        assert (found is None) == (not api_keys and not authorizations)


@pytest.mark.parametrize(
    "query",
    [
        RAW,
        b"key=" + RAW,
        b"key=" + RAW[:9],
        b"a=1&b=" + RAW.upper(),
        b"key=hp%5flive%5f02tcRIyrxLXTR81B3dqdOx",
        b"key=%68%70_live_02tc",
        b"key=hp%255Flive%255F02tc",
        RAW + b"=1",
        b"api_key=x",
        b"apikey=x",
        b"API-Key=x",
        b"X-API-Key=x",
        b"x_api_key",
        b"access_token=x",
        b"a=1&access_token=x",
        b"a=1;access_token=x",
        b"client_secret=",
        b"%61pi_key=x",
        b"%2561pi_key=x",
        b"+api_key=x",
        b"a=1%26api_key=x",
    ],
)
def test_a_credential_in_the_query_string_is_refused_without_repeating_it(query: bytes) -> None:
    with pytest.raises(MalformedRequest) as caught:
        refuse_in_query(query)
    assert (caught.value.code, caught.value.status) == ("credential_in_query", 400)
    assert query.decode() not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"limit=20&cursor=abc",
        b"q=api_key",
        b"my_api_key_name=x",
        b"key_id=017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        b"path=/v1/hp_livestock",
        b"from=2026-01-31T09:30:00%2B02:00",
        b"a=%",
        b"a=%zz&b=\xff",
        b"&&==&",
    ],
)
def test_other_queries_pass(query: bytes) -> None:
    refuse_in_query(query)
