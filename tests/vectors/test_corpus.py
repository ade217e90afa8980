"""The corpus of tokens: what is good passes, and what is bad is refused for its own reason and no other."""

from __future__ import annotations

import json
from typing import Any

import jwt as pyjwt
import pytest
from tests.vectors import make_tokens
from tests.vectors.forge import FOLDER, PRIVATE, signature_of

from hatchpay.errors import InvalidToken, UnusableKey
from hatchpay.tokens import jwk, jws, jwt
from hatchpay.tokens.jwks import KeySet

NOW_US = 1_800_000_000_000_000
ALLOWED = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
TYPES = frozenset({"jwt", "at+jwt"})
CORPUS: dict[str, Any] = json.loads((FOLDER / "tokens.json").read_text())
RFC: dict[str, Any] = json.loads((FOLDER / "rfc.json").read_text())
KEYS = KeySet.load((FOLDER / "jwks.json").read_bytes())

ELSEWHERE = {"token_issuer_unknown", "token_audience_wrong", "token_tenant_wrong"}
"""What only a caller that knows its issuers, its audience and its tenant can decide."""


def judge(text: str) -> jwt.Token:
    token = jwt.parse(text)
    jwt.check_type(token, TYPES, required=False)
    key = KEYS.select(token.compact.kid, token.compact.algorithm)
    jws.check(token.compact, key, ALLOWED)
    jwt.check_times(token.claims, NOW_US)
    jwt.issuer_of(token.claims)
    jwt.audiences_of(token.claims)
    return token


def by_name(entries: list[dict[str, str]], name: str = "name") -> Any:
    return pytest.mark.parametrize("case", entries, ids=[entry[name] for entry in entries])


def test_the_files_are_what_the_script_writes() -> None:
    files = make_tokens.files()
    assert set(files) == {"jwks.json", "tokens.json", "rfc.json"}
    for name, text in files.items():
        assert (FOLDER / name).read_text() == text


def test_every_token_has_a_name_of_its_own() -> None:
    names = [case["name"] for case in CORPUS["accepted"] + CORPUS["refused"]]
    assert len(set(names)) == len(names)


def test_no_private_key_is_published() -> None:
    secrets = {key["d"] for key in PRIVATE.values() if len(key.get("d", "")) > 2}
    assert len(secrets) == 9
    assert not any(secret in (FOLDER / "jwks.json").read_text() for secret in secrets)


def test_the_usable_and_the_unusable_keys_of_the_set_are_told_apart() -> None:
    assert [key.kid for key in KEYS.keys] == ["rsa-1", "rsa-pss", "ec-1", "ed-1"]
    assert KEYS.unusable == {
        "rsa-1024": "jwk_rsa_too_small",
        "rsa-e1": "jwk_rsa_exponent",
        "ec-off-curve": "jwk_point_not_on_curve",
        "ed-weak": "jwk_weak_point",
    }


@by_name(CORPUS["accepted"])
def test_a_good_token_passes(case: dict[str, str]) -> None:
    token = judge(case["token"])
    assert jwt.issuer_of(token.claims) == CORPUS["issuer"]
    assert CORPUS["audience"] in jwt.audiences_of(token.claims)
    assert token.claims["sub"] == "alice"


