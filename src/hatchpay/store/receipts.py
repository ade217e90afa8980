"""What proves one record: its leaf, its place in its tenant's tree, and what opens the leaf's commitments."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.ports import RecordProof, SealState, TenantLog, WitnessState
from hatchpay.audit.record import flat
from hatchpay.ledger.receipt import Receipt
from hatchpay.ledger.tiles import TileReader
from hatchpay.store.leaf_rows import record_entry
from hatchpay.store.ledger import changes_of, reading
from hatchpay.store.rows import open_row, read_record
from hatchpay.store.seals import Log, SealStore
from hatchpay.store.tile_files import TileFiles
from hatchpay.store.vault import Vault

__all__ = ["LogReceipts"]

_QUERY: Final = """SELECT seq, record, slot, encrypted, commitments FROM records
    WHERE request_id = ? AND tenant_id = ?"""


class LogReceipts:
    """Raises AuditUnavailable, and BrokenLog where the log's files are damaged."""

    def __init__(self, ledger: Path, vault: Vault, seals: SealStore, root: Path) -> None:
        self._ledger = ledger
        self._vault = vault
        self._seals = seals
        self._root = root

    def record(self, tenant_id: str, request_id: str) -> RecordProof | None:
        """The record and what opens its leaf; None where the tenant has no such record."""
        with reading(self._ledger) as db:
            row = db.execute(_QUERY, (request_id, tenant_id)).fetchone()
            if row is None:
                return None
            changes = changes_of(db, [request_id], self._vault).get(request_id, [])
        record, payload = read_record(row[:4], self._vault)
        opened, _ = open_row(row[2], row[3], request_id, self._vault)
        openings: dict[str, dict[str, object]] = {}
        if opened is not None:
            for name, value in sorted(opened.values.items()):
                salt = base64.b64encode(opened.salts[name]).decode("ascii")
                openings[name] = {"salt": salt, "value": msgspec.Raw(value)}
        shown = {**flat(record, changes, payload), "secret_version": record.secret_version}
        sealed = self._seals.sealed("record", [row[0]]).get(row[0])
        return RecordProof(shown, record.business_unit_id, openings, sealed)

    def receipt(self, tenant_id: str, request_id: str) -> bytes | None:
        """In the format c2sp.org/tlog-proof@v1; None until the record is sealed."""
        with reading(self._ledger) as db:
            row = db.execute(_QUERY, (request_id, tenant_id)).fetchone()
        log = self._seals.log(tenant_id)
        sealed = None if row is None else self._seals.sealed("record", [row[0]]).get(row[0])
        if log is None or sealed is None:
            return None
        size, note = log.edge.size, log.checkpoint
        if log.cosigned is not None and log.cosigned_size > sealed.index:
            size, note = log.cosigned_size, log.cosigned
        reader = TileReader(TileFiles(self._root, tenant_id), size)
        entry = record_entry(row[1], row[4])
        return Receipt(entry, sealed.index, tuple(reader.inclusion(sealed.index)), note).encode()

    def log(self, tenant_id: str) -> TenantLog | None:
        """None until something of the tenant is sealed."""
        log = self._seals.log(tenant_id)
        return None if log is None else self._shown(log)

    def state(self) -> SealState:
        """How far the sealer is behind, for metrics."""
        with reading(self._ledger) as db:
            newest = int(db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0])
        sealed = self._seals.cursors().record
        last = max((log.signed_us for log in self._seals.logs()), default=0)
        return SealState(newest - sealed, last)

    def _shown(self, log: Log) -> TenantLog:
        return TenantLog(
            origin=log.origin,
            vkey=log.vkey,
            size=log.edge.size,
            root=log.edge.root(),
            signed_us=log.signed_us,
            checkpoint=log.checkpoint,
            cosigned=log.cosigned,
            cosigned_size=log.cosigned_size,
            successions=tuple(self._seals.successions(log.tenant_id)),
            witnesses=tuple(WitnessState(*row) for row in self._seals.witnesses(log.tenant_id)),
        )
