"""Rehearsals over one data directory, for the server and for the command alike."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hatchpay.access.recorded import ReadFields
from hatchpay.access.replay import Standing
from hatchpay.access.routes import RouteTable
from hatchpay.admin.rehearse import Rehearsals
from hatchpay.admin.supposed import WithPolicy
from hatchpay.clock import wall_us
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.replay import LedgerReplay
from hatchpay.store.snapshots import DirectorySnapshots

__all__ = ["rehearsals_over"]

WITH_POLICY: Final[WithPolicy | None] = None
READ_FIELDS: Final[ReadFields | None] = None


def rehearsals_over(
    directory: SqlDirectory, ledger: Path, snapshots: DirectorySnapshots, routes: RouteTable
) -> Rehearsals:
    return Rehearsals(
        directory,
        LedgerReplay(ledger),
        lambda: Standing(snapshots.current, snapshots.rules),
        routes,
        wall_us,
        with_policy=WITH_POLICY,
        read_fields=READ_FIELDS,
    )
