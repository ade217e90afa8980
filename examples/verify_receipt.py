"""Checks a receipt of HatchPay's audit log, offline, with nothing of HatchPay's: one file, to be read before it is run.

    python verify_receipt.py RECEIPT --vkey VKEY [--keys FILE] [--witness VKEY ... [--quorum K]] [--record FILE]

Needs Python 3.11 and the package `cryptography`. Exit code 0 only where everything holds.

RECEIPT is a file in the format c2sp.org/tlog-proof@v1; VKEY the log's public key, which must come from somewhere that
the log's owner cannot change afterwards. FILE of --keys holds the statements by which that key vouches for later ones.
FILE of --record is what `GET /v1/audit-log/records/{request_id}` answered.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LOG_KEY, WITNESS_KEY = 1, 4
STATEMENT = "hatchpay-log-key/v1"
# What a leaf does not show. It commits to each as SHA-256("hatchpay/v1/" + name + 0x00 + salt + canonical JSON), and
# this is what a record has in the place of one that is kept back.
PARTS: dict[str, object] = {
    "body": None,
    "body_hmac": None,
    "business_unit_id": None,
    "client_ip": None,
    "correlation_id": None,
    "headers": {},
    "method": "",
    "principal_id": None,
    "token_id": None,
    "url": "",
}


class Refused(Exception):
    """The receipt does not hold, and why."""


class Key:
    """A public key of a log or a witness: name+key id+base64 of type and 32 bytes (C2SP signed-note)."""

    def __init__(self, vkey: str, kind: int) -> None:
        self.name, _, rest = vkey.partition("+")
        id_text, _, material_text = rest.partition("+")
        material = decoded(material_text)
        if not self.name or len(material) != 33 or material[0] != kind:
            raise Refused("a vkey is not an Ed25519 key of the wanted type")
        self.id = hashlib.sha256(self.name.encode() + b"\n" + material).digest()[:4]
        if self.id.hex() != id_text:
            raise Refused("a vkey's id is not that of its name and key")
        self.public = material[1:]

    def verify(self, signature: bytes, message: bytes) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise Refused(f"a signature of {self.name} is wrong") from None


Signatures = list[tuple[str, bytes, bytes]]


def decoded(text: str) -> bytes:
    """Base64 in its one spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Refused("something is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise Refused("something is not base64 in its one spelling")
    return data


def decimal(text: str) -> int:
    if not re.fullmatch("0|[1-9][0-9]{0,18}", text):
        raise Refused("a number is not decimal without leading zeroes")
    return int(text)


def read_note(data: bytes) -> tuple[str, Signatures]:
    """C2SP signed-note: a text, an empty line, and signatures as name, key id and the rest."""
    content = data.decode()
    text, empty, lines = content.rpartition("\n\n")
    if not empty or not lines.endswith("\n") or re.search("[\0-\x09\x0b-\x1f]", content):
        raise Refused("something is not a signed note")
    signatures: Signatures = []
    for line in lines[:-1].split("\n"):
        match = re.fullmatch("— ([^ ]+) ([^ ]+)", line)
        if match is None:
            raise Refused("a line of a note is not a signature")
        raw = decoded(match[2])
        signatures.append((match[1], raw[:4], raw[4:]))
    return text + "\n", signatures


def signed_by(signatures: Signatures, key: Key) -> list[bytes]:
    return [value for name, key_id, value in signatures if (name, key_id) == (key.name, key.id)]


def followed(first: Key, statements: bytes) -> list[Key]:
    """The log's keys: the known one, and those that each vouched for in turn."""
    keys = [first]
    for part in re.split(rf"(?m)^(?={re.escape(STATEMENT)}$)", statements.decode()):
        if not part:
            continue
        text, signatures = read_note(part.encode())
        found = signed_by(signatures, keys[-1])
        if not found:
            continue
        for signature in found:
            keys[-1].verify(signature, text.encode())
        lines = text.split("\n")
        if len(lines) != 4 or lines[0] != STATEMENT or lines[1] != first.name:
            raise Refused("a signed text is not a statement about this log's key")
        keys.append(Key(lines[2], LOG_KEY))
        if keys[-1].name != first.name:
            raise Refused("a statement is about the key of another log")
    return keys


def read_checkpoint(text: str) -> tuple[str, int, bytes]:
    """C2SP tlog-checkpoint: origin, size and root hash."""
    lines = text.split("\n")
    if len(lines) < 4 or not all(lines[:-1]):
        raise Refused("the note is not a checkpoint")
    root = decoded(lines[2])
    if len(root) != 32:
        raise Refused("the checkpoint's root hash is not 32 bytes long")
    return lines[0], decimal(lines[1]), root


def cosigned(text: str, signatures: Signatures, witness: Key) -> int | None:
    """When the witness has cosigned (C2SP tlog-cosignature, v1), in seconds since the epoch; None if it has not."""
    times: list[int] = []
    for value in signed_by(signatures, witness):
        time = int.from_bytes(value[:8])
        witness.verify(value[8:], f"cosignature/v1\ntime {time}\n{text}".encode())
        times.append(time)
    return max(times, default=None)


def moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}" if seconds < 253_402_300_800 else f"{seconds} s"


