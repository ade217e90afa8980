"""The ledger in SQLite: WAL, `synchronous=FULL`, so that a commit that has returned is on this node's disk.

What names or describes people is encrypted under keys that lie apart (store/vault.py), so that it can be erased.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.ports import HistoryFilter, HistoryPage, KeyUsage
from hatchpay.audit.record import Change, Completion, Entry, Intent, Record, flat
from hatchpay.clock import format_time
from hatchpay.errors import AuditUnavailable
from hatchpay.store.ledger_schema import SCHEMA, SCHEMA_VERSION
from hatchpay.store.rows import (
    CHANGE_COLUMNS,
    INSERT_CHANGE,
    INSERT_INTENT,
    INSERT_RECORD,
    RECORD_COLUMNS,
    change_values,
    intent_record,
    intent_values,
    read_change,
    read_record,
    record_values,
)
from hatchpay.store.vault import Vault

__all__ = [
    "Ledger",
    "LedgerReader",
    "changes_of",
    "conditions_of",
    "connect_to_write",
    "create_ledger",
    "holds_parts",
    "reading",
]

_TABLES: Final = ("records", "changes", "intents")
_INTENTS: Final = "SELECT request_id, record, slot, encrypted FROM intents"
_INSERT_SUBJECT_RECORD: Final = """INSERT OR IGNORE INTO subject_records
    SELECT slot, seq FROM records WHERE request_id = ? AND slot IS NOT NULL"""
_UPSERT_USAGE: Final = """INSERT INTO key_usage VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET used_us = excluded.used_us, client_ip = excluded.client_ip WHERE excluded.used_us > used_us"""

_BLOCK: Final = 1_024
_SMALL_BLOCK: Final = 8


def create_ledger(path: Path, *, busy_timeout_s: float = 1.0) -> None:
    """Make the file and its tables. Raises AuditUnavailable."""
    try:
        db = _connect(path, "rwc", busy_timeout_s)
        try:
            _use_wal(db)
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                raise AuditUnavailable(f"the ledger is of another version ({version}) than this program")
            db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        finally:
            db.close()
    except (sqlite3.Error, OSError) as error:
        raise AuditUnavailable(f"the ledger cannot be created: {error}") from error
    path.chmod(0o600)


class Ledger:
    """The writing side. Several may be open on one file; SQLite takes them in turn.

    `many` is whether so much will be written that keys are drawn for a thousand entries at a time.
    """

    def __init__(
        self, path: Path, instance: str, vault: Vault, *, busy_timeout_s: float = 1.0, many: bool = False
    ) -> None:
        self._path = path
        self._instance = instance
        self._vault = vault
        self._block = _BLOCK if many else _SMALL_BLOCK
        self._free: Iterator[int] = iter(())
        self._intent_slots: dict[str, int] = {}
        self._busy_timeout_s = busy_timeout_s
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[tuple[int, int], ...] = ()

    def write(self, entries: Sequence[Entry]) -> None:
        """All of them durable, or none. Raises AuditUnavailable; a later call starts afresh."""
        try:
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
            try:
                self._insert(db, entries)
                db.execute("COMMIT")
            except BaseException:
                # SQLite may have rolled back by itself, as it does on a full disk.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            # A file that was moved away during the commit took the commit with it.
            if _identity(self._path) != self._identity:
                raise OSError("the ledger's file is no longer the one that was opened")
        except (sqlite3.Error, OSError, OverflowError) as error:
            self.close()
            raise AuditUnavailable(f"the ledger cannot be written: {error}") from error

    def recover(self, is_gone: Callable[[str], bool]) -> int:
        """Turn the intents of instances that are gone into `indeterminate` records; returns how many."""
        try:
            db = self._open()
            instances = [row[0] for row in db.execute("SELECT DISTINCT instance FROM intents")]
            count = 0
            for instance in instances:
                if instance != self._instance and is_gone(instance):
                    rows = db.execute(f"{_INTENTS} WHERE instance = ?", (instance,)).fetchall()
                    records = [intent_record(row[1], row[2], row[3], self._vault) for row in rows]
                    self._intent_slots.update((row[0], row[2]) for row in rows)
                    self.write([Completion(record) for record in records])
                    count += len(rows)
            return count
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise AuditUnavailable(f"the ledger cannot be read: {error}") from error

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _open(self) -> sqlite3.Connection:
        if self._db is not None and _identity(self._path) != self._identity:
            self.close()
        if self._db is None:
            # Mode rw: a ledger that has vanished is an outage, never a reason to begin an empty one.
            db = _connect(self._path, "rw", self._busy_timeout_s)
            try:
                db.execute("PRAGMA synchronous = FULL")
                rows = db.execute(f"{_INTENTS} WHERE instance = ?", (self._instance,)).fetchall()
                self._intent_slots = {row[0]: row[2] for row in rows}
                self._identity = _identity(self._path)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _insert(self, db: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        records: list[Record] = []
        for kind, group in _runs(entries):
            if kind is Completion:
                batch = [entry.record for entry in group if isinstance(entry, Completion)]
                records += batch
                db.executemany("DELETE FROM intents WHERE request_id = ?", [(record.request_id,) for record in batch])
                db.executemany(INSERT_RECORD, [record_values(record, *self._own(db, record)) for record in batch])
                subjects = [(record.request_id,) for record in batch if record.subject is not None]
                if subjects:
                    db.executemany(_INSERT_SUBJECT_RECORD, subjects)
            elif kind is Intent:
                db.executemany(
                    INSERT_INTENT,
                    [
                        intent_values(entry.record, self._instance, *self._kept_open(db, entry.record))
                        for entry in group
                        if isinstance(entry, Intent)
                    ],
                )
            else:
                changes = [entry for entry in group if isinstance(entry, Change)]
                db.executemany(INSERT_CHANGE, [change_values(change, *self._draw()) for change in changes])
        # Records arrive in the order of their completion, so that the newest use need not be the last.
        usage = {
            (record.key_id, record.secret_version): (record.started_us, record.client_ip)
            for record in sorted(records, key=_started)
            if record.secret_version is not None
        }
        if usage:
            db.executemany(_UPSERT_USAGE, [(*key, *value) for key, value in usage.items()])

    def _kept_open(self, db: sqlite3.Connection, record: Record) -> tuple[int, bytes]:
        """The key of an intent, which its record will be under too: one erasure then reaches what is left of both."""
        slot, key = self._own(db, record)
        self._intent_slots[record.request_id] = slot
        return slot, key

    def _own(self, db: sqlite3.Connection, record: Record) -> tuple[int, bytes]:
        """The slot of a record, and its key: that of its subject where it has one."""
        if record.subject is not None:
            return self._of_subject(db, record.tenant_id, record.subject)
        slot = self._intent_slots.pop(record.request_id, None)
        key = None if slot is None else self._vault.key(slot)
        return self._draw() if slot is None or key is None else (slot, key)

    def _of_subject(self, db: sqlite3.Connection, tenant_id: str, subject: str) -> tuple[int, bytes]:
        """Looked up in every transaction: another process may have erased the subject since."""
        query = "SELECT slot FROM subjects WHERE tenant_id = ? AND subject = ?"
        row = db.execute(query, (tenant_id, subject)).fetchone()
        key = None if row is None else self._vault.key(row[0])
        if key is not None:
            return row[0], key
        slot, key = self._draw()
        db.execute("INSERT OR REPLACE INTO subjects VALUES (?, ?, ?)", (tenant_id, subject, slot))
        return slot, key

    def _draw(self) -> tuple[int, bytes]:
        slot = next(self._free, None)
        if slot is None:
            self._free = iter(self._vault.draw(self._block))
            slot = next(self._free)
        key = self._vault.key(slot)
        if key is None:
            raise AuditUnavailable("a key of the record's parts was destroyed before its use")
        return slot, key


class LedgerReader:
    """The reading side: history and use of keys. One short connection per call, so that any thread may ask."""

    def __init__(self, path: Path, vault: Vault) -> None:
        self._path = path
        self._vault = vault

    def page(self, wanted: HistoryFilter, limit: int) -> HistoryPage:
        conditions, values = conditions_of(wanted)
        order = "seq" if wanted.after is not None else "seq DESC"
        query = f"SELECT {RECORD_COLUMNS} FROM records WHERE {conditions} ORDER BY {order} LIMIT ?"  # noqa: S608
        with reading(self._path) as db:
            rows = db.execute(query, (*values, limit)).fetchall()
            found = [read_record(row, self._vault) for row in rows]
            changes = changes_of(db, [record.request_id for record, _ in found], self._vault)
        shown = [flat(record, changes.get(record.request_id, []), payload) for record, payload in found]
        return HistoryPage(shown, rows[-1][0] if rows and (len(rows) == limit or wanted.after is not None) else None)

    def last(self) -> int:
        """The sequence number of the newest record; 0 where there is none."""
        with reading(self._path) as db:
            return int(db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0])

    def pending(self) -> list[str]:
        """The instances that have intents without a completion, one entry per intent."""
        with reading(self._path) as db:
            return [row[0] for row in db.execute("SELECT instance FROM intents")]

    def usage(self, key_ids: list[str]) -> dict[str, list[KeyUsage]]:
        found: dict[str, list[KeyUsage]] = {}
        with reading(self._path) as db:
            for start in range(0, len(key_ids), 500):
                part = key_ids[start : start + 500]
                marks = ", ".join("?" * len(part))
                query = f"SELECT * FROM key_usage WHERE key_id IN ({marks}) ORDER BY used_us DESC"  # noqa: S608
                for key_id, version, used_us, client_ip in db.execute(query, part):
                    found.setdefault(key_id, []).append(KeyUsage(version, used_us, client_ip))
        return found

    def check(self) -> list[str]:
        """SQLite's own findings about the file's integrity; empty where there are none."""
        with reading(self._path) as db:
            return [row[0] for row in db.execute("PRAGMA quick_check(20)") if row[0] != "ok"]


def holds_parts(path: Path) -> bool:
    """Whether something in the ledger lies under keys of a vault. Raises AuditUnavailable."""
    with reading(path) as db:
        if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
            return False
        return any(db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in _TABLES)  # noqa: S608


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One short connection that writes nothing. Raises AuditUnavailable in the place of SQLite's errors."""
    try:
        with contextlib.closing(_connect(path, "rw", 1.0)) as db:
            db.execute("PRAGMA query_only = ON")
            yield db
    except sqlite3.Error as error:
        raise AuditUnavailable(f"the ledger cannot be read: {error}") from error


