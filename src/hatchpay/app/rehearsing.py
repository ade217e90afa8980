"""Rehearsals over one data directory, for the server and for the command alike."""

from __future__ import annotations

from pathlib import Path

from hatchpay.access.replay import Standing
from hatchpay.access.routes import RouteTable
from hatchpay.admin.policies import Policies
from hatchpay.admin.rehearse import Rehearsals
from hatchpay.app.local_access import local_snapshots, local_table
from hatchpay.audit.ports import Replay
from hatchpay.clock import wall_us
from hatchpay.gate.fields import fields_in_body
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.snapshots import DirectorySnapshots

__all__ = ["local_rehearsals", "rehearsals_over"]


def rehearsals_over(
    directory: SqlDirectory, replay: Replay, snapshots: DirectorySnapshots, routes: RouteTable, policies: Policies
) -> Rehearsals:
    return Rehearsals(
        directory,
        replay,
        lambda: Standing(snapshots.current, snapshots.rules),
        routes,
        wall_us,
        with_policy=policies.supposed,
        read_fields=lambda fields, body: fields_in_body(fields, "application/json", body),
    )


def local_rehearsals(directory: SqlDirectory, replay: Replay, routes: Path | None, policies: Policies) -> Rehearsals:
    """By the application's route table in this file, and HatchPay's own. Raises SettingsError, DirectoryUnavailable."""
    table = local_table(routes)
    return rehearsals_over(directory, replay, local_snapshots(directory, table), table, policies)
