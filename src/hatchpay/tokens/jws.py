"""The compact form of a JSON Web Signature (RFC 7515), read strictly and verified with a key that the caller chose.

The token never says where its key comes from, nor that it needs none: an algorithm counts only where the caller allows
it and the key fits it.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from hatchpay.errors import InvalidToken
from hatchpay.tokens import base64url, strict_json
from hatchpay.tokens.jwk import Key, Secret, load

__all__ = ["ALGORITHMS", "MAX_LENGTH", "Compact", "check", "parse", "verify"]

ALGORITHMS: Final = frozenset({"HS256", "RS256", "PS256", "ES256", "EdDSA"})
MAX_LENGTH: Final = 16_384
"""Characters of the whole compact form."""
_MAX_KID: Final = 256
_KEY_SOURCES: Final = frozenset({"jwk", "jku", "x5u", "x5c"})
_SHA256: Final = SHA256()
_ECDSA: Final = ECDSA(_SHA256)
_PKCS1: Final = PKCS1v15()
_PSS: Final = PSS(MGF1(_SHA256), salt_length=32)


class Compact(msgspec.Struct, frozen=True):
    """A well-formed token; nothing in it is to be believed before `check`.

    `signing_input` is the ASCII text of the first two parts with the dot between them (RFC 7515 section 5.2).
    """

    header: Mapping[str, object]
    payload: bytes
    signature: bytes
    signing_input: bytes
    algorithm: str
    kid: str | None

    def __repr__(self) -> str:
        return "Compact(…)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


def verify(compact: str | bytes, jwk: Mapping[str, object] | Key, algorithms: Collection[str]) -> bytes:
    """The payload's bytes, once the signature is proved to be by `jwk` under one of `algorithms`.

    `compact` is at most 16,384 characters; `jwk` a JWK as a mapping, or a loaded key (cheaper from the second use);
    `algorithms` the names that the caller allows, of `ALGORITHMS`; one string is one name. Claims are not looked at.
    Raises InvalidToken with the codes of `parse` and `check`, UnusableKey with those of `jwk.load`, and nothing else,
    whatever it is given.
    """
    parsed = parse(compact)
    check(parsed, jwk if isinstance(jwk, Key) else load(jwk), algorithms)
    return parsed.payload


def parse(compact: str | bytes) -> Compact:
    """Read a token without judging its signature. RFC 7515 sections 3.1, 4.1 and 5.2.

    Raises InvalidToken: token_too_long; token_parts_wrong (not three parts); token_characters_invalid and
    token_base64_not_canonical; for the header token_json_invalid, token_json_not_object, token_json_too_deep,
    token_duplicate_member and token_number_not_finite; then, in this order, token_algorithm_missing,
    token_algorithm_none, token_algorithm_unknown, token_key_in_header, token_b64_unsupported (RFC 7797),
    token_crit_unknown, token_kid_invalid; the other two parts come last. An empty signature is left to `check`.
    """
    text = _text(compact)
    parts = text.split(".")
    if len(parts) != 3:
        raise InvalidToken("the token does not have exactly three parts", code="token_parts_wrong")
    header = strict_json.load_object(base64url.decode(parts[0]))
    algorithm = _algorithm(header)
    _refuse_extensions(header)
    kid = _kid(header)
    payload, signature = base64url.decode(parts[1]), base64url.decode(parts[2])
    return Compact(header, payload, signature, f"{parts[0]}.{parts[1]}".encode("ascii"), algorithm, kid)


def check(compact: Compact, key: Key, algorithms: Collection[str]) -> None:
    """Return where the signature is by `key` under one of `algorithms`, else raise InvalidToken.

    Codes: token_algorithm_not_allowed; token_algorithm_hmac (HS256 with a key that is not `oct`: HMAC keyed with what
    everyone knows); token_algorithm_unfit (not an algorithm of this key); token_signature_der (ES256 in DER instead of
    RFC 7518 section 3.4); token_signature_length; token_signature_invalid, an empty one included. The high-s twin of
    an ES256 signature is accepted, as RFC 7515 A.3 is one: never key anything on signature bytes alone.
    """
    _check_algorithm(compact.algorithm, key, algorithms)
    _check_length(compact, key)
    try:
        valid = _is_signed(compact, key)
    except InvalidSignature:
        valid = False
    if not valid:
        raise InvalidToken("the signature is not by this key over this token", code="token_signature_invalid")


def _text(compact: object) -> str:
    if not isinstance(compact, (str, bytes)):
        raise InvalidToken("the token is not text", code="token_parts_wrong")
    if len(compact) > MAX_LENGTH:
        raise InvalidToken("the token is longer than 16,384 characters", code="token_too_long")
    # What is not ASCII becomes a character that base64url refuses.
    return compact if isinstance(compact, str) else compact.decode("ascii", "replace")


def _algorithm(header: Mapping[str, object]) -> str:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise InvalidToken("the token names no algorithm", code="token_algorithm_missing")
    if algorithm not in ALGORITHMS:
        if algorithm.strip().casefold() == "none":
            raise InvalidToken("the token is unsigned", code="token_algorithm_none")
        raise InvalidToken("the token's algorithm is unknown", code="token_algorithm_unknown")
    return algorithm


def _refuse_extensions(header: Mapping[str, object]) -> None:
    if not _KEY_SOURCES.isdisjoint(header):
        raise InvalidToken("the token brings its own key or its address", code="token_key_in_header")
    # Before crit, which RFC 7797 section 6 demands beside it.
    if header.get("b64", True) is not True:
        raise InvalidToken("the token's payload is not base64url", code="token_b64_unsupported")
    if "crit" in header:
        raise InvalidToken("the token demands an extension that is unknown", code="token_crit_unknown")


def _kid(header: Mapping[str, object]) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or not 1 <= len(kid) <= _MAX_KID:
        raise InvalidToken("the token's kid is not a text of 1 to 256 characters", code="token_kid_invalid")
    return kid


def _check_algorithm(algorithm: str, key: Key, allowed: Collection[str]) -> None:
    if not _is_allowed(algorithm, allowed):
        raise InvalidToken("the token's algorithm is not allowed here", code="token_algorithm_not_allowed")
    if algorithm == "HS256" and key.kty != "oct":
        raise InvalidToken("HMAC takes a secret, and this key is public", code="token_algorithm_hmac")
    if algorithm not in key.algorithms:
        raise InvalidToken("the token's algorithm does not fit the key", code="token_algorithm_unfit")


def _is_allowed(algorithm: str, allowed: Collection[str]) -> bool:
    # `in` on a str would look for a part of a name.
    if isinstance(allowed, str):
        return algorithm == allowed
    try:
        return algorithm in allowed
    except TypeError:
        return False


def _check_length(compact: Compact, key: Key) -> None:
    length = len(compact.signature)
    if length == key.signature_bytes:
        return
    if not length:
        raise InvalidToken("the token has no signature", code="token_signature_invalid")
    if key.kty == "EC" and _is_der(compact.signature):
        raise InvalidToken("the signature is in DER, not in the form of JWS", code="token_signature_der")
    raise InvalidToken("the signature has the wrong length", code="token_signature_length")


def _is_der(signature: bytes) -> bool:
    try:
        decode_dss_signature(signature)
    except ValueError:
        return False
    return True


def _is_signed(compact: Compact, key: Key) -> bool:
    """False or InvalidSignature where it is not. Whatever is not listed is not signed."""
    signature, data = compact.signature, compact.signing_input
    match compact.algorithm, key.primitive:
        case "EdDSA", Ed25519PublicKey() as primitive:
            primitive.verify(signature, data)
        case "ES256", EllipticCurvePublicKey() as primitive:
            r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
            primitive.verify(encode_dss_signature(r, s), data, _ECDSA)
        case "RS256", RSAPublicKey() as primitive:
            primitive.verify(signature, data, _PKCS1, _SHA256)
        case "PS256", RSAPublicKey() as primitive:
            primitive.verify(signature, data, _PSS, _SHA256)
        case "HS256", Secret() as secret:
            return hmac.compare_digest(hmac.digest(secret.value, data, "sha256"), signature)
        case _:
            return False
    return True
