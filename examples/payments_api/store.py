"""Transactions in one SQLite file.

Reads by id share one connection that stays open, which also keeps SQLite from checkpointing at every close.
Everything slower runs in a worker thread on a short connection of its own.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final

from .models import NewRefund, Reach, Refund, Transaction

__all__ = ["Store"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS payment (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    business_unit_id TEXT,
    state TEXT NOT NULL CHECK (state IN ('authorized', 'completed')),
    total_cents INTEGER NOT NULL CHECK (total_cents > 0),
    created_at TEXT NOT NULL,
    completed_at TEXT,
    customer TEXT NOT NULL,
    details TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS payment_of_tenant ON payment (tenant_id, id);
CREATE TABLE IF NOT EXISTS refund (
    id TEXT PRIMARY KEY,
    payment_id TEXT NOT NULL REFERENCES payment (id),
    cents INTEGER NOT NULL CHECK (cents > 0),
    requested_by TEXT NOT NULL,
    approved_by TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refund_of_payment ON refund (payment_id);
"""

_COLUMNS: Final = "id, tenant_id, business_unit_id, state, total_cents, created_at, completed_at, customer, details"
_GET: Final = f"SELECT {_COLUMNS} FROM payment WHERE id = ?"
_PAGE: Final = f"""
SELECT {_COLUMNS} FROM payment WHERE tenant_id = ? AND id < ?
AND (? IS NULL OR business_unit_id IN (SELECT value FROM json_each(?)))
ORDER BY id DESC LIMIT ?
"""
_INSERT: Final = f"INSERT INTO payment ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COMPLETE: Final = f"""
UPDATE payment SET state = 'completed', completed_at = ? WHERE id = ? AND state = 'authorized'
RETURNING {_COLUMNS}
"""
_REFUND: Final = """
INSERT INTO refund (id, payment_id, cents, requested_by, approved_by, created_at)
SELECT :id, :payment_id, COALESCE(:cents, remaining), :requested_by, :approved_by, :now FROM (
    SELECT total_cents - (SELECT COALESCE(SUM(cents), 0) FROM refund WHERE payment_id = :payment_id) AS remaining
    FROM payment WHERE id = :payment_id AND state = 'completed'
) WHERE remaining > 0 AND COALESCE(:cents, remaining) <= remaining
RETURNING id, payment_id, cents, requested_by, approved_by, created_at
"""

_AFTER_EVERY_ID: Final = "~"


class Store:
    """Opened at first use; `directory` None means HATCHPAY_DATA_DIR, looked up when it opens."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._path: Path | None = None
        self._reader: sqlite3.Connection | None = None
        self._opening = Lock()

    def open(self) -> sqlite3.Connection:
        with self._opening:
            if self._reader is None:
                directory = self._directory or Path(os.environ.get("HATCHPAY_DATA_DIR") or "var")
                directory.mkdir(parents=True, exist_ok=True)
                self._path = directory / "payments.db"
                self._path.touch(mode=0o600)
                reader = _connect(self._path)
                try:
                    _use_wal(reader)
                    reader.executescript(_SCHEMA)
                except BaseException:
                    reader.close()
                    raise
                self._reader = reader
            return self._reader

    def close(self) -> None:
        with self._opening:
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def get(self, transaction_id: str, reach: Reach) -> Transaction | None:
        reader = self._reader or self.open()
        row = reader.execute(_GET, (transaction_id,)).fetchone()
        if row is None or not reach.covers(row[1], row[2]):
            return None
        return _transaction(row)

    def page(self, reach: Reach, *, before: str | None, limit: int) -> list[Transaction]:
        """The newest first, from just before the id `before`."""
        units = None if reach.business_unit_ids is None else json.dumps(sorted(reach.business_unit_ids))
        bindings = (reach.tenant_id, before or _AFTER_EVERY_ID, units, units, limit)
        with self._connection() as connection:
            return [_transaction(row) for row in connection.execute(_PAGE, bindings)]

    def add(self, transaction: Transaction) -> None:
        t = transaction
        texts = (_json(t.customer), _json(t.details))
        row = (
            t.id,
            t.tenant_id,
            t.business_unit_id,
            t.state,
            t.total_cents,
            t.created_at,
            t.completed_at,
            *texts,
        )
        with self._connection() as connection:
            connection.execute(_INSERT, row)

    def complete(self, transaction_id: str, *, now: str) -> Transaction | None:
        """None if it is not in the state to be completed; of two callers at once, one gets it."""
        with self._connection() as connection:
            rows = connection.execute(_COMPLETE, (now, transaction_id)).fetchall()
        return _transaction(rows[0]) if rows else None

    def refund(self, transaction_id: str, new: NewRefund, *, id_: str, now: str) -> Refund | None:
        """None if it is not completed, or less is left of it; whoever refunds at once, never more than all of it."""
        values = {
            "id": id_,
            "payment_id": transaction_id,
            "cents": None if new.amount is None else int(new.amount * 100),
            "requested_by": new.requested_by,
            "approved_by": new.approved_by,
            "now": now,
        }
        with self._connection() as connection:
            rows = connection.execute(_REFUND, values).fetchall()
        return Refund(*rows[0]) if rows else None

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        self.open()
        assert self._path is not None  # noqa: S101
        connection = _connect(self._path)
        try:
            yield connection
        finally:
            connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Each statement commits by itself, and is on the disk when it returns."""
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait here for another process that opens the new file at the same moment, so we do."""
    for _ in range(200):
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
            return
        time.sleep(0.05)
    connection.execute("PRAGMA journal_mode = WAL")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _transaction(row: tuple[Any, ...]) -> Transaction:
    id_, tenant_id, unit_id, state, cents, created_at, completed_at, customer, details = row
    return Transaction(
        id_,
        tenant_id,
        unit_id,
        state,
        cents,
        created_at,
        completed_at,
        json.loads(customer),
        json.loads(details),
    )
