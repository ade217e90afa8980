"""The claims of a JSON Web Token (RFC 7519), each read in one way only.

Nothing here knows a signature: a claim is to be believed only once `jws.check` has returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from hatchpay.errors import InvalidToken
from hatchpay.tokens import jws, strict_json

__all__ = [
    "Times",
    "Token",
    "audiences_of",
    "check_times",
    "check_type",
    "issuer_of",
    "parse",
    "strings_of",
]

_MAX_ISSUER: Final = 2_048
_MAX_VALUES: Final = 1_000
_MAX_VALUE: Final = 256
_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999."""
_MICROSECONDS: Final = 1_000_000


class Token(msgspec.Struct, frozen=True):
    compact: jws.Compact
    claims: Mapping[str, object]

    def __repr__(self) -> str:
        return "Token(…)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


class Times(msgspec.Struct, frozen=True):
    """Whole seconds since the epoch (RFC 7519 section 2, NumericDate)."""

    expires_s: int
    issued_s: int | None
    not_before_s: int | None


def parse(compact: str | bytes) -> Token:
    """Raises InvalidToken with the codes of `jws.parse`, and those of `strict_json.load_object` for the payload."""
    parsed = jws.parse(compact)
    return Token(parsed, strict_json.load_object(parsed.payload))


def issuer_of(claims: Mapping[str, object]) -> str:
    """Raises InvalidToken: token_issuer_missing, token_issuer_invalid (not a text of 1 to 2,048 characters)."""
    if "iss" not in claims:
        raise InvalidToken("the token names no issuer", code="token_issuer_missing")
    issuer = claims["iss"]
    if not isinstance(issuer, str) or not 1 <= len(issuer) <= _MAX_ISSUER:
        raise InvalidToken("the token's iss is not a text of 1 to 2,048 characters", code="token_issuer_invalid")
    return issuer


def audiences_of(claims: Mapping[str, object]) -> tuple[str, ...]:
    """One audience or several (RFC 7519 section 4.1.3). Raises InvalidToken: token_audience_missing,
    token_audience_invalid (neither a text nor an array of at least one text, or a text that is empty).
    """
    if "aud" not in claims:
        raise InvalidToken("the token names no audience", code="token_audience_missing")
    audience = claims["aud"]
    audiences = audience if isinstance(audience, list) else [audience]
    if not audiences or not all(isinstance(value, str) and value for value in audiences):
        raise InvalidToken("the token's aud is neither a text nor an array of texts", code="token_audience_invalid")
    return tuple(audiences)


def check_type(token: Token, allowed: frozenset[str], *, required: bool) -> None:
    """Compare `typ` with `allowed`, without regard to case or to an "application/" before it (RFC 7515 section 4.1.9,
    RFC 9068 section 4). Raises InvalidToken: token_type_missing where it is required, token_type_wrong.
    """
    if "typ" not in token.compact.header:
        if required:
            raise InvalidToken("the token does not say its type", code="token_type_missing")
        return
    typ = token.compact.header["typ"]
    # Outside ASCII, letters exist that lower() makes into those of a type's name.
    if not isinstance(typ, str) or not typ.isascii() or _media_type(typ) not in map(_media_type, allowed):
        raise InvalidToken("the token is of another type", code="token_type_wrong")


def check_times(claims: Mapping[str, object], now_us: int, skew_s: int = 60) -> Times:
    """The token's times, if `now_us` (microseconds since the epoch) lies within them.

    An ended token never works; `skew_s` seconds are forgiven only to an issuer whose clock is ahead. Raises
    InvalidToken: token_expiry_missing; token_expiry_invalid, token_not_before_invalid and token_issued_at_invalid (not
    a whole number from 0 to the end of the year 9999); token_expired; token_not_yet_valid; token_issued_in_future.
    """
    if "exp" not in claims:
        raise InvalidToken("the token never expires", code="token_expiry_missing")
    expires = _seconds(claims["exp"])
    if expires is None:
        raise InvalidToken("the token's exp is not a whole number of seconds", code="token_expiry_invalid")
    not_before = _seconds(claims["nbf"]) if "nbf" in claims else None
    if not_before is None and "nbf" in claims:
        raise InvalidToken("the token's nbf is not a whole number of seconds", code="token_not_before_invalid")
    issued = _seconds(claims["iat"]) if "iat" in claims else None
    if issued is None and "iat" in claims:
        raise InvalidToken("the token's iat is not a whole number of seconds", code="token_issued_at_invalid")
    _check_now(Times(expires, issued, not_before), now_us, skew_s)
    return Times(expires, issued, not_before)


def strings_of(claims: Mapping[str, object], name: str, *, split: bool) -> tuple[str, ...]:
    """The claim's values: those of an array, or of one text, which `split` parts at its spaces (as RFC 6749 section
    3.3 writes a scope). Absent or null: none. Raises InvalidToken token_claim_invalid for anything else, for more than
    1,000 values and for a value of more than 256 characters.
    """
    claim = claims.get(name)
    values: list[object]
    if claim is None:
        return ()
    if isinstance(claim, str):
        values = [part for part in claim.split(" ") if part] if split else [claim]
    elif isinstance(claim, list):
        values = claim
    else:
        raise InvalidToken("a claim is neither a text nor an array of texts", code="token_claim_invalid")
    if len(values) > _MAX_VALUES:
        raise InvalidToken("a claim has more than 1,000 values", code="token_claim_invalid")
    texts = tuple(value for value in values if isinstance(value, str) and len(value) <= _MAX_VALUE)
    if len(texts) != len(values):
        raise InvalidToken("a claim holds what is no text of at most 256 characters", code="token_claim_invalid")
    return texts


def _media_type(typ: str) -> str:
    return typ.lower().removeprefix("application/")


def _seconds(value: object) -> int | None:
    """None where it is not a whole number in range. A bool is an int to Python, but not to JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if 0 <= value <= _LAST_SECOND else None


def _check_now(times: Times, now_us: int, skew_s: int) -> None:
    if now_us >= times.expires_s * _MICROSECONDS:
        raise InvalidToken("the token has expired", code="token_expired")
    latest_us = now_us + skew_s * _MICROSECONDS
    if times.not_before_s is not None and times.not_before_s * _MICROSECONDS > latest_us:
        raise InvalidToken("the token is not valid yet", code="token_not_yet_valid")
    if times.issued_s is not None and times.issued_s * _MICROSECONDS > latest_us:
        raise InvalidToken("the token was issued in the future", code="token_issued_in_future")
