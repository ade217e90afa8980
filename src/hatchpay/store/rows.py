"""Records and changes as rows of the ledger, there and back."""

from __future__ import annotations

from typing import Final

import msgspec

from hatchpay.audit.parts import conceal, conceal_change, reveal, reveal_change
from hatchpay.audit.record import Change, Payload, Record
from hatchpay.errors import AuditUnavailable
from hatchpay.store.payload import Opened, conceal_parts, open_parts
from hatchpay.store.vault import Vault

__all__ = [
    "CHANGE_COLUMNS",
    "INSERT_CHANGE",
    "INSERT_INTENT",
    "INSERT_RECORD",
    "RECORD_COLUMNS",
    "ChangeRow",
    "RecordRow",
    "change_values",
    "decode_commitments",
    "intent_record",
    "intent_values",
    "open_row",
    "read_change",
    "read_record",
    "record_values",
]

INSERT_RECORD: Final = "INSERT OR IGNORE INTO records VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_CHANGE: Final = "INSERT OR IGNORE INTO changes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
INSERT_INTENT: Final = """INSERT OR IGNORE INTO intents SELECT ?1, ?2, ?3, ?4, ?5
    WHERE NOT EXISTS (SELECT 1 FROM records WHERE request_id = ?1)"""
RECORD_COLUMNS: Final = "seq, record, slot, encrypted"
CHANGE_COLUMNS: Final = "change, slot, encrypted"

RecordRow = tuple[int, bytes, int | None, bytes | None]
ChangeRow = tuple[bytes, int | None, bytes | None]

_encode: Final = msgspec.msgpack.Encoder().encode
_record: Final = msgspec.msgpack.Decoder(Record).decode
_change: Final = msgspec.msgpack.Decoder(Change).decode
decode_commitments: Final = msgspec.msgpack.Decoder(dict[str, bytes]).decode


def record_values(record: Record, slot: int, key: bytes) -> tuple[object, ...]:
    public, parts = conceal(record)
    concealed = conceal_parts(parts, key, record.request_id)
    return (
        record.request_id,
        record.tenant_id,
        record.started_us,
        public.method,
        record.url.partition("?")[0],
        record.route,
        record.status,
        record.principal_id,
        record.key_id,
        public.business_unit_id,
        record.client_ip,
        record.response_time_us,
        _encode(public),
        _encode(concealed.commitments),
        slot,
        concealed.encrypted,
    )


def intent_values(record: Record, instance: str, slot: int, key: bytes) -> tuple[object, ...]:
    public, parts = conceal(record)
    concealed = conceal_parts(parts, key, record.request_id)
    kept = msgspec.structs.replace(public, subject=record.subject)
    return (record.request_id, instance, _encode(kept), slot, concealed.encrypted)


def change_values(change: Change, slot: int, key: bytes) -> tuple[object, ...]:
    public, parts = conceal_change(change)
    concealed = conceal_parts(parts, key, change.id)
    values = (change.id, change.request_id, change.tenant_id, _encode(public), _encode(concealed.commitments))
    return (*values, slot, concealed.encrypted)


def intent_record(data: bytes, slot: int, encrypted: bytes, vault: Vault) -> Record:
    """What an intent holds, without its parts where they have been erased since."""
    public = _record(data)
    opened, _ = open_row(slot, encrypted, public.request_id, vault)
    return public if opened is None else reveal(public, opened.values)


def read_record(row: RecordRow, vault: Vault) -> tuple[Record, Payload]:
    """The record as far as its parts are still there, and what has become of them."""
    public = _record(row[1])
    opened, payload = open_row(row[2], row[3], public.request_id, vault)
    return (public if opened is None else reveal(public, opened.values)), payload


def read_change(row: ChangeRow, vault: Vault) -> Change:
    public = _change(row[0])
    opened, _ = open_row(row[1], row[2], public.id, vault)
    return public if opened is None else reveal_change(public, opened.values)


def open_row(slot: int | None, encrypted: bytes | None, identity: str, vault: Vault) -> tuple[Opened | None, Payload]:
    """The parts that lie beside a row; None where they were erased, or are not what was written."""
    if slot is None or encrypted is None:
        return None, "erased"
    try:
        key = vault.key(slot)
    except AuditUnavailable:
        return None, "unreadable"
    if key is None:
        return None, "erased"
    opened = open_parts(encrypted, key, identity)
    return opened, "kept" if opened is not None else "unreadable"
