"""The examples in the OpenAPI document. A test reads each with the model that it is an example of."""

from __future__ import annotations

from typing import Any, Final

from hatchpay.errors import HatchPayError, problem

__all__ = [
    "ADVICE",
    "APPLIED_ADVICE",
    "APPLY_ADVICE",
    "CHANGE_ISSUER",
    "INTROSPECTION",
    "INTROSPECTION_REFUSED",
    "ISSUER",
    "JWKS",
    "METADATA",
    "TOKEN",
    "TOKEN_FORM",
    "REVOCATION_REFUSED",
    "TOKEN_ONLY_FORM",
    "TOKEN_REFUSED",
    "TRUST_ISSUER",
    "ARCHIVED_BUSINESS_UNIT",
    "BUSINESS_UNIT",
    "CHANGE_BUSINESS_UNIT",
    "CHANGE_KEY",
    "CREATE_BUSINESS_UNIT",
    "CREATE_KEY",
    "CREATE_TENANT",
    "DEFINE_POLICY",
    "DEFINE_ROLE",
    "ERASE_RECORDS",
    "ERASURE",
    "EXPLAIN_ACCESS",
    "EXPLANATION",
    "EXPORTED_RECORD",
    "EXPORTS",
    "HISTORY_PAGE",
    "ISSUED_KEY",
    "KEY",
    "KEY_ID",
    "KEY_WITH_ROLE",
    "ONBOARDED",
    "PERMISSION",
    "POLICY",
    "RECEIPT",
    "RECORD",
    "ROLE",
    "ROTATE_KEY",
    "ROTATED_KEY",
    "SET_KEY_ROLES",
    "TENANT",
    "TENANT_LOG",
    "UNIT_ID",
    "page",
    "problem_example",
]

Example = dict[str, Any]

KEY_ID: Final = "019ab3c4-0d1e-7f20-8a3b-5c6d7e8f9012"
UNIT_ID: Final = "019ab3c4-2f40-7b41-9c5d-7e8f90123456"
_ROLE_ID: Final = "ea13f326-8166-4687-9dec-16f76f183ced"
_POLICY_ID: Final = "019ab3c4-3a51-7d62-8e7f-901234567890"
_TENANT_ID: Final = "019ab3c3-ffe0-7a10-8b2c-4d5e6f708192"
_REQUEST_ID: Final = "019ab3c5-1a2b-7c3d-8e4f-5a6b7c8d9e0f"
_MADE: Final = "2026-11-24T02:10:42.000001Z"
_LATER: Final = "2026-11-24T08:30:00.250000Z"
# Built of words, with a checksum that does not fit: no scanner and no gate takes it for a key.
_KEY_TEXT: Final = "hp_live_00ExampleKeyIdentifierExampleOnlyExampleOnlyExampleOnly000000"

