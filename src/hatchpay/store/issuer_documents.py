"""What an OpenID Connect or OAuth issuer publishes: its JWK Set, found by discovery where no address is given.

OpenID Connect Discovery 1.0, section 4; where an issuer has no such document, RFC 8414, section 3.
"""

from __future__ import annotations

from typing import Final

from hatchpay.errors import FetchFailed, InvalidToken
from hatchpay.store.guarded_http import GuardedHttp
from hatchpay.tokens.strict_json import load_object

__all__ = ["IssuerDocuments"]

_OPENID: Final = "/.well-known/openid-configuration"
_OAUTH: Final = "/.well-known/oauth-authorization-server"


class IssuerDocuments:
    """Fetches anew on every call; nothing is kept."""

    def __init__(self, http: GuardedHttp) -> None:
        self._http = http

    def keys(self, issuer: str, jwks_url: str | None) -> bytes:
        """The issuer's JWK Set as it was sent, not judged. Raises FetchFailed; its code says why."""
        return self._http.get(jwks_url if jwks_url is not None else self._discover(issuer))

    def _discover(self, issuer: str) -> str:
        """The address of the key set. It may be on another host, but is the issuer's word only if it names itself."""
        try:
            document = load_object(self._document(issuer))
        except InvalidToken:
            raise FetchFailed("the discovery document is not a JSON object", code="issuer_document_invalid") from None
        if document.get("issuer") != issuer:
            raise FetchFailed("the discovery document is another issuer's", code="issuer_mismatch")
        address = document.get("jwks_uri")
        if not isinstance(address, str):
            raise FetchFailed("the discovery document names no jwks_uri", code="issuer_document_invalid")
        return address

    def _document(self, issuer: str) -> bytes:
        if "?" in issuer or "#" in issuer:
            raise FetchFailed("an issuer has neither query nor fragment", code="fetch_url_invalid")
        base = issuer.removesuffix("/")
        found = self._http.find(base + _OPENID)
        if found is not None:
            return found
        scheme, _, rest = base.partition("://")
        host, slash, path = rest.partition("/")
        return self._http.get(f"{scheme}://{host}{_OAUTH}{slash}{path}")
