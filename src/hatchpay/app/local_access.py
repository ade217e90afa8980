"""Access as a server decides it, for commands: by the data directory and a route table, without any secret."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hatchpay.access.catalogue import EMPTY
from hatchpay.access.cedar_schema import body_fields
from hatchpay.access.routes import RouteTable, merge
from hatchpay.app.files import read_catalogue
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.snapshots import DirectorySnapshots
from hatchpay.tokens.digest import Peppers

__all__ = ["local_snapshots", "local_table"]

_NO_PEPPERS: Final = Peppers(0, {})


def local_table(routes: Path | None) -> RouteTable:
    """The application's routes, where there is a table of them, and HatchPay's own. Raises SettingsError."""
    application = EMPTY.routes if routes is None else read_catalogue(routes).routes
    return merge({"the application": application, "HatchPay": RouteTable(CONTROL_ROUTES)})


def local_snapshots(directory: SqlDirectory, table: RouteTable) -> DirectorySnapshots:
    """By which nobody can be proven. Raises DirectoryUnavailable."""
    return DirectorySnapshots(directory, lambda: _NO_PEPPERS, frozenset(body_fields(table.routes)))
