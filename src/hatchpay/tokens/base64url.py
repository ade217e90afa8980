"""Base64url without padding (RFC 7515 section 2), accepted in its one canonical spelling (RFC 4648 section 3.5)."""

from __future__ import annotations

import binascii
from typing import Final

from hatchpay.errors import InvalidToken

__all__ = ["decode", "encode"]

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_FROM_STANDARD: Final = bytes.maketrans(b"+/", b"-_")
_PADDING: Final = (b"", b"", b"==", b"=")
_LAST: Final = (_ALPHABET, b"", _ALPHABET[::16], _ALPHABET[::4])
"""By length modulo 4: the characters that may come last, because the bits that no byte uses are zero in them."""


def encode(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).translate(_FROM_STANDARD).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Accept exactly what `encode` emits.

    Raises InvalidToken: token_characters_invalid for a character outside A-Z a-z 0-9 - _, padding and white space
    included; token_base64_not_canonical for a length that no bytes have, and for unused bits that are not zero.
    """
    # A character that is not ASCII becomes "?", which is outside the alphabet.
    raw = text.encode("ascii", "replace")
    if raw.translate(None, _ALPHABET):
        raise InvalidToken("a part holds characters outside base64url", code="token_characters_invalid")
    rest = len(raw) % 4
    if raw and raw[-1] not in _LAST[rest]:
        raise InvalidToken("a part is not canonical base64url", code="token_base64_not_canonical")
    return binascii.a2b_base64(raw.translate(_TO_STANDARD) + _PADDING[rest])
