"""The keys that sign the logs' checkpoints: the one in use, and a successor that is ready before it is needed.

Two files, so that what destroys one leaves the other: a key that is lost is followed by a successor that it has vouched
for while it was there. The files hold the 32 bytes of an Ed25519 seed (RFC 8032) in base64.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hatchpay.errors import SettingsError
from hatchpay.ledger.note import Signer
from hatchpay.store.secrets import read_private, write_private

__all__ = ["LogKeys"]

_CURRENT: Final = "log.key"
_NEXT: Final = "log-next.key"
_SEED_BYTES: Final = 32


class LogKeys:
    """Raises SettingsError where a file is damaged, open to others, or gone although logs depend on it."""

    def __init__(
        self, directory: Path, needed: Callable[[], bool], random: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        """`needed` tells whether there are logs already: then a missing file is a loss, not a beginning."""
        self._directory = directory
        self._needed = needed
        self._random = random

    def current(self, origin: str) -> Signer:
        """The key that signs, under the name of the log `origin`."""
        return Signer(origin, self._key(_CURRENT))

    def successor(self, origin: str) -> Signer:
        """The one that will sign after it."""
        return Signer(origin, self._key(_NEXT))

    def advance(self) -> None:
        """Let the successor sign from now on, and draw another successor."""
        with self._locked():
            seed = self._seed(_NEXT)
            write_private(self._directory / _CURRENT, base64.b64encode(seed))
            write_private(self._directory / _NEXT, base64.b64encode(self._random(_SEED_BYTES)))

    def _key(self, name: str) -> Ed25519PrivateKey:
        path = self._directory / name
        if not path.exists():
            with self._locked():
                if not path.exists():
                    if self._needed():
                        raise SettingsError(
                            f"{name} is gone: restore its backup, or go on under the other key with "
                            "hatchpay audit rotate-key"
                        )
                    write_private(path, base64.b64encode(self._random(_SEED_BYTES)))
        return Ed25519PrivateKey.from_private_bytes(self._seed(name))

    def _seed(self, name: str) -> bytes:
        try:
            seed = base64.b64decode(read_private(self._directory / name), validate=True)
        except (binascii.Error, ValueError):
            seed = b""
        if len(seed) != _SEED_BYTES:
            raise SettingsError(f"{name} is damaged")
        return seed

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._directory / "log-key.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)
