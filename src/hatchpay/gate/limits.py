"""What every request must satisfy before anybody asks who sent it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from hatchpay.errors import MalformedRequest

__all__ = [
    "MAX_BODY",
    "MAX_HEADERS",
    "body_too_large",
    "check_length",
    "check_path",
    "check_transfer",
    "check_version",
    "headers_too_large",
]

MAX_BODY: Final = 16 * 1024 * 1024
MAX_HEADERS: Final = 64 * 1024
# As ASGI names them. A server that passes on another one has guessed at what it read.
_VERSIONS: Final = frozenset({"1.0", "1.1", "2", "3"})

# Empty and dot segments, parameters, back slashes, what belongs into no path (? and #), anything that is
# not visible ASCII, broken percent-encoding, and percent-encoding of what needs none or must never hide:
# slash, back slash, NUL, controls, semicolon, and a percent sign that would decode twice.
_AMBIGUOUS: Final = re.compile(
    rb"//|/\.{1,2}(?:/|\Z)|[;\\?#]|[^\x21-\x7e]"
    rb"|%(?![0-9A-Fa-f]{2})"
    rb"|%(?:[01][0-9A-Fa-f]|7[Ff]|2[FfEeDd]|5[CcFf]|3[0-9Bb]|4[1-9A-Fa-f]|5[0-9Aa]|6[1-9A-Fa-f]|7[0-9AaEe])"
    rb"|%25[0-9A-Fa-f]{2}"
)
_UNRESERVED: Final = b"/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def check_path(raw_path: bytes, path: str) -> None:
    """Raises MalformedRequest unless both forms of the path mean the same to everybody (RFC 3986, section 6)."""
    # Most paths hold nothing that could be ambiguous, which is told in a quarter of the expression's time.
    plain = not raw_path.translate(None, _UNRESERVED) and b"//" not in raw_path and b"/." not in raw_path
    if not raw_path.startswith(b"/") or (not plain and _AMBIGUOUS.search(raw_path)):
        raise MalformedRequest("the path is not in its one canonical form", code="path_not_canonical")
    text = raw_path.decode("ascii")
    if "%" in text:
        try:
            # Broken UTF-8 would decode to U+FFFD here and, overlong, to a slash elsewhere.
            text = unquote(text, errors="strict")
        except UnicodeDecodeError:
            raise MalformedRequest("the path is not UTF-8", code="path_not_canonical") from None
    if text != path:
        raise MalformedRequest("the path was rewritten before the gate", code="path_not_canonical")


def check_length(values: list[bytes], chunked: bool) -> int | None:
    """The declared length of the body, or None. Raises MalformedRequest where it is unclear or too large."""
    if not values:
        return None
    if len(values) > 1 or chunked or not values[0].isdigit() or len(values[0]) > 19:
        raise MalformedRequest("the length of the body is ambiguous", code="conflicting_content_length")
    length = int(values[0])
    if length > MAX_BODY:
        raise body_too_large()
    return length


def check_transfer(values: list[bytes], http_version: str) -> None:
    """Raises MalformedRequest for any coding but `chunked`, once, in HTTP/1.1 (RFC 9112, section 6.1)."""
    if values and (len(values) > 1 or values[0].strip(b" \t").lower() != b"chunked" or http_version != "1.1"):
        raise MalformedRequest("the body's transfer encoding is not known", code="unknown_transfer_encoding")


def check_version(http_version: str) -> None:
    """Raises MalformedRequest for HTTP/0.9 and for versions that nobody speaks."""
    if http_version not in _VERSIONS:
        raise MalformedRequest("this version of HTTP is not spoken here", code="unknown_http_version")


def body_too_large() -> MalformedRequest:
    return MalformedRequest("a request body holds at most 16 MiB", code="body_too_large", status=413)


def headers_too_large() -> MalformedRequest:
    return MalformedRequest("the head of a request holds at most 64 KiB", code="headers_too_large", status=431)
