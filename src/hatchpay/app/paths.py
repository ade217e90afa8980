"""Where everything lies under the data directory."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DataDirectory"]


class DataDirectory:
    """Making one creates the directory, for its owner only."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root = root.resolve()
        self.directory = self.root / "directory.db"
        self.ledger = self.root / "ledger.db"
        self.instances = self.root / "instances"
        self.secrets = self.root / "secrets"
