"""Our own signing keys: made, used, and sealed for the database.

Frozen format of a sealed key:

    0x01                    1 byte    version
    nonce                  12 bytes   never used twice under one key-encryption key
    ciphertext with tag               AES-256-GCM (NIST SP 800-38D, 16-byte tag) of the private key in PKCS #8 DER

    associated data                   b"hatchpay signing key v1\\0" + algorithm + b"\\0" + kid, both in UTF-8

The associated data ties the private key to its row: a ciphertext that was moved to another row does not open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from hatchpay.errors import UnusableKey
from hatchpay.tokens import base64url, jwk

__all__ = ["SigningAlgorithm", "SigningKey", "generate", "seal", "unseal"]

SigningAlgorithm = Literal["EdDSA", "ES256", "RS256"]
_Private = Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_TYPES: Final[Mapping[str, type[_Private]]] = {
    "EdDSA": Ed25519PrivateKey,
    "ES256": ec.EllipticCurvePrivateKey,
    "RS256": rsa.RSAPrivateKey,
}
_RSA_BITS: Final = 3_072
_RSA_EXPONENT: Final = 65_537
_VERSION: Final = b"\x01"
_KEK_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_ASSOCIATED: Final = b"hatchpay signing key v1\0"


class SigningKey(msgspec.Struct, frozen=True, eq=False):
    """`kid` is the RFC 7638 thumbprint of the public key; `public_jwk` is what the JWK Set publishes."""

    algorithm: SigningAlgorithm
    kid: str
    public_jwk: Mapping[str, str]
    private: _Private

    def __repr__(self) -> str:
        return f"SigningKey({self.algorithm}, {self.kid})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("algorithm", self.algorithm), ("kid", self.kid)]

    def sign(self, claims: Mapping[str, object], typ: str = "at+jwt") -> str:
        """A compact JWS over `claims` as JSON, with the header members alg, kid and typ.

        It may be longer than `jws.MAX_LENGTH`; then nobody here will take it.
        """
        header = {"alg": self.algorithm, "kid": self.kid, "typ": typ}
        parts = [base64url.encode(msgspec.json.encode(part)) for part in (header, dict(claims))]
        signing_input = ".".join(parts)
        return f"{signing_input}.{base64url.encode(_sign(self.private, signing_input.encode('ascii')))}"


def generate(algorithm: SigningAlgorithm) -> SigningKey:
    """A fresh key from the operating system's randomness; RS256 has 3,072 bits, which takes a second or so."""
    match algorithm:
        case "EdDSA":
            return _signing_key(algorithm, Ed25519PrivateKey.generate())
        case "ES256":
            return _signing_key(algorithm, ec.generate_private_key(ec.SECP256R1()))
        case "RS256":
            return _signing_key(algorithm, rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS))


def seal(key: SigningKey, kek: bytes, nonce: bytes) -> bytes:
    """Encrypt under the 32-byte `kek` with a fresh random `nonce` of 12 bytes; a nonce that comes twice breaks it.

    Raises UnusableKey sealing_input_invalid where either has another length.
    """
    if len(kek) != _KEK_BYTES or len(nonce) != _NONCE_BYTES:
        raise UnusableKey("sealing takes a key of 32 bytes and a nonce of 12", code="sealing_input_invalid")
    der = key.private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return _VERSION + nonce + AESGCM(kek).encrypt(nonce, der, _associated(key.algorithm, key.kid))


def unseal(sealed: bytes, kek: bytes, algorithm: SigningAlgorithm, kid: str) -> SigningKey:
    """Undo `seal`. Raises UnusableKey signing_key_unreadable for another `kek`, for what was damaged or belongs to
    another row, and for a key that is not the one of `algorithm` and `kid`.
    """
    try:
        private = load_der_private_key(_decrypt(sealed, kek, _associated(algorithm, kid)), password=None)
        key = _signing_key(algorithm, private)
    except (InvalidTag, UnsupportedAlgorithm, UnusableKey, ValueError, TypeError):
        key = None
    if key is None or key.kid != kid:
        raise UnusableKey("the signing key cannot be opened with this key", code="signing_key_unreadable")
    return key


def _decrypt(sealed: bytes, kek: bytes, associated: bytes) -> bytes:
    start = len(_VERSION) + _NONCE_BYTES
    if len(kek) != _KEK_BYTES or len(sealed) < start or not sealed.startswith(_VERSION):
        raise InvalidTag
    return AESGCM(kek).decrypt(sealed[len(_VERSION) : start], sealed[start:], associated)


def _associated(algorithm: str, kid: str) -> bytes:
    return _ASSOCIATED + f"{algorithm}\0{kid}".encode()


def _signing_key(algorithm: SigningAlgorithm, private: object) -> SigningKey:
    """Raises UnusableKey where the key is not one of this algorithm's."""
    expected = _TYPES.get(algorithm)
    if expected is None or not isinstance(private, expected):
        raise UnusableKey("the signing key is of another algorithm", code="signing_key_unreadable")
    members = _public_members(private)
    kid = jwk.load(members).thumbprint
    return SigningKey(algorithm, kid, {**members, "kid": kid, "alg": algorithm, "use": "sig"}, private)


def _public_members(private: _Private) -> dict[str, str]:
    if isinstance(private, Ed25519PrivateKey):
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(raw)}
    if isinstance(private, rsa.RSAPrivateKey):
        numbers = private.public_key().public_numbers()
        return {"kty": "RSA", "n": _uint(numbers.n), "e": _uint(numbers.e)}
    # The uncompressed point (SEC 1 section 2.3.3): 0x04, x, y. `jwk.load` refuses the sizes of other curves.
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {"kty": "EC", "crv": "P-256", "x": base64url.encode(point[1:33]), "y": base64url.encode(point[33:])}


def _uint(value: int) -> str:
    return base64url.encode(value.to_bytes((value.bit_length() + 7) // 8))


def _sign(private: _Private, data: bytes) -> bytes:
    if isinstance(private, Ed25519PrivateKey):
        return private.sign(data)
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(data, PKCS1v15(), SHA256())
    r, s = decode_dss_signature(private.sign(data, ec.ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)
