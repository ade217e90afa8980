"""OCSF events of class API Activity (6003), profile security_control: one JSON object a line.

https://schema.ocsf.io/1.6.0/classes/api_activity. Nothing is used that a later 1.x has taken away. What the class has
no place for is in `unmapped`; nothing of the record is left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, Literal

import msgspec

from hatchpay.audit.export.json_lines import lines_of
from hatchpay.audit.ports import Kept
from hatchpay.audit.record import Record
from hatchpay.clock import format_time

__all__ = ["SCHEMA_VERSION", "OcsfEvents", "event"]

SCHEMA_VERSION: Final = "1.6.0"
_CLASS: Final = 6003
_LOCAL: Final = "LOCAL"
_Json = dict[str, object]
_Activity = Literal[1, 2, 3, 4, 99]

_ACTIVITIES: Final[dict[str, tuple[_Activity, str]]] = {
    "POST": (1, "Create"),
    "GET": (2, "Read"),
    "HEAD": (2, "Read"),
    "PUT": (3, "Update"),
    "PATCH": (3, "Update"),
    "DELETE": (4, "Delete"),
}
# Those that http_request.http_method can say.
_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_SEVERITIES: Final = {1: "Informational", 2: "Low", 3: "Medium"}
_PHRASES: Final = {int(status): status.phrase for status in HTTPStatus}


class OcsfEvents:
    """`version` is HatchPay's."""

    media_type: Final = "application/x-ndjson"

    def __init__(self, version: str) -> None:
        self._version = version

    def begin(self) -> bytes:
        return b""

    def add(self, kept: Sequence[Kept]) -> bytes:
        return lines_of(event(one, self._version) for one in kept)

    def end(self) -> bytes:
        return b""


def event(kept: Kept, version: str) -> _Json:
    record = kept.record
    activity, activity_name = _ACTIVITIES.get(record.method, (99, record.method or "Unknown"))
    status, status_name = _status(record)
    severity = _severity(record)
    allowed = record.decision == "allow"
    return _present(
        {
            "activity_id": activity,
            "activity_name": activity_name,
            "category_uid": 6,
            "category_name": "Application Activity",
            "class_uid": _CLASS,
            "class_name": "API Activity",
            "type_uid": _CLASS * 100 + activity,
            "type_name": f"API Activity: {activity_name if activity != 99 else 'Other'}",
            "time": record.started_us // 1000,
            "start_time": record.started_us // 1000,
            "end_time": (record.started_us + record.response_time_us) // 1000,
            "duration": record.response_time_us // 1000,
            "severity_id": severity,
            "severity": _SEVERITIES[severity],
            "status_id": status,
            "status": status_name,
            "status_code": None if record.status is None else str(record.status),
            "status_detail": record.reason or None,
            "action_id": 1 if allowed else 2,
            "action": "Allowed" if allowed else "Denied",
            "disposition_id": 1 if allowed else 2,
            "disposition": "Allowed" if allowed else "Blocked",
            "metadata": _metadata(kept, version),
            "actor": _actor(record),
            "api": _api(record),
            "src_endpoint": _source(record),
            "http_request": _request(record),
            "http_response": _response(record),
            "resources": _resources(record),
            "unmapped": _unmapped(kept),
        }
    )


def _status(record: Record) -> tuple[int, str]:
    if record.state == "completed":
        return (1, "Success") if record.status is None or record.status < 400 else (2, "Failure")
    if record.state == "indeterminate":
        return 0, "Unknown"
    return (99, "Disconnected") if record.state == "disconnected" else (2, "Failure")


def _severity(record: Record) -> int:
    """1 for what went well, 2 for what was turned away, 3 for what went wrong on our side or is not known."""
    if record.state in {"failed", "indeterminate"} or (record.status or 0) >= 500:
        return 3
    return 1 if record.state == "completed" and (record.status or 0) < 400 else 2


def _metadata(kept: Kept, version: str) -> _Json:
    record = kept.record
    return _present(
        {
            "version": SCHEMA_VERSION,
            "product": {"name": "HatchPay Auth", "vendor_name": "HatchPay", "version": version},
            "profiles": ["security_control"],
            "uid": record.request_id,
            "correlation_uid": record.correlation_id,
            "tenant_uid": record.tenant_id,
            "sequence": kept.seq,
            "log_name": "audit-log",
            "original_time": format_time(record.started_us),
        }
    )


