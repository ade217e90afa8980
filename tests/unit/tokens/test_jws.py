"""The compact form is read strictly, and a signature counts only under a key and an algorithm that the caller chose."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import joserfc.jwk
import joserfc.jws
import jwt as pyjwt
import pytest
from rich.pretty import pretty_repr
from tests.vectors import forge
from tests.vectors.accepted import high_s_twin
from tests.vectors.forge import PRIVATE, b64, flipped, sealed, signature_of, signed, with_signature

from hatchpay.errors import InvalidToken, UnusableKey
from hatchpay.tokens import jwk
from hatchpay.tokens.jws import ALGORITHMS, MAX_LENGTH, check, parse, verify

SECRET = bytes(range(32))
OCT = {"kty": "oct", "k": b64(SECRET)}
KEYS: dict[str, dict[str, str]] = {
    "HS256": OCT,
    "RS256": PRIVATE["rsa-1"],
    "PS256": PRIVATE["rsa-1"],
    "ES256": PRIVATE["ec-1"],
    "EdDSA": PRIVATE["ed-1"],
}
each_algorithm = pytest.mark.parametrize("algorithm", sorted(KEYS))


def token_of(algorithm: str, payload: object = "payload", **header: object) -> str:
    head = {"alg": algorithm, **header}
    if algorithm == "HS256":
        return forge.keyed(SECRET, head, payload)
    return signed(KEYS[algorithm], algorithm, head, payload)


def public(jwk: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in jwk.items() if name != "d"}


def parse_code(compact: Any) -> str:
    with pytest.raises(InvalidToken) as caught:
        parse(compact)
    return caught.value.code


def verify_code(compact: Any, jwk: Any, algorithms: Any) -> str:
    with pytest.raises(InvalidToken) as caught:
        verify(compact, jwk, algorithms)
    return caught.value.code


def test_the_algorithms_are_these_five() -> None:
    assert {"HS256", "RS256", "PS256", "ES256", "EdDSA"} == ALGORITHMS == set(KEYS)


@each_algorithm
def test_a_signed_token_gives_its_payload(algorithm: str) -> None:
    token = token_of(algorithm, b"\0any\xff bytes")
    for compact in (token, token.encode()):
        for key in (KEYS[algorithm], public(KEYS[algorithm]), jwk.load(KEYS[algorithm])):
            for algorithms in ({algorithm}, [algorithm], (algorithm,), algorithm, ALGORITHMS, {algorithm: 1}):
                assert verify(compact, key, algorithms) == b"\0any\xff bytes"


def test_the_parts_of_a_token_are_what_they_were_made_of() -> None:
    token = token_of("ES256", '{"sub":"alice"}', kid="k", x=[1])
    compact = parse(token)
    assert compact.header == {"alg": "ES256", "kid": "k", "x": [1]}
    assert (compact.algorithm, compact.kid, compact.payload) == ("ES256", "k", b'{"sub":"alice"}')
    assert compact.signature == signature_of(token)
    assert compact.signing_input == token.rpartition(".")[0].encode()
    assert parse(token.encode()) == compact


def test_a_token_may_have_no_kid_and_no_payload() -> None:
    token = token_of("EdDSA", "")
    assert parse(token).kid is None
    assert verify(token, KEYS["EdDSA"], "EdDSA") == b""


@each_algorithm
def test_tokens_of_pyjwt_are_verified(algorithm: str) -> None:
    key: Any = SECRET if algorithm == "HS256" else pyjwt.PyJWK(KEYS[algorithm], algorithm).key
    token = pyjwt.api_jws.encode(b"from PyJWT", key, algorithm)
    assert verify(token, public(KEYS[algorithm]), {algorithm}) == b"from PyJWT"


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@each_algorithm
def test_tokens_of_joserfc_are_verified(algorithm: str) -> None:
    key = joserfc.jwk.import_key(KEYS[algorithm])
    token = joserfc.jws.serialize_compact({"alg": algorithm}, b"from joserfc", key, [algorithm])
    assert verify(token, public(KEYS[algorithm]), {algorithm}) == b"from joserfc"


def test_a_token_may_have_16384_characters_and_no_more() -> None:
    assert MAX_LENGTH == 16_384
    head, _, signature = token_of("EdDSA").split(".")
    longest = "A" * (MAX_LENGTH - len(head) - len(signature) - 2)
    assert len(parse(f"{head}.{longest}.{signature}").signing_input) == MAX_LENGTH - len(signature) - 1
    assert parse_code(f"{head}.{longest}A.{signature}") == "token_too_long"
    assert parse_code("." * 10_000_000) == "token_too_long"
    assert parse_code(b"\xff" * (MAX_LENGTH + 1)) == "token_too_long"


@pytest.mark.parametrize("compact", ["", "a", "a.b", "a.b.c.d", "....", ".", b"", b"a.b", "." * MAX_LENGTH])
def test_a_token_has_three_parts(compact: str | bytes) -> None:
    assert parse_code(compact) == "token_parts_wrong"


@pytest.mark.parametrize(
    "compact", [None, 1, [], ["a", "b", "c"], {}, object(), bytearray(b"a.b.c"), memoryview(b"a.b.c")]
)
def test_what_is_no_text_is_no_token(compact: object) -> None:
    assert parse_code(compact) == "token_parts_wrong"


@pytest.mark.parametrize("mark", [" ", "\n", "\t", "=", "+", "/", "\0", "é", "\ud800", "😀", "Ａ"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_character_outside_base64url_is_refused_in_every_part(mark: str, place: int) -> None:
    for split in (0, 8, None):
        parts = token_of("EdDSA").split(".")
        part = parts[place]
        parts[place] = part + mark if split is None else part[:split] + mark + part[split:]
        assert parse_code(".".join(parts)) == "token_characters_invalid"


def test_bytes_outside_ascii_are_refused() -> None:
    head, payload, signature = token_of("EdDSA").encode().split(b".")
    for bad in (b"\xff", b"\xc3\xa9", "é".encode("latin-1")):
        assert parse_code(head + b"." + payload + bad + b"." + signature) == "token_characters_invalid"


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE", " none", "none ", "\t\nnone\r", "\u2003none"])
def test_none_is_refused_in_any_spelling(spelling: str) -> None:
    head = b64(json.dumps({"alg": spelling}).encode())
    for signature in ("", "AA", signature_of(token_of("EdDSA")).hex()):
        assert parse_code(f"{head}.e30.{signature}") == "token_algorithm_none"
        assert verify_code(f"{head}.e30.{signature}", OCT, {spelling, "none", *ALGORITHMS}) == "token_algorithm_none"


@pytest.mark.parametrize("value", [None, 1, True, [], ["HS256"], {}, {"HS256": 1}])
def test_an_algorithm_that_is_no_text_is_missing(value: object) -> None:
    assert parse_code(forge.keyed(SECRET, {"alg": value}, "")) == "token_algorithm_missing"
    assert parse_code(forge.keyed(SECRET, {"Alg": "HS256"}, "")) == "token_algorithm_missing"


@pytest.mark.parametrize(
    "name", ["", "HS512", "RS512", "ES384", "hs256", "HS256 ", "Ed25519", "dir", "nonee", "not-none"]
)
def test_an_unknown_algorithm_is_refused_even_where_it_is_allowed(name: str) -> None:
    assert verify_code(forge.keyed(SECRET, {"alg": name}, ""), OCT, {name}) == "token_algorithm_unknown"


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
@pytest.mark.parametrize("value", [None, "", [], public(PRIVATE["ed-1"]), "https://attacker.test/jwks.json"])
def test_a_token_that_brings_its_key_is_refused_though_it_is_well_signed(name: str, value: object) -> None:
    assert verify_code(token_of("EdDSA", **{name: value}), KEYS["EdDSA"], "EdDSA") == "token_key_in_header"


@pytest.mark.parametrize("value", [[], ["exp"], ["x"], None, "x", 1, {"x": 1}])
def test_every_critical_extension_is_refused(value: object) -> None:
    assert parse_code(token_of("EdDSA", crit=value, x=1)) == "token_crit_unknown"


@pytest.mark.parametrize("value", [False, None, 0, 1, "true", []])
def test_an_unencoded_payload_is_refused_as_such_before_its_crit(value: object) -> None:
    assert parse_code(token_of("EdDSA", b64=value)) == "token_b64_unsupported"
    assert parse_code(token_of("EdDSA", b64=value, crit=["b64"])) == "token_b64_unsupported"
    head = b64(json.dumps({"alg": "EdDSA", "b64": value, "crit": ["b64"]}).encode())
    assert parse_code(sealed(KEYS["EdDSA"], "EdDSA", f"{head}.$02")) == "token_b64_unsupported"


def test_an_encoded_payload_may_say_so() -> None:
    assert parse(token_of("EdDSA", b64=True)).header["b64"] is True
    assert parse_code(token_of("EdDSA", b64=True, crit=["b64"])) == "token_crit_unknown"


@pytest.mark.parametrize("kid", [None, 1, True, [], ["a"], {}, "", "k" * 257])
def test_a_kid_is_a_text_of_1_to_256_characters(kid: object) -> None:
    assert parse_code(token_of("EdDSA", kid=kid)) == "token_kid_invalid"
    assert parse(token_of("EdDSA", kid="k" * 256)).kid == "k" * 256


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"", "token_json_invalid"),
        (b'{"alg":"EdDSA"', "token_json_invalid"),
        (b'\xef\xbb\xbf{"alg":"EdDSA"}', "token_json_invalid"),
        (b'["EdDSA"]', "token_json_not_object"),
        (b'{"alg":"none","alg":"EdDSA"}', "token_duplicate_member"),
        (b'{"alg":"EdDSA","x":NaN}', "token_number_not_finite"),
        (b'{"alg":"EdDSA","x":' + b"[" * 4_000 + b"]" * 4_000 + b"}", "token_json_too_deep"),
    ],
)
def test_a_header_is_strict_json(header: bytes, code: str) -> None:
    assert parse_code(f"{b64(header)}.e30.AA") == code


def test_a_payload_need_not_be_json() -> None:
    assert parse(token_of("EdDSA", b"\xff[[")).payload == b"\xff[["


@each_algorithm
def test_an_algorithm_that_is_not_allowed_is_refused_though_the_signature_is_good(algorithm: str) -> None:
    token, key = token_of(algorithm), KEYS[algorithm]
    not_allowed: list[Any] = [
        (),
        [],
        set(),
        "",
        ALGORITHMS - {algorithm},
        algorithm[:-1],
        algorithm.lower(),
        f"{algorithm} ",
        f"x{algorithm}",
        " ".join(sorted(ALGORITHMS)),
        list(algorithm),
        [algorithm.encode()],
        [[algorithm]],
        algorithm.encode(),
        bytearray(algorithm.encode()),
        memoryview(algorithm.encode()),
        None,
        True,
        1,
        {0: algorithm},
        object(),
    ]
    for algorithms in not_allowed:
        assert verify_code(token, key, algorithms) == "token_algorithm_not_allowed"


def test_a_public_key_is_never_a_secret_of_hmac() -> None:
    for algorithm in ("RS256", "ES256", "EdDSA"):
        key = public(KEYS[algorithm])
        for secret in (json.dumps(key).encode(), forge.unb64(key.get("n", key.get("x", ""))), b""):
            token = forge.keyed(secret, {"alg": "HS256"}, "payload")
            assert verify_code(token, key, ALGORITHMS) == "token_algorithm_hmac"
            assert verify_code(token, key, ALGORITHMS - {"HS256"}) == "token_algorithm_not_allowed"


def test_an_algorithm_that_does_not_fit_the_key_is_refused() -> None:
    for algorithm in KEYS:
        for other, key in KEYS.items():
            fits = {"RS256", "PS256"} >= {algorithm, other} or algorithm == other
            if not fits and algorithm != "HS256":
                assert verify_code(token_of(algorithm), key, ALGORITHMS) == "token_algorithm_unfit"


def test_the_algorithm_that_a_key_names_binds() -> None:
    assert verify_code(token_of("PS256"), {**KEYS["RS256"], "alg": "RS256"}, ALGORITHMS) == "token_algorithm_unfit"
    assert verify_code(token_of("RS256"), {**KEYS["RS256"], "alg": "PS256"}, ALGORITHMS) == "token_algorithm_unfit"
    assert verify(token_of("PS256"), {**KEYS["RS256"], "alg": "PS256"}, ALGORITHMS) == b"payload"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"use": "enc"}, "jwk_use_not_signature"),
        ({"key_ops": ["sign"]}, "jwk_operations_lack_verify"),
        ({"alg": "x"}, "jwk_algorithm_unfit"),
    ],
)
@each_algorithm
def test_a_key_that_must_not_verify_does_not(algorithm: str, change: dict[str, object], code: str) -> None:
    with pytest.raises(UnusableKey) as caught:
        verify(token_of(algorithm), {**KEYS[algorithm], **change}, ALGORITHMS)
    assert caught.value.code == code


@pytest.mark.parametrize("key", [None, "", "secret", b"secret", 1, [], KEYS["RS256"].items()])
def test_what_is_no_key_verifies_nothing(key: object) -> None:
    with pytest.raises(UnusableKey) as caught:
        verify(token_of("HS256"), key, ALGORITHMS)  # type: ignore[arg-type]
    assert caught.value.code == "jwk_not_an_object"


@each_algorithm
def test_no_bit_of_a_signature_may_change(algorithm: str) -> None:
    token = token_of(algorithm)
    bits = len(signature_of(token)) * 8
    for bit in range(0, bits, 7 if bits <= 512 else 37):
        assert verify_code(flipped(token, bit), KEYS[algorithm], algorithm) == "token_signature_invalid"


@each_algorithm
def test_nothing_that_was_signed_may_change(algorithm: str) -> None:
    head, payload, signature = token_of(algorithm).split(".")
    respelt = b64(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    for changed in (f"{head}.{payload}AAAA.{signature}", f"{head}..{signature}", f"{respelt}.{payload}.{signature}"):
        assert verify_code(changed, KEYS[algorithm], algorithm) == "token_signature_invalid"


@each_algorithm
def test_a_signature_has_the_length_of_its_algorithm(algorithm: str) -> None:
    token = token_of(algorithm)
    good = signature_of(token)
    for bad in (good[:-1], good + b"\0", b"\0" + good, good * 2, b"\0", good[: len(good) // 2]):
        assert verify_code(with_signature(token, bad), KEYS[algorithm], algorithm) == "token_signature_length"


@each_algorithm
def test_no_signature_is_an_invalid_one(algorithm: str) -> None:
    token = with_signature(token_of(algorithm), b"")
    assert parse(token).signature == b""
    assert verify_code(token, KEYS[algorithm], algorithm) == "token_signature_invalid"


def test_a_longer_modulus_makes_a_longer_signature() -> None:
    key = jwk.load({"kty": "RSA", "n": b64(b"\1" + bytes(256) + b"\1"), "e": "AQAB"})
    token = token_of("RS256")
    assert verify_code(token, key, "RS256") == "token_signature_length"
    assert verify_code(with_signature(token, bytes(258)), key, "RS256") == "token_signature_invalid"


def test_an_es256_signature_in_der_is_refused_as_such() -> None:
    token = token_of("ES256")
    data = token.rpartition(".")[0].encode()
    der = with_signature(token, forge.der_signature(KEYS["ES256"], data))
    assert verify_code(der, KEYS["ES256"], "ES256") == "token_signature_der"
    assert verify_code(with_signature(token, b"\x30" * 63), KEYS["ES256"], "ES256") == "token_signature_length"


def test_der_is_a_matter_of_es256_alone() -> None:
    der = forge.der_signature(KEYS["ES256"], b"")
    for algorithm in ("HS256", "RS256", "PS256", "EdDSA"):
        token = with_signature(token_of(algorithm), der)
        assert verify_code(token, KEYS[algorithm], algorithm) == "token_signature_length"


def test_a_signature_that_begins_like_der_is_a_signature() -> None:
    tokens = (token_of("ES256", str(number)) for number in range(2_000))
    token = next(token for token in tokens if signature_of(token)[0] == 0x30)
    assert verify(token, KEYS["ES256"], "ES256").isdigit()


def test_the_high_s_twin_of_an_es256_signature_verifies() -> None:
    token = token_of("ES256")
    twin = high_s_twin(token)
    assert twin != token
    assert verify(twin, KEYS["ES256"], "ES256") == verify(token, KEYS["ES256"], "ES256")


@pytest.mark.parametrize(
    ("r", "s"), [(0, 0), (0, 1), (1, 0), (1, 1), (forge.P256_ORDER, forge.P256_ORDER), (2**256 - 1, 1)]
)
def test_numbers_out_of_range_are_no_es256_signature(r: int, s: int) -> None:
    token = with_signature(token_of("ES256"), r.to_bytes(32) + s.to_bytes(32))
    assert verify_code(token, KEYS["ES256"], "ES256") == "token_signature_invalid"


@pytest.mark.parametrize("length", [0, 20, 31, 33, 222])
def test_a_ps256_salt_has_32_bytes(length: int) -> None:
    token = token_of("PS256")
    data = token.rpartition(".")[0].encode()
    right = forge.pss_signature(KEYS["PS256"], data, bytes(32))
    assert verify(with_signature(token, right), KEYS["PS256"], "PS256") == b"payload"
    wrong = forge.pss_signature(KEYS["PS256"], data, bytes(length))
    assert verify_code(with_signature(token, wrong), KEYS["PS256"], "PS256") == "token_signature_invalid"


def test_an_hmac_over_another_hash_is_refused() -> None:
    token = token_of("HS256")
    data = token.rpartition(".")[0].encode()
    truncated = hmac.digest(SECRET, data, "sha512")[:32]
    assert verify_code(with_signature(token, truncated), OCT, "HS256") == "token_signature_invalid"


def test_check_returns_nothing() -> None:
    assert check(parse(token_of("EdDSA")), jwk.load(KEYS["EdDSA"]), {"EdDSA"}) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("show", [repr, str, format, pretty_repr])
def test_no_text_of_a_token_shows_its_content(show: Callable[[object], str]) -> None:
    compact = parse(token_of("HS256", "secret-payload", kid="secret-kid"))
    for shown in (show(compact), show([compact])):
        assert "secret" not in shown
        assert b64(compact.signature) not in shown
        assert base64.b64encode(compact.signature).decode() not in shown


def test_a_refusal_holds_nothing_of_the_token() -> None:
    token = token_of("HS256", "secret-payload", kid="secret-kid")
    other = {"kty": "oct", "k": b64(bytes(32))}
    for bad, key in ((token, other), (token + "é", OCT), (token + ".", OCT), (token[:-1], OCT)):
        with pytest.raises(InvalidToken) as caught:
            verify(bad, key, "HS256")
        assert "secret" not in repr(caught.value)
        assert not any(part in repr(caught.value) for part in token.split("."))
        assert caught.value.__cause__ is None
