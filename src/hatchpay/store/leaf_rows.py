"""Rows of the ledger as entries of the tree: what the sealer seals, and what whoever verifies builds again."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

from hatchpay.audit.leaf import change_leaf, request_leaf
from hatchpay.audit.record import Change, Record
from hatchpay.store.rows import decode_commitments

__all__ = ["Unsealed", "change_entry", "record_entry", "unsealed_changes", "unsealed_records"]

_record: Final = msgspec.msgpack.Decoder(Record).decode
_change: Final = msgspec.msgpack.Decoder(Change).decode


class Unsealed(msgspec.Struct, frozen=True, gc=False):
    seq: int
    tenant_id: str
    entry: bytes


def record_entry(record: bytes, commitments: bytes) -> bytes:
    """From a row's columns of these names. Raises msgspec.DecodeError, and what else damaged bytes lead to."""
    return request_leaf(_record(record), decode_commitments(commitments))


def change_entry(change: bytes, commitments: bytes) -> bytes:
    return change_leaf(_change(change), decode_commitments(commitments))


def unsealed_records(db: sqlite3.Connection, after: int, limit: int) -> list[Unsealed]:
    query = "SELECT seq, tenant_id, record, commitments FROM records WHERE seq > ? ORDER BY seq LIMIT ?"
    return [Unsealed(row[0], row[1], record_entry(row[2], row[3])) for row in db.execute(query, (after, limit))]


def unsealed_changes(db: sqlite3.Connection, after: int, limit: int) -> list[Unsealed]:
    query = "SELECT seq, tenant_id, change, commitments FROM changes WHERE seq > ? ORDER BY seq LIMIT ?"
    return [Unsealed(row[0], row[1], change_entry(row[2], row[3])) for row in db.execute(query, (after, limit))]
