"""A JSON Web Key is usable, or the code says why not."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joserfc.jwk
import msgspec
import pytest
from rich.pretty import pretty_repr
from tests.vectors.forge import P256_ORDER, PRIVATE

from hatchpay.errors import UnusableKey
from hatchpay.tokens.jwk import Key, load

RFC = json.loads((Path(__file__).parents[2] / "vectors" / "rfc.json").read_text())
OCT, RSA, EC, _, ED = (example["jwk"] for example in RFC["accepted"])
KINDS = {"RSA": RSA, "EC": EC, "OKP": ED, "oct": OCT}

P25519 = 2**255 - 19
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")


def uint(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8 or 1))


def rsa(bits: int, exponent: int = 65_537) -> dict[str, object]:
    """An odd modulus of that length; nobody knows its factors, and loading does not ask."""
    return {"kty": "RSA", "n": uint((1 << bits - 1) + 1), "e": uint(exponent)}


def code_of(jwk: Any) -> str:
    with pytest.raises(UnusableKey) as caught:
        load(jwk)
    assert caught.value.status == 422
    return caught.value.code


@pytest.mark.parametrize(
    ("kty", "algorithms", "signature_bytes"),
    [("RSA", {"RS256", "PS256"}, 256), ("EC", {"ES256"}, 64), ("OKP", {"EdDSA"}, 64), ("oct", {"HS256"}, 32)],
)
def test_a_key_fits_the_algorithms_of_its_type(kty: str, algorithms: set[str], signature_bytes: int) -> None:
    key = load(KINDS[kty])
    assert (key.kty, key.kid, key.algorithms, key.signature_bytes) == (kty, None, algorithms, signature_bytes)


@pytest.mark.parametrize(
    ("kty", "alg"), [("RSA", "RS256"), ("RSA", "PS256"), ("EC", "ES256"), ("OKP", "EdDSA"), ("oct", "HS256")]
)
def test_a_key_that_names_its_algorithm_fits_no_other(kty: str, alg: str) -> None:
    assert load({**KINDS[kty], "alg": alg}).algorithms == {alg}


@pytest.mark.parametrize("kty", KINDS)
@pytest.mark.parametrize("alg", ["", "none", "RS512", "ES384", "Ed25519", "RSA-OAEP", "rs256", "A256GCM"])
def test_an_algorithm_that_is_unknown_makes_the_key_unusable(kty: str, alg: str) -> None:
    assert code_of({**KINDS[kty], "alg": alg}) == "jwk_algorithm_unfit"


@pytest.mark.parametrize(
    ("kty", "alg"),
    [("RSA", "HS256"), ("RSA", "ES256"), ("EC", "EdDSA"), ("EC", "RS256"), ("OKP", "ES256"), ("oct", "RS256")],
)
def test_an_algorithm_of_another_type_makes_the_key_unusable(kty: str, alg: str) -> None:
    assert code_of({**KINDS[kty], "alg": alg}) == "jwk_algorithm_unfit"


@pytest.mark.parametrize("jwk", [None, [], [("kty", "RSA")], "RSA", b"RSA", 1, {"RSA"}, Key])
def test_what_is_no_object_is_no_key(jwk: object) -> None:
    assert code_of(jwk) == "jwk_not_an_object"


@pytest.mark.parametrize("kty", ["", "rsa", "Oct", "AKP", "ec", "RSA "])
def test_an_unknown_type_is_refused(kty: str) -> None:
    assert code_of({**RSA, "kty": kty}) == "jwk_type_unknown"


@pytest.mark.parametrize("kty", KINDS)
def test_every_member_that_the_type_needs_must_be_there(kty: str) -> None:
    for name in KINDS[kty]:
        assert code_of({key: value for key, value in KINDS[kty].items() if key != name}) == "jwk_member_missing"


@pytest.mark.parametrize("kty", KINDS)
@pytest.mark.parametrize("value", [None, 1, True, 1.5, [], {}, b"AQAB"])
def test_every_member_that_the_type_needs_must_be_text(kty: str, value: object) -> None:
    for name in KINDS[kty]:
        assert code_of({**KINDS[kty], name: value}) == "jwk_member_invalid"


@pytest.mark.parametrize("kty", KINDS)
@pytest.mark.parametrize(
    "change", [lambda t: "", lambda t: t + "=", lambda t: t[:-2] + " A", lambda t: t[:-1] + "+", lambda t: t + "é"]
)
def test_every_number_must_be_base64url(kty: str, change: Callable[[str], str]) -> None:
    for name in set(KINDS[kty]) - {"kty", "crv"}:
        assert code_of({**KINDS[kty], name: change(KINDS[kty][name])}) == "jwk_member_invalid"


def test_a_number_must_be_canonical() -> None:
    assert load({**EC, "x": EC["x"][:-1] + "U"})
    assert code_of({**EC, "x": EC["x"][:-1] + "V"}) == "jwk_member_invalid"


@pytest.mark.parametrize("name", ["kid", "alg", "use"])
@pytest.mark.parametrize("value", [None, 1, True, ["sig"], {}, "\ud800"])
def test_an_optional_member_must_be_text_where_it_is_there(name: str, value: object) -> None:
    assert code_of({**ED, name: value}) == "jwk_member_invalid"


@pytest.mark.parametrize("use", ["enc", "", "SIG", "verify", "sig "])
def test_a_key_for_another_use_is_refused(use: str) -> None:
    assert code_of({**RSA, "use": use}) == "jwk_use_not_signature"


def test_a_key_to_encrypt_is_refused_for_its_use_and_not_for_its_algorithm() -> None:
    assert code_of({**RSA, "use": "enc", "alg": "RSA-OAEP"}) == "jwk_use_not_signature"


def test_a_key_to_sign_is_used() -> None:
    assert load({**RSA, "use": "sig", "key_ops": ["verify"]}) == load({**RSA, "key_ops": ["sign", "verify"]})


@pytest.mark.parametrize("operations", [[], ["sign"], ["encrypt", "wrapKey"], ["VERIFY"]])
def test_a_key_whose_operations_lack_verify_is_refused(operations: list[str]) -> None:
    assert code_of({**RSA, "key_ops": operations}) == "jwk_operations_lack_verify"


@pytest.mark.parametrize(
    "operations", [None, "verify", {"verify": 1}, ["verify", 1], ["verify", "verify"], [["verify"]], ("verify",)]
)
def test_operations_must_be_a_list_of_distinct_texts(operations: object) -> None:
    assert code_of({**RSA, "key_ops": operations}) == "jwk_member_invalid"


@pytest.mark.parametrize("bits", [2_048, 2_049, 3_072, 8_192])
def test_an_rsa_key_from_2048_to_8192_bits_is_used(bits: int) -> None:
    assert load(rsa(bits)).signature_bytes == -(-bits // 8)


@pytest.mark.parametrize("bits", [2, 512, 1_024, 2_047])
def test_a_shorter_rsa_key_is_refused(bits: int) -> None:
    assert code_of(rsa(bits)) == "jwk_rsa_too_small"


def test_zero_is_no_modulus() -> None:
    assert code_of({**RSA, "n": "AA"}) == "jwk_rsa_too_small"


@pytest.mark.parametrize("bits", [8_193, 16_384, 1_000_000])
def test_a_longer_rsa_key_is_refused(bits: int) -> None:
    assert code_of(rsa(bits)) == "jwk_rsa_too_large"


def test_an_even_modulus_is_refused() -> None:
    assert code_of({**RSA, "n": uint((1 << 2_047) + 2)}) == "jwk_member_invalid"


@pytest.mark.parametrize("exponent", [3, 17, 65_537, 2**33 - 1])
def test_an_odd_exponent_from_3_to_33_bits_is_used(exponent: int) -> None:
    assert load(rsa(2_048, exponent))


@pytest.mark.parametrize("exponent", [0, 1, 2, 65_536, 2**33, 2**33 + 1, 2**2_047 + 1])
def test_another_exponent_is_refused(exponent: int) -> None:
    assert code_of(rsa(2_048, exponent)) == "jwk_rsa_exponent"


def test_zero_bytes_before_the_numbers_of_rsa_change_nothing() -> None:
    padded = {**RSA, "n": b64(bytes(3) + unb64(RSA["n"])), "e": b64(b"\0\1\0\1")}
    assert load(padded) == load(RSA)


@pytest.mark.parametrize("curve", ["", "P-384", "P-521", "secp256k1", "p-256", "Ed25519"])
def test_another_curve_of_ec_is_refused(curve: str) -> None:
    assert code_of({**EC, "crv": curve}) == "jwk_curve_unknown"


@pytest.mark.parametrize("curve", ["", "Ed448", "X25519", "ed25519", "P-256"])
def test_another_curve_of_okp_is_refused(curve: str) -> None:
    assert code_of({**ED, "crv": curve}) == "jwk_curve_unknown"


@pytest.mark.parametrize("change", [lambda b: b[1:], lambda b: b"\0" + b, lambda b: b + b"\0", lambda b: b""])
def test_a_coordinate_has_32_bytes(change: Callable[[bytes], bytes]) -> None:
    for jwk, name in ((EC, "x"), (EC, "y"), (ED, "x")):
        assert code_of({**jwk, name: b64(change(unb64(jwk[name])))}) == "jwk_member_invalid"


def test_a_point_that_is_not_on_p256_is_refused() -> None:
    x, y = (int.from_bytes(unb64(EC[name])) for name in ("x", "y"))
    assert load({**EC, "y": b64((P256 - y).to_bytes(32))})
    for point in ((x, y + 1), (x + 1, y), (y, x), (0, 0), (P256, P256), (2**256 - 1, 2**256 - 1), (P256_ORDER, 1)):
        changed = {**EC, "x": b64(point[0].to_bytes(32)), "y": b64(point[1].to_bytes(32))}
        assert code_of(changed) == "jwk_point_not_on_curve"


def test_a_coordinate_of_p256_beyond_the_prime_is_refused_though_it_names_a_point() -> None:
    # 5 is the smallest x of the curve for which x + p still has 32 bytes.
    x = 5
    square = (pow(x, 3, P256) - 3 * x + 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B) % P256
    y = pow(square, (P256 + 1) // 4, P256)
    assert y * y % P256 == square
    assert load({**EC, "x": b64(x.to_bytes(32)), "y": b64(y.to_bytes(32))})
    assert code_of({**EC, "x": b64((x + P256).to_bytes(32)), "y": b64(y.to_bytes(32))}) == "jwk_point_not_on_curve"


def edwards_add(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """RFC 8032 section 5.1.4, in affine coordinates."""
    d = -121665 * pow(121666, -1, P25519)
    (x1, y1), (x2, y2) = one, other
    product = d * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P25519)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P25519)
    return x % P25519, y % P25519


def small_order_points() -> set[tuple[int, int]]:
    """The multiples of a point of order 8; its y satisfies y^4 d + 2 y^2 - 1 = 0, because doubling it gives y = 0."""
    d = -121665 * pow(121666, -1, P25519) % P25519
    for y_text in itertools.count(2):
        # Any point times the prime order lies among the eight; a full-order one gives all of them.
        x = square_root((y_text * y_text - 1) * pow(d * y_text * y_text + 1, -1, P25519))
        if x is None:
            continue
        point = times((x, y_text), 2**252 + 27742317777372353535851937790883648493)
        points = {times(point, factor) for factor in range(8)}
        if len(points) == 8:
            return points
    raise AssertionError


def times(point: tuple[int, int], factor: int) -> tuple[int, int]:
    total = (0, 1)
    while factor:
        if factor & 1:
            total = edwards_add(total, point)
        point, factor = edwards_add(point, point), factor >> 1
    return total


def square_root(value: int) -> int | None:
    value %= P25519
    root = pow(value, (P25519 + 3) // 8, P25519)
    for candidate in (root, root * pow(2, (P25519 - 1) // 4, P25519) % P25519):
        if candidate * candidate % P25519 == value:
            return candidate
    return None


def test_every_ed25519_key_of_small_order_is_refused() -> None:
    points = small_order_points()
    assert len(points) == 8
    for x, y in points:
        encoded = (y | (x & 1) << 255).to_bytes(32, "little")
        assert code_of({**ED, "x": b64(encoded)}) == "jwk_weak_point"


def test_every_ed25519_key_that_is_not_canonical_is_refused() -> None:
    for y in range(P25519, 2**255):
        for sign in (0, 1):
            assert code_of({**ED, "x": b64((y | sign << 255).to_bytes(32, "little"))}) == "jwk_weak_point"
    # x = 0 has no negative twin.
    for y in (1, P25519 - 1):
        assert code_of({**ED, "x": b64((y | 1 << 255).to_bytes(32, "little"))}) == "jwk_weak_point"


def test_an_ed25519_key_that_names_no_point_is_refused() -> None:
    d = -121665 * pow(121666, -1, P25519)
    for y in range(2, 60):
        on_curve = square_root((y * y - 1) * pow(d * y * y + 1, -1, P25519)) is not None
        jwk = {**ED, "x": b64(y.to_bytes(32, "little"))}
        if on_curve:
            assert load(jwk)
        else:
            assert code_of(jwk) == "jwk_point_not_on_curve"


def test_a_secret_has_at_least_32_bytes() -> None:
    assert load({"kty": "oct", "k": b64(bytes(32))})
    assert code_of({"kty": "oct", "k": b64(bytes(31))}) == "jwk_secret_too_short"


@pytest.mark.parametrize("kid", ["rsa-1", "ec-1", "ed-1"])
def test_private_members_change_nothing(kid: str) -> None:
    public = {name: value for name, value in PRIVATE[kid].items() if name != "d"}
    assert load(PRIVATE[kid]) == load({**public, "d": 1, "p": None, "x5c": []}) == load(public)


@pytest.mark.parametrize("kty", KINDS)
def test_the_thumbprint_is_the_one_of_an_independent_library(kty: str) -> None:
    assert load({**KINDS[kty], "kid": "a", "use": "sig"}).thumbprint == joserfc.jwk.import_key(KINDS[kty]).thumbprint()


@pytest.mark.parametrize("kty", KINDS)
def test_two_loads_of_one_key_are_equal_and_other_keys_are_not(kty: str) -> None:
    jwk = KINDS[kty]
    assert load(jwk) == load(dict(jwk))
    assert len({load(jwk), load(dict(jwk))}) == 1
    assert load(jwk) != load({**jwk, "kid": "a"})
    assert all(load(jwk) != load(other) for other in KINDS.values() if other != jwk)
    assert load(jwk) != jwk
    assert load({**RSA, "alg": "RS256"}) != load(RSA)


@pytest.mark.parametrize("show", [repr, str, format, pretty_repr])
def test_a_text_of_a_key_shows_what_names_it(show: Callable[[object], str]) -> None:
    key = load({**EC, "kid": "ec-1"})
    shown = show(key)
    assert all(part in shown for part in ("EC", "ec-1", key.thumbprint))


@pytest.mark.parametrize("show", [repr, str, format, pretty_repr])
def test_no_text_of_a_secret_lets_it_be_guessed(show: Callable[[object], str]) -> None:
    key = load({**OCT, "kid": "oct-1"})
    for shown in (show(key), show([key]), show(key.primitive)):
        assert key.thumbprint not in shown
        assert OCT["k"] not in shown
        assert str(unb64(OCT["k"]))[2:-1] not in shown


def test_no_encoder_writes_a_secret_out() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(load(OCT))


def test_a_refusal_holds_nothing_of_the_key() -> None:
    for jwk in (
        {**OCT, "k": "c2VjcmV0"},
        {**OCT, "k": "c2VjcmV0="},
        {**OCT, "kty": "c2VjcmV0"},
        {**OCT, "alg": "c2VjcmV0"},
    ):
        with pytest.raises(UnusableKey) as caught:
            load(jwk)
        assert "c2VjcmV0" not in repr(caught.value)
