"""Base64 with padding (RFC 4648, section 4), accepted in its one canonical spelling."""

from __future__ import annotations

import binascii

__all__ = ["decode", "encode"]


def encode(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def decode(text: str) -> bytes | None:
    """None for everything but what `encode` emits."""
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return data if encode(data) == text else None
