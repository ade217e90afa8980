"""A file that an export is written to, in a way that a killed command can go on.

`FILE.part` holds what has been written, `FILE.part.json` how far that goes: up to a record, to so many bytes. What was
written behind that is dropped by whoever goes on. The file gets its name once it is whole. All three are for their
owner only.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from time import monotonic
from typing import Final, Self

import msgspec

from hatchpay.errors import Conflict

__all__ = ["ExportFile", "Mark"]

_KEEP_EVERY_S: Final = 1.0
_KEEP_EVERY_BYTES: Final = 2 * 1024 * 1024


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """`size` bytes are written, with `records` records, up to the sequence number `seq`, of the export `export_id` that
    ends at `upto`. `order` tells exports from each other.
    """

    order: str
    export_id: str
    upto: int
    seq: int
    size: int = 0
    records: int = 0


class ExportFile:
    """`continuable`: whether it can be gone on with at any mark; else a second start begins anew."""

    def __init__(self, path: Path, order: str, *, continuable: bool, force: bool) -> None:
        """Raises Conflict `export_exists`, `export_differs` or `export_running`; OSError."""
        if not force and os.path.lexists(path):
            raise Conflict("the file is there already; --force replaces it", code="export_exists")
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._marks = path.with_name(path.name + ".part.json")
        self._continuable = continuable
        self._force = force
        self._fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _lock(self._fd)
            self.begun = self._found(order)
        except BaseException:
            os.close(self._fd)
            raise
        self._kept: Mark | None = None
        self._kept_at = monotonic()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def start(self, mark: Mark) -> None:
        """From there on. The file holds what belongs before it."""
        os.ftruncate(self._fd, mark.size)
        os.lseek(self._fd, mark.size, os.SEEK_SET)
        self.size = mark.size
        self._keep(mark)

    def write(self, data: bytes, mark: Mark) -> None:
        """`data`, with which the file is as `mark` says, but for its size."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.size += len(data)
        assert self._kept is not None  # noqa: S101
        due = monotonic() - self._kept_at >= _KEEP_EVERY_S or self.size - self._kept.size >= _KEEP_EVERY_BYTES
        if due and self._continuable:
            self._keep(msgspec.structs.replace(mark, size=self.size))

    def finish(self) -> None:
        """Raises Conflict `export_exists` where somebody else has made the file meanwhile."""
        os.fsync(self._fd)
        if not self._force and os.path.lexists(self._path):
            raise Conflict("the file is there already; --force replaces it", code="export_exists")
        self._part.replace(self._path)
        self._marks.unlink(missing_ok=True)
        _sync_folder(self._path.parent)

    def _found(self, order: str) -> Mark | None:
        """Where to go on; None where there is nothing to go on with."""
        size = os.fstat(self._fd).st_size
        try:
            mark = msgspec.json.decode(self._marks.read_bytes(), type=Mark)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            mark = None
        if mark is not None and mark.order == order:
            return mark if size >= mark.size else None
        if (size or mark is not None) and not self._force:
            raise Conflict(
                "the .part file beside it belongs to something else; --force drops it", code="export_differs"
            )
        return None

    def _keep(self, mark: Mark) -> None:
        os.fsync(self._fd)
        fresh = self._marks.with_name(self._marks.name + ".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, msgspec.json.encode(mark))
            os.fsync(fd)
        finally:
            os.close(fd)
        fresh.replace(self._marks)
        self._kept, self._kept_at = mark, monotonic()


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict("another command is writing this export", code="export_running") from None


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
