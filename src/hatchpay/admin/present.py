"""From the directory's rows to the values that callers see, and to the facts that audit events compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from hatchpay.access.directory import IssuerRow, KeyRow, PolicyRow, RoleRow, TenantRow, UnitRow
from hatchpay.access.permission import Permission
from hatchpay.admin.token_views import IssuerKeyView, IssuerView
from hatchpay.admin.versions import etag
from hatchpay.admin.views import (
    BusinessUnitView,
    KeyView,
    PermissionView,
    PolicyView,
    PreviousSecretView,
    RateLimitView,
    RoleReference,
    RoleView,
    TenantView,
)
from hatchpay.audit.ports import KeyUsage
from hatchpay.clock import format_time
from hatchpay.errors import UnusableKey
from hatchpay.identity.principal import RateLimit
from hatchpay.tokens.apikey import encode_id
from hatchpay.tokens.jwks import KeySet

__all__ = [
    "issuer_facts",
    "issuer_view",
    "key_facts",
    "key_view",
    "permission_view",
    "policy_facts",
    "policy_view",
    "role_facts",
    "role_names",
    "role_view",
    "tenant_view",
    "unit_facts",
    "unit_view",
]

_NO_UNITS: Final[Mapping[str, frozenset[str]]] = {}


def key_view(key: KeyRow, roles: Mapping[str, RoleRow], uses: Sequence[KeyUsage], now: int) -> KeyView:
    """`roles` holds at least the key's, by id; `uses` are the recorded uses of its secrets."""
    newest = max(uses, key=lambda use: use.used_us, default=None)
    held = sorted((roles[role_id] for role_id in key.role_ids), key=lambda role: role.name)
    return KeyView(
        id=key.id,
        name=key.name,
        description=key.description,
        environment=key.environment,
        status=_status(key, now),
        roles=tuple(RoleReference(role.id, role.name, _sorted(key.role_units.get(role.id))) for role in held),
        owner=key.owner,
        prefix=f"hp_{key.environment}_{encode_id(key.id)}",
        last_four=key.secrets[0].last_four,
        expires_at=_time(key.expires_us),
        business_unit_ids=key.business_unit_ids,
        allowed_cidrs=key.allowed_cidrs,
        metadata=key.metadata,
        rate_limits=_rate_limits(key.rate_limits),
        created_at=format_time(key.created_us),
        updated_at=format_time(key.updated_us),
        last_used_at=None if newest is None else format_time(newest.used_us),
        last_used_ip=None if newest is None else newest.client_ip,
        previous_secrets=_previous(key, uses, now),
    ).tagged(etag(key))


def role_view(role: RoleRow) -> RoleView:
    return RoleView(
        id=role.id,
        name=role.name,
        description=role.description,
        builtin=role.builtin,
        permissions=tuple(sorted(role.permissions)),
        rate_limits=_rate_limits(role.rate_limits),
    ).tagged(etag(role))


def permission_view(permission: Permission) -> PermissionView:
    return PermissionView(
        name=permission.name,
        description=permission.description,
        service=permission.service,
        read_only=permission.read_only,
        sensitive=permission.sensitive,
        administrative=permission.administrative,
    )


def policy_view(policy: PolicyRow) -> PolicyView:
    return PolicyView(
        id=policy.id,
        name=policy.name,
        text=policy.text,
        created_at=format_time(policy.created_us),
        updated_at=format_time(policy.updated_us),
    ).tagged(etag(policy))


def policy_facts(policy: PolicyRow) -> dict[str, object]:
    """What an audit event tells of a policy."""
    return {"name": policy.name, "text": policy.text}


def unit_view(unit: UnitRow) -> BusinessUnitView:
    return BusinessUnitView(
        id=unit.id,
        name=unit.name,
        timezone_name=unit.timezone_name,
        status="active" if unit.archived_us is None else "archived",
        created_at=format_time(unit.created_us),
        updated_at=format_time(unit.updated_us),
    ).tagged(etag(unit))


def unit_facts(unit: UnitRow) -> dict[str, object]:
    """What an audit event tells of a business unit."""
    return {
        "name": unit.name,
        "timezone_name": unit.timezone_name,
        "status": "active" if unit.archived_us is None else "archived",
    }


