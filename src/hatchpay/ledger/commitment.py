"""Commitments: what a leaf says of a part that it does not show, so that the part can be erased or shown later.

Frozen format, version 1:

    SHA-256( "hatchpay/v1/" ‖ name ‖ 0x00 ‖ salt ‖ value )

`salt` is 32 random bytes of this part alone, `value` the part as canonical JSON (RFC 8785). Without the salt nobody can
test a guess of the value; with both, everybody can check it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

__all__ = ["SALT_BYTES", "commit"]

SALT_BYTES: Final = 32
_TAG: Final = b"hatchpay/v1/"


def commit(name: str, salt: bytes, value: bytes) -> bytes:
    """The 32 bytes that stand for the part `name`. `value` is canonical JSON."""
    return sha256(b"%b%b\0%b%b" % (_TAG, name.encode("ascii"), salt, value)).digest()
