"""Opens a leaf: whether a record that somebody shows is the one that a leaf of the tree stands for.

A request's leaf (audit/leaf.py) shows some members and commits to the others, the parts. A record file is what
`GET /v1/audit-log/records/{request_id}` answers, a JSON object with at least

    record      the flat record, as the history shows it, with `secret_version`
    openings    of each part its salt (base64 of 32 bytes) and its value, a string or an object of strings

It is written by whoever wants to convince, so everything in it is checked against the leaf, and what no leaf says is
reported as unproven.
"""

from __future__ import annotations

import json
from hmac import compare_digest
from typing import Final, NoReturn

import msgspec

from hatchpay.errors import InvalidProof
from hatchpay.ledger import base64
from hatchpay.ledger.commitment import SALT_BYTES, commit

__all__ = ["MAX_RECORD_FILE_BYTES", "Opened", "open_leaf"]

MAX_RECORD_FILE_BYTES: Final = 64 * 1024 * 1024
_SHOWN: Final = (
    frozenset[str]()
    | {"audit_us", "auth_us", "body_size", "business_unit_id", "claimed_key_id", "decision"}
    | {"handler_us", "issuer_id", "key_id", "method", "missing", "permission"}
    | {"principal_id", "reason", "request_id", "response_size", "response_time_us", "roles"}
    | {"route", "rule", "secret_version", "started_at", "state", "status"}
    | {"tenant_id", "token_id"}
)
_LEAF: Final = _SHOWN | {"commitments", "type", "v"}
_BLANK: Final[dict[str, object]] = {
    "body": None,
    "body_hmac": None,
    "business_unit_id": None,
    "client_ip": None,
    "correlation_id": None,
    "headers": (),
    "method": "",
    "principal_id": None,
    "token_id": None,
    "url": "",
}
"""What stands in the record in the place of a part that is withheld; the empty tuple is an object without members."""

_encode: Final = msgspec.json.Encoder().encode


class Opened(msgspec.Struct, frozen=True):
    """Names of members of the record. `shown` are the parts that are proved to be what was recorded, `withheld` those
    that the leaf commits to and that the file does not show (they may have been erased). All others of the record are
    proved by the leaf itself, but for `unproven`: of these it says nothing.
    """

    request_id: str
    shown: tuple[str, ...]
    withheld: tuple[str, ...]
    unproven: tuple[str, ...]


class _Number(msgspec.Struct, frozen=True):
    """As it is spelled: two readers may round differently."""

    text: str


_Members = tuple[tuple[str, object], ...]
"""An object, in the order of its names."""


def open_leaf(leaf: bytes, record_file: bytes) -> Opened:
    """Raises InvalidProof: leaf_not_a_request, record_malformed, opening_malformed, opening_wrong where a part is not
    what the leaf commits to, part_not_opened where the record shows one that no opening proves, and record_differs.
    """
    committed = _leaf(leaf)
    commitments = _required(committed["commitments"])
    if len(record_file) > MAX_RECORD_FILE_BYTES:
        raise InvalidProof("the record file is too large", code="record_malformed")
    file = _required(_read(record_file))
    record = _required(file.get("record"))
    openings = _required(file.get("openings"))
    parts = {name: _opened(name, opening, commitments.get(name)) for name, opening in openings.items()}
    for name in sorted(_SHOWN | _BLANK.keys()):
        _compare(name, record, committed, parts)
    return Opened(
        str(committed["request_id"]),
        tuple(sorted(parts)),
        tuple(sorted(commitments.keys() - parts.keys())),
        tuple(sorted(record.keys() - _SHOWN - _BLANK.keys())),
    )


def _leaf(leaf: bytes) -> dict[str, object]:
    members = _object(_read(leaf))
    if members is None or members.keys() != _LEAF or members["type"] != "request" or members["v"] != _Number("1"):
        raise InvalidProof("the leaf is not that of a request, version 1", code="leaf_not_a_request")
    return members


def _opened(name: str, opening: object, commitment: object) -> object:
    """The value of a part, as the record shows it. It is proved."""
    members = _object(opening) or {}
    salt_text, value = members.get("salt"), members.get("value")
    salt = base64.decode(salt_text) if isinstance(salt_text, str) else None
    if members.keys() != {"salt", "value"} or salt is None or len(salt) != SALT_BYTES or name not in _BLANK:
        raise InvalidProof("an opening is not a known part's salt and value", code="opening_malformed")
    digest = base64.decode(commitment) if isinstance(commitment, str) else None
    if digest is None or not compare_digest(commit(name, salt, _canonical(value)), digest):
        raise InvalidProof("a part is not what the leaf commits to", code="opening_wrong")
    return _read(value.encode()) if name == "body" and isinstance(value, str) else value


def _compare(name: str, record: dict[str, object], leaf: dict[str, object], parts: dict[str, object]) -> None:
    if name not in record:
        raise InvalidProof("the record lacks a member", code="record_malformed")
    shown = record[name]
    if name in parts and name in leaf and leaf[name] != _BLANK[name]:
        raise InvalidProof("the leaf shows what it commits to", code="leaf_not_a_request")
    if name in parts or name in leaf:
        if shown != parts.get(name, leaf.get(name)):
            raise InvalidProof("the record is not what the leaf and its openings say", code="record_differs")
    elif shown != _BLANK[name]:
        raise InvalidProof("the record shows a part that is not opened", code="part_not_opened")


def _canonical(value: object) -> bytes:
    """RFC 8785, of a string or an object of strings: nothing else is ever committed to."""
    if isinstance(value, str):
        return _encode(value)
    members = _object(value)
    if members is None or not all(isinstance(one, str) for one in members.values()):
        raise InvalidProof("a part is neither a string nor an object of strings", code="opening_malformed")
    # Section 3.2.3: names in the order of their UTF-16 code units.
    return _encode(dict(sorted(members.items(), key=lambda pair: pair[0].encode("utf-16-be"))))


def _object(value: object) -> dict[str, object] | None:
    """None unless it is an object whose names are all different."""
    if not isinstance(value, tuple):
        return None
    members = dict(value)
    return members if len(members) == len(value) else None


def _required(value: object) -> dict[str, object]:
    members = _object(value)
    if members is None:
        raise InvalidProof("an object is missing, or names a member twice", code="record_malformed")
    return members


def _read(data: bytes) -> object:
    """JSON in UTF-8, objects as `_Members` and numbers as they are spelled. Raises InvalidProof."""
    try:
        text = data.decode()
        value: object = _DECODER.decode(text)
        if "\\u" in text:
            # Only an escape can bring a lone surrogate, and no encoder takes one.
            json.dumps(json.loads(text), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidProof("what is shown of a record is not JSON", code="record_malformed") from None
    return value


def _members(pairs: list[tuple[str, object]]) -> _Members:
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a number of JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_Number, parse_float=_Number, parse_constant=_refuse
)