def connect_to_write(path: Path, timeout_s: float = 5.0) -> sqlite3.Connection:
    """Durable once committed. Raises AuditUnavailable."""
    try:
        db = _connect(path, "rw", timeout_s)
        db.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        raise AuditUnavailable(f"the ledger cannot be written: {error}") from error
    return db


def _connect(path: Path, mode: str, timeout_s: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None, check_same_thread=False)


def _use_wal(db: sqlite3.Connection, attempts: int = 50) -> None:
    """SQLite's busy timeout does not cover the change of journal mode, which several processes may ask for at once."""
    for attempt in range(attempts):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if attempt == attempts - 1:
                raise
            time.sleep(0.05)


def _identity(path: Path) -> tuple[tuple[int, int], ...]:
    """Which files the ledger is right now. Raises OSError where the database or its log is missing."""
    return tuple((stat.st_dev, stat.st_ino) for stat in (path.stat(), path.with_name(path.name + "-wal").stat()))


def _runs(entries: Iterable[Entry]) -> list[tuple[type[Entry], list[Entry]]]:
    """Neighbours of one kind together, order kept: an intent must never follow its own completion."""
    runs: list[tuple[type[Entry], list[Entry]]] = []
    for entry in entries:
        if not runs or runs[-1][0] is not type(entry):
            runs.append((type(entry), []))
        runs[-1][1].append(entry)
    return runs


