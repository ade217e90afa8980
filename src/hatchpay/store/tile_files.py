"""The published files of the logs: `<root>/<tenant>/` is what C2SP tlog-tiles calls the prefix of one log.

Any web server can serve them. A file appears whole or not at all, and is on disk before a checkpoint that needs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from hatchpay.errors import AuditUnavailable
from hatchpay.ledger.tiles import TILE_WIDTH, Tile

__all__ = ["TileFiles"]

_DIRECTORY_MODE: Final = 0o755
_FILE_MODE: Final = 0o644


class TileFiles:
    """A tiles.TileSource over one log's directory, and its one writer. Raises AuditUnavailable."""

    def __init__(self, root: Path, tenant_id: str) -> None:
        self.path = root / tenant_id

    def read(self, path: str) -> bytes | None:
        try:
            return (self.path / path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AuditUnavailable(f"a file of the log cannot be read: {error.strerror}") from None

    def write(self, tiles: Iterable[tuple[Tile, bytes]]) -> None:
        """Durable when this returns."""
        for tile, data in tiles:
            self.put(tile.path, data)

    def put(self, path: str, data: bytes) -> None:
        """In the place of what is there. Durable when this returns."""
        target = self.path / path
        try:
            target.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.new")
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            _sync(target.parent)
        except OSError as error:
            raise AuditUnavailable(f"a file of the log cannot be written: {error.strerror}") from None

    def drop_partials(self, written: Iterable[Tile]) -> None:
        """Partial tiles and bundles whose full ones are there (the specification allows it)."""
        for tile in written:
            if tile.width < TILE_WIDTH:
                continue
            partials = (self.path / tile.path).with_name((self.path / tile.path).name + ".p")
            try:
                for file in partials.iterdir():
                    file.unlink()
                partials.rmdir()
            except OSError:
                # It costs some room, and nothing depends on it.
                continue


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
