"""The tenant's catalogue of permissions."""

from __future__ import annotations

from collections.abc import Sequence

from hatchpay.access.permission import Permission, check_name
from hatchpay.admin.paging import DEFAULT_LIMIT, page
from hatchpay.admin.ports import Directory
from hatchpay.admin.present import permission_view
from hatchpay.admin.views import Actor, Page, PermissionView
from hatchpay.errors import InvalidInput

__all__ = ["Permissions"]


class Permissions:
    """Raises InvalidInput for a bad limit or cursor, and DirectoryUnavailable."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def list(self, actor: Actor, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[PermissionView]:
        """By name. The platform's own permissions are in nobody's list."""
        del actor  # The catalogue is the same for every tenant.
        with self._directory.read() as view:
            catalogue = view.catalogue()

        def fetch(count: int, last: str | None) -> Sequence[Permission]:
            return [permission for permission in catalogue if last is None or permission.name > last][:count]

        return page(
            fetch,
            lambda rows: list(map(permission_view, rows)),
            lambda row: row.name,
            limit,
            cursor,
            valid=_is_name,
        )


def _is_name(text: str) -> bool:
    try:
        return bool(check_name(text))
    except InvalidInput:
        return False
