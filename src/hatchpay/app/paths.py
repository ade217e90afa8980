"""Where everything lies under the data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hatchpay.errors import SettingsError
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.ledger import create_ledger, holds_parts
from hatchpay.store.ledger_upgrade import upgrade
from hatchpay.store.secrets import SecretFiles
from hatchpay.store.vault import Vault

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
        self.payload_keys = self.root / "payload.keys"
        self.seals = self.root / "seals.db"
        self.exports = self.root / "exports.db"
        self.streams = self.root / "streams.db"

    def secret_files(self, settings: Settings, directory: SqlDirectory) -> SecretFiles:
        """None of them is begun anew while something in `directory` depends on it."""
        return SecretFiles(
            self.secrets,
            settings.pepper,
            needed=directory.holds_keys,
            kek=settings.kek,
            payload_needed=self.payload_keys.exists,
            kek_needed=lambda: directory.holds_signing_keys() or directory.holds_streams(),
        )

    def vault(self, secrets: SecretFiles) -> Vault:
        """The keys of the record's parts, for whoever writes to the ledger; begun while that is empty.

        Raises SettingsError, AuditUnavailable.
        """
        vault = self.vault_to_read(secrets)
        if not self.payload_keys.exists() and holds_parts(self.ledger):
            raise SettingsError(f"{self.payload_keys} is gone: restore it from its backup, since it opens the record")
        vault.create()
        upgrade(self.ledger, vault)
        return vault

    def vault_to_read(self, secrets: SecretFiles) -> Vault:
        """Asks for its secret once there is something to open."""
        return Vault(self.payload_keys, secrets.payload_key)

    def logs(self, settings: Settings) -> Path:
        """Where the verifiable logs are published."""
        return settings.log_dir or self.root / "logs"

    def prepare(self) -> None:
        """Make the ledger of a new data directory. Raises SettingsError where one that was there is missing.

        The ledger comes before the directory, so that a directory without one tells of a loss, not of a beginning.
        """
        if not self.directory.exists():
            create_ledger(self.ledger, busy_timeout_s=_PATIENCE_S)
        elif not self.ledger.exists():
            raise SettingsError(f"{self.ledger} is gone: restore it from its backup, since it is the record")
