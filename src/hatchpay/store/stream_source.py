"""The streams of all tenants, as the shipper asks for them again and again."""

from __future__ import annotations

from hatchpay.audit.stream.row import StreamRow
from hatchpay.store.directory import SqlDirectory

__all__ = ["DirectoryStreams"]


class DirectoryStreams:
    def __init__(self, directory: SqlDirectory) -> None:
        self._directory = directory

    def version(self) -> object:
        """Differs once anything in the directory has changed."""
        position = self._directory.position()
        return position, self._directory.replaced

    def streams(self) -> list[StreamRow]:
        with self._directory.read() as view:
            return view.load_streams()
