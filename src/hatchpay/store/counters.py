"""Counters of rate limits in one file, shared by all processes that serve a data directory.

A slot is read and written by its offset, not through a memory map: a file that is cut off, or a disk that is full,
then is an error like any other, where a map would end the process. Nothing is synced: what the machine loses with its
power is the counting of the last moments.

The locks are the kernel's (open file description locks on single bytes), so a process that is killed lets go of them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from hatchpay.access.rate_limit import FULL, MAX_WINDOW_S, Level, Spent, take
from hatchpay.errors import Unavailable
from hatchpay.identity.principal import Bucket

__all__ = ["FileCounters"]

_log: Final = logging.getLogger("hatchpay.limits")

# The file, version 1, all numbers little-endian. Header, 4,096 bytes: magic (8), salt (16), BLAKE2b-8 of these two (8),
# zeros. Then 2,048 stripes of 256 sets of 32 slots, all of it holes until it is used. Slot, 32 bytes: bucket id (16),
# when it is full again, in microseconds since the epoch (8) and a part of one more (4), zeros (4). A slot of zeros is
# free, and so is one whose bucket is full again. The tenant's part of a bucket's id and the salt choose the stripe, so
# that a tenant fills no other; the whole id and the salt choose the set. Byte N of the file is the lock of stripe N,
# byte 2,048 that of a new beginning.
_MAGIC: Final = b"hplimit1"
_HEADER: Final = 4096
_SALT: Final = 16
_STRIPES: Final = 2048
_SETS: Final = 256
_TENANT_BYTES: Final = 4
_SLOT: Final = struct.Struct("<16sQII")
_SET_BYTES: Final = 32 * _SLOT.size
_STRIPE_BYTES: Final = _SETS * _SET_BYTES
_SIZE: Final = _HEADER + _STRIPES * _STRIPE_BYTES
_BEGINNING: Final = _STRIPES

_LOCK: Final = struct.Struct("hhqqi")
_TRIES: Final = 10
_LOOK_EVERY_S: Final = 0.1
_LATEST_US: Final = (MAX_WINDOW_S + 1) * 1_000_000


class FileCounters:
    """Opened when it is first needed. A file that is gone, or is none of ours, is begun anew."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._table: _Table | None = None
        self._looked_at = 0.0
        self._pid = 0

    def spend(self, buckets: Sequence[Bucket], now_us: int) -> Spent | None:
        """As access.rate_limit.Counters says."""
        if not self._turn.acquire(blocking=False):
            return None
        try:
            return self._current().spend(buckets, now_us)
        except _BusyError:
            return None
        except OSError as error:
            raise Unavailable(
                f"the counters of rate limits cannot be used: {error.strerror}", code="rate_limits_unavailable"
            ) from None
        finally:
            self._turn.release()

    def close(self) -> None:
        with self._turn:
            self._drop()

    def _current(self) -> _Table:
        """The table that `path` names: two processes must not count in two files for long."""
        now = self._monotonic()
        if self._table is not None and self._pid == os.getpid():
            if now - self._looked_at < _LOOK_EVERY_S:
                return self._table
            if self._table.is_at(self._path):
                self._looked_at = now
                return self._table
        self._drop()
        self._table, self._pid, self._looked_at = _Table.open(self._path), os.getpid(), now
        return self._table

    def _drop(self) -> None:
        if self._table is not None:
            self._table.close()
            self._table = None


class _BusyError(Exception):
    """Somebody else holds a lock; never leaves this module."""


# The offset of a slot, and what is kept in it of the bucket.
_Place = tuple[int, tuple[int, int]]


