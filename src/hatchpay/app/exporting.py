"""Exports over one data directory, for the server and for the command alike."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from hatchpay.admin.erasures import DeliveredExport
from hatchpay.app.paths import DataDirectory
from hatchpay.audit.export.run import Exporter
from hatchpay.clock import wall_us
from hatchpay.ids import new_id
from hatchpay.store.export_walk import LedgerWalk
from hatchpay.store.exports import ExportRegister
from hatchpay.store.feed import LedgerFeed

__all__ = ["delivered", "export_register", "exporter_over"]


def export_register(paths: DataDirectory, feed: LedgerFeed) -> ExportRegister:
    return ExportRegister(paths.exports, feed, wall_us)


def exporter_over(paths: DataDirectory, feed: LedgerFeed, register: ExportRegister) -> Exporter:
    walk = LedgerWalk(paths.ledger, feed)
    return Exporter(walk, register, wall_us, new_id, version("hatchpay"))


def delivered(register: ExportRegister, tenant_id: str, seqs: Sequence[int]) -> list[DeliveredExport]:
    """The exports that may have left with one of these records, as an erasure tells of them."""
    return [
        DeliveredExport(
            id=one.id, format=one.format, principal_id=one.principal_id, started_at=one.started_at, records=one.records
        )
        for one in register.covering(tenant_id, seqs)
    ]
