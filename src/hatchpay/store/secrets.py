"""Secrets that live outside every database, in files of mode 0600: peppers, the key-encryption key and the fingerprint
key.

Frozen file format of `pepper.json`: {"current": 2, "keys": {"1": "<base64 of 32 bytes>", "2": "…"}}.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.errors import Conflict, InvalidInput, SettingsError
from hatchpay.tokens.digest import Peppers

__all__ = ["SecretFiles", "read_private", "write_private"]

_LENGTH: Final = 32
_VERSION: Final = re.compile("[1-9][0-9]{0,8}")


class _PepperFile(msgspec.Struct, frozen=True):
    current: int
    keys: dict[str, str]


class SecretFiles:
    """`variable` is the text of the `pepper` setting, `kek` that of the setting of this name; each takes the place of
    its file where it is given.

    `needed` says whether something depends on a pepper already, `kek_needed` whether on the key-encryption key: then a
    missing file is a loss, not a beginning.
    """

    def __init__(
        self,
        directory: Path,
        variable: str | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
        *,
        needed: Callable[[], bool] = lambda: False,
        kek: str | None = None,
        kek_needed: Callable[[], bool] = lambda: False,
        payload_needed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._directory = directory
        self._variable = variable
        self._random = random
        self._needed = needed
        self._kek = kek
        self._kek_needed = kek_needed
        self._payload_needed = payload_needed

    def peppers(self) -> Peppers:
        """Made on first call. Raises SettingsError where the file or the variable is damaged or open to others."""
        if self._variable is not None:
            return _from_variable(self._variable)
        if not self._pepper_file.exists():
            with self._locked():
                if not self._pepper_file.exists():
                    if self._needed():
                        raise SettingsError("pepper.json is gone, and keys depend on it: restore it from its backup")
                    self._save(Peppers(1, {1: self._random(_LENGTH)}))
        return self._load()

    def rotate(self) -> Peppers:
        """A new pepper becomes the current one; the older ones go on verifying."""
        self._refuse_variable()
        self.peppers()
        with self._locked():
            old = self._load()
            version = max(old.keys) + 1
            new = Peppers(version, {**old.keys, version: self._random(_LENGTH)})
            self._save(new)
        return new

    def retire(self, version: int) -> Peppers:
        """Raises InvalidInput for a version that is not there, Conflict for the current one."""
        self._refuse_variable()
        with self._locked():
            old = self._load()
            if version not in old.keys:
                raise InvalidInput("there is no pepper of this version", field="version")
            if version == old.current:
                raise Conflict("the current pepper cannot be retired; rotate first", code="pepper_current")
            new = Peppers(old.current, {number: key for number, key in old.keys.items() if number != version})
            self._save(new)
        return new

    def fingerprint_key(self) -> bytes:
        """32 bytes that key the digests in the audit record; made on first call, never changed."""
        return self._made_once("fingerprint.key", lambda: False)

    def kek(self) -> bytes:
        """32 bytes under which the private signing keys are encrypted; made on first call, never changed.

        Raises SettingsError where the file or the variable is damaged, open to others, or gone.
        """
        if self._kek is not None:
            return _decode(self._kek, "HATCHPAY_KEK")
        return self._made_once("kek.key", self._kek_needed)

    def payload_key(self) -> bytes:
        """32 bytes under which the keys of the record's personal parts lie; made on first call, never changed.

        Raises SettingsError where the file is damaged, open to others, or gone.
        """
        return self._made_once("payload.key", self._payload_needed)

    def _made_once(self, name: str, needed: Callable[[], bool]) -> bytes:
        path = self._directory / name
        if not path.exists():
            with self._locked():
                if not path.exists():
                    if needed():
                        raise SettingsError(f"{name} is gone, and what is stored depends on it: restore its backup")
                    write_private(path, base64.b64encode(self._random(_LENGTH)))
        return _decode(read_private(path).decode("ascii", "replace"), path.name)

    @property
    def _pepper_file(self) -> Path:
        return self._directory / "pepper.json"

    def _load(self) -> Peppers:
        try:
            stored = msgspec.json.decode(read_private(self._pepper_file), type=_PepperFile)
            keys = {int(version): _decode(text, "pepper.json") for version, text in stored.keys.items()}
        except (msgspec.DecodeError, ValueError):
            raise SettingsError("pepper.json is damaged") from None
        if stored.current not in keys:
            raise SettingsError("pepper.json lacks its current pepper")
        return Peppers(stored.current, keys)

    def _save(self, peppers: Peppers) -> None:
        keys = {str(version): base64.b64encode(key).decode() for version, key in peppers.keys.items()}
        write_private(self._pepper_file, msgspec.json.encode(_PepperFile(peppers.current, keys)))

    def _refuse_variable(self) -> None:
        if self._variable is not None:
            raise Conflict(
                "the pepper comes from HATCHPAY_PEPPER; add or remove a version there",
                code="pepper_from_variable",
            )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield
            finally:
                os.close(fd)
        except OSError as error:
            raise SettingsError(f"{self._directory} cannot hold secrets: {error.strerror}") from None


def _from_variable(text: str) -> Peppers:
    keys: dict[int, bytes] = {}
    for part in text.split(","):
        version, _, encoded = part.strip().partition(":")
        if not _VERSION.fullmatch(version) or int(version) in keys:
            raise SettingsError("HATCHPAY_PEPPER is version:base64, comma-separated, versions from 1, each once")
        keys[int(version)] = _decode(encoded, "HATCHPAY_PEPPER")
    return Peppers(max(keys), keys)


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise SettingsError(f"{where} holds something that is not base64") from None
    if len(key) != _LENGTH:
        raise SettingsError(f"{where} holds a key that is not 32 bytes long")
    return key


def read_private(path: Path) -> bytes:
    """Raises SettingsError where the file is open to others or cannot be read."""
    try:
        if path.stat().st_mode & 0o077:
            raise SettingsError(f"{path.name} is open to others; make its mode 0600")
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path.name} cannot be read: {error.strerror}") from None


def write_private(path: Path, data: bytes) -> None:
    """Whole or not at all, durable, for its owner only."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
