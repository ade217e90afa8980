"""An issuer's JWK Set (RFC 7517 section 5), and which of its keys a token means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from hatchpay.errors import InvalidToken, UnusableKey
from hatchpay.tokens import jwk, strict_json
from hatchpay.tokens.jwk import Key

__all__ = ["MAX_KEYS", "KeySet"]

MAX_KEYS: Final = 64
"""Loading one costs up to 0.2 ms; a set is loaded whenever its issuer publishes another."""
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


class KeySet(msgspec.Struct, frozen=True):
    """`unusable` maps the kid of a key that was left out to the code of the reason."""

    keys: tuple[Key, ...]
    unusable: Mapping[str, str]

    @classmethod
    def load(cls, document: bytes) -> KeySet:
        """Read what an issuer publishes. A key that cannot be used is left out, and the others stay.

        Raises UnusableKey jwks_invalid where `document` is not a strict JSON object with an array `keys` of at most 64
        members. Beside the codes of `jwk.load`, `unusable` knows jwk_private (a private key was published) and
        jwk_symmetric (an issuer's set holds no secrets).
        """
        keys: list[Key] = []
        unusable: dict[str, str] = {}
        for member in _members(document):
            try:
                keys.append(_load_public(member))
            except UnusableKey as error:
                kid = member.get("kid") if isinstance(member, Mapping) else None
                if isinstance(kid, str):
                    unusable.setdefault(kid, error.code)
        return cls(tuple(keys), unusable)

    def select(self, kid: str | None, algorithm: str) -> Key:
        """The one key that a token with this `kid` and this algorithm means.

        Raises InvalidToken. With a kid: token_kid_unknown, token_kid_ambiguous (two keys of the kid fit),
        token_algorithm_unfit (none fits), token_algorithm_hmac (none fits HS256), or the reason why the key of that
        kid cannot be used. Without: token_kid_missing (several fit), token_key_missing or token_algorithm_hmac (none).
        """
        named = self.keys if kid is None else [key for key in self.keys if key.kid == kid]
        fitting = [key for key in named if algorithm in key.algorithms]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise _ambiguous(kid)
        if kid is not None and not named:
            raise self._absent(kid)
        if algorithm == "HS256":
            raise InvalidToken("HMAC takes a secret, and an issuer's keys are public", code="token_algorithm_hmac")
        if kid is None:
            raise InvalidToken("no key of the issuer fits the token's algorithm", code="token_key_missing")
        raise InvalidToken("the token's algorithm does not fit the key of its kid", code="token_algorithm_unfit")

    def _absent(self, kid: str) -> InvalidToken:
        reason = self.unusable.get(kid)
        if reason is not None:
            return InvalidToken("the key of the token's kid cannot be used", code=reason)
        return InvalidToken("the issuer has no key of the token's kid", code="token_kid_unknown")


def _members(document: bytes) -> list[object]:
    try:
        members = strict_json.load_object(document).get("keys")
    except InvalidToken:
        members = None
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise UnusableKey("not a JWK Set of at most 64 keys", code="jwks_invalid")
    return members


def _load_public(member: object) -> Key:
    if not isinstance(member, Mapping):
        raise UnusableKey("the key is not a JSON object", code="jwk_not_an_object")
    if not _PRIVATE.isdisjoint(member):
        raise UnusableKey("a private key was published", code="jwk_private")
    if member.get("kty") == "oct":
        raise UnusableKey("an issuer's set may not hold a secret", code="jwk_symmetric")
    return jwk.load(member)


def _ambiguous(kid: str | None) -> InvalidToken:
    if kid is None:
        return InvalidToken("several keys fit, and the token has no kid", code="token_kid_missing")
    return InvalidToken("several keys have the token's kid and fit", code="token_kid_ambiguous")
