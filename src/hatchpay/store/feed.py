"""The ledger as its consumers read it: from a position on, in the order in which it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.ports import Kept
from hatchpay.audit.record import Record
from hatchpay.audit.stream.ports import Backlog
from hatchpay.store.ledger import changes_of, reading

__all__ = ["LedgerFeed"]

_decode: Final = msgspec.msgpack.Decoder(Record).decode


class LedgerFeed:
    """One connection per call, so that any thread may ask. The caller bounds the memory by `limit`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def after(self, seq: int, limit: int, tenant_id: str | None = None) -> list[Kept]:
        among, values = ("", (seq, limit)) if tenant_id is None else (" AND tenant_id = ?", (seq, tenant_id, limit))
        query = f"SELECT seq, record FROM records WHERE seq > ?{among} ORDER BY seq LIMIT ?"  # noqa: S608
        with reading(self._path) as db:
            found = [(number, _decode(record)) for number, record in db.execute(query, values)]
            changes: dict[str, list[dict[str, object]]] = {}
            for start in range(0, len(found), 500):
                changes |= changes_of(db, [record.request_id for _, record in found[start : start + 500]])
        return [Kept(seq=number, record=record, changes=changes.get(record.request_id, [])) for number, record in found]

    def newest(self) -> int:
        with reading(self._path) as db:
            return int(db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0])

    def backlog(self, seq: int, tenant_id: str, unit_ids: tuple[str, ...] | None, most: int) -> Backlog:
        """How much of a tenant's, or of some of its business units', is behind `seq`, counted up to `most`."""
        among = "" if unit_ids is None else f" AND business_unit_id IN ({', '.join('?' * len(unit_ids))})"
        behind = f"FROM records WHERE tenant_id = ? AND seq > ?{among} ORDER BY seq LIMIT ?"
        values = (tenant_id, seq, *(unit_ids or ()))
        with reading(self._path) as db:
            oldest = db.execute(f"SELECT started_us + response_time_us {behind}", (*values, 1)).fetchone()
            count = db.execute(f"SELECT count(*) FROM (SELECT 1 {behind})", (*values, most)).fetchone()[0]  # noqa: S608
        return Backlog(int(count), None if oldest is None else int(oldest[0]))
