"""One JSON Web Key (RFC 7517, RFC 7518 section 6, RFC 8037), checked and loaded for verifying signatures.

Only the public half is ever read. A key that could be forged with, or that nobody knows how to use, is refused here and
never reaches a signature.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from hatchpay.errors import InvalidToken, UnusableKey
from hatchpay.tokens import base64url

__all__ = ["Key", "KeyType", "Primitive", "Secret", "load"]

KeyType = Literal["RSA", "EC", "OKP", "oct"]

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_MIN_RSA_BITS: Final = 2_048
_MAX_RSA_BITS: Final = 8_192
_MAX_RSA_EXPONENT: Final = 2**33
_MIN_SECRET_BYTES: Final = 32
_COORDINATE_BYTES: Final = 32
_P256_PRIME: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_P25519: Final = 2**255 - 19
_D25519: Final = -121665 * pow(121666, -1, _P25519) % _P25519
_ORDER_8: Final = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
_SMALL_ORDER: Final = frozenset({0, 1, _P25519 - 1, _ORDER_8, _P25519 - _ORDER_8})
"""The y coordinates of the eight points of edwards25519 whose order divides 8."""


class Secret:
    """The bytes of an `oct` key, kept out of every text and of every encoder that takes bytes."""

    __slots__ = ("value",)

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "Secret(…)"


Primitive = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Secret


class Key(msgspec.Struct, frozen=True):
    """A key that may verify. Two loads of one JWK are equal.

    `algorithms` are those of `jws.ALGORITHMS` that the key fits, after its own `alg`; `thumbprint` is that of
    RFC 7638 under SHA-256 in base64url; `signature_bytes` is the length of every signature that the key verifies.
    """

    kid: str | None
    kty: KeyType
    algorithms: frozenset[str]
    thumbprint: str
    signature_bytes: int
    primitive: Primitive

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"Key({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        shown: list[tuple[str, object]] = [("kty", self.kty), ("kid", self.kid)]
        # The thumbprint of a secret would let a guess of it be tested.
        return shown if self.kty == "oct" else [*shown, ("thumbprint", self.thumbprint)]

    def _identity(self) -> tuple[str, str | None, frozenset[str]]:
        return self.thumbprint, self.kid, self.algorithms


def load(jwk: Mapping[str, object]) -> Key:
    """A usable key, or UnusableKey. Private members are ignored. Lengths are in bits for RSA, in bytes elsewhere.

    Codes: jwk_not_an_object; jwk_type_unknown (not RSA, EC, OKP or oct); jwk_member_missing; jwk_member_invalid (type,
    base64url, length; a kid, alg or use that is no string; key_ops that is no list of distinct strings);
    jwk_use_not_signature and jwk_operations_lack_verify (RFC 7517 sections 4.2, 4.3); jwk_rsa_too_small (under 2,048
    bits); jwk_rsa_too_large (over 8,192, for the cost of it); jwk_rsa_exponent (1, even, or over 2^33);
    jwk_curve_unknown (not P-256 or Ed25519); jwk_point_not_on_curve; jwk_weak_point (a small-order or non-canonical
    Ed25519 key); jwk_secret_too_short (under 32 bytes, RFC 7518 section 3.2); jwk_algorithm_unfit (an `alg` that is
    unknown or not of the key's type).
    """
    if not isinstance(jwk, Mapping):
        raise UnusableKey("the key is not a JSON object", code="jwk_not_an_object")
    loader = _LOADERS.get(_text(jwk, "kty"))
    if loader is None:
        raise UnusableKey("the key is of an unknown type", code="jwk_type_unknown")
    kid, alg = _optional_text(jwk, "kid"), _optional_text(jwk, "alg")
    _check_purpose(jwk)
    kty, algorithms, signature_bytes, primitive, required = loader(jwk)
    if alg is not None:
        algorithms &= {alg}
    if not algorithms:
        raise UnusableKey("the key's alg is unknown or does not fit its type", code="jwk_algorithm_unfit")
    return Key(kid, kty, algorithms, _thumbprint(required), signature_bytes, primitive)


def _check_purpose(jwk: Mapping[str, object]) -> None:
    if _optional_text(jwk, "use") not in {None, "sig"}:
        raise UnusableKey("the key's use is not to sign", code="jwk_use_not_signature")
    if "key_ops" not in jwk:
        return
    operations = jwk["key_ops"]
    if (
        not isinstance(operations, list)
        or not all(isinstance(operation, str) for operation in operations)
        or len(set(operations)) != len(operations)
    ):
        raise UnusableKey("the key's key_ops is not a list of distinct strings", code="jwk_member_invalid")
    if "verify" not in operations:
        raise UnusableKey("the key's operations do not include to verify", code="jwk_operations_lack_verify")


_Loaded = tuple[KeyType, frozenset[str], int, Primitive, Mapping[str, str]]
"""Type, algorithms, bytes of a signature, the primitive, and the members of the thumbprint in order of their names."""


def _load_rsa(jwk: Mapping[str, object]) -> _Loaded:
    # Leading zero bytes are tolerated: some providers emit them, and they change nothing.
    modulus, exponent = (int.from_bytes(_octets(jwk, name)) for name in ("n", "e"))
    bits = modulus.bit_length()
    if bits < _MIN_RSA_BITS:
        raise UnusableKey("the RSA modulus is shorter than 2,048 bits", code="jwk_rsa_too_small")
    if bits > _MAX_RSA_BITS:
        raise UnusableKey("the RSA modulus is longer than 8,192 bits", code="jwk_rsa_too_large")
    if exponent == 1 or exponent % 2 == 0 or exponent > _MAX_RSA_EXPONENT:
        raise UnusableKey("the RSA exponent is 1, even or too large", code="jwk_rsa_exponent")
    if modulus % 2 == 0:
        raise UnusableKey("the RSA modulus is even", code="jwk_member_invalid")
    try:
        primitive = RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        raise UnusableKey("the RSA key is none", code="jwk_member_invalid") from None
    required = {"e": _base64url_uint(exponent), "kty": "RSA", "n": _base64url_uint(modulus)}
    return "RSA", frozenset({"RS256", "PS256"}), (bits + 7) // 8, primitive, required


def _load_ec(jwk: Mapping[str, object]) -> _Loaded:
    _require_curve(jwk, "P-256")
    x, y = (_octets(jwk, name, _COORDINATE_BYTES) for name in ("x", "y"))
    numbers = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), SECP256R1())
    primitive = None
    if numbers.x < _P256_PRIME and numbers.y < _P256_PRIME:
        try:
            primitive = numbers.public_key()
        except ValueError:
            primitive = None
    if primitive is None:
        raise UnusableKey("the point is not on the curve", code="jwk_point_not_on_curve")
    required = {"crv": "P-256", "kty": "EC", "x": base64url.encode(x), "y": base64url.encode(y)}
    return "EC", frozenset({"ES256"}), 64, primitive, required


def _load_okp(jwk: Mapping[str, object]) -> _Loaded:
    _require_curve(jwk, "Ed25519")
    encoded = _octets(jwk, "x", _COORDINATE_BYTES)
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if y >= _P25519 or y in _SMALL_ORDER:
        raise UnusableKey("the Ed25519 key is of small order or not canonical", code="jwk_weak_point")
    # RFC 8032 section 5.1.3: x^2 is the quotient of these, and must be a square (Euler's criterion).
    numerator, denominator = y * y - 1, _D25519 * y * y + 1
    if pow(numerator * denominator, (_P25519 - 1) // 2, _P25519) != 1:
        raise UnusableKey("the point is not on the curve", code="jwk_point_not_on_curve")
    required = {"crv": "Ed25519", "kty": "OKP", "x": base64url.encode(encoded)}
    return "OKP", frozenset({"EdDSA"}), 64, Ed25519PublicKey.from_public_bytes(encoded), required


def _load_oct(jwk: Mapping[str, object]) -> _Loaded:
    secret = _octets(jwk, "k")
    if len(secret) < _MIN_SECRET_BYTES:
        raise UnusableKey("the secret is shorter than 32 bytes", code="jwk_secret_too_short")
    return "oct", frozenset({"HS256"}), 32, Secret(secret), {"k": base64url.encode(secret), "kty": "oct"}


_LOADERS: Final[Mapping[str, Callable[[Mapping[str, object]], _Loaded]]] = {
    "RSA": _load_rsa,
    "EC": _load_ec,
    "OKP": _load_okp,
    "oct": _load_oct,
}


def _require_curve(jwk: Mapping[str, object], curve: str) -> None:
    if _text(jwk, "crv") != curve:
        raise UnusableKey("the key is on an unknown curve", code="jwk_curve_unknown")


def _text(jwk: Mapping[str, object], name: str) -> str:
    if name not in jwk:
        raise UnusableKey("the key lacks a member that its type needs", code="jwk_member_missing")
    value = jwk[name]
    # A lone surrogate is in no Unicode text; whoever wrote the text out again would fail at it.
    if not isinstance(value, str) or _SURROGATE.search(value):
        raise UnusableKey("a member of the key that should be text is not", code="jwk_member_invalid")
    return value


def _optional_text(jwk: Mapping[str, object], name: str) -> str | None:
    return _text(jwk, name) if name in jwk else None


def _octets(jwk: Mapping[str, object], name: str, length: int | None = None) -> bytes:
    try:
        octets = base64url.decode(_text(jwk, name))
    except InvalidToken:
        raise UnusableKey("a member of the key is not canonical base64url", code="jwk_member_invalid") from None
    if not octets or (length is not None and len(octets) != length):
        raise UnusableKey("a member of the key has the wrong length", code="jwk_member_invalid")
    return octets


def _base64url_uint(value: int) -> str:
    return base64url.encode(value.to_bytes((value.bit_length() + 7) // 8))


def _thumbprint(required: Mapping[str, str]) -> str:
    """RFC 7638 section 3; the values need no escaping, and their names come in order."""
    text = ",".join(f'"{name}":"{value}"' for name, value in required.items())
    return base64url.encode(hashlib.sha256(f"{{{text}}}".encode()).digest())