CREATE_KEY: Final[Example] = {"name": "Tenant API key", "description": "Default tenant API key"}
KEY: Final[Example] = {
    "id": KEY_ID,
    "name": "Tenant API key",
    "description": "Default tenant API key",
    "environment": "live",
    "status": "enabled",
    "roles": [],
    "owner": None,
    "prefix": _KEY_TEXT[:30],
    "last_four": _KEY_TEXT[-4:],
    "expires_at": None,
    "business_unit_ids": None,
    "allowed_cidrs": None,
    "metadata": {},
    "rate_limits": [{"requests": 100, "window_seconds": 60}],
    "created_at": _MADE,
    "updated_at": _MADE,
    "last_used_at": None,
    "last_used_ip": None,
    "previous_secrets": [],
}
ISSUED_KEY: Final[Example] = {**KEY, "key": _KEY_TEXT}
CHANGE_KEY: Final[Example] = {
    "status": "disabled",
    "expires_at": "2027-01-31T09:30:00Z",
    "allowed_cidrs": ["192.0.2.0/24"],
    "metadata": {"cost_center": "4711"},
    "rate_limits": [{"requests": 100, "window_seconds": 60}, {"requests": 50_000, "window_seconds": 2_592_000}],
}
SET_KEY_ROLES: Final[Example] = {"role_ids": [_ROLE_ID], "business_unit_ids": {_ROLE_ID: [UNIT_ID]}}
KEY_WITH_ROLE: Final[Example] = {
    **KEY,
    "roles": [{"id": _ROLE_ID, "name": "viewer", "business_unit_ids": [UNIT_ID]}],
    "updated_at": _LATER,
    "last_used_at": _LATER,
    "last_used_ip": "192.0.2.10",
}
ROTATE_KEY: Final[Example] = {"grace_seconds": 86_400}
ROTATED_KEY: Final[Example] = {
    **ISSUED_KEY,
    "updated_at": _LATER,
    "previous_secrets": [
        {
            "last_four": "0001",
            "expires_at": "2026-11-25T08:30:00.250000Z",
            "last_used_at": _MADE,
            "last_used_ip": "192.0.2.10",
        }
    ],
}
DEFINE_ROLE: Final[Example] = {
    "name": "Till",
    "description": "Takes payments and looks them up",
    "permissions": ["payment-proxy.transactions.create", "payment-proxy.transactions.read"],
    "rate_limits": [{"requests": 20, "window_seconds": 1}],
}
ROLE: Final[Example] = {"id": _ROLE_ID, **DEFINE_ROLE, "builtin": False}
DEFINE_POLICY: Final[Example] = {
    "name": "Till from the shop only",
    "text": f'forbid(principal in Role::"{_ROLE_ID}", action, resource)\n'
    'unless { context.client_ip.isInRange(ip("192.0.2.0/24")) };\n',
}
POLICY: Final[Example] = {"id": _POLICY_ID, **DEFINE_POLICY, "created_at": _MADE, "updated_at": _MADE}
PERMISSION: Final[Example] = {
    "name": "access.roles.read",
    "description": "List roles and what they hold",
    "service": "access",
    "read_only": True,
    "sensitive": False,
    "administrative": False,
}
EXPLAIN_ACCESS: Final[Example] = {
    "principal": KEY_ID,
    "method": "POST",
    "path": "/v1/payment-proxy/transactions",
    "body": {"business_unit_id": UNIT_ID},
    "context": {"client_ip": "192.0.2.10"},
}
EXPLANATION: Final[Example] = {
    "decision": "deny",
    "reason": "permission_missing",
    "rule": None,
    "missing": "payment-proxy.transactions.create",
    "roles_that_grant": [{"id": _ROLE_ID, "name": "Till", "more_permissions": 1}],
    "trace": [
        {
            "check": "route",
            "outcome": "pass",
            "detail": "the route is listed, and needs a permission",
            "route": "POST /v1/payment-proxy/transactions",
            "permission": "payment-proxy.transactions.create",
        },
        {
            "check": "credential",
            "outcome": "pass",
            "detail": "the key is good, for whoever has its newest secret",
        },
        {
            "check": "role",
            "outcome": "fail",
            "detail": "no role of the caller holds the permission; ask for it, or for a role that holds it",
            "reason": "permission_missing",
            "permission": "payment-proxy.transactions.create",
            "roles": ["viewer"],
        },
        *(
            {"check": check, "outcome": "skipped", "detail": "it was decided before this could matter"}
            for check in ("network", "business_unit", "policy")
        ),
    ],
}
CREATE_BUSINESS_UNIT: Final[Example] = {"name": "Berlin branch", "timezone_name": "Europe/Berlin"}
BUSINESS_UNIT: Final[Example] = {
    "id": UNIT_ID,
    **CREATE_BUSINESS_UNIT,
    "status": "active",
    "created_at": _MADE,
    "updated_at": _MADE,
}
CHANGE_BUSINESS_UNIT: Final[Example] = {"name": "Berlin Mitte", "status": "active"}
ARCHIVED_BUSINESS_UNIT: Final[Example] = {**BUSINESS_UNIT, "status": "archived", "updated_at": _LATER}
CREATE_TENANT: Final[Example] = {"name": "Demo"}
TENANT: Final[Example] = {"id": _TENANT_ID, **CREATE_TENANT, "created_at": _MADE}
ONBOARDED: Final[Example] = {
    "tenant": TENANT,
    "api_key": {**ISSUED_KEY, "roles": [{"id": _ROLE_ID, "name": "admin", "business_unit_ids": None}]},
}
HISTORY_PAGE: Final[Example] = {
    "data": [
        {
            "request_id": _REQUEST_ID,
            "tenant_id": _TENANT_ID,
            "business_unit_id": None,
            "principal_id": KEY_ID,
            "key_id": KEY_ID,
            "claimed_key_id": None,
            "token_id": None,
            "issuer_id": None,
            "roles": ["admin"],
            "decision": "allow",
            "reason": "role_grants",
            "rule": "role:admin",
            "missing": None,
            "method": "POST",
            "url": "/v1/api-key/keys",
            "route": "/v1/api-key/keys",
            "permission": "api-key.keys.create",
            "client_ip": "192.0.2.10",
            "headers": {"content-type": "application/json", "user-agent": "curl/8.5.0"},
            "body": CREATE_KEY,
            "body_size": 67,
            "body_hmac": None,
            "status": 201,
            "response_size": 612,
            "response_time_us": 4210,
            "auth_us": 12,
            "handler_us": 3870,
            "audit_us": 9,
            "started_at": _MADE,
            "state": "completed",
            "correlation_id": None,
            "payload": "kept",
            "changes": [],
        }
    ],
    "next_cursor": "NDcxMQ",
}
EXPORTED_RECORD: Final[Example] = {
    "seq": 4711,
    "leaf_index": 230,
    "leaf_hash": "9f2b1c7d0e4a5b6c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e",
    **HISTORY_PAGE["data"][0],
}
EXPORTS: Final[Example] = {
    "data": [
        {
            "id": "019ab3c6-2b3c-7d4e-8f5a-6b7c8d9e0f1a",
            "request_id": _REQUEST_ID,
            "principal_id": KEY_ID,
            "format": "ocsf",
            "conditions": {"from": _MADE, "status": "4xx", "client_ip": "[not kept]"},
            "business_unit_ids": None,
            "state": "finished",
            "records": 42,
            "after": 0,
            "upto": 4711,
            "first_seq": 17,
            "last_seq": 4690,
            "started_at": _MADE,
            "updated_at": _LATER,
        }
    ],
    "next_cursor": None,
}

