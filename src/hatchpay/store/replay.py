"""Reading the ledger from end to end: all that a tenant's callers did in a span of time, oldest first."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hatchpay.audit.record import Record
from hatchpay.store.ledger import reading
from hatchpay.store.rows import RECORD_COLUMNS, read_record
from hatchpay.store.vault import Vault

__all__ = ["LedgerReplay"]

_BATCH: Final = 2_000
# A record is written once its request has ended, so it may have begun this much before its neighbours.
_SLACK_US: Final = 3_600 * 1_000_000
_NEIGHBOURS: Final = 64
_SPAN: Final = "tenant_id = ? AND seq >= ? AND started_us >= ? AND started_us < ?"


class LedgerReplay:
    """One connection per walk, so that any thread may ask. Requests that took longer than an hour may be missed at
    the beginning of a span.
    """

    def __init__(self, path: Path, vault: Vault) -> None:
        self._path = path
        self._vault = vault

    def count(self, tenant_id: str, from_us: int, to_us: int, business_unit_ids: frozenset[str] | None = None) -> int:
        """How many records `records` gives."""
        among, units = _among(business_unit_ids)
        query = f"SELECT count(*) FROM records WHERE {_SPAN}{among}"  # noqa: S608
        with reading(self._path) as db:
            return int(db.execute(query, (tenant_id, _first(db, from_us), from_us, to_us, *units)).fetchone()[0])

    def records(
        self, tenant_id: str, from_us: int, to_us: int, business_unit_ids: frozenset[str] | None = None
    ) -> Iterator[list[Record]]:
        """Batches of those that began at or after `from_us` and before `to_us`, in the order of their completion.

        Raises AuditUnavailable.
        """
        among, units = _among(business_unit_ids)
        query = f"SELECT {RECORD_COLUMNS} FROM records WHERE {_SPAN}{among} ORDER BY seq LIMIT ?"  # noqa: S608
        with reading(self._path) as db:
            seq = _first(db, from_us)
            while rows := db.execute(query, (tenant_id, seq, from_us, to_us, *units, _BATCH)).fetchall():
                seq = rows[-1][0] + 1
                yield [read_record(row, self._vault)[0] for row in rows]


def _among(unit_ids: frozenset[str] | None) -> tuple[str, list[str]]:
    """A condition for these units, with its values."""
    units = sorted(unit_ids or ())
    return ("", []) if unit_ids is None else (f" AND business_unit_id IN ({', '.join('?' * len(units))})", units)


def _first(db: sqlite3.Connection, from_us: int) -> int:
    """A sequence number before which nothing began at or after `from_us`, by halving: time has no index."""
    low, high = 1, int(db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0]) + 1
    wanted = from_us - _SLACK_US
    while low < high:
        middle = (low + high) // 2
        # Several, since a record that recovery has added is out of its time.
        query = "SELECT max(started_us) FROM (SELECT started_us FROM records WHERE seq >= ? ORDER BY seq LIMIT ?)"
        newest = db.execute(query, (middle, _NEIGHBOURS)).fetchone()[0]
        if newest is not None and newest < wanted:
            low = middle + 1
        else:
            high = middle
    return low
