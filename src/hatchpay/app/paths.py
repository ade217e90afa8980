"""Where everything lies under the data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hatchpay.errors import SettingsError
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.ledger import Ledger
from hatchpay.store.secrets import SecretFiles

__all__ = ["DataDirectory"]

_PATIENCE_S: Final = 15.0


class DataDirectory:
    """Making one creates the directory, for its owner only."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = root.resolve()
        self.directory = self.root / "directory.db"
        self.ledger = self.root / "ledger.db"
        self.instances = self.root / "instances"
        self.secrets = self.root / "secrets"
        self.limits = self.root / "limits"
        self.streams = self.root / "streams.db"

    def secret_files(self, settings: Settings, directory: SqlDirectory) -> SecretFiles:
        """None of them is begun anew while something in `directory` depends on it."""
        return SecretFiles(
            self.secrets,
            settings.pepper,
            needed=directory.holds_keys,
            kek=settings.kek,
            kek_needed=lambda: directory.holds_signing_keys() or directory.holds_streams(),
        )

    def prepare(self) -> None:
        """Make the ledger of a new data directory. Raises SettingsError where one that was there is missing.

        The ledger comes before the directory, so that a directory without one tells of a loss, not of a beginning.
        """
        if not self.directory.exists():
            Ledger(self.ledger, "", busy_timeout_s=_PATIENCE_S).create()
        elif not self.ledger.exists():
            raise SettingsError(f"{self.ledger} is gone: restore it from its backup, since it is the record")
