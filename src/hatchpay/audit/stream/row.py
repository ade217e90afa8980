"""A stream as it is stored. What is secret in it is sealed under the key-encryption key."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from hatchpay.errors import UnusableKey
from hatchpay.tokens.sealed import seal, unseal

__all__ = ["Kind", "StreamRow", "StreamSecret", "seal_headers", "seal_secret", "unseal_headers", "unseal_secrets"]

Kind = Literal["otlp", "syslog", "http", "webhook"]

_PREFIX: Final = b"hatchpay stream v1\0"
_headers: Final = msgspec.json.Decoder(dict[str, str]).decode


class StreamSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's signing secret; `ends_us` is set once a rotation has replaced it."""

    version: int
    sealed: bytes
    created_us: int
    ends_us: int | None = None

    def __repr__(self) -> str:
        return f"StreamSecret(version={self.version})"


class StreamRow(msgspec.Struct, frozen=True, kw_only=True):
    """Times in microseconds since the epoch; None as `business_unit_ids` or `event_types` takes everything.

    It begins behind `start_seq`, the newest record when it was made. `sealed_headers` are those of `header_names`.
    `secrets` has the newest first. `disabled_reason` is the code of why the service itself has disabled it.
    """

    id: str
    tenant_id: str
    name: str
    kind: Kind
    destination_url: str
    business_unit_ids: tuple[str, ...] | None = None
    event_types: tuple[str, ...] | None = None
    header_names: tuple[str, ...] = ()
    sealed_headers: bytes | None = None
    secrets: tuple[StreamSecret, ...] = ()
    ca_pem: str | None = None
    enabled: bool = True
    disabled_reason: str | None = None
    start_seq: int
    created_us: int
    updated_us: int

    def __repr__(self) -> str:
        return f"StreamRow({self.kind}, {self.id})"


def seal_headers(headers: dict[str, str], kek: bytes, nonce: bytes, stream_id: str, origin: str) -> bytes:
    """`origin` is where they may be sent to: they open for no other."""
    return seal(msgspec.json.encode(headers), kek, nonce, _bound("headers", stream_id, origin))


def unseal_headers(row: StreamRow, kek: bytes, origin: str) -> dict[str, str]:
    """Raises UnusableKey `sealed_unreadable`."""
    if row.sealed_headers is None:
        return {}
    opened = unseal(row.sealed_headers, kek, _bound("headers", row.id, origin))
    try:
        return _headers(opened)
    except msgspec.DecodeError:
        raise UnusableKey("what was sealed is not what it should be", code="sealed_unreadable") from None


def seal_secret(secret: bytes, kek: bytes, nonce: bytes, stream_id: str, version: int) -> bytes:
    return seal(secret, kek, nonce, _bound("secret", stream_id, str(version)))


def unseal_secrets(row: StreamRow, kek: bytes, now: int) -> list[bytes]:
    """Those that still sign at `now`, the newest first. Raises UnusableKey `sealed_unreadable`."""
    return [
        unseal(secret.sealed, kek, _bound("secret", row.id, str(secret.version)))
        for secret in row.secrets
        if secret.ends_us is None or secret.ends_us > now
    ]


def _bound(*parts: str) -> bytes:
    return _PREFIX + "\0".join(parts).encode()
