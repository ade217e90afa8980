"""Webhooks by Standard Webhooks 1: one event per request, signed with HMAC-SHA256.

The signed content is `webhook-id` "." `webhook-timestamp` "." body, the body byte for byte as it is sent. While a
secret is being rotated, there is a signature for each that still counts, the newest first.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence
from typing import Final

import msgspec

from hatchpay.audit.stream.event import Event

__all__ = ["CONTENT_TYPE", "SECRET_BYTES", "encode", "headers", "message_id", "secret_text"]

CONTENT_TYPE: Final = "application/json"
SECRET_BYTES: Final = 32
_PREFIX: Final = "whsec_"


def encode(event: Event) -> bytes:
    return msgspec.json.encode({"type": event.type, "timestamp": event.at, "data": event.data})


def message_id(event: Event) -> str:
    """The same whenever the event is sent again, so that a receiver can tell."""
    return f"msg_{event.record.request_id}"


def headers(message_id: str, timestamp_s: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """`timestamp_s` is the time of this attempt, in seconds since the epoch."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    signatures = [b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def secret_text(secret: bytes) -> str:
    """As its receiver is given it."""
    return _PREFIX + b64encode(secret).decode()
