"""Brings a ledger of version 1, which kept everything in plain sight, to the version of this program.

May go once no installation can be older than the release that seals records.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.record import Change, Record
from hatchpay.errors import AuditUnavailable
from hatchpay.store.ledger import connect_to_write
from hatchpay.store.ledger_schema import SCHEMA, SCHEMA_VERSION
from hatchpay.store.rows import INSERT_CHANGE, INSERT_INTENT, INSERT_RECORD, change_values, intent_values, record_values
from hatchpay.store.vault import Vault

__all__ = ["upgrade"]

_OLD: Final = 1
_BLOCK: Final = 1_024
_record: Final = msgspec.msgpack.Decoder(Record).decode
_PREPARE: Final = """
DROP INDEX IF EXISTS records_by_tenant;
DROP INDEX IF EXISTS changes_by_request;
ALTER TABLE records RENAME TO old_records;
ALTER TABLE changes RENAME TO old_changes;
ALTER TABLE intents RENAME TO old_intents;
"""


def upgrade(path: Path, vault: Vault) -> bool:
    """Whether there was something to do. All of it or nothing; whoever else uses the ledger must have ended.

    Raises AuditUnavailable.
    """
    try:
        with contextlib.closing(connect_to_write(path, timeout_s=15.0)) as db:
            if _version(db) != _OLD:
                return False
            db.executescript(f"BEGIN EXCLUSIVE; {_PREPARE} {SCHEMA}")
            if _version(db) == _OLD:
                _copy(db, vault)
                for table in ("old_records", "old_changes", "old_intents"):
                    db.execute(f"DROP TABLE {table}")
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            # Not by a script, which would commit before it begins.
            db.execute("COMMIT")
            # What stood there in plain sight is in free pages still.
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return True
    except sqlite3.Error as error:
        raise AuditUnavailable(f"the ledger cannot be brought to this program's version: {error}") from error


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _copy(db: sqlite3.Connection, vault: Vault) -> None:
    keys = _keys(vault)
    for seq, data in db.execute("SELECT seq, record FROM old_records ORDER BY seq"):
        db.execute(INSERT_RECORD.replace("NULL", "?", 1), (seq, *record_values(_record(data), *next(keys))))
    for row in db.execute("SELECT * FROM old_changes ORDER BY id"):
        db.execute(INSERT_CHANGE, change_values(Change(*row), *next(keys)))
    for _, instance, data in db.execute("SELECT * FROM old_intents"):
        db.execute(INSERT_INTENT, intent_values(_record(data), instance, *next(keys)))


def _keys(vault: Vault) -> Iterator[tuple[int, bytes]]:
    while True:
        for slot in vault.draw(_BLOCK):
            key = vault.key(slot)
            if key is None:
                raise AuditUnavailable("a key of the record's parts was destroyed before its use")
            yield slot, key