def _started(record: Record) -> int:
    return record.started_us


_EQUAL: Final = (
    "method",
    "path",
    "route",
    "principal_id",
    "key_id",
    "business_unit_id",
    "request_id",
    "client_ip",
)


def conditions_of(wanted: HistoryFilter) -> tuple[str, list[object]]:
    """An SQL condition on `records`, with its values."""
    parts, values = ["tenant_id = ?"], [wanted.tenant_id]
    terms: list[tuple[str, object]] = [(f"{name} = ?", getattr(wanted, name)) for name in _EQUAL]
    terms += [
        ("started_us >= ?", wanted.from_us),
        ("started_us < ?", wanted.to_us),
        ("response_time_us >= ?", wanted.min_us),
        ("seq < ?", wanted.before),
        ("seq > ?", wanted.after),
    ]
    if wanted.status is not None:
        terms += [("status >= ?", wanted.status[0]), ("status <= ?", wanted.status[1])]
    chosen: list[object] = list(values)
    for condition, value in terms:
        if value is not None:
            parts.append(condition)
            chosen.append(value)
    if wanted.business_unit_ids is not None:
        units = sorted(wanted.business_unit_ids)
        parts.append(f"business_unit_id IN ({', '.join('?' * len(units))})")
        chosen += units
    return " AND ".join(parts), chosen


def changes_of(db: sqlite3.Connection, request_ids: list[str], vault: Vault) -> dict[str, list[dict[str, object]]]:
    """The changes that these requests made to the directory, as the history shows them, by request."""
    found: dict[str, list[dict[str, object]]] = {}
    marks = ", ".join("?" * len(request_ids))
    query = f"SELECT {CHANGE_COLUMNS} FROM changes WHERE request_id IN ({marks}) ORDER BY id"  # noqa: S608
    for row in db.execute(query, request_ids):
        change = read_change(row, vault)
        found.setdefault(change.request_id, []).append(
            {
                "id": change.id,
                "event": change.event,
                "subject_id": change.subject_id,
                "actor": change.actor or None,
                "at": format_time(change.at_us),
                "detail": msgspec.Raw(change.detail) if change.detail else None,
            }
        )
    return found
