"""From keys and roles as they are stored to callers as the gate knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from hatchpay.access.directory import KeyRow, RoleRow
from hatchpay.identity.principal import Principal

__all__ = ["Grants", "grants_of_roles", "principal_of", "principal_with"]

Grants = tuple[tuple[str, ...], Mapping[str, str]]
"""The names of the roles, and each permission with the rule that gives it."""


def grants_of_roles(roles: Iterable[RoleRow]) -> Grants:
    """The names of the roles, and of each permission the first role, by name, that holds it."""
    ordered = sorted(roles, key=lambda role: role.name)
    grants = {name: f"role:{role.name}" for role in reversed(ordered) for name in role.permissions}
    return tuple(role.name for role in ordered), MappingProxyType(grants)


def principal_of(key: KeyRow, grants: Grants) -> Principal:
    """Whoever calls with `key`, whose roles give `grants`."""
    names, held = grants
    return Principal(
        id=key.id,
        kind="api_key",
        tenant_id=key.tenant_id,
        key_id=key.id,
        roles=names,
        grants=held,
        limits=key.limits,
    )


def principal_with(key: KeyRow, roles: Mapping[str, RoleRow]) -> Principal:
    """Whoever calls with `key`, whose roles are among `roles` (by id)."""
    return principal_of(key, grants_of_roles(roles[role_id] for role_id in key.role_ids))
