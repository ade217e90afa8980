"""Business units: departments, branches or companies inside a tenant; made, read, changed, archived."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from hatchpay.access.directory import UnitRow
from hatchpay.admin import checks
from hatchpay.admin.paging import DEFAULT_LIMIT, chosen, page
from hatchpay.admin.ports import Directory
from hatchpay.admin.present import unit_facts, unit_view
from hatchpay.admin.versions import IfMatch
from hatchpay.admin.views import Actor, BusinessUnitView, Page, UnitChanges
from hatchpay.admin.work import Changes, found, within_units
from hatchpay.clock import Clock
from hatchpay.ids import IdSource

__all__ = ["BusinessUnits"]


class BusinessUnits:
    """The use cases around business units. Where one raises, nothing has changed:

    - InvalidInput for bad input; NotFound for a unit that the caller's tenant does not have
    - Forbidden (`permission_missing`, `grant_exceeds_caller`); Conflict for a name that is taken (`already_exists`)
    - Unauthenticated where the caller's own key is no longer good; DirectoryUnavailable
    """

    def __init__(self, directory: Directory, clock: Clock, new_id: IdSource) -> None:
        self._directory = directory
        self._changes = Changes(directory, clock, new_id)

    def create(self, actor: Actor, name: str, timezone_name: str) -> BusinessUnitView:
        with self._changes.by(actor, "business-unit.business-units.create") as work:
            unit = UnitRow(
                id=work.new_id(),
                tenant_id=work.tenant_id,
                name=checks.name(name),
                timezone_name=checks.timezone(timezone_name),
                created_us=work.now,
                updated_us=work.now,
            )
            # A new unit is none of a caller's chosen ones.
            work.demand_units([unit.id])
            work.transaction.add_unit(unit)
            work.record("business-unit.business-units.created", unit.id, {}, unit_facts(unit))
            return unit_view(unit)

    def update(
        self, actor: Actor, unit_id: str, changes: UnitChanges, expected: IfMatch | None = None
    ) -> BusinessUnitView:
        """Renames it, moves it to another time zone, archives it or brings it back."""
        checks.identifier(unit_id, "business_unit_id")
        with self._changes.by(actor, "business-unit.business-units.update") as work:
            # Before it is looked up: a caller of chosen units must not learn which others there are.
            work.demand_units([unit_id])
            old = found(work.transaction.unit(work.tenant_id, unit_id), "business unit", expected)
            new = _changed(old, changes, work.now)
            if new == old:
                return unit_view(old)
            new = msgspec.structs.replace(new, updated_us=work.now)
            work.transaction.save_unit(new)
            work.record(f"business-unit.business-units.{_event(old, new)}", unit_id, unit_facts(old), unit_facts(new))
            return unit_view(new)

    def archive(self, actor: Actor, unit_id: str, expected: IfMatch | None = None) -> BusinessUnitView:
        """Nothing can be done for it from now on, until it is brought back. Nothing where it is archived already."""
        return self.update(actor, unit_id, UnitChanges(status="archived"), expected)

    def list(self, actor: Actor, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[BusinessUnitView]:
        """Newest first; to a caller of chosen business units, only those."""
        with self._directory.read() as view:

            def fetch(count: int, last: str | None) -> Sequence[UnitRow]:
                return view.units(actor.principal.tenant_id, count, last)

            def is_visible(unit: UnitRow) -> bool:
                return within_units(actor.principal.limits, [unit.id])

            return page(chosen(fetch, is_visible, _id), lambda rows: list(map(unit_view, rows)), _id, limit, cursor)

    def get(self, actor: Actor, unit_id: str) -> BusinessUnitView:
        checks.identifier(unit_id, "business_unit_id")
        with self._directory.read() as view:
            unit = view.unit(actor.principal.tenant_id, unit_id)
            visible = unit is not None and within_units(actor.principal.limits, [unit.id])
            return unit_view(found(unit if visible else None, "business unit"))


def _changed(unit: UnitRow, changes: UnitChanges, now: int) -> UnitRow:
    wanted: dict[str, object] = {}
    if changes.name is not UNSET:
        wanted["name"] = checks.name(changes.name)
    if changes.timezone_name is not UNSET:
        wanted["timezone_name"] = checks.timezone(changes.timezone_name)
    if changes.status is not UNSET:
        wanted["archived_us"] = None if changes.status == "active" else unit.archived_us or now
    return msgspec.structs.replace(unit, **wanted)


def _event(old: UnitRow, new: UnitRow) -> str:
    if (old.archived_us is None) == (new.archived_us is None):
        return "updated"
    return "restored" if new.archived_us is None else "archived"


def _id(unit: UnitRow) -> str:
    return unit.id
