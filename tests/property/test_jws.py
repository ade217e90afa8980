"""Whatever comes in: nothing but our own errors comes out, and what is accepted is what was signed."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.vectors import forge
from tests.vectors.accepted import high_s_twin
from tests.vectors.forge import PRIVATE, b64, signed

from hatchpay.errors import InvalidToken, UnusableKey
from hatchpay.tokens import base64url, jwk, jws, jwt, strict_json
from hatchpay.tokens.jwks import KeySet

SECRET = bytes(range(32))
JWKS: dict[str, dict[str, str]] = {
    "HS256": {"kty": "oct", "k": b64(SECRET)},
    "RS256": PRIVATE["rsa-1"],
    "PS256": PRIVATE["rsa-pss"],
    "ES256": PRIVATE["ec-1"],
    "EdDSA": PRIVATE["ed-1"],
}
KEYS = {algorithm: jwk.load(key) for algorithm, key in JWKS.items()}
GOOD = {
    algorithm: forge.keyed(SECRET, {"alg": "HS256"}, forge.claims())
    if algorithm == "HS256"
    else signed(key, algorithm, {"alg": algorithm, "kid": "k"}, forge.claims())
    for algorithm, key in JWKS.items()
}

names = st.sampled_from(
    [
        "alg",
        "kid",
        "typ",
        "crit",
        "b64",
        "jwk",
        "x5c",
        "kty",
        "crv",
        "x",
        "y",
        "n",
        "e",
        "k",
        "use",
        "key_ops",
        "exp",
        "a",
    ]
)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from([*JWKS, "none", "RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "sig", "AQAB", "verify", "A" * 43]),
    st.binary(max_size=40).map(b64),
)
json_values = st.recursive(
    values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=4), inner, max_size=4)
)
json_objects = st.dictionaries(names | st.text(max_size=4), json_values, max_size=8)
algorithms = st.sampled_from(sorted(JWKS))
alphabet = st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\0é")


def examples(number: int) -> settings:
    return settings(max_examples=number, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """A good token with one to three places changed, taken away, doubled or filled."""
    algorithm = draw(algorithms)
    text = GOOD[algorithm]
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 3)))
        text = text[:start] + draw(st.text(alphabet, max_size=3)) + text[end:]
    return algorithm, text


def attempt(compact: Any, key: Any, allowed: Any) -> bytes | None:
    try:
        return jws.verify(compact, key, allowed)
    except (InvalidToken, UnusableKey):
        return None


def assert_round_trip(text: str) -> None:
    for part in text.split("."):
        assert base64url.encode(base64url.decode(part)) == part
        assert base64.urlsafe_b64encode(base64url.decode(part)).decode().rstrip("=") == part


def test_every_token_that_is_mutated_here_is_good() -> None:
    for algorithm, text in GOOD.items():
        assert jws.verify(text, KEYS[algorithm], algorithm)
        assert_round_trip(text)


@examples(300)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200), st.text(alphabet, max_size=200)))
@example("..")
@example(".")
@example("e30..")
@example(b"\xff.\xff.\xff")
def test_any_text_is_read_or_refused(compact: str | bytes) -> None:
    for read in (jws.parse, jwt.parse):
        try:
            read(compact)
        except InvalidToken as error:
            assert error.code.startswith("token_")
    for algorithm, key in KEYS.items():
        assert attempt(compact, key, {algorithm}) is None


@examples(300)
@given(st.one_of(json_objects, st.binary(max_size=60)), st.binary(max_size=60), st.binary(max_size=70))
def test_any_three_parts_are_read_or_refused(header: Any, payload: bytes, signature: bytes) -> None:
    head = header if isinstance(header, bytes) else forge.compact_json(header).encode("utf-8", "surrogatepass")
    text = f"{b64(head)}.{b64(payload)}.{b64(signature)}"
    try:
        compact = jws.parse(text)
    except InvalidToken:
        return
    assert (compact.payload, compact.signature) == (payload, signature)
    assert_round_trip(text)


@examples(600)
@given(mutated())
def test_a_mutated_token_verifies_only_where_it_is_still_the_same(case: tuple[str, str]) -> None:
    algorithm, text = case
    payload = attempt(text, KEYS[algorithm], jws.ALGORITHMS)
    same = {GOOD[algorithm]} | ({high_s_twin(GOOD["ES256"])} if algorithm == "ES256" else set())
    assert (payload is not None) == (text in same)
    if payload is not None:
        assert_round_trip(text)


@examples(300)
@given(algorithms, st.data())
def test_no_other_signature_of_the_right_length_verifies(algorithm: str, data: st.DataObject) -> None:
    good = forge.signature_of(GOOD[algorithm])
    changes = data.draw(st.dictionaries(st.integers(0, len(good) - 1), st.integers(1, 255), min_size=1, max_size=4))
    changed = bytearray(good)
    for place, bits in changes.items():
        changed[place] ^= bits
    assert attempt(forge.with_signature(GOOD[algorithm], bytes(changed)), KEYS[algorithm], algorithm) is None


@examples(300)
@given(
    algorithms, st.one_of(json_values, st.binary(max_size=20)), st.one_of(json_values, algorithms, st.lists(algorithms))
)
def test_any_key_and_any_algorithms_are_taken_or_refused(algorithm: str, key: Any, allowed: Any) -> None:
    assert attempt(GOOD[algorithm], key, allowed) is None
    accepted = attempt(GOOD[algorithm], JWKS[algorithm], allowed) is not None
    assert accepted == (allowed == algorithm if isinstance(allowed, str) else _holds(allowed, algorithm))


def _holds(allowed: Any, algorithm: str) -> bool:
    return isinstance(allowed, list | dict) and algorithm in allowed


@examples(300)
@given(st.one_of(json_objects, json_values), algorithms, st.dictionaries(names, json_values, max_size=2))
def test_any_mapping_is_a_key_or_refused(made_up: Any, algorithm: str, changes: dict[str, Any]) -> None:
    for candidate in (made_up, {**JWKS[algorithm], **changes}):
        try:
            key = jwk.load(candidate)
        except UnusableKey as error:
            assert error.code.startswith("jwk_")
        else:
            assert key == jwk.load(candidate)
            assert key.algorithms <= jws.ALGORITHMS


@examples(300)
@given(
    st.one_of(
        st.binary(max_size=100),
        json_values.map(lambda value: forge.compact_json(value).encode("utf-8", "surrogatepass")),
    )
)
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    try:
        assert isinstance(strict_json.load_object(data), dict)
    except InvalidToken as error:
        assert error.code.startswith("token_")


@examples(100)
@given(st.one_of(json_values, st.lists(json_objects, max_size=4)), st.text(max_size=3) | st.none(), algorithms)
def test_any_key_set_is_read_or_refused(members: Any, kid: str | None, algorithm: str) -> None:
    document = forge.compact_json({"keys": members}).encode("utf-8", "surrogatepass")
    try:
        keys = KeySet.load(document)
    except UnusableKey as error:
        assert error.code == "jwks_invalid"
        return
    with contextlib.suppress(InvalidToken):
        assert keys.select(kid, algorithm) in keys.keys


@examples(150)
@given(json_objects, st.integers(0, 2**62))
def test_any_claims_are_read_or_refused(claims: dict[str, object], now_us: int) -> None:
    for read in (
        lambda: jwt.issuer_of(claims),
        lambda: jwt.audiences_of(claims),
        lambda: jwt.check_times(claims, now_us),
        lambda: jwt.strings_of(claims, "a", split=True),
        lambda: jwt.strings_of(claims, "kid", split=False),
    ):
        try:
            read()
        except InvalidToken as error:
            assert error.code.startswith("token_")


@examples(100)
@given(st.binary(max_size=300))
def test_bytes_survive_the_round_trip(data: bytes) -> None:
    assert base64url.decode(base64url.encode(data)) == data


@examples(500)
@given(st.one_of(st.text(alphabet, max_size=12), st.text(max_size=12)))
def test_exactly_what_is_written_is_read(text: str) -> None:
    try:
        data = base64url.decode(text)
    except InvalidToken:
        return
    assert base64url.encode(data) == text
