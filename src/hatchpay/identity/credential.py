"""Where a request carries its credential, and when that is ambiguous."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus

from hatchpay.errors import MalformedRequest

__all__ = ["challenge", "extract", "refuse_in_query"]

_API_KEY: Final = 'ApiKey realm="hatchpay" header="X-API-Key"'
# What stands after the scheme is one credential, white space included: whoever knows it will refuse it.
_BEARER: Final = re.compile(r"bearer +(\S.*)\Z", re.IGNORECASE)
_QUERY_NAMES: Final = frozenset({"api_key", "apikey", "x_api_key", "access_token", "client_secret"})
_KEY_SHAPE: Final = re.compile(r"hp_(?:live|test)_[0-9a-z]", re.IGNORECASE)


def challenge(code: str) -> str:
    """How to send a credential: the `WWW-Authenticate` of a 401 with this code.

    RFC 9110, section 11.6.1; RFC 6750, section 3.1 for a token that is refused.
    """
    error = ', error="invalid_token"' if code == "invalid_token" else ""
    return f'Bearer realm="hatchpay"{error}, {_API_KEY}'


def extract(api_keys: list[bytes], authorizations: list[bytes]) -> str | None:
    """The one credential among the values of `X-API-Key` and `Authorization`, or None.

    Raises MalformedRequest where there are two, or where `Authorization` is of no scheme that we know: guessing
    which one counts is how requests are smuggled past the check that somebody meant.
    """
    if len(api_keys) + len(authorizations) > 1:
        if not authorizations or not api_keys:
            raise MalformedRequest("a credential header stands twice", code="duplicate_header")
        raise MalformedRequest("X-API-Key and Authorization are two credentials; send one", code="multiple_credentials")
    if api_keys:
        text = api_keys[0].decode("latin-1").strip(" \t")
        if "," in text:
            raise MalformedRequest("X-API-Key holds two values", code="duplicate_header", field="X-API-Key")
        return text
    if authorizations:
        match = _BEARER.match(authorizations[0].decode("latin-1").strip(" \t"))
        # An unknown scheme is a credential that nobody knows: refused as invalid, not as missing.
        return match[1] if match else ""
    return None


def refuse_in_query(query: bytes) -> None:
    """Raises MalformedRequest where a credential stands in the query string, which proxies and browsers keep."""
    text = query.decode("latin-1")
    for _ in range(3):
        if _KEY_SHAPE.search(text) or any(
            part.partition("=")[0].strip().lower().replace("-", "_") in _QUERY_NAMES for part in re.split("[&;]", text)
        ):
            raise MalformedRequest("a credential may not stand in the query string", code="credential_in_query")
        decoded = unquote_plus(text)
        if decoded == text:
            return
        text = decoded