def root_of(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """The root hash that the proof leads to (RFC 9162, section 2.1.3.2)."""
    if index >= size:
        raise Refused("the index is beyond the end of the tree")
    node, last = hashlib.sha256(b"\0" + leaf).digest(), size - 1
    for sibling in proof:
        if last == 0 or len(sibling) != 32:
            raise Refused("the inclusion proof has another length than the tree asks for")
        if index & 1 or index == last:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    if last:
        raise Refused("the inclusion proof is too short")
    return node


class Number(str):
    """As it is spelled: two readers may round differently. Never equal to a text."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def members(pairs: list[tuple[str, object]]) -> object:
    """An object that names a member twice may be in a body; elsewhere `read_object` refuses it."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else tuple(sorted(pairs, key=lambda pair: pair[0]))


def refuse_number(_: str) -> NoReturn:
    raise Refused("something is not a number of JSON")


def read_json(text: str) -> object:
    decoder = json.JSONDecoder(
        object_pairs_hook=members, parse_int=Number, parse_float=Number, parse_constant=refuse_number
    )
    return decoder.decode(text)


def read_object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Refused("an object is missing, or names a member twice")
    return value


def plain(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def canonical(value: object) -> bytes:
    """RFC 8785, of the only values that a leaf commits to: a string, or an object of strings."""
    if isinstance(value, dict) and all(map(plain, value.values())):
        value = dict(sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be")))
    elif not plain(value):
        raise Refused("an opened part is neither a string nor an object of strings")
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def opened(commitments: dict[str, object], openings: dict[str, object]) -> dict[str, object]:
    """The parts that are opened, as the record shows them. The body was committed to as JSON text."""
    parts: dict[str, object] = {}
    for name, opening in openings.items():
        salt_text, value = read_object(opening).get("salt"), read_object(opening).get("value")
        salt = decoded(str(salt_text))
        digest = hashlib.sha256(b"hatchpay/v1/" + name.encode() + b"\0" + salt + canonical(value)).digest()
        if name not in PARTS or len(salt) != 32 or base64.b64encode(digest).decode() != commitments.get(name):
            raise Refused(f"{name} is not what the leaf commits to")
        parts[name] = read_json(str(value)) if name == "body" else value
    return parts


def open_record(leaf: dict[str, object], file: bytes) -> list[str]:
    """What the record file proves, in sentences."""
    if leaf.get("type") != "request" or leaf.get("v") != Number("1"):
        raise Refused("the leaf is not that of a request")
    answer = read_object(read_json(file.decode()))
    record = read_object(answer.get("record"))
    commitments = read_object(leaf["commitments"])
    parts = opened(commitments, read_object(answer.get("openings")))
    shown_by_leaf = {name: value for name, value in leaf.items() if name not in {"commitments", "type", "v"}}
    for name in {*shown_by_leaf, *PARTS}:
        if name not in record:
            raise Refused(f"the record lacks {name}")
        if name in parts and name in shown_by_leaf and shown_by_leaf[name] != PARTS[name]:
            raise Refused(f"the leaf shows {name}, to which it commits")
        if record[name] != parts.get(name, shown_by_leaf.get(name, PARTS.get(name))):
            raise Refused(f"the record's {name} is not what the leaf and the openings say")
    said = [f"the record is the one of the leaf; opened: {', '.join(sorted(parts)) or 'nothing'}"]
    if withheld := sorted(commitments.keys() - parts.keys()):
        said.append(f"kept back or erased: {', '.join(withheld)}")
    if unproven := sorted(record.keys() - shown_by_leaf.keys() - PARTS.keys()):
        said.append(f"shown but not proved: {', '.join(unproven)}")
    return said


def check(receipt: bytes, keys: list[Key], witnesses: list[Key], quorum: int, record: bytes | None) -> list[str]:
    """What is proved, in sentences. Raises Refused."""
    head, _, checkpoint = receipt.partition(b"\n\n")
    header, extra, index_line, *proof_lines = [*head.decode("ascii").split("\n"), "", ""]
    if header != "c2sp.org/tlog-proof@v1" or not extra.startswith("extra ") or not index_line.startswith("index "):
        raise Refused("not a receipt in the format c2sp.org/tlog-proof@v1 with a leaf")
    leaf, index = decoded(extra.removeprefix("extra ")), decimal(index_line.removeprefix("index "))
    text, signatures = read_note(checkpoint)
    origin, size, root = read_checkpoint(text)
    by_log = [(key, signature) for key in keys for signature in signed_by(signatures, key)]
    if origin != keys[0].name or not by_log:
        raise Refused("the checkpoint is not signed by the log's key")
    for key, signature in by_log:
        key.verify(signature, text.encode())
    proof = [decoded(line) for line in proof_lines[:-2]]
    if root_of(leaf, index, size, proof) != root:
        raise Refused("the inclusion proof leads to another root hash")
    said = [f"entry {index} of the log {origin}, which had {size} entries, is this leaf:", leaf.decode()]
    times = {witness.name: cosigned(text, signatures, witness) for witness in witnesses}
    seen = {name: time for name, time in times.items() if time is not None}
    if len(seen) < quorum:
        raise Refused(f"{len(seen)} of the witnesses have cosigned the checkpoint, and {quorum} must have")
    for name, time in seen.items():
        said.append(f"witness {name} saw the log so at {moment(time)}")
    if record is not None:
        said += open_record(read_object(read_json(leaf.decode())), record)
    return said


def inert(line: str) -> str:
    """A leaf and a record hold what strangers wrote; a terminal is to obey none of it."""
    return line if line.isprintable() else ascii(line)[1:-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("receipt", type=Path)
    parser.add_argument("--vkey", required=True, help="the log's public key")
    parser.add_argument("--keys", type=Path, help="statements by which that key vouches for later ones")
    parser.add_argument("--witness", action="append", default=[], help="a witness's public key; repeatable")
    parser.add_argument("--quorum", type=int, help="how many of the witnesses must have cosigned; by default all")
    parser.add_argument("--record", type=Path, help="the record with its openings")
    wanted = parser.parse_args()
    quorum = len(wanted.witness) if wanted.quorum is None else wanted.quorum
    if not 0 <= quorum <= len(wanted.witness):
        parser.error("--quorum is from 0 to the number of witnesses")
    try:
        witnesses = [Key(vkey, WITNESS_KEY) for vkey in wanted.witness]
        if len({witness.public for witness in witnesses}) != len(witnesses):
            raise Refused("a witness stands twice")
        keys = followed(Key(wanted.vkey, LOG_KEY), wanted.keys.read_bytes() if wanted.keys else b"")
        record = wanted.record.read_bytes() if wanted.record else None
        said = check(wanted.receipt.read_bytes(), keys, witnesses, quorum, record)
    except (Refused, ValueError, RecursionError) as error:
        # A ValueError's text may hold what it could not read.
        said = [str(error) if isinstance(error, Refused) else "something is not readable"]
        print("NOT PROVED:", *map(inert, said), file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    print("PROVED:")
    print(*map(inert, said), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
