"""The ledger as its consumers read it: from a position on, in the order in which it was written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.ports import Kept
from hatchpay.audit.record import Record
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
        return self._kept(query, values)

    def at(self, seqs: Sequence[int]) -> list[Kept]:
        """Those of these records that are there, oldest first; at most 1,000. Raises AuditUnavailable."""
        query = f"SELECT seq, record FROM records WHERE seq IN ({', '.join('?' * len(seqs))}) ORDER BY seq"  # noqa: S608
        return self._kept(query, seqs)

    def newest(self) -> int:
        with reading(self._path) as db:
            return int(db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0])

    def _kept(self, query: str, values: Sequence[object]) -> list[Kept]:
        with reading(self._path) as db:
            found = [(number, _decode(record)) for number, record in db.execute(query, values)]
            changes: dict[str, list[dict[str, object]]] = {}
            for start in range(0, len(found), 500):
                changes |= changes_of(db, [record.request_id for _, record in found[start : start + 500]])
        return [Kept(seq=number, record=record, changes=changes.get(record.request_id, [])) for number, record in found]
