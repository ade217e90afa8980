"""Records of every kind, as an export meets them."""

from __future__ import annotations

from typing import Any

from hatchpay.audit.ports import Kept, Sealed
from hatchpay.audit.record import Record

__all__ = ["KINDS", "TENANT", "kept"]

TENANT = "019ab3c3-ffe0-7a10-8b2c-4d5e6f708192"
_KEY = "019ab3c4-0d1e-7f20-8a3b-5c6d7e8f9012"
_UNIT = "019ab3c4-2f40-7b41-9c5d-7e8f90123456"
_REQUEST = "019ab3c5-1a2b-7c3d-8e4f-5a6b7c8d9e0f"
_ISSUER = "019ab3c6-1a2b-7c3d-8e4f-5a6b7c8d9e0f"


def kept(
    seq: int = 7, leaf: Sealed | None = None, changes: list[dict[str, object]] | None = None, **fields: Any
) -> Kept:
    """A completed GET, but for `fields`."""
    values: dict[str, Any] = {
        "request_id": _REQUEST,
        "tenant_id": TENANT,
        "method": "GET",
        "url": "/roles?limit=20",
        "started_us": 1_764_035_442_000_001,
        "client_ip": "192.0.2.10",
        "headers": {"host": "api.example", "user-agent": "curl/8.5.0"},
        "principal_id": _KEY,
        "key_id": _KEY,
        "roles": ("viewer",),
        "decision": "allow",
        "reason": "role_grants",
        "rule": "role:viewer",
        "route": "/roles",
        "permission": "access.roles.read",
        "status": 200,
        "response_size": 612,
        "response_time_us": 4_210,
        "auth_us": 12,
        "handler_us": 3_870,
        "audit_us": 9,
        "state": "completed",
    }
    return Kept(seq=seq, record=Record(**(values | fields)), changes=changes or [], leaf=leaf)


_NOBODY: dict[str, Any] = {"principal_id": None, "key_id": None, "roles": (), "rule": None}
_CHANGE: dict[str, object] = {
    "id": "019ab3c7-1a2b-7c3d-8e4f-5a6b7c8d9e0f",
    "event": "api-key.keys.created",
    "subject_id": _KEY,
    "actor": "local:1000",
    "at": "2025-11-25T01:50:42.000001Z",
    "detail": {"before": {}, "after": {"name": "Till"}},
}

KINDS: dict[str, Kept] = {
    "allowed": kept(leaf=Sealed(3, bytes(range(32)))),
    "a creation with its body, in a business unit": kept(
        method="POST",
        url="/v1/payment-proxy/transactions",
        route="/v1/payment-proxy/transactions",
        permission="payment-proxy.transactions.create",
        body=b'{"amount":"12.50","items":[{"name":"Tea"}],"note":null}',
        body_size=55,
        body_digest="hmac-sha256:00ff",
        business_unit_id=_UNIT,
        correlation_id="trace-1",
        status=201,
    ),
    "a body that is no object": kept(method="PUT", body=b"[1,2]", body_size=5),
    "a deletion without an answer's body": kept(method="DELETE", status=204, response_size=0),
    "without a credential": kept(
        **_NOBODY, decision="deny", reason="credential_missing", status=401, state="refused", permission=None
    ),
    "with a key that was claimed": kept(
        **_NOBODY, decision="deny", reason="key_expired", status=401, state="refused", claimed_key_id=_KEY
    ),
    "without the permission": kept(
        decision="deny",
        reason="permission_missing",
        missing="access.roles.read",
        rule=None,
        status=403,
        state="refused",
    ),
    "of a route that is not listed": kept(
        method="BREW",
        url="/nothing",
        route=None,
        permission=None,
        decision="deny",
        reason="route_unlisted",
        status=403,
        state="refused",
    ),
    "malformed": kept(
        **_NOBODY,
        method="",
        url="",
        headers={},
        route=None,
        permission=None,
        decision="deny",
        reason="malformed_request",
        status=400,
        state="refused",
    ),
    "too often": kept(decision="deny", reason="rate_limited", rule="limit:key", status=429, state="refused"),
    "refused by its handler": kept(method="POST", reason="invalid_field", status=422, state="refused"),
    "failed": kept(method="PATCH", status=500, state="failed"),
    "not found": kept(status=404),
    "whose caller left": kept(status=None, state="disconnected"),
    "indeterminate": kept(method="POST", status=None, state="indeterminate", response_time_us=0),
    "of a token": kept(token_id="jti-1", rule="role:viewer"),
    "of another issuer's user": kept(
        principal_id="jane@example.com", key_id=None, token_id="jti-2", issuer_id=_ISSUER, client_ip="2001:db8::1"
    ),
    "a command": kept(
        method="LOCAL",
        url="hatchpay keys create",
        route="hatchpay keys create",
        permission=None,
        client_ip=None,
        headers={},
        principal_id="local:1000",
        key_id=None,
        roles=(),
        reason="local_access",
        rule="data_directory",
        changes=[_CHANGE],
    ),
    "a command that failed": kept(
        method="LOCAL",
        url="hatchpay keys create",
        route="hatchpay keys create",
        permission=None,
        client_ip=None,
        headers={},
        principal_id="local:1000",
        key_id=None,
        roles=(),
        decision="deny",
        reason="not_found",
        status=404,
        state="refused",
    ),
    "of nobody's, in the operator's log": kept(
        **_NOBODY,
        tenant_id="00000000-0000-7000-8000-000000000000",
        decision="deny",
        reason="credential_invalid",
        status=401,
        state="refused",
    ),
    "open": kept(
        **(_NOBODY | {"rule": "open"}), reason="open", permission=None, url="/openapi.json", route="/openapi.json"
    ),
    "HEAD": kept(method="HEAD"),
    "OPTIONS": kept(method="OPTIONS", **_NOBODY, decision="deny", reason="route_unlisted", status=403, state="refused"),
    "erased": kept(url="", client_ip=None, headers={}, body=None, principal_id=None, correlation_id=None, roles=()),
    "erased, of a creation": kept(
        method="POST",
        url="",
        client_ip=None,
        headers={},
        body=None,
        principal_id=None,
        body_size=120,
        status=201,
        leaf=Sealed(0, b"\xff" * 32),
    ),
    "of an address that is none": kept(client_ip="unix:"),
}
"""By what they are."""
