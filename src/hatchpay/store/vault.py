"""The keys under which the personal parts of the record are encrypted: destroying one erases all that is under it.

One file of slots, 32 bytes each. A slot is drawn once, is durable before anything is encrypted under it, and is
destroyed by overwriting it with zeros, in place: there is no journal and no old page in which it would survive. The
data key of a slot is HMAC-SHA-256 of its bytes under a secret that lies elsewhere: the file alone opens nothing.

Frozen format, version 1: slot 0 is HMAC-SHA-256(derived key, "check"), which tells a wrong secret; slots from 1 on are
random or zero. The derived key is HMAC-SHA-256(secret, "hatchpay payload keys v1").
"""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from hatchpay.errors import AuditUnavailable, SettingsError

__all__ = ["SLOT_BYTES", "Vault"]

SLOT_BYTES: Final = 32
_DESTROYED: Final = bytes(SLOT_BYTES)
_MOST_AT_ONCE: Final = 65_536


class Vault:
    """Many processes may use one file. Methods raise AuditUnavailable where the file cannot be read or written, and
    SettingsError where it is damaged or under another secret.
    """

    def __init__(
        self, path: Path, secret: Callable[[], bytes], random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        """`secret` gives 32 bytes. It is asked for once something is encrypted or opened."""
        self.path = path
        self._secret = secret
        self._random = random
        self._fd = -1

    @classmethod
    def of_derived(cls, path: Path, derived: bytes) -> Vault:
        """For a process that is told the derived key, and not the secret."""
        vault = cls(path, bytes)
        vault.derived = derived
        return vault

    @cached_property
    def derived(self) -> bytes:
        return hmac.digest(self._secret(), b"hatchpay payload keys v1", "sha256")

    def __repr__(self) -> str:
        return f"Vault({str(self.path)!r})"

    def create(self) -> None:
        """Make the file where there is none; nothing is changed where there is one."""
        check = self._check()
        with self._failing():
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if os.fstat(fd).st_size == 0:
                    os.write(fd, check)
                    os.fsync(fd)
                    _sync_folder(self.path.parent)
            finally:
                os.close(fd)

    def draw(self, count: int) -> range:
        """New slots, durable when this returns."""
        with self._failing():
            fd = self._open()
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                # A write that was cut off leaves part of a slot, which nothing depends on.
                first = -(-os.fstat(fd).st_size // SLOT_BYTES)
                data = self._random(count * SLOT_BYTES)
                written = 0
                while written < len(data):
                    written += os.pwrite(fd, data[written:], first * SLOT_BYTES + written)
                os.fsync(fd)
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)
        return range(first, first + count)

    def key(self, slot: int) -> bytes | None:
        """The data key of a slot, 32 bytes; None where it was destroyed."""
        try:
            drawn = os.pread(self._open() if self._fd < 0 else self._fd, SLOT_BYTES, slot * SLOT_BYTES)
        except OSError as error:
            raise _unusable(error) from None
        if slot <= 0 or len(drawn) != SLOT_BYTES:
            raise AuditUnavailable("a key of the record's parts is missing")
        return None if drawn == _DESTROYED else hmac.digest(self.derived, drawn, "sha256")

    def destroy(self, slots: Iterable[int]) -> None:
        """For good, and durable when this returns. Destroying twice does no harm; slots never drawn are passed over."""
        with self._failing():
            fd = self._open()
            last = os.fstat(fd).st_size // SLOT_BYTES
            for first, count in _runs(slot for slot in slots if 0 < slot < last):
                os.pwrite(fd, bytes(count * SLOT_BYTES), first * SLOT_BYTES)
            os.fsync(fd)

    def open(self) -> None:
        """Whatever else there is to complain of, complain of it now."""
        with self._failing():
            self._open()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _check(self) -> bytes:
        return hmac.digest(self.derived, b"check", "sha256")

    def _open(self) -> int:
        if self._fd < 0:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            if not hmac.compare_digest(os.pread(fd, SLOT_BYTES, 0), self._check()):
                os.close(fd)
                raise SettingsError(f"{self.path.name} is damaged or under another secret")
            self._fd = fd
        return self._fd

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unusable(error) from None


def _unusable(error: OSError) -> AuditUnavailable:
    return AuditUnavailable(f"the keys of the record's parts cannot be used: {error.strerror}")


def _runs(slots: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Neighbours together, as the first of them and how many."""
    first = count = 0
    for slot in sorted(set(slots)):
        if count and slot == first + count and count < _MOST_AT_ONCE:
            count += 1
            continue
        if count:
            yield first, count
        first, count = slot, 1
    if count:
        yield first, count


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
