"""What the use cases ask of the directory's storage.

Whatever takes a `tenant_id` answers as if other tenants did not exist. Every call raises DirectoryUnavailable
where storage cannot serve it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from hatchpay.access.directory import KeyRow, RoleRow, TenantRow, UnitRow
from hatchpay.access.permission import Permission
from hatchpay.audit.record import Change

__all__ = ["Directory", "DirectoryTransaction", "DirectoryView"]


class DirectoryView(Protocol):
    """One consistent state. Deleted keys are not in it."""

    def catalogue(self) -> tuple[Permission, ...]:
        """The permissions that tenants' roles can hold, by name; never the platform's."""
        ...

    def tenant(self, tenant_id: str) -> TenantRow | None: ...

    def tenant_named(self, name: str) -> TenantRow | None: ...

    def tenants(self, limit: int, before: str | None) -> list[TenantRow]:
        """Newest first, by id, without the platform's own."""
        ...

    def key(self, tenant_id: str, key_id: str) -> KeyRow | None: ...

    def key_of_any_tenant(self, key_id: str) -> KeyRow | None: ...

    def keys(self, tenant_id: str, limit: int, before: str | None) -> list[KeyRow]:
        """Newest first, by id."""
        ...

    def keys_holding(self, role_ids: Iterable[str]) -> list[KeyRow]: ...

    def keys_under(self, pepper_version: int) -> list[KeyRow]:
        """The keys that have a secret under this pepper, ended ones included."""
        ...

    def secrets_per_pepper(self, now: int) -> dict[int, int]:
        """How many secrets that have not ended are under each pepper version."""
        ...

    def administrators(self, tenant_id: str) -> int:
        """How many keys are enabled, live, unexpiring, tenant-wide, unrestricted, and hold built-in admin."""
        ...

    def role(self, tenant_id: str, role_id: str) -> RoleRow | None: ...

    def role_named(self, tenant_id: str, name: str) -> RoleRow | None: ...

    def roles(self, tenant_id: str, limit: int, after: str | None) -> list[RoleRow]:
        """Oldest first, by id."""
        ...

    def roles_by_id(self, tenant_id: str, role_ids: Iterable[str]) -> dict[str, RoleRow]:
        """Those among `role_ids` that exist."""
        ...

    def unit(self, tenant_id: str, unit_id: str) -> UnitRow | None: ...

    def units(self, tenant_id: str, limit: int, before: str | None) -> list[UnitRow]:
        """Newest first, by id."""
        ...

    def known_units(self, tenant_id: str, unit_ids: Iterable[str]) -> frozenset[str]:
        """Those among `unit_ids` that exist."""
        ...


class DirectoryTransaction(DirectoryView, Protocol):
    """Sees its own writes; no other transaction writes until it has ended. Each write is named in the change
    feed.

    Whatever takes a named value raises Conflict (`already_exists`) where the name is taken.
    """

    def add_tenant(self, tenant: TenantRow) -> None: ...

    def add_unit(self, unit: UnitRow) -> None: ...

    def add_role(self, role: RoleRow) -> None: ...

    def save_role(self, role: RoleRow) -> None: ...

    def remove_role(self, role: RoleRow) -> None: ...

    def add_key(self, key: KeyRow) -> None: ...

    def save_key(self, key: KeyRow) -> None:
        """Replace what is stored, roles and secrets included."""
        ...

    def announce_peppers(self) -> None: ...

    def record(self, change: Change) -> None:
        """Put an audit event into the outbox."""
        ...


class Directory(Protocol):
    def read(self) -> AbstractContextManager[DirectoryView]: ...

    def transaction(self) -> AbstractContextManager[DirectoryTransaction]:
        """All changes of the block, or none where it raises."""
        ...
