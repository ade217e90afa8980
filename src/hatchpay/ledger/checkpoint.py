"""Checkpoints: C2SP tlog-checkpoint (https://c2sp.org/tlog-checkpoint). What a log signs of its tree.

Frozen format of the note's text:

    <origin>
    <size, decimal without leading zeroes>
    <root hash of 32 bytes, base64>
    <extension lines, none of them empty>
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from hatchpay.errors import InvalidProof
from hatchpay.ledger import base64, note
from hatchpay.ledger.merkle import EMPTY_ROOT, HASH_BYTES, MOST_LEAVES
from hatchpay.ledger.note import Note, Signature, SignsNotes, VerifierKey

__all__ = ["Checkpoint", "decimal", "open_checkpoint", "parse_body", "sign_checkpoint", "with_signatures"]

_DECIMAL: Final = re.compile("0|[1-9][0-9]{0,18}")
_UNPRINTED: Final = re.compile("[\0-\x1f]")


class Checkpoint(msgspec.Struct, frozen=True):
    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def body(self) -> str:
        """The note's text."""
        lines = (self.origin, str(self.size), base64.encode(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_body(text: str) -> Checkpoint:
    """Raises InvalidProof for everything but what `Checkpoint.body` gives of a valid one."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise InvalidProof("a checkpoint has at least three lines, none of them empty", code="checkpoint_malformed")
    origin, size_text, root_text, *extensions = lines
    size, root = decimal(size_text), base64.decode(root_text)
    if size is None or root is None:
        raise InvalidProof("the size or the root hash is not in its one spelling", code="checkpoint_malformed")
    return _checked(Checkpoint(origin, size, root, tuple(extensions)))


def sign_checkpoint(checkpoint: Checkpoint, signers: Sequence[SignsNotes]) -> bytes:
    """The signed note. It is for the caller to sign no two checkpoints that are inconsistent. Raises InvalidProof."""
    return note.sign(_checked(checkpoint).body(), signers).encode()


def open_checkpoint(data: bytes, keys: Sequence[VerifierKey]) -> tuple[Checkpoint, Note]:
    """A checkpoint that a log of `keys` has signed. A key signs for the log whose origin is the key's name.

    Raises InvalidProof: log_unknown where none of the keys is that log's, log_signature_missing where none of those has
    signed, signature_invalid, and what parsing raises. Cosignatures are still to be judged: policy.cosigners.
    """
    opened = note.parse(data)
    checkpoint = parse_body(opened.text)
    own = [key for key in keys if key.name == checkpoint.origin]
    if not own:
        raise InvalidProof("the checkpoint is of a log that is not known", code="log_unknown")
    if not note.verified_by(opened, own):
        raise InvalidProof("no known key of the log has signed the checkpoint", code="log_signature_missing")
    return checkpoint, opened


def with_signatures(data: bytes, signatures: Sequence[Signature]) -> bytes:
    """The note with further lines, such as cosignatures; lines that it has already are not repeated."""
    opened = note.parse(data)
    added = dict.fromkeys((*opened.signatures, *signatures))
    return note.Note(opened.text, tuple(added)).encode()


def decimal(text: str) -> int | None:
    """From 0 to 2**63 - 1 in its one spelling; else None."""
    value = int(text) if _DECIMAL.fullmatch(text) else None
    return value if value is not None and value <= MOST_LEAVES else None


def _checked(checkpoint: Checkpoint) -> Checkpoint:
    lines = (checkpoint.origin, *checkpoint.extensions)
    if not all(lines) or any(_UNPRINTED.search(line) for line in lines):
        raise InvalidProof("an origin or an extension is one line, not empty", code="checkpoint_malformed")
    if len(checkpoint.root) != HASH_BYTES or not 0 <= checkpoint.size <= MOST_LEAVES:
        raise InvalidProof("the size or the root hash is out of range", code="checkpoint_malformed")
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise InvalidProof("an empty tree has another root", code="empty_root_wrong")
    return checkpoint
