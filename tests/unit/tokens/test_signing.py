"""Signing keys: what they sign verifies everywhere, and a sealed one opens only for its own row."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from typing import Any, get_args

import joserfc.jwk
import joserfc.jwt
import jwt as pyjwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key
from rich.pretty import pretty_repr

from hatchpay.errors import UnusableKey
from hatchpay.tokens import jwk, jws
from hatchpay.tokens.signing import SigningAlgorithm, SigningKey, generate, seal, unseal

KEK = bytes(range(32))
NONCE = bytes(range(100, 112))
CLAIMS = {"iss": "https://auth.test", "sub": "alice", "exp": 9_000_000_000, "roles": ["é", "b"]}
# RFC 8037 A.1 and A.3: an Ed25519 key and its thumbprint.
RFC_PRIVATE = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_PUBLIC = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC_KID = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
# RFC 8410 section 7: what stands before the 32 bytes of an Ed25519 key in PKCS #8.
PKCS8_ED25519 = bytes.fromhex("302e020100300506032b657004220420")

each_algorithm = pytest.mark.parametrize("algorithm", get_args(SigningAlgorithm))


@pytest.fixture(scope="module")
def keys() -> dict[str, SigningKey]:
    return {algorithm: generate(algorithm) for algorithm in get_args(SigningAlgorithm)}


def sealed_by_hand(der: bytes, algorithm: str, kid: str, kek: bytes = KEK, nonce: bytes = NONCE) -> bytes:
    """The frozen format, put together from AES-GCM's own two halves."""
    encryptor = Cipher(algorithms.AES(kek), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(b"hatchpay signing key v1\x00" + algorithm.encode() + b"\x00" + kid.encode())
    return b"\x01" + nonce + encryptor.update(der) + encryptor.finalize() + encryptor.tag


def der_of(private: Any) -> bytes:
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def opens(sealed: bytes, kek: bytes, algorithm: Any, kid: str) -> bool:
    try:
        unseal(sealed, kek, algorithm, kid)
    except UnusableKey as error:
        assert error.code == "signing_key_unreadable"
        assert error.__cause__ is None
        return False
    return True


def test_there_are_three_algorithms() -> None:
    assert set(get_args(SigningAlgorithm)) == {"EdDSA", "ES256", "RS256"} <= jws.ALGORITHMS


@each_algorithm
def test_a_token_is_a_compact_jws_with_these_header_members(keys: dict[str, SigningKey], algorithm: str) -> None:
    key = keys[algorithm]
    header, payload, _ = key.sign(CLAIMS).split(".")
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": algorithm, "kid": key.kid, "typ": "at+jwt"}
    assert json.loads(base64.urlsafe_b64decode(payload + "==")) == CLAIMS
    assert pyjwt.get_unverified_header(key.sign({}, typ="logout+jwt"))["typ"] == "logout+jwt"


@each_algorithm
def test_a_token_verifies_here(keys: dict[str, SigningKey], algorithm: str) -> None:
    key = keys[algorithm]
    payload = jws.verify(key.sign(CLAIMS), key.public_jwk, {algorithm})
    assert msgspec.json.decode(payload) == CLAIMS


@each_algorithm
def test_a_token_verifies_with_pyjwt(keys: dict[str, SigningKey], algorithm: str) -> None:
    key = keys[algorithm]
    assert pyjwt.decode(key.sign(CLAIMS), pyjwt.PyJWK(dict(key.public_jwk)), [algorithm]) == CLAIMS


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@each_algorithm
def test_a_token_verifies_with_joserfc(keys: dict[str, SigningKey], algorithm: str) -> None:
    key = keys[algorithm]
    public = joserfc.jwk.import_key(dict(key.public_jwk))
    assert joserfc.jwt.decode(key.sign(CLAIMS), public, algorithms=[algorithm]).claims == CLAIMS


def test_es256_signatures_have_64_bytes_even_where_a_number_is_small(keys: dict[str, SigningKey]) -> None:
    shorter = False
    for number in range(600):
        token = keys["ES256"].sign({"jti": number})
        signature = jws.parse(token).signature
        assert len(signature) == 64
        shorter = shorter or 0 in (signature[0], signature[32])
        assert jws.verify(token, keys["ES256"].public_jwk, "ES256")
        if shorter and number > 20:
            break


@each_algorithm
def test_the_public_key_names_itself_and_holds_nothing_private(keys: dict[str, SigningKey], algorithm: str) -> None:
    key = keys[algorithm]
    members = {"EdDSA": {"crv", "x"}, "ES256": {"crv", "x", "y"}, "RS256": {"n", "e"}}[algorithm]
    assert set(key.public_jwk) == {"kty", "kid", "alg", "use", *members}
    assert (key.public_jwk["alg"], key.public_jwk["use"], key.public_jwk["kid"]) == (algorithm, "sig", key.kid)
    assert joserfc.jwk.import_key(dict(key.public_jwk)).thumbprint() == key.kid
    assert jwk.load(key.public_jwk).algorithms == {algorithm}


def test_an_rsa_key_has_3072_bits_and_the_usual_exponent(keys: dict[str, SigningKey]) -> None:
    assert jwk.load(keys["RS256"].public_jwk).signature_bytes == 384
    assert keys["RS256"].public_jwk["e"] == "AQAB"


def test_every_key_is_another() -> None:
    assert generate("EdDSA").kid != generate("EdDSA").kid


@each_algorithm
def test_an_unsealed_key_signs_as_the_sealed_one(keys: dict[str, SigningKey], algorithm: SigningAlgorithm) -> None:
    key = keys[algorithm]
    opened = unseal(seal(key, KEK, NONCE), KEK, algorithm, key.kid)
    assert (opened.algorithm, opened.kid, opened.public_jwk) == (algorithm, key.kid, key.public_jwk)
    assert jws.verify(opened.sign(CLAIMS), key.public_jwk, algorithm)


def test_the_format_of_a_sealed_key_is_frozen() -> None:
    der = PKCS8_ED25519 + RFC_PRIVATE
    by_hand = sealed_by_hand(der, "EdDSA", RFC_KID)
    key = unseal(by_hand, KEK, "EdDSA", RFC_KID)
    assert key.public_jwk["x"] == RFC_PUBLIC
    assert seal(key, KEK, NONCE) == by_hand
    assert by_hand[:13].hex() == "01" + "6465666768696a6b6c6d6e6f"
    assert len(by_hand) == 1 + 12 + 48 + 16


def test_the_key_of_rfc_8037_signs_as_printed() -> None:
    key = unseal(sealed_by_hand(PKCS8_ED25519 + RFC_PRIVATE, "EdDSA", RFC_KID), KEK, "EdDSA", RFC_KID)
    header = '{"alg":"EdDSA","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","typ":"JWT"}'
    signing_input = f"{base64.urlsafe_b64encode(header.encode()).decode().rstrip('=')}.eyJhIjoxfQ"
    signature = load_der_private_key(PKCS8_ED25519 + RFC_PRIVATE, None).sign(signing_input.encode())  # type: ignore[call-arg,union-attr]
    assert key.sign({"a": 1}, "JWT") == f"{signing_input}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@each_algorithm
def test_the_sealed_form_hides_the_key(keys: dict[str, SigningKey], algorithm: str) -> None:
    der = der_of(keys[algorithm].private)
    sealed = seal(keys[algorithm], KEK, NONCE)
    assert not any(der[place : place + 16] in sealed for place in range(0, len(der) - 16, 8))


def test_a_key_opens_only_under_its_kek_its_algorithm_and_its_kid(keys: dict[str, SigningKey]) -> None:
    key, other = keys["EdDSA"], keys["ES256"]
    sealed = seal(key, KEK, NONCE)
    assert opens(sealed, KEK, "EdDSA", key.kid)
    for kek in (bytes(32), KEK[:-1], KEK[:16], KEK[:24], KEK + b"\0", b""):
        assert not opens(sealed, kek, "EdDSA", key.kid)
    for algorithm in ("ES256", "RS256", "none", "", "EdDSA\0", "eddsa"):
        assert not opens(sealed, KEK, algorithm, key.kid)
    for kid in (other.kid, key.kid[:-1], "", "\ud800", key.kid + "\0"):
        assert not opens(sealed, KEK, "EdDSA", kid)
    assert not opens(seal(other, KEK, NONCE), KEK, "EdDSA", key.kid)


def test_a_shorter_kek_opens_nothing_even_where_it_sealed() -> None:
    der = PKCS8_ED25519 + RFC_PRIVATE
    assert opens(sealed_by_hand(der, "EdDSA", RFC_KID), KEK, "EdDSA", RFC_KID)
    for length in (16, 24):
        assert not opens(sealed_by_hand(der, "EdDSA", RFC_KID, KEK[:length]), KEK[:length], "EdDSA", RFC_KID)


def test_a_damaged_ciphertext_does_not_open(keys: dict[str, SigningKey]) -> None:
    key = keys["EdDSA"]
    sealed = seal(key, KEK, NONCE)
    for place in range(len(sealed)):
        damaged = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        assert not opens(damaged, KEK, "EdDSA", key.kid)
        assert not opens(sealed[:place], KEK, "EdDSA", key.kid)
    assert not opens(sealed + b"\0", KEK, "EdDSA", key.kid)
    assert not opens(b"", KEK, "EdDSA", key.kid)


def test_a_key_that_is_not_the_one_of_its_row_does_not_open(keys: dict[str, SigningKey]) -> None:
    """Even where whoever holds the KEK sealed it so."""
    eddsa, es256 = keys["EdDSA"], keys["ES256"]
    for der, algorithm, kid in (
        (der_of(es256.private), "EdDSA", es256.kid),
        (der_of(eddsa.private), "ES256", eddsa.kid),
        (der_of(eddsa.private), "EdDSA", es256.kid),
        (der_of(generate_private_key(SECP384R1())), "ES256", es256.kid),
        (der_of(rsa.generate_private_key(65_537, 1_024)), "RS256", es256.kid),
        (der_of(eddsa.private), "HS256", eddsa.kid),
        (b"", "EdDSA", eddsa.kid),
        (b"not a key", "EdDSA", eddsa.kid),
        (secrets.token_bytes(48), "EdDSA", eddsa.kid),
    ):
        assert not opens(sealed_by_hand(der, algorithm, kid), KEK, algorithm, kid)


@pytest.mark.parametrize(
    ("kek", "nonce"),
    [(KEK[:16], NONCE), (KEK[:24], NONCE), (b"", NONCE), (KEK, NONCE[:-1]), (KEK, NONCE * 2), (KEK, b"")],
)
def test_sealing_takes_a_kek_of_32_bytes_and_a_nonce_of_12(
    keys: dict[str, SigningKey], kek: bytes, nonce: bytes
) -> None:
    with pytest.raises(UnusableKey) as caught:
        seal(keys["EdDSA"], kek, nonce)
    assert caught.value.code == "sealing_input_invalid"


@pytest.mark.parametrize("show", [repr, str, format, pretty_repr])
@each_algorithm
def test_a_text_of_a_key_shows_its_algorithm_and_its_kid_only(
    keys: dict[str, SigningKey], algorithm: str, show: Callable[[object], str]
) -> None:
    key = keys[algorithm]
    shown = show(key)
    assert algorithm in shown
    assert key.kid in shown
    assert "rivate" not in shown
    assert "public" not in shown
    assert len(shown) < 100


@each_algorithm
def test_no_encoder_writes_a_private_key_out(keys: dict[str, SigningKey], algorithm: str) -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(keys[algorithm])
