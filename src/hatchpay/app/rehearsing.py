"""Rehearsals over one data directory, for the server and for the command alike."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hatchpay.access.catalogue import EMPTY
from hatchpay.access.cedar_schema import body_fields
from hatchpay.access.replay import Standing
from hatchpay.access.routes import RouteTable, merge
from hatchpay.admin.policies import Policies
from hatchpay.admin.rehearse import Rehearsals
from hatchpay.app.files import read_catalogue
from hatchpay.clock import wall_us
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.gate.fields import fields_in_body
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.replay import LedgerReplay
from hatchpay.store.snapshots import DirectorySnapshots
from hatchpay.tokens.digest import Peppers

__all__ = ["local_rehearsals", "rehearsals_over"]

_NO_PEPPERS: Final = Peppers(0, {})


def rehearsals_over(
    directory: SqlDirectory, ledger: Path, snapshots: DirectorySnapshots, routes: RouteTable, policies: Policies
) -> Rehearsals:
    return Rehearsals(
        directory,
        LedgerReplay(ledger),
        lambda: Standing(snapshots.current, snapshots.rules),
        routes,
        wall_us,
        with_policy=policies.supposed,
        read_fields=lambda fields, body: fields_in_body(fields, "application/json", body),
    )


def local_rehearsals(directory: SqlDirectory, ledger: Path, routes: Path | None, policies: Policies) -> Rehearsals:
    """By the application's route table in this file, and HatchPay's own. Raises SettingsError, DirectoryUnavailable."""
    application = EMPTY.routes if routes is None else read_catalogue(routes).routes
    table = merge({"the application": application, "HatchPay": RouteTable(CONTROL_ROUTES)})
    snapshots = DirectorySnapshots(directory, lambda: _NO_PEPPERS, frozenset(body_fields(table.routes)))
    return rehearsals_over(directory, ledger, snapshots, table, policies)
