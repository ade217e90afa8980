"""How far each stream has come, in a small SQLite file of its own: it changes all the time, and can do without a
directory's guarantees. Where the file is lost, every stream begins again where it was made: sent twice, never left out.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.stream.ports import DeadLetter, StreamState
from hatchpay.errors import AuditUnavailable

__all__ = ["SqlStreamStates"]

_VERSION: Final = 1
_FIELDS: Final = StreamState.__struct_fields__
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS states (
    stream_id TEXT PRIMARY KEY,
    cursor INTEGER NOT NULL,
    delivered INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    last_success_us INTEGER,
    last_error TEXT,
    last_error_us INTEGER,
    last_status INTEGER,
    retry_us INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letters (
    stream_id TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    count INTEGER NOT NULL,
    code TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    PRIMARY KEY (stream_id, first_seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS beat (id INTEGER PRIMARY KEY CHECK (id = 1), at_us INTEGER NOT NULL);
"""
_SAVE: Final = "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_BURY: Final = "INSERT OR IGNORE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?)"


class SqlStreamStates:
    """One connection, taken in turns by any threads; opened anew after a failure, and where the file was replaced."""

    def __init__(self, path: Path, *, busy_timeout_s: float = 1.0) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._turn = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def load(self) -> dict[str, StreamState]:
        with self._open() as db:
            rows = db.execute(f"SELECT stream_id, {', '.join(_FIELDS)} FROM states").fetchall()  # noqa: S608
        return {stream_id: StreamState(**dict(zip(_FIELDS, values, strict=True))) for stream_id, *values in rows}

    def dead_letters(self) -> dict[str, int]:
        """How many records each stream has given up."""
        with self._open() as db:
            rows = db.execute("SELECT stream_id, sum(count) FROM dead_letters GROUP BY stream_id").fetchall()
        return {str(stream_id): int(count) for stream_id, count in rows}

    def beat_us(self) -> int | None:
        """When somebody last shipped."""
        with self._open() as db:
            row = db.execute("SELECT at_us FROM beat").fetchone()
        return None if row is None else int(row[0])

    def save(self, states: Mapping[str, StreamState], dead_letters: Sequence[DeadLetter], now: int) -> None:
        with self._open() as db, _transaction(db):
            db.executemany(_SAVE, [(stream_id, *msgspec.structs.astuple(state)) for stream_id, state in states.items()])
            db.executemany(_BURY, [msgspec.structs.astuple(letter) for letter in dead_letters])
            db.execute("INSERT OR REPLACE INTO beat VALUES (1, ?)", (now,))

    def forget(self, known: Collection[str]) -> None:
        with self._open() as db, _transaction(db):
            stored = db.execute("SELECT stream_id FROM states UNION SELECT stream_id FROM dead_letters").fetchall()
            for row in stored:
                if row[0] not in known:
                    db.execute("DELETE FROM states WHERE stream_id = ?", row)
                    db.execute("DELETE FROM dead_letters WHERE stream_id = ?", row)

    def close(self) -> None:
        with self._turn:
            self._release()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            try:
                if self._db is None or _identity(self._path) != self._identity:
                    self._release()
                    self._db = self._connect()
                    self._identity = _identity(self._path)
                yield self._db
            except (sqlite3.Error, OSError) as error:
                self._release()
                raise AuditUnavailable(
                    f"the streams' states cannot be used: {error}", code="streams_unavailable"
                ) from None

    def _connect(self) -> sqlite3.Connection:
        # Only where there is none: closing a file that SQLite has open elsewhere in this process takes its locks away.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self._path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            # A commit that a power failure takes back is sent once more.
            db.execute("PRAGMA synchronous = NORMAL")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise sqlite3.DatabaseError("they are of a newer version than this program")
            if version < _VERSION:
                db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
        except BaseException:
            db.close()
            raise
        return db

    def _release(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino
