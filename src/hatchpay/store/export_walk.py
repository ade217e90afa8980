"""Walking through the ledger for an export: by conditions, oldest first, and with nothing held open in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.export.ports import Stride
from hatchpay.audit.ports import HistoryFilter
from hatchpay.store.feed import LedgerFeed
from hatchpay.store.ledger import conditions_of, reading

__all__ = ["LedgerWalk"]

# Of a tenant's records, so many are compared with the conditions under one connection.
_LOOKED_AT: Final = 2_000
# And so many are read at a time. A record may hold a body of 64 KiB.
_READ: Final = 100
_WINDOW: Final = """SELECT max(seq) FROM (
    SELECT seq FROM records WHERE tenant_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?)"""


class LedgerWalk:
    """One short connection per step, so that any thread may ask, and however slow its caller is."""

    def __init__(self, path: Path, feed: LedgerFeed) -> None:
        self._path = path
        self._feed = feed

    def newest(self, tenant_id: str) -> int:
        """The sequence number of the tenant's newest record; 0 where there is none. Raises AuditUnavailable."""
        with reading(self._path) as db:
            query = "SELECT coalesce(max(seq), 0) FROM records WHERE tenant_id = ?"
            return int(db.execute(query, (tenant_id,)).fetchone()[0])

    def walk(self, wanted: HistoryFilter, after: int, upto: int) -> Iterator[Stride]:
        """As audit.export.ports.Source says."""
        while after < upto:
            found, reached = self._found(wanted, after, upto)
            for start in range(0, len(found), _READ):
                part = found[start : start + _READ]
                yield Stride(self._feed.at(part), part[-1])
            yield Stride([], reached)
            after = reached

    def _found(self, wanted: HistoryFilter, after: int, upto: int) -> tuple[list[int], int]:
        """The numbers of the records that are wanted, up to a number behind `after`."""
        with reading(self._path) as db:
            window = (wanted.tenant_id, after, upto, _LOOKED_AT)
            bound: int | None = db.execute(_WINDOW, window).fetchone()[0]
            if bound is None:
                return [], upto
            conditions, values = conditions_of(msgspec.structs.replace(wanted, after=after, before=bound + 1))
            query = f"SELECT seq FROM records WHERE {conditions} ORDER BY seq"  # noqa: S608
            return [row[0] for row in db.execute(query, values)], bound
