"""The personal parts of a record or a change, as they lie in the ledger: salted, committed to, and encrypted.

Frozen format of the encrypted bytes, version 1: 0x01 ‖ nonce (12) ‖ AES-256-GCM of a MessagePack map from a part's name
to salt (32) ‖ canonical JSON, with the id of the record or change as associated data. Commitments are a MessagePack map
from name to 32 bytes, in the order of the names.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hatchpay.ledger.commitment import SALT_BYTES, commit

__all__ = ["Concealed", "Opened", "conceal_parts", "open_parts"]

_VERSION: Final = b"\x01"
_NONCE: Final = 12
_HEAD: Final = len(_VERSION) + _NONCE
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, bytes]).decode


class Concealed(msgspec.Struct, frozen=True, gc=False):
    """`commitments` by name, in order; `encrypted` as above."""

    commitments: dict[str, bytes]
    encrypted: bytes


class Opened(msgspec.Struct, frozen=True, gc=False):
    """Salt and canonical JSON of each part, by name."""

    salts: dict[str, bytes]
    values: dict[str, bytes]


def conceal_parts(
    parts: dict[str, bytes], key: bytes, identity: str, random: Callable[[int], bytes] = secrets.token_bytes
) -> Concealed:
    """`key` is the 32 bytes of a slot's data key; `identity` binds the bytes to their row."""
    names = sorted(parts)
    drawn = random(_NONCE + SALT_BYTES * len(names))
    nonce = drawn[:_NONCE]
    commitments: dict[str, bytes] = {}
    salted: dict[str, bytes] = {}
    start = _NONCE
    for name in names:
        salt, value = drawn[start : start + SALT_BYTES], parts[name]
        start += SALT_BYTES
        commitments[name] = commit(name, salt, value)
        salted[name] = salt + value
    encrypted = AESGCM(key).encrypt(nonce, _encode(salted), identity.encode())
    return Concealed(commitments, _VERSION + nonce + encrypted)


def open_parts(encrypted: bytes, key: bytes, identity: str) -> Opened | None:
    """None where the bytes are not what `conceal_parts` made with this key and identity."""
    if not encrypted.startswith(_VERSION):
        return None
    try:
        data = AESGCM(key).decrypt(encrypted[1:_HEAD], encrypted[_HEAD:], identity.encode())
        salted = _decode(data)
    except (InvalidTag, ValueError, msgspec.DecodeError):
        return None
    return Opened(
        {name: value[:SALT_BYTES] for name, value in salted.items()},
        {name: value[SALT_BYTES:] for name, value in salted.items()},
    )