class _Table:
    def __init__(self, fd: int, salt: bytes) -> None:
        self._fd = fd
        self._salt = salt

    @classmethod
    def open(cls, path: Path) -> _Table:
        """Raises OSError, and _BusyError while somebody else begins the file anew."""
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            except FileNotFoundError:
                _begin(path, os.link)
                continue
            try:
                salt = _salt(fd)
                if salt is not None:
                    return cls(fd, salt)
                _replace(fd, path)
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def close(self) -> None:
        os.close(self._fd)

    def is_at(self, path: Path) -> bool:
        try:
            there = path.lstat()
        except FileNotFoundError:
            return False
        return there.st_size == _SIZE and os.path.samestat(there, os.fstat(self._fd))

    def spend(self, buckets: Sequence[Bucket], now_us: int) -> Spent:
        homes = [self._home(bucket.id) for bucket in buckets]
        # In order, so that no two wait for each other, though nobody waits here.
        with _locked(self._fd, sorted({stripe for stripe, _ in homes})):
            found = self._places([one.id for one in buckets], [start for _, start in homes], now_us)
            levels = [take(kept, one.limit, now_us) for one, (_, kept) in zip(buckets, found, strict=True)]
            spent = [level for level in levels if level is not None]
            if len(spent) < len(levels):
                lacking = tuple(number for number, level in enumerate(levels) if level is None)
                return Spent(tuple(self._unspent(buckets, found, now_us)), lacking)
            for bucket, (offset, _), level in zip(buckets, found, spent, strict=True):
                self._write(offset, bucket.id, level)
            return Spent(tuple(spent))

    def _unspent(self, buckets: Sequence[Bucket], found: Sequence[_Place], now_us: int) -> Iterator[Level]:
        """The levels of a request that is refused.

        What a clock that was ahead has left in a bucket is cut to what its limit allows once and for all: it would
        stay empty until that time has come, if each refusal began the cutting anew.
        """
        for bucket, (offset, kept) in zip(buckets, found, strict=True):
            level = take(kept, bucket.limit, now_us, 0)
            # Nothing is owed beyond a bucket's size, from which nobody takes no token in vain.
            assert level is not None  # noqa: S101
            if kept > (level.full_us, level.part):
                self._write(offset, bucket.id, level)
            yield level

    def _home(self, bucket_id: bytes) -> tuple[int, int]:
        """The stripe of a bucket, and the offset of its set."""
        stripe = self._number(bucket_id[:_TENANT_BYTES]) % _STRIPES
        return stripe, _HEADER + stripe * _STRIPE_BYTES + self._number(bucket_id) % _SETS * _SET_BYTES

    def _number(self, text: bytes) -> int:
        """One that nobody can foresee who does not know the salt."""
        return int.from_bytes(blake2b(text, key=self._salt, digest_size=8).digest(), "little")

    def _places(self, ids: Sequence[bytes], starts: Sequence[int], now_us: int) -> list[_Place]:
        """Where each of the buckets is, or may be, kept, in its set that begins at the offset of the same number.

        Raises OSError where a set has no free slot.
        """
        sets = {start: self._read(start) for start in starts}
        kept = [_kept(sets[start], start, one) for one, start in zip(ids, starts, strict=True)]
        # First those that have a place: one of these may be full again, and is not free for the others all the same.
        taken = {place[0] for place in kept if place is not None}
        return [
            _free(sets[start], start, now_us, taken) if place is None else place
            for place, start in zip(kept, starts, strict=True)
        ]

    def _read(self, start: int) -> bytes:
        data = os.pread(self._fd, _SET_BYTES, start)
        if len(data) < _SET_BYTES:
            raise OSError(errno.EIO, "the file is cut off")
        return data

    def _write(self, offset: int, bucket_id: bytes, level: Level) -> None:
        data = _SLOT.pack(bucket_id, level.full_us, level.part, 0)
        if os.pwrite(self._fd, data, offset) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _kept(data: bytes, start: int, bucket_id: bytes) -> _Place | None:
    """Where in its set the bucket is kept."""
    at = data.find(bucket_id)
    while at % _SLOT.size and at > 0:
        at = data.find(bucket_id, at + 1)
    if at < 0:
        return None
    _, full_us, part, _ = _SLOT.unpack_from(data, at)
    return start + at, (full_us, part)


def _free(data: bytes, start: int, now_us: int, taken: set[int]) -> _Place:
    """A free slot of the set, which is added to those that are `taken`."""
    for number, (_, full_us, _, _) in enumerate(_SLOT.iter_unpack(data)):
        offset = start + number * _SLOT.size
        # What no limit can have written is as good as free, or a clock that was ahead would use up slots.
        if offset not in taken and not now_us <= full_us <= now_us + _LATEST_US:
            taken.add(offset)
            return offset, FULL
    raise OSError(errno.ENOSPC, "all slots are in use")


@contextlib.contextmanager
def _locked(fd: int, places: Sequence[int]) -> Iterator[None]:
    held: list[int] = []
    try:
        for place in places:
            _lock(fd, place)
            held.append(place)
        yield
    finally:
        for place in held:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, place, 1, 0))


def _lock(fd: int, place: int) -> None:
    wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
    for _ in range(_TRIES):
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
        except BlockingIOError:
            continue
        return
    raise _BusyError


def _salt(fd: int) -> bytes | None:
    """None where the file is not whole, or none of ours."""
    head = os.pread(fd, 32, 0)
    sealed, seal = head[:24], head[24:]
    if os.fstat(fd).st_size != _SIZE or sealed[:8] != _MAGIC or seal != blake2b(sealed, digest_size=8).digest():
        return None
    return sealed[8:]


def _replace(fd: int, path: Path) -> None:
    """Once, whoever else finds the file damaged: under its lock, and only while it still is the one at `path`."""
    with _locked(fd, [_BEGINNING]):
        there = path.lstat()
        if os.path.samestat(there, os.fstat(fd)):
            _log.error("the counters of rate limits were damaged; all counting begins anew")
            _begin(path, os.replace)


def _begin(path: Path, put: Callable[[Path, Path], None]) -> None:
    """A new file at `path`, whole from the first moment on; whoever comes second keeps what the first has made."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    sealed = _MAGIC + secrets.token_bytes(_SALT)
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(fd, sealed + blake2b(sealed, digest_size=8).digest(), 0)
        os.ftruncate(fd, _SIZE)
        with contextlib.suppress(FileExistsError):
            put(fresh, path)
    finally:
        os.close(fd)
        fresh.unlink(missing_ok=True)
