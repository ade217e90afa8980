"""Keyed digests: what is stored in the place of a secret.

HMAC-SHA-256 (RFC 2104) under a pepper that the database never sees. Peppers are versioned so that one can follow
another: the newest digests, the older ones only verify.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

import msgspec

__all__ = ["Peppers"]

_MISSING = bytes(32)


class Peppers(msgspec.Struct, frozen=True):
    """`keys` maps a version (1, 2, …) to 32 secret bytes; `current` is the version that new digests use."""

    current: int
    keys: Mapping[int, bytes]

    def __repr__(self) -> str:
        return f"Peppers(current={self.current}, versions={sorted(self.keys)})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("current", self.current), ("versions", sorted(self.keys))]

    def digest(self, secret: str) -> bytes:
        """32 bytes under the current pepper."""
        return hmac.digest(self.keys[self.current], secret.encode(), "sha256")

    def verify(self, secret: str, digest: bytes, version: int) -> bool:
        """Constant in time for equal lengths; an unknown version costs the same and never matches."""
        pepper = self.keys.get(version)
        computed = hmac.digest(pepper or _MISSING, secret.encode(), "sha256")
        return hmac.compare_digest(computed, digest) and pepper is not None