def tenant_view(tenant: TenantRow) -> TenantView:
    return TenantView(id=tenant.id, name=tenant.name, created_at=format_time(tenant.created_us))


def issuer_view(issuer: IssuerRow) -> IssuerView:
    return IssuerView(
        id=issuer.id,
        issuer=issuer.issuer,
        audience=issuer.audience,
        jwks_url=issuer.jwks_url,
        algorithms=issuer.algorithms,
        ceiling=tuple(sorted(issuer.ceiling)),
        claims=issuer.claims,
        status="enabled" if issuer.enabled else "disabled",
        keys=_issuer_keys(issuer.keys.document),
        keys_fetched_at=_time(issuer.keys.fetched_us),
        keys_failure=issuer.keys.failure,
        created_at=format_time(issuer.created_us),
        updated_at=format_time(issuer.updated_us),
    ).tagged(etag(issuer))


def issuer_facts(issuer: IssuerRow) -> dict[str, object]:
    """What an audit event tells of a trusted issuer."""
    return {
        "issuer": issuer.issuer,
        "audience": issuer.audience,
        "jwks_url": issuer.jwks_url,
        "algorithms": issuer.algorithms,
        "ceiling": sorted(issuer.ceiling),
        "claims": msgspec.to_builtins(issuer.claims),
        "status": "enabled" if issuer.enabled else "disabled",
    }


def key_facts(key: KeyRow) -> dict[str, object]:
    """What an audit event tells of a key."""
    return {
        "name": key.name,
        "description": key.description,
        "environment": key.environment,
        "status": "enabled" if key.enabled else "disabled",
        "owner": key.owner,
        "expires_at": _time(key.expires_us),
        "business_unit_ids": key.business_unit_ids,
        "allowed_cidrs": key.allowed_cidrs,
        "metadata": key.metadata,
        "rate_limits": msgspec.to_builtins(_rate_limits(key.rate_limits)),
    }


def role_facts(role: RoleRow) -> dict[str, object]:
    """What an audit event tells of a role."""
    return {
        "name": role.name,
        "description": role.description,
        "permissions": sorted(role.permissions),
        "rate_limits": msgspec.to_builtins(_rate_limits(role.rate_limits)),
    }


def role_names(roles: Iterable[RoleRow], units: Mapping[str, frozenset[str]] = _NO_UNITS) -> list[dict[str, object]]:
    """What an audit event tells of the roles that a key holds; `units` has those of the scoped ones, by id."""
    return [
        {"id": role.id, "name": role.name} | ({"business_unit_ids": sorted(units[role.id])} if role.id in units else {})
        for role in sorted(roles, key=lambda role: role.name)
    ]


def _issuer_keys(document: bytes | None) -> tuple[IssuerKeyView, ...]:
    if document is None:
        return ()
    try:
        keys = KeySet.load(document)
    except UnusableKey:
        return ()
    usable = [IssuerKeyView(kid=key.kid, algorithms=tuple(sorted(key.algorithms)), problem=None) for key in keys.keys]
    unusable = [IssuerKeyView(kid=kid, algorithms=(), problem=problem) for kid, problem in keys.unusable.items()]
    return (*usable, *unusable)


def _status(key: KeyRow, now: int) -> Literal["enabled", "disabled", "expired"]:
    if not key.enabled:
        return "disabled"
    return "expired" if key.expires_us is not None and now >= key.expires_us else "enabled"


def _previous(key: KeyRow, uses: Sequence[KeyUsage], now: int) -> tuple[PreviousSecretView, ...]:
    by_version = {use.secret_version: use for use in uses}
    found = []
    for secret in key.secrets:
        if secret.ends_us is not None and secret.ends_us > now:
            use = by_version.get(secret.version)
            found.append(
                PreviousSecretView(
                    last_four=secret.last_four,
                    expires_at=format_time(secret.ends_us),
                    last_used_at=None if use is None else format_time(use.used_us),
                    last_used_ip=None if use is None else use.client_ip,
                )
            )
    return tuple(found)


def _sorted(values: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(sorted(values))


def _rate_limits(limits: Iterable[RateLimit]) -> tuple[RateLimitView, ...]:
    return tuple(RateLimitView(limit.requests, limit.window_s) for limit in limits)


def _time(us: int | None) -> str | None:
    return None if us is None else format_time(us)