ADVICE: Final[Example] = {
    "kind": "key",
    "key_id": KEY_ID,
    "name": "Tenant API key",
    "status": "enabled",
    "owner": None,
    "roles": [{"id": "ea13f326-8166-4687-9dec-16f76f183cee", "name": "back office", "business_unit_ids": None}],
    "days": 30,
    "observed_days": 30,
    "requests": 1204,
    "confidence": "high",
    "last_used_at": _LATER,
    "held": [
        "payment-proxy.customer-details.read",
        "payment-proxy.transactions.complete",
        "payment-proxy.transactions.create",
        "payment-proxy.transactions.read",
    ],
    "used": [
        {
            "permission": "payment-proxy.transactions.create",
            "count": 4,
            "first_used_at": _MADE,
            "last_used_at": _LATER,
        },
        {
            "permission": "payment-proxy.transactions.read",
            "count": 1200,
            "first_used_at": _MADE,
            "last_used_at": _LATER,
        },
    ],
    "unused": ["payment-proxy.customer-details.read", "payment-proxy.transactions.complete"],
    "unseen": ["payment-proxy.customer-details.read"],
    "used_by_this_key_only": ["payment-proxy.transactions.create"],
    "smallest_role": {"id": _ROLE_ID, "name": "Till", "unused": 0},
    "proposed_role": None,
    "findings": [
        {"code": "permissions_unused", "detail": "2 of 4 permissions were not used."},
        {"code": "key_without_owner", "detail": "Nobody is named who answers for the key."},
        {
            "code": "permissions_unseen",
            "detail": "No request asked for some of these; if your API asks inside its handlers, no record shows it.",
        },
    ],
}
APPLY_ADVICE: Final[Example] = {"key_id": KEY_ID, "days": 30}
APPLIED_ADVICE: Final[Example] = {
    "key_id": KEY_ID,
    "role": ROLE,
    "created": False,
    "permissions_before": 4,
    "permissions_after": 2,
    "removed": ["payment-proxy.customer-details.read", "payment-proxy.transactions.complete"],
    "observed_days": 30,
    "confidence": "high",
}


