"""A record in two: what it may show for ever, and the parts that name or describe people.

The parts are kept encrypted and can be erased; a leaf of the tree shows only commitments to them. Each is canonical
JSON (RFC 8785): a string, or an object of strings.
"""

from __future__ import annotations

from typing import Final

import msgspec

from hatchpay.audit.leaf import PROOF_EVENTS
from hatchpay.audit.record import Change, Record
from hatchpay.ids import is_uuid

__all__ = ["LONGEST_PLAIN", "conceal", "conceal_change", "reveal", "reveal_change"]

LONGEST_PLAIN: Final = 200
"""A text that a caller chose and that is longer becomes a part: a leaf is at most 65,535 bytes."""

_encode: Final = msgspec.json.Encoder().encode
_text: Final = msgspec.json.Decoder(str).decode
_texts: Final = msgspec.json.Decoder(dict[str, str]).decode
_replace: Final = msgspec.structs.replace
_LOCAL: Final = "local:"
_CALLERS: Final = ("business_unit_id", "method", "token_id")


def conceal(record: Record) -> tuple[Record, dict[str, bytes]]:
    """The record without its parts, and the parts by name."""
    parts = {"url": _encode(record.url)}
    changes: dict[str, object] = {"url": "", "subject": None}
    if record.body is not None:
        parts["body"] = _encode(record.body.decode("utf-8", "replace"))
        changes["body"] = None
    if record.body_digest is not None:
        parts["body_hmac"] = _encode(record.body_digest)
        changes["body_digest"] = None
    if record.client_ip is not None:
        parts["client_ip"] = _encode(record.client_ip)
        changes["client_ip"] = None
    if record.correlation_id is not None:
        parts["correlation_id"] = _encode(record.correlation_id)
        changes["correlation_id"] = None
    if record.headers:
        parts["headers"] = _encode(dict(sorted(record.headers.items())))
        changes["headers"] = {}
    principal = record.principal_id
    if principal is not None and principal != record.key_id and not principal.startswith(_LOCAL):
        parts["principal_id"] = _encode(principal)
        changes["principal_id"] = None
    for name in _CALLERS:
        value = getattr(record, name)
        if value is not None and len(value) > LONGEST_PLAIN:
            parts[name] = _encode(value)
            changes[name] = "" if name == "method" else None
    return _replace(record, **changes), parts


def reveal(public: Record, parts: dict[str, bytes]) -> Record:
    """Undo `conceal`; parts that are missing stay missing. Raises msgspec.DecodeError for what is no part."""
    changes: dict[str, object] = {}
    for name, value in parts.items():
        if name == "headers":
            changes["headers"] = _texts(value)
        elif name == "body":
            changes["body"] = _text(value).encode()
        else:
            changes["body_digest" if name == "body_hmac" else name] = _text(value)
    return _replace(public, **changes)


def conceal_change(change: Change) -> tuple[Change, dict[str, bytes]]:
    """As `conceal` does. What happened to the trail itself is public, and has no parts."""
    if change.event in PROOF_EVENTS:
        return change, {}
    parts: dict[str, bytes] = {"detail": _encode(change.detail.decode("utf-8", "replace"))}
    public = _replace(change, detail=b"")
    if not (change.actor.startswith(_LOCAL) or is_uuid(change.actor)):
        parts["actor"] = _encode(change.actor)
        public = _replace(public, actor="")
    return public, parts


def reveal_change(public: Change, parts: dict[str, bytes]) -> Change:
    changes: dict[str, object] = {}
    if "detail" in parts:
        changes["detail"] = _text(parts["detail"]).encode()
    if "actor" in parts:
        changes["actor"] = _text(parts["actor"])
    return _replace(public, **changes)
