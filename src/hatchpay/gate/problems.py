"""Refusals as ASGI messages: RFC 9457 problem details, the same shape for each."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any, Final

import msgspec

from hatchpay.errors import HatchPayError, RateLimited, Unauthenticated, problem
from hatchpay.identity.credential import challenge

__all__ = ["REQUEST_ID_HEADER", "Message", "problem_messages"]

Message = MutableMapping[str, Any]
REQUEST_ID_HEADER: Final = b"hatchpay-request-id"
_CLOSES: Final = frozenset({400, 408, 413, 431})


def problem_messages(error: HatchPayError, request_id: str, more: Iterable[tuple[bytes, bytes]] = ()) -> list[Message]:
    """The start, with `more` headers, and the body of the answer."""
    body = msgspec.json.encode(problem(error, request_id))
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (REQUEST_ID_HEADER, request_id.encode()),
        *more,
    ]
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", challenge(error.code).encode()))
    if error.status == 503:
        headers.append((b"retry-after", b"1"))
    if isinstance(error, RateLimited):
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if error.status in _CLOSES:
        # What follows on this connection cannot be trusted to begin where we think it does.
        headers.append((b"connection", b"close"))
    return [
        {"type": "http.response.start", "status": error.status, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]
