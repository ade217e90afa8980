"""OTLP/HTTP logs in the JSON encoding: opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest.

Frozen by the specification (OTLP 1, "JSON Protobuf Encoding"): lowerCamelCase names, 64-bit integers as decimal
strings, enumerations as numbers, trace and span ids as hexadecimal text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from hatchpay.audit.stream.event import Event, Severity
from hatchpay.errors import DeliveryFailed

__all__ = ["CONTENT_TYPE", "encode", "rejected"]

CONTENT_TYPE: Final = "application/json"

_SEVERITIES: Final[Mapping[Severity, tuple[int, str]]] = {
    "info": (9, "INFO"),
    "warning": (13, "WARN"),
    "error": (17, "ERROR"),
}
# By the semantic conventions for HTTP; everything else is under `hatchpay.`.
_CONVENTIONS: Final = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "client_ip": "client.address",
}
# Version 00 to fe of W3C Trace Context, section 3.2; ids of zeros are invalid.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?:-.*)?"
)
_LARGEST: Final = 2**63 - 1


class _Partial(msgspec.Struct, rename="camel"):
    rejected_log_records: int | str = 0


class _Answer(msgspec.Struct, rename="camel"):
    partial_success: _Partial | None = None


def encode(events: Sequence[Event]) -> bytes:
    """One request. All events are of one tenant."""
    resource = [_attribute("service.name", "hatchpay"), _attribute("hatchpay.tenant_id", events[0].record.tenant_id)]
    scope = {"scope": {"name": "hatchpay.audit"}, "logRecords": [_log_record(event) for event in events]}
    return msgspec.json.encode({"resourceLogs": [{"resource": {"attributes": resource}, "scopeLogs": [scope]}]})


def rejected(answer: bytes) -> int:
    """How many records a collector that answered 200 has not taken. Raises DeliveryFailed."""
    if not answer.strip():
        return 0
    try:
        partial = msgspec.json.decode(answer, type=_Answer).partial_success
        return 0 if partial is None else max(int(partial.rejected_log_records), 0)
    except (msgspec.DecodeError, ValueError):
        raise DeliveryFailed("the collector's answer is not OTLP in JSON", code="stream_answer_invalid") from None


def _log_record(event: Event) -> dict[str, object]:
    number, text = _SEVERITIES[event.severity]
    record = event.record
    outcome = record.state if record.status is None else f"{record.status} {record.state}"
    made: dict[str, object] = {
        "timeUnixNano": str(event.at_us * 1000),
        "observedTimeUnixNano": str((event.at_us + record.response_time_us) * 1000),
        "severityNumber": number,
        "severityText": text,
        "eventName": event.type,
        "body": {"stringValue": f"{record.method} {record.url or ''} {outcome}"},
        "attributes": [
            _attribute(_CONVENTIONS.get(name, f"hatchpay.{name}"), value)
            for name, value in event.data.items()
            if value is not None
        ],
    }
    trace = _TRACEPARENT.fullmatch(record.headers.get("traceparent", ""))
    if trace is not None:
        made |= {"traceId": trace["trace"], "spanId": trace["span"], "flags": int(trace["flags"], 16)}
    return made


def _attribute(key: str, value: object) -> dict[str, object]:
    return {"key": key, "value": _any_value(value)}


def _any_value(value: object) -> dict[str, object]:
    match value:
        case bool():
            return {"boolValue": value}
        case int() if -_LARGEST <= value <= _LARGEST:
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case msgspec.Raw():
            return {"stringValue": bytes(value).decode()}
        case list() | tuple():
            return {"arrayValue": {"values": [_any_value(item) for item in value]}}
        case Mapping():
            return {"kvlistValue": {"values": [_attribute(str(name), item) for name, item in value.items()]}}
        case None:
            return {}
        case _:
            return {"stringValue": str(value)}
