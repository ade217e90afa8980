"""The ledger as its consumers read it: from a position on, in the order in which it was written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hatchpay.audit.ports import Kept
from hatchpay.audit.stream.ports import Backlog
from hatchpay.store.ledger import changes_of, reading
from hatchpay.store.rows import RECORD_COLUMNS, read_record
from hatchpay.store.seals import SealStore
from hatchpay.store.vault import Vault

__all__ = ["LedgerFeed"]


class LedgerFeed:
    """One connection per call, so that any thread may ask. The caller bounds the memory by `limit`."""

    def __init__(self, path: Path, vault: Vault, seals: SealStore | None = None) -> None:
        """Without `seals` no record is given its leaf."""
        self._path = path
        self._vault = vault
        self._seals = seals

    def after(self, seq: int, limit: int, tenant_id: str | None = None) -> list[Kept]:
        among, values = ("", (seq, limit)) if tenant_id is None else (" AND tenant_id = ?", (seq, tenant_id, limit))
        query = f"SELECT {RECORD_COLUMNS} FROM records WHERE seq > ?{among} ORDER BY seq LIMIT ?"  # noqa: S608
        return self._kept(query, values)

    def at(self, seqs: Sequence[int]) -> list[Kept]:
        """Those of these records that are there, oldest first; at most 1,000. Raises AuditUnavailable."""
        marks = ", ".join("?" * len(seqs))
        query = f"SELECT {RECORD_COLUMNS} FROM records WHERE seq IN ({marks}) ORDER BY seq"  # noqa: S608
        return self._kept(query, seqs)

    def newest(self) -> int:
        with reading(self._path) as db:
            return int(db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0])

    def _kept(self, query: str, values: Sequence[object]) -> list[Kept]:
        with reading(self._path) as db:
            found = [(row[0], *read_record(row, self._vault)) for row in db.execute(query, values)]
            changes: dict[str, list[dict[str, object]]] = {}
            for start in range(0, len(found), 500):
                ids = [record.request_id for _, record, _ in found[start : start + 500]]
                changes |= changes_of(db, ids, self._vault)
        leaves = {} if self._seals is None else self._seals.sealed("record", [number for number, _, _ in found])
        return [
            Kept(
                seq=number,
                record=record,
                changes=changes.get(record.request_id, []),
                leaf=leaves.get(number),
                payload=payload,
            )
            for number, record, payload in found
        ]

    def backlog(self, seq: int, tenant_id: str, unit_ids: tuple[str, ...] | None, most: int) -> Backlog:
        """How much of a tenant's, or of some of its business units', is behind `seq`, counted up to `most`."""
        among = "" if unit_ids is None else f" AND business_unit_id IN ({', '.join('?' * len(unit_ids))})"
        behind = f"FROM records WHERE tenant_id = ? AND seq > ?{among} ORDER BY seq LIMIT ?"
        values = (tenant_id, seq, *(unit_ids or ()))
        with reading(self._path) as db:
            oldest = db.execute(f"SELECT started_us + response_time_us {behind}", (*values, 1)).fetchone()
            count = db.execute(f"SELECT count(*) FROM (SELECT 1 {behind})", (*values, most)).fetchone()[0]  # noqa: S608
        return Backlog(int(count), None if oldest is None else int(oldest[0]))
