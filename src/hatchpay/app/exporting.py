"""Exports over one data directory, for the server and for the command alike."""

from __future__ import annotations

from importlib.metadata import version

from hatchpay.app.paths import DataDirectory
from hatchpay.audit.export.run import Exporter
from hatchpay.clock import wall_us
from hatchpay.ids import new_id
from hatchpay.store.export_walk import LedgerWalk
from hatchpay.store.exports import ExportRegister
from hatchpay.store.feed import LedgerFeed

__all__ = ["export_register", "exporter_over"]


def export_register(paths: DataDirectory) -> ExportRegister:
    return ExportRegister(paths.exports, LedgerFeed(paths.ledger), wall_us)


def exporter_over(paths: DataDirectory, register: ExportRegister) -> Exporter:
    walk = LedgerWalk(paths.ledger, LedgerFeed(paths.ledger))
    return Exporter(walk, register, wall_us, new_id, version("hatchpay"))