@by_name(CORPUS["accepted"])
def test_an_independent_library_takes_the_good_token_too(case: dict[str, str]) -> None:
    header = pyjwt.get_unverified_header(case["token"])
    kid = header.get("kid", {"ES256": "ec-1", "EdDSA": "ed-1", "PS256": "rsa-pss"}.get(header["alg"]))
    public = next(key for key in json.loads((FOLDER / "jwks.json").read_text())["keys"] if key["kid"] == kid)
    key = pyjwt.PyJWK({name: value for name, value in public.items() if name != "alg"}, header["alg"])
    claims = pyjwt.decode(
        case["token"],
        key,
        [header["alg"]],
        audience=CORPUS["audience"],
        issuer=CORPUS["issuer"],
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["sub"] == "alice"


@by_name([case for case in CORPUS["refused"] if case["reason"] not in ELSEWHERE])
def test_a_bad_token_is_refused_for_its_reason(case: dict[str, str]) -> None:
    with pytest.raises(InvalidToken) as caught:
        judge(case["token"])
    assert caught.value.code == case["reason"]
    assert not case["token"] or case["token"] not in f"{caught.value!r}{caught.value.detail}"


@by_name([case for case in CORPUS["refused"] if case["reason"] in ELSEWHERE])
def test_what_the_pure_layer_cannot_decide_passes_it(case: dict[str, str]) -> None:
    token = judge(case["token"])
    wrong = {
        "token_issuer_unknown": token.claims["iss"] != CORPUS["issuer"],
        "token_audience_wrong": CORPUS["audience"] not in jwt.audiences_of(token.claims),
        "token_tenant_wrong": "tenant" in token.claims,
    }
    assert [reason for reason, holds in wrong.items() if holds] == [case["reason"]]


def test_the_forgery_under_the_weak_key_satisfies_the_bare_primitive() -> None:
    token = next(case["token"] for case in CORPUS["refused"] if case["name"] == "forged-under-ed-weak")
    published = next(key for key in json.loads((FOLDER / "jwks.json").read_text())["keys"] if key["kid"] == "ed-weak")
    primitive = pyjwt.PyJWK({"kty": "OKP", "crv": "Ed25519", "x": published["x"]}, "EdDSA").key
    primitive.verify(signature_of(token), token.rpartition(".")[0].encode())


def test_every_reason_of_the_layer_is_in_the_corpus() -> None:
    reasons = {case["reason"] for case in CORPUS["refused"]}
    assert reasons >= {
        "token_algorithm_hmac",
        "token_algorithm_missing",
        "token_algorithm_none",
        "token_algorithm_unfit",
        "token_algorithm_unknown",
        "token_audience_invalid",
        "token_audience_missing",
        "token_audience_wrong",
        "token_b64_unsupported",
        "token_base64_not_canonical",
        "token_characters_invalid",
        "token_crit_unknown",
        "token_duplicate_member",
        "token_expired",
        "token_expiry_invalid",
        "token_expiry_missing",
        "token_issued_at_invalid",
        "token_issued_in_future",
        "token_issuer_invalid",
        "token_issuer_missing",
        "token_issuer_unknown",
        "token_json_invalid",
        "token_json_not_object",
        "token_json_too_deep",
        "token_key_in_header",
        "token_kid_invalid",
        "token_kid_missing",
        "token_kid_unknown",
        "token_not_before_invalid",
        "token_not_yet_valid",
        "token_number_not_finite",
        "token_parts_wrong",
        "token_signature_der",
        "token_signature_invalid",
        "token_signature_length",
        "token_tenant_wrong",
        "token_too_long",
        "token_type_wrong",
        *KEYS.unusable.values(),
    }


@by_name(RFC["accepted"], "source")
def test_an_example_of_an_rfc_verifies(case: dict[str, Any]) -> None:
    assert jws.verify(case["token"], case["jwk"], {case["algorithm"]}) == case["payload"].encode()
    assert jws.verify(case["token"].encode(), jwk.load(case["jwk"]), [case["algorithm"]]) == case["payload"].encode()


@by_name(RFC["refused"], "source")
def test_an_unsecured_example_of_an_rfc_is_refused(case: dict[str, Any]) -> None:
    for example in RFC["accepted"]:
        with pytest.raises(InvalidToken) as caught:
            jws.verify(case["token"], example["jwk"], jws.ALGORITHMS | {"none"})
        assert caught.value.code == case["reason"]


@by_name(RFC["thumbprints"], "source")
def test_an_example_of_an_rfc_has_its_thumbprint(case: dict[str, Any]) -> None:
    assert jwk.load(case["jwk"]).thumbprint == case["thumbprint"]


@by_name(RFC["accepted"], "source")
def test_an_example_of_an_rfc_does_not_verify_under_another_key(case: dict[str, Any]) -> None:
    for other in RFC["accepted"]:
        if other["jwk"] != case["jwk"]:
            with pytest.raises((InvalidToken, UnusableKey)):
                jws.verify(case["token"], other["jwk"], jws.ALGORITHMS)
