"""What the sealer knows: of each log its size, edge and newest checkpoint, and which record is which leaf.

A database of its own, so that sealing never holds the ledger's one write lock.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from hatchpay.audit.ports import Sealed
from hatchpay.errors import AuditUnavailable
from hatchpay.ledger.tiles import Edge

__all__ = ["Cursors", "LeafRow", "Log", "SealStore", "Source"]

Source = Literal["record", "change"]
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS logs (
    tenant_id TEXT PRIMARY KEY,
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    edge BLOB NOT NULL,
    vkey TEXT NOT NULL,
    checkpoint BLOB NOT NULL,
    signed_us INTEGER NOT NULL,
    cosigned BLOB,
    cosigned_size INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leaves (
    tenant_id TEXT NOT NULL,
    leaf_index INTEGER NOT NULL,
    source TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (tenant_id, leaf_index)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS leaves_by_source ON leaves (source, seq);
CREATE TABLE IF NOT EXISTS cursors (one INTEGER PRIMARY KEY CHECK (one = 1), record INTEGER, change INTEGER);
INSERT OR IGNORE INTO cursors VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS successions (
    tenant_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    statement BLOB NOT NULL,
    PRIMARY KEY (tenant_id, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS witnesses (
    tenant_id TEXT NOT NULL,
    witness TEXT NOT NULL,
    size INTEGER NOT NULL,
    tried_us INTEGER NOT NULL,
    failure TEXT,
    PRIMARY KEY (tenant_id, witness)
) WITHOUT ROWID;
"""
_rows: Final = msgspec.msgpack.Decoder(tuple[bytes, ...]).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """One tenant's log. `checkpoint` and `cosigned` are signed notes; `cosigned_size` is 0 where there is none."""

    tenant_id: str
    origin: str
    edge: Edge
    vkey: str
    checkpoint: bytes
    signed_us: int
    cosigned: bytes | None = None
    cosigned_size: int = 0


class LeafRow(msgspec.Struct, frozen=True, gc=False):
    index: int
    source: Source
    seq: int
    hash: bytes


class Cursors(msgspec.Struct, frozen=True):
    """The sequence numbers of the last record and the last change that are sealed."""

    record: int
    change: int


class SealStore:
    """One short connection per call, so that any thread may ask. Raises AuditUnavailable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        with self._connected("rwc") as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        self._path.chmod(0o600)

    @property
    def exists(self) -> bool:
        return self._path.exists()

    def cursors(self) -> Cursors:
        with self._connected() as db:
            return Cursors(*db.execute("SELECT record, change FROM cursors").fetchone())

    def log(self, tenant_id: str) -> Log | None:
        with self._connected() as db:
            row = db.execute("SELECT * FROM logs WHERE tenant_id = ?", (tenant_id,)).fetchone()
        return None if row is None else _log(row)

    def logs(self) -> list[Log]:
        with self._connected() as db:
            return [_log(row) for row in db.execute("SELECT * FROM logs ORDER BY tenant_id")]

    def append(self, before: Cursors, after: Cursors, logs: Sequence[tuple[Log, Sequence[LeafRow]]]) -> None:
        """All of it or nothing; nothing where somebody else has sealed since `before`."""
        with self._connected() as db, _transaction(db):
            if Cursors(*db.execute("SELECT record, change FROM cursors").fetchone()) != before:
                raise AuditUnavailable("somebody else has sealed meanwhile")
            db.execute("UPDATE cursors SET record = ?, change = ?", (after.record, after.change))
            for log, leaves in logs:
                db.execute(
                    "INSERT OR REPLACE INTO logs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        log.tenant_id,
                        log.origin,
                        log.edge.size,
                        _encode(log.edge.rows),
                        log.vkey,
                        log.checkpoint,
                        log.signed_us,
                        log.cosigned,
                        log.cosigned_size,
                    ),
                )
                db.executemany(
                    "INSERT INTO leaves VALUES (?, ?, ?, ?, ?)",
                    [(log.tenant_id, leaf.index, leaf.source, leaf.seq, leaf.hash) for leaf in leaves],
                )

    def cosign(self, tenant_id: str, size: int, note: bytes) -> None:
        """Keep a checkpoint with cosignatures, unless a larger one is there."""
        with self._connected() as db, _transaction(db):
            query = "UPDATE logs SET cosigned = ?, cosigned_size = ? WHERE tenant_id = ? AND cosigned_size <= ?"
            db.execute(query, (note, size, tenant_id, size))

    def leaves(self, tenant_id: str, start: int, end: int) -> list[LeafRow]:
        """Those from index `start` to before `end`, in their order."""
        query = """SELECT leaf_index, source, seq, hash FROM leaves
            WHERE tenant_id = ? AND leaf_index >= ? AND leaf_index < ? ORDER BY leaf_index"""
        with self._connected() as db:
            return [LeafRow(*row) for row in db.execute(query, (tenant_id, start, end))]

    def sealed(self, source: Source, seqs: Sequence[int]) -> dict[int, Sealed]:
        """Where these stand, by their sequence number; without those that are not sealed yet."""
        found: dict[int, Sealed] = {}
        with self._connected() as db:
            for start in range(0, len(seqs), 500):
                part = seqs[start : start + 500]
                marks = ", ".join("?" * len(part))
                query = f"SELECT seq, leaf_index, hash FROM leaves WHERE source = ? AND seq IN ({marks})"  # noqa: S608
                found |= {row[0]: Sealed(row[1], row[2]) for row in db.execute(query, (source, *part))}
        return found

    def successions(self, tenant_id: str) -> list[bytes]:
        """The statements by which the log's keys vouch for their successors, the first key's first."""
        query = "SELECT statement FROM successions WHERE tenant_id = ? ORDER BY number"
        with self._connected() as db:
            return [row[0] for row in db.execute(query, (tenant_id,))]

    def add_succession(self, tenant_id: str, number: int, statement: bytes) -> None:
        """A statement is never replaced."""
        with self._connected() as db:
            db.execute("INSERT OR IGNORE INTO successions VALUES (?, ?, ?)", (tenant_id, number, statement))

    def note_witness(self, tenant_id: str, witness: str, size: int, at_us: int, failure: str | None) -> None:
        with self._connected() as db:
            db.execute(
                "INSERT OR REPLACE INTO witnesses VALUES (?, ?, ?, ?, ?)", (tenant_id, witness, size, at_us, failure)
            )

    def witnesses(self, tenant_id: str) -> list[tuple[str, int, int, str | None]]:
        """Name, size that it has cosigned, time of the last try in microseconds, and why that failed."""
        query = "SELECT witness, size, tried_us, failure FROM witnesses WHERE tenant_id = ? ORDER BY witness"
        with self._connected() as db:
            return list(db.execute(query, (tenant_id,)))

    @contextlib.contextmanager
    def _connected(self, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        try:
            uri = f"{self._path.absolute().as_uri()}?mode={mode}"
            db = sqlite3.connect(uri, uri=True, timeout=5.0, isolation_level=None)
            with contextlib.closing(db):
                db.execute("PRAGMA synchronous = FULL")
                yield db
        except sqlite3.Error as error:
            raise AuditUnavailable(f"what is known of the seals cannot be used: {error}") from error


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _log(row: tuple[str, str, int, bytes, str, bytes, int, bytes | None, int]) -> Log:
    return Log(
        tenant_id=row[0],
        origin=row[1],
        edge=Edge(row[2], _rows(row[3])),
        vkey=row[4],
        checkpoint=row[5],
        signed_us=row[6],
        cosigned=row[7],
        cosigned_size=row[8],
    )
