"""An issuer's JWK Set: the usable keys are found, the others give their reason."""

from __future__ import annotations

import json

import pytest
from tests.vectors.forge import PRIVATE

from hatchpay.errors import InvalidToken, UnusableKey
from hatchpay.tokens.jwk import load
from hatchpay.tokens.jwks import KeySet


def public(name: str, /, **changes: object) -> dict[str, object]:
    members = {member: value for member, value in PRIVATE[name].items() if member != "d"}
    return {**members, "kid": name, **changes}


def key_set(*members: object) -> KeySet:
    return KeySet.load(json.dumps({"keys": members}).encode())


def code_of(keys: KeySet, kid: str | None, algorithm: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        keys.select(kid, algorithm)
    return caught.value.code


def test_usable_keys_keep_their_order() -> None:
    keys = key_set(public("ed-1"), public("rsa-1"), public("ec-1"))
    assert keys.keys == (load(public("ed-1")), load(public("rsa-1")), load(public("ec-1")))
    assert keys.unusable == {}


def test_a_set_may_be_empty_and_may_say_more() -> None:
    assert KeySet.load(b'{"keys":[],"next":{"keys":1}}') == KeySet((), {})


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":"x"}',
        b'{"Keys":[]}',
        b'{"keys":[],"keys":[]}',
        b'{"keys":[{"kid":"a","kid":"b"}]}',
        b'{"keys":[NaN]}',
        b'{"keys":' + b"[" * 100_000,
        b"\xef\xbb\xbf" + b'{"keys":[]}',
        b'{"keys":[]} x',
        b'{"keys":[' + b"1," * 64 + b"1]}",
        b"<html>",
    ],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(UnusableKey) as caught:
        KeySet.load(document)
    assert caught.value.code == "jwks_invalid"


def test_a_set_may_have_64_members() -> None:
    assert len(key_set(*[public("ed-1", kid=f"k{number}") for number in range(64)]).keys) == 64


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (public("rsa-1024"), "jwk_rsa_too_small"),
        (public("rsa-e1"), "jwk_rsa_exponent"),
        (public("ec-off-curve"), "jwk_point_not_on_curve"),
        (public("ed-weak"), "jwk_weak_point"),
        (public("rsa-1", use="enc"), "jwk_use_not_signature"),
        (public("rsa-1", alg="RS512"), "jwk_algorithm_unfit"),
        (public("rsa-1", kty="AKP"), "jwk_type_unknown"),
        ({"kty": "oct", "k": "A" * 43, "kid": "oct-1"}, "jwk_symmetric"),
        ({"kty": "oct", "k": "A", "kid": "oct-2", "use": "enc"}, "jwk_symmetric"),
        *((public("rsa-1", **{name: "AQAB"}), "jwk_private") for name in ("d", "p", "q", "dp", "dq", "qi", "oth")),
        (public("ec-1", d=None), "jwk_private"),
        (public("ed-1", d="AA"), "jwk_private"),
    ],
)
def test_a_key_that_cannot_be_used_is_left_out_and_its_reason_kept(member: dict[str, object], reason: str) -> None:
    keys = key_set(member, public("ec-1", kid="good"))
    kid = str(member["kid"])
    assert [key.kid for key in keys.keys] == ["good"]
    assert keys.unusable == {kid: reason}
    assert code_of(keys, kid, "ES256") == reason


@pytest.mark.parametrize("member", [None, 1, "x", [], {}, {"kid": 1}, {"kid": None, "kty": "RSA"}, {"kid": ["a"]}])
def test_what_cannot_be_named_is_left_out_without_a_trace(member: object) -> None:
    keys = key_set(member, public("ed-1"))
    assert len(keys.keys) == 1
    assert keys.unusable == {}


def test_the_first_reason_of_a_kid_is_kept() -> None:
    keys = key_set(public("rsa-1024", kid="a"), public("ed-weak", kid="a"))
    assert keys.unusable == {"a": "jwk_rsa_too_small"}


def test_a_kid_names_its_key() -> None:
    keys = key_set(public("rsa-1"), public("rsa-pss"), public("ec-1"))
    assert keys.select("rsa-pss", "PS256") == load(public("rsa-pss"))
    assert keys.select("ec-1", "ES256") == load(public("ec-1"))


def test_keys_of_one_kid_are_told_apart_by_the_algorithm() -> None:
    keys = key_set(public("rsa-1", kid="a"), public("ec-1", kid="a"), public("ed-weak", kid="a"))
    assert keys.select("a", "ES256").kty == "EC"
    assert keys.select("a", "PS256").kty == "RSA"
    assert code_of(keys, "a", "EdDSA") == "token_algorithm_unfit"


def test_two_keys_of_one_kid_that_both_fit_are_ambiguous() -> None:
    keys = key_set(public("rsa-1", kid="a"), public("rsa-pss", kid="a"), public("rsa-1"))
    assert code_of(keys, "a", "RS256") == "token_kid_ambiguous"
    assert keys.select("rsa-1", "RS256")


@pytest.mark.parametrize("kid", ["b", "A", "a ", ""])
def test_a_kid_that_nobody_has_is_unknown(kid: str) -> None:
    assert code_of(key_set(public("ed-1", kid="a")), kid, "EdDSA") == "token_kid_unknown"
    assert code_of(KeySet((), {}), kid, "HS256") == "token_kid_unknown"


def test_a_kid_whose_key_does_not_fit_is_no_other_key() -> None:
    keys = key_set(public("rsa-1", alg="RS256"), public("rsa-pss"))
    assert code_of(keys, "rsa-1", "PS256") == "token_algorithm_unfit"
    assert code_of(keys, "rsa-1", "none") == "token_algorithm_unfit"


@pytest.mark.parametrize("kid", ["rsa-1", "ed-1", None])
def test_hmac_never_finds_a_key(kid: str | None) -> None:
    assert code_of(key_set(public("rsa-1"), public("ed-1")), kid, "HS256") == "token_algorithm_hmac"


def test_without_a_kid_the_only_key_that_fits_is_meant() -> None:
    keys = key_set(public("rsa-1", alg="RS256"), public("rsa-pss"), public("ec-1"))
    assert keys.select(None, "ES256").kid == "ec-1"
    assert keys.select(None, "PS256").kid == "rsa-pss"
    assert code_of(keys, None, "RS256") == "token_kid_missing"
    assert code_of(keys, None, "EdDSA") == "token_key_missing"
