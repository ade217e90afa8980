"""The ledger in SQLite: WAL, `synchronous=FULL`, so that a commit that has returned is on this node's disk.

Three tables are appended to and never changed: `records`, `changes`, and `intents`, whose rows leave only when
their record arrives, in the same transaction. `key_usage` is a view of the records kept for quick reading.
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

__all__ = ["Ledger", "LedgerReader", "changes_of", "conditions_of", "reading"]

SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS intents (
    request_id TEXT PRIMARY KEY,
    instance TEXT NOT NULL,
    record BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE,
    tenant_id TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    route TEXT,
    status INTEGER,
    principal_id TEXT,
    key_id TEXT,
    business_unit_id TEXT,
    client_ip TEXT,
    response_time_us INTEGER NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS records_by_tenant ON records (tenant_id, seq);
CREATE TABLE IF NOT EXISTS changes (
    id TEXT PRIMARY KEY,
    request_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    event TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    detail BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS changes_by_request ON changes (request_id);
CREATE TABLE IF NOT EXISTS key_usage (
    key_id TEXT NOT NULL,
    secret_version INTEGER NOT NULL,
    used_us INTEGER NOT NULL,
    client_ip TEXT,
    PRIMARY KEY (key_id, secret_version)
) WITHOUT ROWID;
"""
_INSERT_RECORD: Final = "INSERT OR IGNORE INTO records VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_INTENT: Final = """INSERT OR IGNORE INTO intents SELECT ?1, ?2, ?3
    WHERE NOT EXISTS (SELECT 1 FROM records WHERE request_id = ?1)"""
_UPSERT_USAGE: Final = """INSERT INTO key_usage VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET used_us = excluded.used_us, client_ip = excluded.client_ip WHERE excluded.used_us > used_us"""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Record).decode


class Ledger:
    """The writing side. Several may be open on one file; SQLite takes them in turn."""

    def __init__(self, path: Path, instance: str, *, busy_timeout_s: float = 1.0) -> None:
        self._path = path
        self._instance = instance
        self._busy_timeout_s = busy_timeout_s
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[tuple[int, int], ...] = ()

    def create(self) -> None:
        """Make the file and its tables. Raises AuditUnavailable."""
        try:
            db = _connect(self._path, "rwc", self._busy_timeout_s)
            try:
                _use_wal(db)
                (version,) = db.execute("PRAGMA user_version").fetchone()
                if version > SCHEMA_VERSION:
                    raise AuditUnavailable(f"the ledger is of a newer version ({version}) than this program")
                db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            finally:
                db.close()
        except (sqlite3.Error, OSError) as error:
            raise AuditUnavailable(f"the ledger cannot be created: {error}") from error
        self._path.chmod(0o600)

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
                    rows = db.execute("SELECT record FROM intents WHERE instance = ?", (instance,)).fetchall()
                    self.write([Completion(_decode(row[0])) for row in rows])
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
                db.execute("SELECT count(*) FROM intents WHERE request_id = ''").fetchone()
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
                db.executemany(_INSERT_RECORD, [_row(record) for record in batch])
            elif kind is Intent:
                db.executemany(
                    _INSERT_INTENT,
                    [
                        (entry.record.request_id, self._instance, _encode(entry.record))
                        for entry in group
                        if isinstance(entry, Intent)
                    ],
                )
            else:
                rows = [msgspec.structs.astuple(entry) for entry in group]
                db.executemany("INSERT OR IGNORE INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        # Records arrive in the order of their completion, so that the newest use need not be the last.
        usage = {
            (record.key_id, record.secret_version): (record.started_us, record.client_ip)
            for record in sorted(records, key=_started)
            if record.secret_version is not None
        }
        if usage:
            db.executemany(_UPSERT_USAGE, [(*key, *value) for key, value in usage.items()])


class LedgerReader:
    """The reading side: history and use of keys. One short connection per call, so that any thread may ask."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def page(self, wanted: HistoryFilter, limit: int) -> HistoryPage:
        conditions, values = conditions_of(wanted)
        order = "seq" if wanted.after is not None else "seq DESC"
        query = f"SELECT seq, record FROM records WHERE {conditions} ORDER BY {order} LIMIT ?"  # noqa: S608
        with reading(self._path) as db:
            rows = db.execute(query, (*values, limit)).fetchall()
            records = [_decode(row[1]) for row in rows]
            changes = changes_of(db, [record.request_id for record in records])
        shown = [flat(record, changes.get(record.request_id, [])) for record in records]
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


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One short connection that writes nothing. Raises AuditUnavailable in the place of SQLite's errors."""
    try:
        with contextlib.closing(_connect(path, "rw", 1.0)) as db:
            db.execute("PRAGMA query_only = ON")
            yield db
    except sqlite3.Error as error:
        raise AuditUnavailable(f"the ledger cannot be read: {error}") from error


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


def _row(record: Record) -> tuple[object, ...]:
    return (
        record.request_id,
        record.tenant_id,
        record.started_us,
        record.method,
        record.url.partition("?")[0],
        record.route,
        record.status,
        record.principal_id,
        record.key_id,
        record.business_unit_id,
        record.client_ip,
        record.response_time_us,
        _encode(record),
    )


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


def changes_of(db: sqlite3.Connection, request_ids: list[str]) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    marks = ", ".join("?" * len(request_ids))
    query = f"SELECT * FROM changes WHERE request_id IN ({marks}) ORDER BY id"  # noqa: S608
    for row in db.execute(query, request_ids):
        change = Change(*row)
        found.setdefault(change.request_id, []).append(
            {
                "id": change.id,
                "event": change.event,
                "subject_id": change.subject_id,
                "actor": change.actor,
                "at": format_time(change.at_us),
                "detail": msgspec.Raw(change.detail),
            }
        )
    return found
