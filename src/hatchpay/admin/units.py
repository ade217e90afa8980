"""Which business units a key is limited to, and for which of them it holds its roles: what can be chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hatchpay.admin import checks
from hatchpay.admin.work import Work
from hatchpay.errors import InvalidInput

__all__ = ["MAX_ROLE_UNITS", "limit", "scopes"]

MAX_ROLE_UNITS: Final = 50
"""How many business units one role is attached for at most."""

_FIELD: Final = "business_unit_ids"


def limit(work: Work, unit_ids: tuple[str, ...] | None, before: Sequence[str] | None) -> tuple[str, ...] | None:
    """The units that a key is to be limited to (None: not at all), in the place of `before`.

    Raises InvalidInput for what is no list of the tenant's units, or adds an archived one; Forbidden for units that are
    not the caller's, whether they exist or not.
    """
    if unit_ids is not None:
        _check(unit_ids)
    work.demand_units(unit_ids)
    if unit_ids is not None:
        _demand_usable(work, unit_ids, before or ())
    return unit_ids


def scopes(
    work: Work,
    role_ids: Sequence[str],
    unit_ids: Mapping[str, tuple[str, ...]],
    before: Mapping[str, frozenset[str]],
) -> dict[str, frozenset[str]]:
    """For which units each role that `unit_ids` names is to be attached, in the place of `before`.

    Raises as `limit` does, and InvalidInput for a role that is not among `role_ids`.
    """
    chosen: dict[str, frozenset[str]] = {}
    for role_id, units in unit_ids.items():
        if role_id not in role_ids:
            raise InvalidInput("this names a role that is not among role_ids", code="unknown_role", field=_FIELD)
        if len(units) > MAX_ROLE_UNITS:
            raise InvalidInput(f"a role is attached for at most {MAX_ROLE_UNITS} business units", field=_FIELD)
        _check(units)
        work.demand_units(units)
        _demand_usable(work, units, before.get(role_id, ()))
        chosen[role_id] = frozenset(units)
    return chosen


def _check(unit_ids: tuple[str, ...]) -> None:
    if not unit_ids:
        raise InvalidInput("give at least one business unit, or nothing for all of them", field=_FIELD)
    for unit_id in unit_ids:
        checks.identifier(unit_id, _FIELD)
    checks.distinct(unit_ids, _FIELD, "duplicate_business_unit")


def _demand_usable(work: Work, unit_ids: tuple[str, ...], before: Sequence[str] | frozenset[str]) -> None:
    """Raises InvalidInput for a unit that does not exist, or is archived and not among those `before`."""
    known = work.transaction.known_units(work.tenant_id, unit_ids)
    if len(known) < len(unit_ids):
        raise InvalidInput("there is no such business unit in this tenant", code="unknown_business_unit", field=_FIELD)
    if any(unit.archived_us is not None and unit.id not in before for unit in known.values()):
        raise InvalidInput("this business unit is archived", code="business_unit_archived", field=_FIELD)
