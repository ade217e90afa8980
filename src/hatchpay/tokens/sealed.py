"""Small secrets, sealed for the database under the key-encryption key.

Frozen format:

    0x01                    1 byte    version
    nonce                  12 bytes   never used twice under one key-encryption key
    ciphertext with tag               AES-256-GCM (NIST SP 800-38D, 16-byte tag)

The associated data says what it is and where it belongs: moved anywhere else, a ciphertext does not open.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hatchpay.errors import UnusableKey

__all__ = ["NONCE_BYTES", "seal", "unseal"]

NONCE_BYTES: Final = 12
_VERSION: Final = b"\x01"
_KEK_BYTES: Final = 32


def seal(secret: bytes, kek: bytes, nonce: bytes, associated: bytes) -> bytes:
    """Raises UnusableKey `sealing_input_invalid` for a `kek` that has not 32 bytes or a `nonce` that has not 12."""
    if len(kek) != _KEK_BYTES or len(nonce) != NONCE_BYTES:
        raise UnusableKey("sealing takes a key of 32 bytes and a nonce of 12", code="sealing_input_invalid")
    return _VERSION + nonce + AESGCM(kek).encrypt(nonce, secret, associated)


def unseal(sealed: bytes, kek: bytes, associated: bytes) -> bytes:
    """Undo `seal`. Raises UnusableKey `sealed_unreadable` for another `kek`, another place, and what was damaged."""
    start = len(_VERSION) + NONCE_BYTES
    if len(kek) == _KEK_BYTES and len(sealed) >= start and sealed.startswith(_VERSION):
        try:
            return AESGCM(kek).decrypt(sealed[len(_VERSION) : start], sealed[start:], associated)
        except InvalidTag:
            pass
    raise UnusableKey("what was sealed cannot be opened with this key", code="sealed_unreadable")
