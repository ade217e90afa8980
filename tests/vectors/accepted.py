"""Tokens that every rule allows, under each key of the issuer's that is usable."""

from __future__ import annotations

from collections.abc import Iterator

from tests.vectors.forge import (
    FAR,
    P256_ORDER,
    PRIVATE,
    claims,
    raw_claims,
    signature_of,
    signed,
    with_signature,
)

KEYS = {
    "rs256": ("rsa-1", "RS256"),
    "ps256": ("rsa-pss", "PS256"),
    "es256": ("ec-1", "ES256"),
    "eddsa": ("ed-1", "EdDSA"),
}
TYPES: dict[str, dict[str, str]] = {"no-typ": {}, "typ-jwt": {"typ": "JWT"}, "typ-at-jwt": {"typ": "at+jwt"}}


def accepted() -> Iterator[tuple[str, str]]:
    """Name and token."""
    for name, (kid, algorithm) in KEYS.items():
        for typed, typ in TYPES.items():
            yield f"{name}-{typed}", _token(kid, algorithm, claims(), **typ)
    yield "es256-high-s", high_s_twin(_token("ec-1", "ES256", claims()))
    yield "es256-without-kid", signed(PRIVATE["ec-1"], "ES256", {"alg": "ES256"}, claims())
    yield "eddsa-without-kid", signed(PRIVATE["ed-1"], "EdDSA", {"alg": "EdDSA"}, claims())
    yield "ps256-without-kid", signed(PRIVATE["rsa-pss"], "PS256", {"alg": "PS256"}, claims())
    yield "rs256-with-the-key-that-names-no-algorithm", _token("rsa-pss", "RS256", claims())
    yield "typ-in-capitals", _token("ed-1", "EdDSA", claims(), typ="AT+JWT")
    yield "typ-with-its-application-prefix", _token("ed-1", "EdDSA", claims(), typ="application/at+jwt")
    yield "audience-in-an-array", _token("ed-1", "EdDSA", claims(aud=["https://other.test", claims()["aud"]]))
    yield "expiry-as-a-whole-float", _token("ed-1", "EdDSA", raw_claims("exp", f"{FAR}.0"))
    yield "expiry-with-an-exponent", _token("ed-1", "EdDSA", raw_claims("exp", "9e9"))
    yield "expiry-at-the-end-of-the-year-9999", _token("ed-1", "EdDSA", claims(exp=253_402_300_799))
    yield "not-before-in-the-past", _token("ed-1", "EdDSA", claims(nbf=1_700_000_000))
    yield "without-issued-at", _token("ed-1", "EdDSA", claims(iat=None))
    yield "json-with-white-space", _token("ed-1", "EdDSA", raw_claims("sub", ' \r\n\t"alice" '))
    yield "unknown-header-member", _token("ed-1", "EdDSA", claims(), x5t="AAAA", cty="whatever")
    yield "b64-true", _token("ed-1", "EdDSA", claims(), b64=True)


def high_s_twin(token: str) -> str:
    """(r, n - s) verifies wherever (r, s) does."""
    old = signature_of(token)
    return with_signature(token, old[:32] + (P256_ORDER - int.from_bytes(old[32:])).to_bytes(32))


def _token(kid: str, algorithm: str, payload: object, **header: object) -> str:
    return signed(PRIVATE[kid], algorithm, {"alg": algorithm, "kid": kid, **header}, payload)