def page(item: Example) -> Example:
    return {"data": [item], "next_cursor": None}


def problem_example(
    status: int, code: str, detail: str, *, field: str | None = None, permission: str | None = None
) -> Example:
    return problem(HatchPayError(detail, code=code, status=status, field=field, permission=permission), _REQUEST_ID)


_URL: Final = "https://auth.example.com"
_ISSUER: Final = "https://login.example.com/realms/acme"
# Nothing that a scanner or a gate takes for a token.
_TOKEN_TEXT: Final = "eyJ…header.eyJ…claims.signature"  # noqa: S105
_KID: Final = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

TRUST_ISSUER: Final[Example] = {
    "issuer": _ISSUER,
    "audience": _URL,
    "jwks_url": None,
    "algorithms": ["RS256"],
    "ceiling": ["access.roles.read"],
    "claims": {"user_id": "sub", "roles": "/realm_access/roles", "permissions": "scope", "business_units": None},
}
CHANGE_ISSUER: Final[Example] = {"status": "disabled"}
ISSUER: Final[Example] = {
    "id": "019ab3c4-3a51-7c52-ad6e-8f9012345678",
    **TRUST_ISSUER,
    "status": "enabled",
    "keys": [{"kid": "2026-10", "algorithms": ["RS256"], "problem": None}],
    "keys_fetched_at": _LATER,
    "keys_failure": None,
    "created_at": _MADE,
    "updated_at": _MADE,
}
TOKEN_FORM: Final[Example] = {"grant_type": "client_credentials", "scope": "access.roles.read", "expires_in": 900}
TOKEN: Final[Example] = {
    "access_token": _TOKEN_TEXT,
    "token_type": "Bearer",
    "expires_in": 900,
    "scope": "access.roles.read",
}
TOKEN_ONLY_FORM: Final[Example] = {"token": _TOKEN_TEXT}
INTROSPECTION: Final[Example] = {
    "active": True,
    "token_type": "Bearer",
    "scope": "access.roles.read",
    "sub": KEY_ID,
    "client_id": KEY_ID,
    "iss": _URL,
    "aud": _URL,
    "iat": 1795486242,
    "exp": 1795487142,
    "jti": _REQUEST_ID,
    "tenant": _TENANT_ID,
    "roles": ["viewer"],
    "permissions": ["access.roles.read"],
    "business_units": None,
}
TOKEN_REFUSED: Final[Example] = {
    "error": "invalid_scope",
    "error_description": "scope names a permission that the credential does not hold",
}
REVOCATION_REFUSED: Final[Example] = {
    "error": "unsupported_token_type",
    "error_description": "this is an API key; disable or delete it instead",
}
INTROSPECTION_REFUSED: Final[Example] = {"error": "invalid_request", "error_description": "token is required"}
JWKS: Final[Example] = {
    "keys": [
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "kid": _KID,
            "alg": "EdDSA",
            "use": "sig",
        }
    ]
}
_METHODS: Final = ["client_secret_basic", "client_secret_post"]
METADATA: Final[Example] = {
    "issuer": _URL,
    "token_endpoint": f"{_URL}/v1/auth/token",
    "token_endpoint_auth_methods_supported": _METHODS,
    "jwks_uri": f"{_URL}/.well-known/jwks.json",
    "revocation_endpoint": f"{_URL}/v1/auth/revoke",
    "revocation_endpoint_auth_methods_supported": _METHODS,
    "introspection_endpoint": f"{_URL}/v1/auth/introspect",
    "introspection_endpoint_auth_methods_supported": _METHODS,
    "grant_types_supported": ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"],
    "response_types_supported": [],
}

