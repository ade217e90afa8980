"""Receipts: C2SP tlog-proof v1 (https://c2sp.org/tlog-proof). That one leaf is in a log, checkable offline.

Frozen format:

    c2sp.org/tlog-proof@v1
    extra <base64 of the leaf>
    index <decimal>
    <base64 of a hash>              the inclusion proof, from the leaf's sibling up; none in a tree of one leaf
    <empty line>
    <the checkpoint, a signed note>

The specification leaves the meaning of `extra` to the application. Ours is the leaf itself: it is not trusted but
hashed, and the proof holds for that hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from hatchpay.errors import InvalidProof
from hatchpay.ledger import base64
from hatchpay.ledger.checkpoint import decimal, open_checkpoint
from hatchpay.ledger.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from hatchpay.ledger.note import MAX_NOTE_BYTES, VerifierKey
from hatchpay.ledger.policy import NO_WITNESSES, Cosigned, WitnessPolicy, cosigners
from hatchpay.ledger.tiles import MAX_ENTRY_BYTES

__all__ = ["MAX_RECEIPT_BYTES", "MEDIA_TYPE", "SUFFIX", "Receipt", "Verified", "parse_receipt", "verify_receipt"]

MEDIA_TYPE: Final = "text/plain; charset=utf-8"
SUFFIX: Final = ".tlog-proof"
MAX_RECEIPT_BYTES: Final = MAX_NOTE_BYTES + 2 * MAX_ENTRY_BYTES
_HEADER: Final = "c2sp.org/tlog-proof@v1"
_LONGEST_PROOF: Final = 63


class Receipt(msgspec.Struct, frozen=True):
    """`checkpoint` is the signed note as it was published. Nothing is verified."""

    leaf: bytes
    index: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """Raises InvalidProof for a leaf that no log of ours holds."""
        if not 0 < len(self.leaf) <= MAX_ENTRY_BYTES:
            raise InvalidProof("a leaf has from 1 to 65,535 bytes", code="receipt_malformed")
        lines = (_HEADER, f"extra {base64.encode(self.leaf)}", f"index {self.index}", *map(base64.encode, self.proof))
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint


class Verified(msgspec.Struct, frozen=True):
    """What a receipt proves: `leaf` is the entry `index` of the log `origin`, which had `size` entries or more.

    `cosigners` are the known witnesses that have seen the log at that size.
    """

    origin: str
    index: int
    size: int
    root: bytes
    leaf: bytes
    cosigners: tuple[Cosigned, ...]


def parse_receipt(data: bytes) -> Receipt:
    """Raises InvalidProof for everything but what `Receipt.encode` gives; the checkpoint is not looked at."""
    if len(data) > MAX_RECEIPT_BYTES:
        raise InvalidProof("the receipt is too large", code="receipt_malformed")
    head, empty, checkpoint = data.partition(b"\n\n")
    try:
        header, extra, index_line, *proof_lines = head.decode("ascii").split("\n")
    except ValueError:
        raise InvalidProof("the receipt lacks one of its first three lines", code="receipt_malformed") from None
    if not empty or header != _HEADER or len(proof_lines) > _LONGEST_PROOF:
        raise InvalidProof("not a receipt in the format c2sp.org/tlog-proof@v1", code="receipt_malformed")
    leaf = base64.decode(extra.removeprefix("extra ")) if extra.startswith("extra ") else None
    if not leaf or len(leaf) > MAX_ENTRY_BYTES:
        raise InvalidProof("the receipt's extra line is not a leaf in base64", code="receipt_malformed")
    index = decimal(index_line.removeprefix("index ")) if index_line.startswith("index ") else None
    if index is None:
        raise InvalidProof("the receipt's index line is not a decimal number", code="receipt_malformed")
    return Receipt(leaf, index, tuple(map(_hash, proof_lines)), checkpoint)


def verify_receipt(data: bytes, keys: Sequence[VerifierKey], policy: WitnessPolicy = NO_WITNESSES) -> Verified:
    """Raises InvalidProof unless all of it holds: a log of `keys` has signed the checkpoint, as many witnesses as
    `policy` wants have cosigned it, and the leaf is in its tree at the index.
    """
    receipt = parse_receipt(data)
    checkpoint, opened = open_checkpoint(receipt.checkpoint, keys)
    cosigned = cosigners(opened, policy)
    verify_inclusion(receipt.index, checkpoint.size, leaf_hash(receipt.leaf), receipt.proof, checkpoint.root)
    return Verified(checkpoint.origin, receipt.index, checkpoint.size, checkpoint.root, receipt.leaf, cosigned)


def _hash(line: str) -> bytes:
    value = base64.decode(line)
    if value is None or len(value) != HASH_BYTES:
        raise InvalidProof("a line of the inclusion proof is not a hash in base64", code="receipt_malformed")
    return value
