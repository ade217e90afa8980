"""Whether one row of the ledger is what its leaf says: record, columns, and the parts that the leaf commits to."""

from __future__ import annotations

from typing import Final

import msgspec

from hatchpay.audit.leaf import change_leaf, request_leaf
from hatchpay.audit.parts import LONGEST_PLAIN, reveal
from hatchpay.audit.record import Change, Record
from hatchpay.ledger.commitment import commit
from hatchpay.store.rows import decode_commitments, open_row
from hatchpay.store.vault import Vault

__all__ = ["CHANGE_QUERY", "RECORD_QUERY", "ChangeAsStored", "RecordAsStored", "change_flaw", "record_flaw"]

RECORD_QUERY: Final = """SELECT seq, request_id, tenant_id, started_us, method, path, route, status, principal_id,
    key_id, business_unit_id, client_ip, response_time_us, record, commitments, slot, encrypted FROM records"""
CHANGE_QUERY: Final = "SELECT seq, id, request_id, tenant_id, change, commitments, slot, encrypted FROM changes"

RecordAsStored = tuple[
    int,
    str,
    str,
    int,
    str,
    str | None,
    str | None,
    int | None,
    str | None,
    str | None,
    str | None,
    str | None,
    int,
    bytes,
    bytes,
    int | None,
    bytes | None,
]
ChangeAsStored = tuple[int, str, str, str, bytes, bytes, int | None, bytes | None]

_record: Final = msgspec.msgpack.Decoder(Record).decode
_change: Final = msgspec.msgpack.Decoder(Change).decode


def record_flaw(row: RecordAsStored, entry: bytes, vault: Vault) -> str | None:
    """What is wrong with the row of `entry`; "erased" where its parts are gone, which another place must know of."""
    try:
        public = _record(row[13])
        commitments = decode_commitments(row[14])
        if request_leaf(public, commitments) != entry:
            return "the record is not the one that was sealed"
        opened, payload = open_row(row[15], row[16], public.request_id, vault)
        if payload == "unreadable":
            return "its parts are not those that were written"
        if opened is None:
            return "erased" if commitments else _columns_flaw(row, public, erased=True)
        for name, value in opened.values.items():
            if commitments.get(name) != commit(name, opened.salts[name], value):
                return f"its {name} is not the one that the leaf commits to"
        if opened.values.keys() != commitments.keys():
            return "a part is missing that the leaf commits to"
        return _columns_flaw(row, reveal(public, opened.values), erased=False)
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, OverflowError):
        return "the record cannot be read"


def change_flaw(row: ChangeAsStored, entry: bytes, vault: Vault) -> str | None:
    """As `record_flaw`, for a change."""
    try:
        public = _change(row[4])
        commitments = decode_commitments(row[5])
        if change_leaf(public, commitments) != entry:
            return "the change is not the one that was sealed"
        if (public.id, public.request_id, public.tenant_id) != row[1:4]:
            return "a column says something else than the change"
        opened, payload = open_row(row[6], row[7], public.id, vault)
        if payload == "unreadable":
            return "its parts are not those that were written"
        if opened is None:
            return "erased" if commitments else None
        for name, value in opened.values.items():
            if commitments.get(name) != commit(name, opened.salts[name], value):
                return f"its {name} is not the one that the leaf commits to"
        return None if opened.values.keys() == commitments.keys() else "a part is missing that the leaf commits to"
    except (msgspec.MsgspecError, ValueError, TypeError, AttributeError, OverflowError):
        return "the change cannot be read"


def _columns_flaw(row: RecordAsStored, record: Record, *, erased: bool) -> str | None:
    plain = (
        record.request_id,
        record.tenant_id,
        record.started_us,
        record.method if len(record.method) <= LONGEST_PLAIN else "",
        record.route,
        record.status,
        record.key_id,
        record.response_time_us,
    )
    stored = (row[1], row[2], row[3], row[4], row[6], row[7], row[9], row[12])
    if plain != stored:
        return "a column says something else than the record"
    if not erased and (record.url.partition("?")[0], record.principal_id, record.client_ip) != (
        row[5],
        row[8],
        row[11],
    ):
        return "a column says something else than the record"
    return None
