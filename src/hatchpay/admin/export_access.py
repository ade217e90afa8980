"""Who may see exports, and for how long one may go on."""

from __future__ import annotations

from typing import Final

from hatchpay.admin.paging import DEFAULT_LIMIT, chosen, page
from hatchpay.admin.ports import Directory
from hatchpay.admin.views import Actor, Page
from hatchpay.admin.work import limits_for, within_units
from hatchpay.audit.export.ports import Exports, ExportView
from hatchpay.audit.ports import HistoryFilter
from hatchpay.clock import Clock
from hatchpay.errors import Forbidden

__all__ = ["ExportAccess"]

_PERMISSION: Final = "audit-log.exports.read"


class ExportAccess:
    """Raises DirectoryUnavailable and AuditUnavailable where one of the two cannot be read."""

    def __init__(self, directory: Directory, exports: Exports, clock: Clock) -> None:
        self._directory = directory
        self._exports = exports
        self._clock = clock

    def demand(self, actor: Actor, wanted: HistoryFilter) -> None:
        """An export takes its time, and its caller may lose their right meanwhile.

        Raises Forbidden, and Unauthenticated where the caller's key is no longer good.
        """
        with self._directory.read() as view:
            limits = limits_for(view, actor, _PERMISSION, self._clock())
        if wanted.tenant_id != actor.principal.tenant_id or not within_units(limits, wanted.business_unit_ids):
            raise Forbidden("this concerns records that are no longer the caller's to see", permission=_PERMISSION)

    def list(self, actor: Actor, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[ExportView]:
        """The tenant's exports, the newest first; for a caller of chosen units, those that were bound to these."""
        principal = actor.principal

        def fetch(count: int, last: str | None) -> list[ExportView]:
            return self._exports.page(principal.tenant_id, count, last)

        seen = chosen(fetch, lambda one: within_units(principal.limits, one.business_unit_ids), lambda one: one.id)
        return page(seen, list, lambda one: one.id, limit, cursor)
