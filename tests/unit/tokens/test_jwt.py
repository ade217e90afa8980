"""Every claim is read in one way only."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from rich.pretty import pretty_repr
from tests.vectors.forge import PRIVATE, signed

from hatchpay.errors import InvalidToken
from hatchpay.tokens import jwt
from hatchpay.tokens.jwt import Times, audiences_of, check_times, check_type, issuer_of, strings_of

SECOND = 1_000_000
NOW = 1_800_000_000
END_OF_9999 = 253_402_300_799


def token(payload: object, **header: object) -> str:
    return signed(PRIVATE["ed-1"], "EdDSA", {"alg": "EdDSA", **header}, payload)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidToken) as caught:
        call()
    assert caught.value.status == 401
    return caught.value.code


def test_a_token_has_its_claims_and_its_compact_form() -> None:
    parsed = jwt.parse(token('{"iss":"x","n":1.5}', kid="k"))
    assert parsed.claims == {"iss": "x", "n": 1.5}
    assert (parsed.compact.kid, parsed.compact.payload) == ("k", b'{"iss":"x","n":1.5}')
    assert jwt.parse(token('{"iss":"x"}').encode()).claims == {"iss": "x"}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "token_json_invalid"),
        (b"\xff", "token_json_invalid"),
        (b"[]", "token_json_not_object"),
        (b'{"exp":1,"exp":2}', "token_duplicate_member"),
        (b'{"exp":NaN}', "token_number_not_finite"),
        (b'{"a":' + b"[" * 1_000 + b"]" * 1_000 + b"}", "token_json_too_deep"),
    ],
)
def test_claims_are_strict_json(payload: bytes, code: str) -> None:
    assert code_of(lambda: jwt.parse(token(payload))) == code


def test_what_is_no_compact_form_is_no_token() -> None:
    assert code_of(lambda: jwt.parse("a.b")) == "token_parts_wrong"


@pytest.mark.parametrize("issuer", ["x", "https://idp.test", "i" * 2_048])
def test_an_issuer_is_a_text(issuer: str) -> None:
    assert issuer_of({"iss": issuer}) == issuer


@pytest.mark.parametrize("issuer", ["", "i" * 2_049, None, 1, True, ["x"], {"x": 1}])
def test_another_issuer_is_refused(issuer: object) -> None:
    assert code_of(lambda: issuer_of({"iss": issuer})) == "token_issuer_invalid"


def test_an_issuer_must_be_named() -> None:
    assert code_of(lambda: issuer_of({"ISS": "x"})) == "token_issuer_missing"


def test_an_audience_is_a_text_or_several() -> None:
    assert audiences_of({"aud": "a b"}) == ("a b",)
    assert audiences_of({"aud": ["a", "b", "a"]}) == ("a", "b", "a")


@pytest.mark.parametrize("audience", ["", [], None, 1, True, {"a": 1}, ["a", 1], ["a", None], [["a"]], ["a", ""]])
def test_another_audience_is_refused(audience: object) -> None:
    assert code_of(lambda: audiences_of({"aud": audience})) == "token_audience_invalid"


def test_an_audience_must_be_named() -> None:
    assert code_of(lambda: audiences_of({})) == "token_audience_missing"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+JWT"])
@pytest.mark.parametrize("allowed", [{"at+jwt"}, {"jwt", "AT+JWT"}, {"application/at+jwt"}])
def test_a_type_is_compared_without_its_case_and_its_prefix(typ: str, allowed: set[str]) -> None:
    check_type(jwt.parse(token({}, typ=typ)), frozenset(allowed), required=True)


@pytest.mark.parametrize(
    "typ",
    [
        "",
        "jwt",
        "dpop+jwt",
        "at+jwt ",
        " at+jwt",
        "at+jwt;v=1",
        "application/",
        "application/application/at+jwt",
        "text/at+jwt",
        "/at+jwt",
        "x-at+jwt",
        None,
        1,
        True,
        ["at+jwt"],
        {"at+jwt": 1},
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_another_type_is_refused_even_where_none_is_needed(typ: object, required: bool) -> None:
    parsed = jwt.parse(token({}, typ=typ))
    assert code_of(lambda: check_type(parsed, frozenset({"at+jwt"}), required=required)) == "token_type_wrong"


def test_a_letter_that_becomes_ascii_in_lower_case_is_another_letter() -> None:
    assert "\u212a".lower() == "k"
    parsed = jwt.parse(token({}, typ="to\u212aen+jwt"))
    assert code_of(lambda: check_type(parsed, frozenset({"token+jwt"}), required=False)) == "token_type_wrong"


def test_a_type_may_be_left_out_where_it_is_not_required() -> None:
    parsed = jwt.parse(token({}))
    check_type(parsed, frozenset({"at+jwt"}), required=False)
    assert code_of(lambda: check_type(parsed, frozenset({"at+jwt"}), required=True)) == "token_type_missing"


def test_the_times_of_a_token_are_whole_seconds() -> None:
    claims = {"exp": NOW + 60, "iat": float(NOW), "nbf": NOW - 1}
    times = check_times(claims, NOW * SECOND)
    assert times == Times(expires_s=NOW + 60, issued_s=NOW, not_before_s=NOW - 1)
    assert [type(value) for value in (times.expires_s, times.issued_s, times.not_before_s)] == [int, int, int]
    assert check_times({"exp": END_OF_9999}, NOW * SECOND) == Times(END_OF_9999, None, None)


def test_an_expiry_must_be_there() -> None:
    assert code_of(lambda: check_times({"iat": NOW}, NOW * SECOND)) == "token_expiry_missing"


NOT_A_TIME = [
    None,
    True,
    False,
    "1900000000",
    "",
    [],
    [1_900_000_000],
    {},
    -1,
    -0.5,
    1_900_000_000.5,
    END_OF_9999 + 1,
    float(END_OF_9999 + 1),
    10**4_000,
    1e300,
    math.nan,
    math.inf,
    -math.inf,
]


@pytest.mark.parametrize("value", NOT_A_TIME)
@pytest.mark.parametrize(
    ("name", "code"),
    [("exp", "token_expiry_invalid"), ("nbf", "token_not_before_invalid"), ("iat", "token_issued_at_invalid")],
)
def test_what_is_no_whole_number_up_to_the_year_9999_is_no_time(name: str, code: str, value: object) -> None:
    assert code_of(lambda: check_times({"exp": NOW + 60, name: value}, NOW * SECOND)) == code


@pytest.mark.parametrize("value", [0, 0.0, -0.0, 1, END_OF_9999, float(END_OF_9999)])
def test_every_whole_number_up_to_the_year_9999_is_a_time(value: float) -> None:
    assert check_times({"exp": END_OF_9999, "iat": value, "nbf": value}, END_OF_9999 * SECOND - 1).issued_s == value


def test_a_token_ends_at_the_second_of_its_expiry_without_leeway() -> None:
    assert check_times({"exp": NOW}, NOW * SECOND - 1)
    for now_us in (NOW * SECOND, NOW * SECOND + 1, NOW * SECOND + 60 * SECOND):
        assert code_of(lambda now_us=now_us: check_times({"exp": NOW}, now_us)) == "token_expired"
    assert code_of(lambda: check_times({"exp": NOW}, NOW * SECOND, skew_s=10**9)) == "token_expired"
    assert code_of(lambda: check_times({"exp": 0}, 0)) == "token_expired"


@pytest.mark.parametrize(("name", "code"), [("nbf", "token_not_yet_valid"), ("iat", "token_issued_in_future")])
def test_a_clock_may_be_sixty_seconds_ahead_and_no_more(name: str, code: str) -> None:
    def check(value: int, skew_s: int | None = None) -> object:
        claims = {"exp": NOW + 1_000, name: value}
        return check_times(claims, NOW * SECOND) if skew_s is None else check_times(claims, NOW * SECOND, skew_s)

    assert check(NOW + 60)
    assert code_of(lambda: check(NOW + 61)) == code
    assert code_of(lambda: check_times({"exp": NOW + 99, name: NOW + 60}, NOW * SECOND - 1)) == code
    assert check(NOW, 0)
    assert code_of(lambda: check(NOW + 1, 0)) == code


def test_an_ended_token_is_expired_whatever_else_is_wrong_with_its_times() -> None:
    assert code_of(lambda: check_times({"exp": 1, "nbf": NOW * 2, "iat": NOW * 2}, NOW * SECOND)) == "token_expired"


@pytest.mark.parametrize(
    ("claim", "split", "values"),
    [
        (["a", "b c"], True, ("a", "b c")),
        (["a", "b c"], False, ("a", "b c")),
        ([], True, ()),
        ("a b", True, ("a", "b")),
        ("a b", False, ("a b",)),
        (" a  b ", True, ("a", "b")),
        ("a\tb\nc", True, ("a\tb\nc",)),
        ("", True, ()),
        ("", False, ("",)),
        (None, True, ()),
        (None, False, ()),
        ("v" * 256, False, ("v" * 256,)),
        (["v"] * 1_000, False, ("v",) * 1_000),
        ("v " * 1_000, True, ("v",) * 1_000),
    ],
)
def test_the_values_of_a_claim_come_from_an_array_or_a_text(
    claim: object, split: bool, values: tuple[str, ...]
) -> None:
    assert strings_of({"scope": claim}, "scope", split=split) == values


def test_a_claim_that_is_not_there_has_no_values() -> None:
    assert strings_of({"Scope": "a"}, "scope", split=True) == ()


@pytest.mark.parametrize(
    "claim",
    [
        1,
        True,
        False,
        1.5,
        {},
        {"a": 1},
        [1],
        ["a", None],
        [["a"]],
        ["v" * 257],
        ["v"] * 1_001,
        "v" * 257,
        "a " + "v" * 257,
    ],
)
def test_another_claim_is_refused(claim: object) -> None:
    assert code_of(lambda: strings_of({"roles": claim}, "roles", split=True)) == "token_claim_invalid"


def test_a_text_of_too_many_values_is_refused() -> None:
    assert code_of(lambda: strings_of({"scope": "v " * 1_001}, "scope", split=True)) == "token_claim_invalid"


@pytest.mark.parametrize("show", [repr, str, format, pretty_repr])
def test_no_text_of_a_token_shows_its_claims(show: Callable[[object], str]) -> None:
    parsed = jwt.parse(token('{"sub":"secret"}', kid="secret"))
    assert "secret" not in show(parsed)
    assert "secret" not in show([parsed])
