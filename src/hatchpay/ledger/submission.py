"""What a log sends to a witness: C2SP tlog-witness (https://c2sp.org/tlog-witness), the call add-checkpoint.

Frozen format of the request:

    old <size of the checkpoint that the witness cosigned last, decimal; 0 where there is none>
    <base64 of a hash>              the consistency proof from that size; none from size 0
    <empty line>
    <the checkpoint, a signed note>
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import Final

import msgspec

from hatchpay.errors import InvalidProof
from hatchpay.ledger import base64
from hatchpay.ledger.checkpoint import Checkpoint, decimal
from hatchpay.ledger.merkle import HASH_BYTES, verify_consistency
from hatchpay.ledger.note import MAX_NOTE_BYTES

__all__ = ["MAX_SUBMISSION_BYTES", "Submission", "origin_hash", "parse_submission", "verify_growth"]

_LONGEST_PROOF: Final = 63
MAX_SUBMISSION_BYTES: Final = MAX_NOTE_BYTES + 64 * 64


class Submission(msgspec.Struct, frozen=True):
    """`checkpoint` is the signed note as it was published. Nothing is verified."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        lines = (f"old {self.old}", *map(base64.encode, self.proof))
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint


def parse_submission(data: bytes) -> Submission:
    """Raises InvalidProof for everything but what `Submission.encode` gives; the checkpoint is not looked at."""
    if len(data) > MAX_SUBMISSION_BYTES:
        raise InvalidProof("the submission is too large", code="submission_malformed")
    head, empty, checkpoint = data.partition(b"\n\n")
    try:
        old_line, *proof_lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise InvalidProof("the lines before the checkpoint are not ASCII", code="submission_malformed") from None
    old = decimal(old_line.removeprefix("old ")) if old_line.startswith("old ") else None
    proof = [base64.decode(line) for line in proof_lines]
    if not empty or old is None or len(proof) > _LONGEST_PROOF:
        raise InvalidProof("not an old size, at most 63 hashes and a checkpoint", code="submission_malformed")
    hashes = tuple(one for one in proof if one is not None and len(one) == HASH_BYTES)
    if len(hashes) != len(proof):
        raise InvalidProof("a line of the proof is not a hash in base64", code="submission_malformed")
    return Submission(old, hashes, checkpoint)


def verify_growth(old: int, old_root: bytes, new: Checkpoint, proof: tuple[bytes, ...]) -> None:
    """Raises InvalidProof unless the checkpoint goes on from the tree of `old` leaves. Every tree goes on from none."""
    if old == 0:
        if proof or (new.size == 0 and not compare_digest(new.root, old_root)):
            raise InvalidProof("from an empty tree there is nothing to prove", code="consistency_invalid")
        return
    verify_consistency(old, old_root, new.size, new.root, proof)


def origin_hash(origin: str) -> str:
    """Under which a witness shows what it cosigned last of a log."""
    return sha256(origin.encode()).hexdigest()
