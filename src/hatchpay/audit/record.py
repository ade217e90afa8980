"""One request, one record: what the ledger keeps, and the flat JSON object that the history shows."""

from __future__ import annotations

from typing import Literal

import msgspec

from hatchpay.clock import format_time

__all__ = ["Change", "Completion", "Entry", "Intent", "Payload", "Record", "State", "flat"]

State = Literal["completed", "refused", "failed", "disconnected", "indeterminate"]
Payload = Literal["kept", "erased", "unreadable"]
"""What has become of a record's personal parts: url, headers, body, client_ip and the like."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request as it is kept. Nothing in it is secret: it is built from redacted parts only.

    Times are microseconds; `started_us` since the epoch. `body` is JSON text. `claimed_key_id` names a key whose id
    was given without proof. `secret_version` says which of the key's secrets proved it. Of a JSON Web Token there is
    `token_id`, its `jti`; `issuer_id` says which trusted issuer's user it was. `rule` is what decided, such as
    `role:viewer`, and `missing` the least that a denied caller would have to be granted. `subject` stands for whomever
    the request is about, as a keyed digest in hex: what is kept of it can be erased together.
    """

    request_id: str
    tenant_id: str
    method: str
    url: str
    started_us: int
    client_ip: str | None = None
    headers: dict[str, str] = {}
    correlation_id: str | None = None
    business_unit_id: str | None = None
    principal_id: str | None = None
    key_id: str | None = None
    claimed_key_id: str | None = None
    secret_version: int | None = None
    roles: tuple[str, ...] = ()
    decision: Literal["allow", "deny"] = "deny"
    reason: str = ""
    rule: str | None = None
    route: str | None = None
    permission: str | None = None
    body: bytes | None = None
    body_size: int = 0
    body_digest: str | None = None
    status: int | None = None
    response_size: int = 0
    response_time_us: int = 0
    auth_us: int = 0
    handler_us: int = 0
    audit_us: int = 0
    state: State = "indeterminate"
    token_id: str | None = None
    issuer_id: str | None = None
    missing: str | None = None
    subject: str | None = None


class Intent(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Written before a handler with effects runs. Without its completion it is recovered as `indeterminate`."""

    record: Record


class Completion(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """The whole record, in place of its intent, where there is one. A second one with the same id changes nothing."""

    record: Record


class Change(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """One change to the directory, out of the outbox of the transaction that made it. `detail` is JSON text."""

    id: str
    request_id: str
    tenant_id: str
    at_us: int
    actor: str
    event: str
    subject_id: str
    detail: bytes


Entry = Intent | Completion | Change


def flat(record: Record, changes: list[dict[str, object]], payload: Payload = "kept") -> dict[str, object]:
    """The record as the history shows it. `changes` are those that the request made to the directory."""
    return {
        "request_id": record.request_id,
        "tenant_id": record.tenant_id,
        "business_unit_id": record.business_unit_id,
        "principal_id": record.principal_id,
        "key_id": record.key_id,
        "claimed_key_id": record.claimed_key_id,
        "token_id": record.token_id,
        "issuer_id": record.issuer_id,
        "roles": list(record.roles),
        "decision": record.decision,
        "reason": record.reason,
        "rule": record.rule,
        "missing": record.missing,
        "method": record.method,
        "url": record.url,
        "route": record.route,
        "permission": record.permission,
        "client_ip": record.client_ip,
        "headers": record.headers,
        "body": None if record.body is None else msgspec.Raw(record.body),
        "body_size": record.body_size,
        "body_hmac": record.body_digest,
        "status": record.status,
        "response_size": record.response_size,
        "response_time_us": record.response_time_us,
        "auth_us": record.auth_us,
        "handler_us": record.handler_us,
        "audit_us": record.audit_us,
        "started_at": format_time(record.started_us),
        "state": record.state,
        "correlation_id": record.correlation_id,
        "payload": payload,
        "changes": changes,
    }
