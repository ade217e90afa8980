"""What a stream accepts. Every check returns it, or raises InvalidInput naming the field."""

from __future__ import annotations

import re
from typing import Final

from hatchpay.admin import checks
from hatchpay.audit.stream.row import Kind
from hatchpay.errors import InvalidInput

__all__ = ["MAX_EVENT_TYPES", "MAX_HEADERS", "MAX_OVERLAP_SECONDS", "ca_pem", "event_types", "headers", "overlap"]

MAX_HEADERS: Final = 20
MAX_EVENT_TYPES: Final = 200
MAX_OVERLAP_SECONDS: Final = 2_592_000
"""30 days."""

_MAX_PEM: Final = 64 * 1024
# `service.resource.action` of permissions, and of changes, which have underscores as well.
_TYPE: Final = re.compile(r"[a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*){2}")
_PEM: Final = re.compile(r"(?:-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+")
# RFC 9110, sections 5.1 and 5.5, without what is not ASCII.
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE: Final = re.compile(r"[!-~](?:[\t -~]{0,4094}[!-~])?")
_OURS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


def event_types(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not 1 <= len(value) <= MAX_EVENT_TYPES:
        raise InvalidInput(f"give 1 to {MAX_EVENT_TYPES} types, or null for all", field="event_types")
    if not all(len(name) <= 200 and _TYPE.fullmatch(name) for name in value):
        raise InvalidInput("an event type is named service.resource.action, in lower case", field="event_types")
    return checks.distinct(value, "event_types", "duplicate_event_type")


def headers(kind: Kind, value: dict[str, str]) -> dict[str, str]:
    if value and kind not in {"otlp", "http"}:
        raise InvalidInput("only streams over plain HTTP and OTLP have headers of their own", field="headers")
    if len(value) > MAX_HEADERS:
        raise InvalidInput(f"a stream has at most {MAX_HEADERS} headers", field="headers")
    for name, text in value.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise InvalidInput("this is no header's name, or one that is not a stream's to set", field="headers")
        if not _VALUE.fullmatch(text):
            raise InvalidInput("a header's value is printable ASCII, up to 4096 characters", field="headers")
    checks.distinct(tuple(name.lower() for name in value), "headers", "duplicate_header")
    return value


def ca_pem(value: str | None) -> str | None:
    if value is not None and (len(value) > _MAX_PEM or not _PEM.fullmatch(value)):
        raise InvalidInput("not the certificates of authorities in PEM", field="ca_pem")
    return value


def overlap(seconds: int) -> int:
    if not 0 <= seconds <= MAX_OVERLAP_SECONDS:
        raise InvalidInput(f"an overlap is 0 to {MAX_OVERLAP_SECONDS} seconds", field="overlap_seconds")
    return seconds
