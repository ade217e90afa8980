"""Which processes are alive: each holds a lock on a file of its own for as long as it, or its ledger writer, lives.

The lock is the kernel's (`flock`), so a process that is killed lets go of it, and its process id may be used again
by somebody else without harm.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["InstanceLock", "is_gone"]


class InstanceLock:
    """Taken at construction, let go by `release` or by the death of every process that has inherited `fd`."""

    def __init__(self, directory: Path, instance: str) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory / f"{instance}.lock"
        while True:
            self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            # Somebody who tidied up between the two lines has unlinked what we hold; then it protects nothing.
            if self._is_current():
                return
            os.close(self.fd)

    def release(self) -> None:
        if self.fd >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self.fd)
            self.fd = -1

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.fd), self._path.stat())
        except FileNotFoundError:
            return False


def is_gone(directory: Path, instance: str) -> bool:
    """True where nobody holds the instance's lock."""
    try:
        fd = os.open(directory / f"{instance}.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
