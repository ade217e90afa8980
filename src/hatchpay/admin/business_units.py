"""Business units: departments, branches or companies inside a tenant."""

from __future__ import annotations

from collections.abc import Sequence

from hatchpay.access.directory import UnitRow
from hatchpay.admin import checks
from hatchpay.admin.paging import DEFAULT_LIMIT, chosen, page
from hatchpay.admin.ports import Directory
from hatchpay.admin.present import unit_view
from hatchpay.admin.views import Actor, BusinessUnitView, Page
from hatchpay.admin.work import Changes, found, within_units
from hatchpay.clock import Clock
from hatchpay.ids import IdSource

__all__ = ["BusinessUnits"]


class BusinessUnits:
    """The use cases around business units. Where one raises, nothing has changed:

    - InvalidInput for bad input; NotFound for a unit that the caller's tenant does not have
    - Forbidden (`permission_missing`); Conflict for a name that is taken (`already_exists`)
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
            facts = {"name": unit.name, "timezone_name": unit.timezone_name}
            work.record("business-unit.business-units.created", unit.id, {}, facts)
            return unit_view(unit)

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


def _id(unit: UnitRow) -> str:
    return unit.id
