"""Business units and policies, compiled from the directory's rows for the hot path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType
from typing import Final, TypeVar

from hatchpay.access.directory import PolicyRow, RoleRow
from hatchpay.access.policy import compile_policies
from hatchpay.access.rules import Policies, Rules, UnitEntry
from hatchpay.store.directory_view import SqlView

Value = TypeVar("Value")
__all__ = ["ROLES_OF", "RULE_KINDS", "compile_rules"]

RULE_KINDS: Final = frozenset({"unit", "policy"})
"""The feed's kinds of change that concern it; each is taken over for the whole tenant that it is of."""
ROLES_OF: Final = "roles_of"
"""Names the tenants of which a role has changed: policies know roles by their ids, callers by their names."""


def compile_rules(
    view: SqlView,
    old: Rules,
    changed: Mapping[str, Set[str]] | None = None,
    *,
    roles: Mapping[str, RoleRow] = MappingProxyType({}),
    with_body: frozenset[str] = frozenset(),
) -> Rules:
    """`old` with what has changed, by the feed's kinds and the ids of tenants; all of it for None.

    `roles` are all roles by id, as they are now; `with_body` see `compile_policies`.
    """
    if changed is None:
        everything = MappingProxyType(_policies(view, None, roles, with_body))
        return Rules(MappingProxyType(_units(view, None)), everything)
    units, policies = old.units, old.policies
    if "unit" in changed:
        units = _renewed(units, changed["unit"], _units(view, changed["unit"]))
    affected = changed.get("policy", frozenset()) | (changed.get(ROLES_OF, frozenset()) & policies.keys())
    if affected:
        policies = _renewed(policies, affected, _policies(view, affected, roles, with_body))
    return old if units is old.units and policies is old.policies else Rules(units, policies)


def _renewed(old: Mapping[str, Value], gone: Set[str], new: Mapping[str, Value]) -> Mapping[str, Value]:
    return MappingProxyType({**{tenant: value for tenant, value in old.items() if tenant not in gone}, **new})


def _units(view: SqlView, tenant_ids: Iterable[str] | None) -> dict[str, Mapping[str, UnitEntry]]:
    found: dict[str, dict[str, UnitEntry]] = {}
    for row in view.load_units(tenant_ids):
        entry = UnitEntry(row.id, row.timezone_name, row.archived_us is not None)
        found.setdefault(row.tenant_id, {})[row.id] = entry
    return {tenant_id: MappingProxyType(units) for tenant_id, units in found.items()}


def _policies(
    view: SqlView, tenant_ids: Iterable[str] | None, roles: Mapping[str, RoleRow], with_body: frozenset[str]
) -> dict[str, Policies]:
    rows: dict[str, list[PolicyRow]] = {}
    for row in view.load_policies(tenant_ids):
        rows.setdefault(row.tenant_id, []).append(row)
    role_ids: dict[str, dict[str, str]] = {tenant_id: {} for tenant_id in rows}
    for role in roles.values() if rows else ():
        if role.tenant_id in role_ids:
            role_ids[role.tenant_id][role.name] = role.id
    compiled = {
        tenant_id: compile_policies(found, role_ids[tenant_id], with_body=with_body)
        for tenant_id, found in rows.items()
    }
    for policies in compiled.values():
        policies.prepare()
    return dict(compiled)
