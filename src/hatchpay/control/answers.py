"""What the calls answer: the use cases' views as they are, and a key's text, once."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Response

from hatchpay.admin.views import CreatedKey, KeyView, Onboarded, TenantView, Versioned

__all__ = [
    "ExportedRecord",
    "HistoryPageAnswer",
    "IssuedKey",
    "OnboardedAnswer",
    "issued",
    "json_answer",
    "no_content",
    "onboarded",
]


class IssuedKey(KeyView, frozen=True, kw_only=True):
    """An API key with its text, which is shown this once and kept nowhere."""

    key: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.id})"


class OnboardedAnswer(msgspec.Struct, frozen=True):
    """A new tenant and its first admin key."""

    tenant: TenantView
    api_key: IssuedKey


class HistoryPageAnswer(msgspec.Struct, frozen=True):
    """Flat records, newest first. `next_cursor` is None on the last page; a cursor is opaque to callers."""

    data: list[dict[str, Any]]
    next_cursor: str | None


class ExportedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an export as JSON lines: the record as the history shows it, behind its place in the ledger and in the
    tenant's tree, which is None until it is sealed.
    """

    seq: int
    leaf_index: int | None
    leaf_hash: str | None
    request_id: str
    tenant_id: str
    business_unit_id: str | None
    principal_id: str | None
    key_id: str | None
    claimed_key_id: str | None
    token_id: str | None
    issuer_id: str | None
    roles: list[str]
    decision: str
    reason: str
    rule: str | None
    missing: str | None
    method: str
    url: str
    route: str | None
    permission: str | None
    client_ip: str | None
    headers: dict[str, str]
    body: Any
    body_size: int
    body_hmac: str | None
    status: int | None
    response_size: int
    response_time_us: int
    auth_us: int
    handler_us: int
    audit_us: int
    started_at: str
    state: str
    correlation_id: str | None
    payload: str
    changes: list[dict[str, Any]]


def issued(created: CreatedKey) -> IssuedKey:
    view = {name: getattr(created.view, name) for name in KeyView.__struct_fields__}
    return IssuedKey(**view, key=created.key).tagged(created.view.etag)


def onboarded(done: Onboarded) -> OnboardedAnswer:
    return OnboardedAnswer(done.tenant, issued(done.api_key))


def json_answer(value: msgspec.Struct, status: int = 200, *, location: str | None = None) -> Response:
    """`location` is the path of what a 201 has made. What has a version says it (RFC 9110, section 8.8.3)."""
    headers = {} if location is None else {"Location": location}
    if isinstance(value, Versioned):
        headers["ETag"] = f'"{value.etag}"'
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def no_content() -> Response:
    return Response(status_code=204)
