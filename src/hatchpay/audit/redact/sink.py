"""Where redacted bytes go: the first of them kept, all of them fingerprinted once there are more."""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["Sink"]


class Sink:
    """Keeps `keep` bytes, and has an HMAC over all: computed as they come once they exceed that."""

    def __init__(self, fingerprint_key: bytes, keep: int) -> None:
        self._key = fingerprint_key
        self._keep = keep
        self._kept = bytearray()
        self._hmac: hmac.HMAC | None = None

    def write(self, data: bytes) -> None:
        if self._hmac is not None:
            self._hmac.update(data)
            return
        self._kept += data
        if len(self._kept) > self._keep:
            self._hmac = hmac.new(self._key, bytes(self._kept), hashlib.sha256)
            del self._kept[self._keep :]

    @property
    def kept(self) -> bytes:
        return bytes(self._kept)

    @property
    def truncated(self) -> bool:
        return self._hmac is not None

    @property
    def digest(self) -> str:
        whole = self._hmac or hmac.new(self._key, self._kept, hashlib.sha256)
        return whole.hexdigest()
