"""The examples of streams in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from hatchpay.control.examples import UNIT_ID

__all__ = [
    "CHANGE_STREAM",
    "CREATED_STREAM",
    "CREATE_STREAM",
    "ROTATE_STREAM_SECRET",
    "STREAM",
    "STREAM_TEST",
]

Example = dict[str, Any]

_MADE: Final = "2026-11-24T02:10:42.000001Z"
_LATER: Final = "2026-11-24T08:30:00.250000Z"

CREATE_STREAM: Final[Example] = {
    "name": "Security team",
    "kind": "webhook",
    "destination_url": "https://hooks.example.com/hatchpay",
    "business_unit_ids": [UNIT_ID],
    "event_types": ["api-key.keys.created", "payment-proxy.transactions.create"],
}
CHANGE_STREAM: Final[Example] = {"status": "disabled"}
ROTATE_STREAM_SECRET: Final[Example] = {"overlap_seconds": 86_400}
STREAM: Final[Example] = {
    "id": "019ab3c4-4b62-7c73-9f80-1a2b3c4d5e6f",
    **CREATE_STREAM,
    "header_names": [],
    "secrets": [{"created_at": _MADE, "expires_at": None}],
    "ca_pem": None,
    "status": "enabled",
    "disabled_reason": None,
    "state": "backing_off",
    "lag_records": 12,
    "lag_seconds": 4.25,
    "delivered": 4711,
    "dead_letters": 0,
    "last_success_at": _LATER,
    "last_error": "stream_status",
    "last_error_at": _LATER,
    "last_status": 502,
    "retry_at": "2026-11-24T08:30:01.500000Z",
    "created_at": _MADE,
    "updated_at": _MADE,
}
# Built of words: no scanner and no gate takes it for a secret.
CREATED_STREAM: Final[Example] = {**STREAM, "secret": "whsec_…ExampleOnly…"}
STREAM_TEST: Final[Example] = {"delivered": False, "code": "stream_status", "status": 502, "duration_ms": 31}
