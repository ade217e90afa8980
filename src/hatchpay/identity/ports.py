"""What authentication needs to know of keys, as the directory's snapshot gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from hatchpay.identity.principal import Principal
from hatchpay.tokens.digest import Peppers

__all__ = ["KeyEntry", "KeyState", "SecretEntry", "Snapshot"]

KeyState = Literal["enabled", "disabled", "deleted"]


class SecretEntry(msgspec.Struct, frozen=True):
    """One secret of a key. `ends_at_us` is set once a newer one has replaced it."""

    version: int
    digest: bytes
    pepper_version: int
    ends_at_us: int | None

    def __repr__(self) -> str:
        return f"SecretEntry(version={self.version})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("version", self.version)]


class KeyEntry(msgspec.Struct, frozen=True):
    """A key, compiled: everything that a request with it needs. Newest secret first."""

    principal: Principal
    state: KeyState
    secrets: tuple[SecretEntry, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """The directory at one moment. `keys` maps a key's locator (see tokens.apikey) to its entry."""

    generation: int
    keys: Mapping[str, KeyEntry]
    peppers: Peppers
