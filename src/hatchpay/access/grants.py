"""From keys and roles as they are stored to callers as the gate knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from hatchpay.access.directory import KeyRow, RoleRow
from hatchpay.identity.principal import Bucket, Principal

__all__ = ["Grants", "grants_of_roles", "principal_of", "principal_with"]


class Grants(msgspec.Struct, frozen=True):
    """`roles` are the names of the roles; `held` has each permission with the rule that gives it, and `scoped`, for
    permissions that are held for chosen business units only, each of those units with its rule.
    """

    roles: tuple[str, ...]
    held: Mapping[str, str]
    scoped: Mapping[str, Mapping[str, str]]


def grants_of_roles(roles: Iterable[RoleRow], units: Mapping[str, frozenset[str]]) -> Grants:
    """Of each permission the first role, by name, that holds it; `units` has those of the roles, by id, that are
    attached for chosen business units only.
    """
    ordered = sorted(roles, key=lambda role: role.name)
    wide = [role for role in ordered if role.id not in units]
    held = {name: f"role:{role.name}" for role in reversed(wide) for name in role.permissions}
    scoped: dict[str, dict[str, str]] = {}
    for role in reversed(ordered):
        for name in role.permissions - held.keys() if role.id in units else ():
            scoped.setdefault(name, {}).update(dict.fromkeys(units[role.id], f"role:{role.name}"))
    return Grants(
        tuple(role.name for role in ordered),
        MappingProxyType(held),
        MappingProxyType({name: MappingProxyType(rules) for name, rules in scoped.items()}),
    )


def principal_of(key: KeyRow, grants: Grants, buckets: tuple[Bucket, ...] = ()) -> Principal:
    """Whoever calls with `key`, whose roles give `grants`."""
    return Principal(
        id=key.id,
        kind="api_key",
        tenant_id=key.tenant_id,
        key_id=key.id,
        roles=grants.roles,
        grants=grants.held,
        limits=key.limits,
        scoped=grants.scoped,
        buckets=buckets,
    )


def principal_with(key: KeyRow, roles: Mapping[str, RoleRow]) -> Principal:
    """Whoever calls with `key`, whose roles are among `roles` (by id)."""
    return principal_of(key, grants_of_roles([roles[role_id] for role_id in key.role_ids], key.role_units))
