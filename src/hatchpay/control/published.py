"""What we publish for those who verify our tokens: the JWK Set (RFC 7517) and the metadata (RFC 8414)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hatchpay.clock import Clock
from hatchpay.identity.ports import Trust

__all__ = [
    "ACCESS_TOKEN",
    "CACHE_S",
    "CLIENT_CREDENTIALS",
    "JWKS",
    "JWT",
    "METADATA",
    "TOKEN_EXCHANGE",
    "PublishedKeys",
]

JWKS: Final = "/.well-known/jwks.json"
METADATA: Final = "/.well-known/oauth-authorization-server"
CACHE_S: Final = 300
"""A new key is published for longer than that before it signs."""

CLIENT_CREDENTIALS: Final = "client_credentials"
"""RFC 6749, section 4.4; the others are RFC 8693's."""
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"

_METHODS: Final = ("client_secret_basic", "client_secret_post")


class PublishedKeys:
    """`url` is the issuer of our tokens."""

    def __init__(self, trust: Callable[[], Trust], clock: Clock, url: str) -> None:
        self._trust = trust
        self._clock = clock
        self.url = url

    def jwks(self) -> dict[str, object]:
        """The keys that sign, will sign, or have signed a token that may still live; the newest first."""
        now = self._clock()
        living = [own for own in self._trust().own.values() if own.ends_us is None or now < own.ends_us]
        ordered = sorted(living, key=lambda own: own.signs_from_us, reverse=True)
        return {"keys": [dict(own.public_jwk) for own in ordered]}

    def metadata(self) -> dict[str, object]:
        return {
            "issuer": self.url,
            "token_endpoint": f"{self.url}/v1/auth/token",
            "token_endpoint_auth_methods_supported": _METHODS,
            "jwks_uri": f"{self.url}{JWKS}",
            "revocation_endpoint": f"{self.url}/v1/auth/revoke",
            "revocation_endpoint_auth_methods_supported": _METHODS,
            "introspection_endpoint": f"{self.url}/v1/auth/introspect",
            "introspection_endpoint_auth_methods_supported": _METHODS,
            "grant_types_supported": (CLIENT_CREDENTIALS, TOKEN_EXCHANGE),
            "response_types_supported": (),
        }
