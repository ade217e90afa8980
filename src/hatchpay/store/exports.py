"""The register of exports in a small SQLite file of its own, which several processes write in turn.

With a rollback journal and `synchronous=FULL`: what has returned is on this node's disk. The file is made when it is
first written to.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.export.conditions import kept_conditions, may_contain, shown_conditions
from hatchpay.audit.export.ports import Delivery, ExportView, Format, State
from hatchpay.audit.ports import HistoryFilter
from hatchpay.audit.record import Record
from hatchpay.clock import Clock, format_time
from hatchpay.errors import AuditUnavailable
from hatchpay.store.feed import LedgerFeed

__all__ = ["ExportRegister"]

_PATIENCE_S: Final = 5.0
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS exports (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    format TEXT NOT NULL,
    shown BLOB NOT NULL,
    kept BLOB NOT NULL,
    state TEXT NOT NULL,
    records INTEGER NOT NULL,
    after INTEGER NOT NULL,
    upto INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    started_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS exports_by_tenant ON exports (tenant_id, id);
"""
# One that goes on is on its way again; what it has delivered before stays true.
_BEGIN: Final = """INSERT INTO exports VALUES (?, ?, ?, ?, ?, ?, ?, 'running', 0, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET state = 'running', upto = max(upto, excluded.upto), updated_us = excluded.updated_us
    WHERE tenant_id = excluded.tenant_id"""
_NOTE: Final = """UPDATE exports SET last_seq = max(last_seq, ?), records = max(records, ?), state = ?, updated_us = ?
    WHERE id = ?"""
_PAGE: Final = "SELECT * FROM exports WHERE tenant_id = ? AND id < ? ORDER BY id DESC LIMIT ?"
_BEYOND_ALL: Final = "g"
_BATCH: Final = 500
_filter: Final = msgspec.json.Decoder(HistoryFilter).decode
_shown: Final = msgspec.json.Decoder(dict[str, str]).decode


class ExportRegister:
    """`feed` is the ledger's, by which an export is compared with a record. Any thread may ask."""

    def __init__(self, path: Path, feed: LedgerFeed, clock: Clock) -> None:
        self._path = path
        self._feed = feed
        self._clock = clock

    def begin(self, delivery: Delivery) -> None:
        wanted = delivery.wanted
        row = (
            delivery.id,
            wanted.tenant_id,
            delivery.request_id,
            delivery.principal_id,
            delivery.format,
            msgspec.json.encode(shown_conditions(wanted)),
            msgspec.json.encode(kept_conditions(wanted), order="deterministic"),
            delivery.after,
            delivery.upto,
            delivery.first_seq,
            delivery.first_seq,
            delivery.started_us,
            delivery.started_us,
        )
        with self._writing() as db:
            done = db.execute(_BEGIN, row).rowcount
        if done != 1:
            raise AuditUnavailable("the export's id is another tenant's", code="exports_unavailable")

    def note(self, export_id: str, last_seq: int, records: int, state: State) -> None:
        with self._writing() as db:
            db.execute(_NOTE, (last_seq, records, state, self._clock(), export_id))

    def page(self, tenant_id: str, limit: int, before: str | None = None) -> list[ExportView]:
        with self._reading() as db:
            rows = [] if db is None else db.execute(_PAGE, (tenant_id, before or _BEYOND_ALL, limit)).fetchall()
        return [_view(_Row(*row)) for row in rows]

    def covering(self, tenant_id: str, seqs: Sequence[int]) -> list[ExportView]:
        left = self._all_of(tenant_id)
        found: list[_Row] = []
        for start in range(0, len(seqs), _BATCH):
            part = seqs[start : start + _BATCH]
            if any(row.spans(seq) for row in left for seq in part):
                records = {kept.seq: kept.record for kept in self._feed.at(part)}
                hits = [
                    row
                    for row in left
                    # A record that is gone cannot be compared any more.
                    if any(row.spans(seq) and (seq not in records or row.may_hold(records[seq])) for seq in part)
                ]
                found += hits
                left = [row for row in left if row not in hits]
        return [_view(row) for row in sorted(found, key=lambda row: row.id, reverse=True)]

    def _all_of(self, tenant_id: str) -> list[_Row]:
        with self._reading() as db:
            query = "SELECT * FROM exports WHERE tenant_id = ?"
            return [] if db is None else [_Row(*row) for row in db.execute(query, (tenant_id,))]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._failing_as_one():
            fresh = not self._path.exists()
            with contextlib.closing(self._connect("rwc")) as db:
                if fresh:
                    self._path.chmod(0o600)
                db.execute("PRAGMA synchronous = FULL")
                db.execute("BEGIN IMMEDIATE")
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    db.execute(statement)
                yield db
                db.execute("COMMIT")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """None where nothing has been exported yet."""
        if not self._path.exists():
            yield None
            return
        with self._failing_as_one(), contextlib.closing(self._connect("rw")) as db:
            db.execute("PRAGMA query_only = ON")
            known = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'exports'").fetchone()[0]
            yield db if known else None

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode={mode}"
        return sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)

    @contextlib.contextmanager
    def _failing_as_one(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise AuditUnavailable(
                f"the register of exports cannot be used: {error}", code="exports_unavailable"
            ) from error


class _Row(msgspec.Struct, frozen=True):
    """In the order of the table."""

    id: str
    tenant_id: str
    request_id: str
    principal_id: str
    format: Format
    shown: bytes
    kept: bytes
    state: State
    records: int
    after: int
    upto: int
    first_seq: int
    last_seq: int
    started_us: int
    updated_us: int

    def spans(self, seq: int) -> bool:
        """One that has not ended, as far as we know, may have delivered all that it was to."""
        return self.first_seq <= seq <= (self.upto if self.state == "running" else self.last_seq)

    def may_hold(self, record: Record) -> bool:
        return may_contain(_filter(self.kept), record)


def _view(row: _Row) -> ExportView:
    units = _filter(row.kept).business_unit_ids
    return ExportView(
        id=row.id,
        request_id=row.request_id,
        principal_id=row.principal_id,
        format=row.format,
        conditions=_shown(row.shown),
        business_unit_ids=None if units is None else tuple(sorted(units)),
        state=row.state,
        records=row.records,
        after=row.after,
        upto=row.upto,
        first_seq=row.first_seq,
        last_seq=row.last_seq,
        started_at=format_time(row.started_us),
        updated_at=format_time(row.updated_us),
    )