def _actor(record: Record) -> _Json:
    """Who was proven; `claimed_key_id` is not, and stays in `unmapped`."""
    if record.principal_id is None:
        return {"user": {"name": "anonymous", "type_id": 0, "type": "Unknown"}}
    groups = [{"name": role, "type": "role"} for role in record.roles]
    user: _Json = {"uid": record.principal_id, "credential_uid": record.key_id, "groups": groups or None}
    if record.method == _LOCAL:
        user |= {"type_id": 2, "type": "Admin"}
    elif record.issuer_id is not None and record.principal_id != record.key_id:
        user |= {"type_id": 1, "type": "User"}
    else:
        user |= {"type_id": 4, "type": "Service"}
    session = {"uid": record.token_id, "issuer": record.issuer_id, "credential_uid": record.key_id}
    return _present(
        {
            "user": _present(user),
            "session": None if record.token_id is None else _present(session),
            "idp": None if record.issuer_id is None else {"uid": record.issuer_id},
            "authorizations": None
            if record.rule is None
            else [{"decision": record.decision, "policy": {"name": record.rule, "is_applied": True}}],
        }
    )


def _api(record: Record) -> _Json:
    if record.method == _LOCAL:
        operation = record.route or "hatchpay"
    else:
        operation = record.method if record.route is None else f"{record.method} {record.route}"
    service = "hatchpay" if record.permission is None else record.permission.partition(".")[0]
    answer = None
    if record.status is not None:
        failed = record.status >= 400 and record.reason
        answer = _present({"code": record.status, "error": record.reason if failed else None})
    return _present(
        {
            "operation": operation or "unknown",
            "service": {"name": service},
            "request": _present(
                {"uid": record.request_id, "data": None if record.body is None else msgspec.Raw(record.body)}
            ),
            "response": answer,
        }
    )


def _source(record: Record) -> _Json:
    if record.client_ip is not None:
        with contextlib.suppress(ValueError):
            return {"ip": str(ip_address(record.client_ip))}
    return {"name": "localhost" if record.method == _LOCAL else "unknown"}


def _request(record: Record) -> _Json | None:
    """None for a command, which is no HTTP request."""
    if record.method == _LOCAL:
        return None
    path, _, query = record.url.partition("?")
    url = _present({"path": path or None, "query_string": query or None})
    headers = [{"name": name, "value": value} for name, value in record.headers.items()]
    return _present(
        {
            "uid": record.request_id,
            "http_method": record.method if record.method in _METHODS else None,
            "url": url if "path" in url else None,
            "user_agent": record.headers.get("user-agent"),
            "http_headers": headers or None,
            "body_length": record.body_size,
        }
    )


def _response(record: Record) -> _Json | None:
    if record.status is None or record.method == _LOCAL:
        return None
    return _present(
        {
            "code": record.status,
            "status": _PHRASES.get(record.status),
            "body_length": record.response_size,
            "latency": record.response_time_us // 1000,
        }
    )


def _resources(record: Record) -> list[_Json] | None:
    unit = record.business_unit_id
    return None if unit is None else [{"uid": unit, "type": "business unit"}]


def _unmapped(kept: Kept) -> _Json:
    record, leaf = kept.record, kept.leaf
    return {
        "leaf_index": None if leaf is None else leaf.index,
        "leaf_hash": None if leaf is None else leaf.hash.hex(),
        **_present(
            {
                "state": record.state,
                "payload": kept.payload,
                "method": record.method,
                "url": record.url if record.method == _LOCAL else None,
                "route": record.route,
                "permission": record.permission,
                "missing": record.missing,
                "claimed_key_id": record.claimed_key_id,
                "body_hmac": record.body_digest,
                "response_time_us": record.response_time_us,
                "auth_us": record.auth_us,
                "handler_us": record.handler_us,
                "audit_us": record.audit_us,
                "changes": kept.changes or None,
            }
        ),
    }


def _present(members: Mapping[str, object]) -> _Json:
    """Without those that are None: OCSF leaves out what it does not know."""
    return {name: value for name, value in members.items() if value is not None}
