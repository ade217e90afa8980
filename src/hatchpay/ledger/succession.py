"""How one log key vouches for the next, so that whoever knows the first can follow the log through every change.

Frozen format: a signed note (C2SP signed-note) by the older key, its text

    hatchpay-log-key/v1
    <origin>
    <vkey of the successor>

A log makes the statement while the older key is there, before the successor signs anything: it holds as well where the
older key is lost afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hatchpay.errors import InvalidProof
from hatchpay.ledger import note
from hatchpay.ledger.note import SignsNotes, VerifierKey

__all__ = ["follow", "split_statements", "vouch"]

_HEADER: Final = "hatchpay-log-key/v1"
_STARTS: Final = re.compile(rb"^hatchpay-log-key/v1$", re.MULTILINE)


def vouch(signer: SignsNotes, successor: VerifierKey) -> bytes:
    """The statement about the log whose origin is the successor's name."""
    return note.sign(f"{_HEADER}\n{successor.name}\n{successor.vkey}\n", [signer]).encode()


def follow(known: VerifierKey, statements: Sequence[bytes]) -> tuple[VerifierKey, ...]:
    """`known` and the keys that followed it, oldest first. Statements of keys outside the chain are passed over.

    Raises InvalidProof: succession_malformed, and what a note that does not hold raises.
    """
    chain = [known]
    for data in statements:
        opened = note.parse(data)
        if not any(line.name == chain[-1].name and line.key_id == chain[-1].key_id for line in opened.signatures):
            continue
        if not note.verified_by(opened, [chain[-1]]):
            raise InvalidProof(
                "a statement about a log's key is not signed by the key before", code="signature_invalid"
            )
        chain.append(_successor(opened.text, known.name))
    return tuple(chain)


def split_statements(data: bytes) -> tuple[bytes, ...]:
    """Of a file in which they stand one behind the other. What is not a statement is left to `follow` to refuse."""
    starts = [match.start() for match in _STARTS.finditer(data)]
    if data and starts[:1] != [0]:
        raise InvalidProof("not a file of statements about a log's key", code="succession_malformed")
    return tuple(data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True))


def _successor(text: str, origin: str) -> VerifierKey:
    lines = text.split("\n")
    if len(lines) != 4 or lines[0] != _HEADER or lines[1] != origin or lines[3]:
        raise InvalidProof("not a statement about this log's key", code="succession_malformed")
    key = VerifierKey.parse(lines[2])
    if key.name != origin:
        raise InvalidProof("a log's key has the log's origin as its name", code="succession_malformed")
    return key
