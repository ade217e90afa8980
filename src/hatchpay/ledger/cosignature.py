"""Cosignatures of witnesses: C2SP tlog-cosignature, v1 for Ed25519 (https://c2sp.org/tlog-cosignature).

Frozen format:

    signature value     timestamp (big-endian uint64, seconds since the epoch) || Ed25519 signature of 64 bytes
    signed message      "cosignature/v1\\n" "time <timestamp>\\n" || the checkpoint's text
    key type            0x04
"""

from __future__ import annotations

from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hatchpay.errors import InvalidProof
from hatchpay.ledger import note
from hatchpay.ledger.note import Note, Signature

__all__ = ["COSIGNATURE_V1", "Cosigner", "WitnessKey", "timestamp_of"]

COSIGNATURE_V1: Final = 0x04
_TIMESTAMP_BYTES: Final = 8
_VALUE_BYTES: Final = _TIMESTAMP_BYTES + 64
_LATEST: Final = 2**63 - 1


class WitnessKey(msgspec.Struct, frozen=True):
    """A witness's public key of 32 bytes under its name."""

    name: str
    public: bytes

    @staticmethod
    def parse(vkey: str) -> WitnessKey:
        """Raises InvalidProof."""
        return WitnessKey(*note.read_vkey(vkey, COSIGNATURE_V1))

    @property
    def key_id(self) -> bytes:
        return note.key_id(self.name, COSIGNATURE_V1, self.public)

    @property
    def vkey(self) -> str:
        return note.write_vkey(self.name, COSIGNATURE_V1, self.public)

    def verifies(self, text: bytes, signature: bytes) -> bool:
        timestamp = int.from_bytes(signature[:_TIMESTAMP_BYTES])
        if len(signature) != _VALUE_BYTES or not 0 < timestamp <= _LATEST:
            return False
        return note.ed25519_verifies(self.public, signature[_TIMESTAMP_BYTES:], _message(timestamp, text))


class Cosigner:
    """A witness's private key with its name."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        """Raises InvalidProof for a name that no key may have."""
        if not note.is_key_name(name):
            raise InvalidProof("a key's name has no spaces, control characters or plus", code="key_name_invalid")
        self._private = private
        self.key = WitnessKey(name, note.public_bytes(private))

    def __repr__(self) -> str:
        return f"Cosigner({self.key.vkey})"

    def cosign(self, text: str, timestamp: int) -> Signature:
        """Over a checkpoint's text, at `timestamp` in seconds since the epoch.

        It states that no larger consistent tree of that log was seen: the caller must have made that durable before.
        """
        if not 0 < timestamp <= _LATEST:
            raise InvalidProof("a cosignature has a time after the epoch", code="timestamp_invalid")
        value = timestamp.to_bytes(_TIMESTAMP_BYTES) + self._private.sign(_message(timestamp, text.encode()))
        return Signature(self.key.name, self.key.key_id, value)


def timestamp_of(opened: Note, key: WitnessKey) -> int:
    """In seconds, the latest of what `key` has cosigned. Only for a note that `note.verified_by` found it in."""
    return max(
        int.from_bytes(one.value[:_TIMESTAMP_BYTES])
        for one in opened.signatures
        if (one.name, one.key_id) == (key.name, key.key_id)
    )


def _message(timestamp: int, text: bytes) -> bytes:
    return b"cosignature/v1\ntime %d\n%b" % (timestamp, text)