REHEARSE: Final[Example] = {
    "change": {"key_id": KEY_ID, "role_ids": [_ROLE_ID]},
    "from": "2026-10-25T00:00:00Z",
    "to": "2026-11-24T00:00:00Z",
}
REHEARSAL: Final[Example] = {
    "from": "2026-10-25T00:00:00.000000Z",
    "to": "2026-11-24T00:00:00.000000Z",
    "requests": 48_211,
    "skipped": {"no_permission_needed": 12},
    "undecided": 0,
    "undecided_because": {},
    "denied": {
        "count": 3,
        "groups": [
            {
                "principal_id": KEY_ID,
                "key_id": KEY_ID,
                "name": "Tenant API key",
                "method": "POST",
                "route": "/v1/payment-proxy/transactions",
                "permission": "payment-proxy.transactions.create",
                "count": 3,
                "reason": "permission_missing",
                "missing": "payment-proxy.transactions.create",
                "samples": [_REQUEST_ID],
                "first_at": _MADE,
                "last_at": _LATER,
            }
        ],
        "more_groups": 0,
    },
    "allowed": {"count": 0, "groups": [], "more_groups": 0},
}
_SALT: Final = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
_ROOT: Final = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
_ORIGIN: Final = f"auth.example.com/audit/{_TENANT_ID}"
_CHECKPOINT: Final = f"{_ORIGIN}\n1042\n{_ROOT}\n\n— {_ORIGIN} 1lx1Vw…\n"
ERASE_RECORDS: Final[Example] = {"subject": "jane.doe@example.com"}
ERASURE: Final[Example] = {
    "id": "019ab3c6-1111-7d62-8e7f-901234567890",
    "erased_at": _LATER,
    "records": 1,
    "request_ids": [_REQUEST_ID],
    "exports": [{"id": _POLICY_ID, "format": "csv", "principal_id": KEY_ID, "started_at": _MADE, "records": 120}],
    "complete": True,
}
RECORD: Final[Example] = {
    "record": {**HISTORY_PAGE["data"][0], "secret_version": 1},
    "openings": {"url": {"salt": _SALT, "value": "/v1/api-key/keys"}},
    "leaf_index": 1041,
    "leaf_hash": "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
}
RECEIPT: Final = f"c2sp.org/tlog-proof@v1\nextra eyJhdWRpdF91cyI6…\nindex 1041\n{_ROOT}\n\n{_CHECKPOINT}"
TENANT_LOG: Final[Example] = {
    "origin": _ORIGIN,
    "vkey": f"{_ORIGIN}+d65c7557+AQ…",
    "size": 1042,
    "root": _ROOT,
    "signed_at": _LATER,
    "checkpoint": _CHECKPOINT,
    "cosigned_size": 1042,
    "cosigned_checkpoint": f"{_CHECKPOINT}— witness.example.org 8NWEi2…\n",
    "key_statements": [f"hatchpay-log-key/v1\n{_ORIGIN}\n{_ORIGIN}+1f2e3d4c+AQ…\n\n— {_ORIGIN} 1lx1Vw…\n"],
    "witnesses": [{"name": "witness.example.org", "cosigned_size": 1042, "tried_at": _LATER, "failure": None}],
}
