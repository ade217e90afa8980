"""Changing the directory within one transaction: values to rows, each change named in the feed."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Executable, Table, delete, insert, update
from sqlalchemy.exc import IntegrityError

from hatchpay.access.directory import KeyRow, PolicyRow, RoleRow, TenantRow, UnitRow
from hatchpay.access.permission import Permission
from hatchpay.access.role import BUILTIN_ROLES
from hatchpay.audit.record import Change
from hatchpay.errors import Conflict
from hatchpay.store.directory_view import SqlView
from hatchpay.store.schema import (
    api_keys,
    business_units,
    key_roles,
    key_secrets,
    outbox,
    permissions,
    policies,
    role_permissions,
    roles,
    tenants,
)
from hatchpay.store.stream_rows import StreamChanges
from hatchpay.store.token_rows import TokenChanges, tell

__all__ = ["SqlTransaction"]

_CHANGE_COLUMNS: Final = ("id", "request_id", "tenant_id", "at_us", "actor", "event", "subject_id", "detail")


class SqlTransaction(TokenChanges, StreamChanges, SqlView):
    """Writes are seen by this transaction at once and by others once it has ended."""

    def add_tenant(self, tenant: TenantRow) -> None:
        """Raises Conflict where the name is taken."""
        self._unique(insert(tenants).values(msgspec.structs.asdict(tenant)))
        tell(self._connection, "tenant", tenant.id, tenant.id)

    def add_unit(self, unit: UnitRow) -> None:
        """Raises Conflict where the tenant has a unit of this name."""
        self._unique(insert(business_units).values(msgspec.structs.asdict(unit)))
        tell(self._connection, "unit", unit.id, unit.tenant_id)

    def save_unit(self, unit: UnitRow) -> None:
        """Replace what is stored. Raises Conflict where the tenant has another unit of this name."""
        values = msgspec.structs.asdict(unit)
        self._unique(update(business_units).where(business_units.c.id == unit.id).values(values))
        tell(self._connection, "unit", unit.id, unit.tenant_id)

    def add_policy(self, policy: PolicyRow) -> None:
        """Raises Conflict where the tenant has a policy of this name."""
        self._unique(insert(policies).values(msgspec.structs.asdict(policy)))
        tell(self._connection, "policy", policy.id, policy.tenant_id)

    def save_policy(self, policy: PolicyRow) -> None:
        """Replace what is stored. Raises Conflict where the tenant has another policy of this name."""
        self._unique(update(policies).where(policies.c.id == policy.id).values(msgspec.structs.asdict(policy)))
        tell(self._connection, "policy", policy.id, policy.tenant_id)

    def remove_policy(self, policy: PolicyRow) -> None:
        self._connection.execute(delete(policies).where(policies.c.id == policy.id))
        tell(self._connection, "policy", policy.id, policy.tenant_id)

    def add_role(self, role: RoleRow) -> None:
        """Raises Conflict where the tenant has a role of this name."""
        self._unique(insert(roles).values(_role_columns(role)))
        self._hold(role)
        tell(self._connection, "role", role.id, role.tenant_id)

    def save_role(self, role: RoleRow) -> None:
        """Replace what is stored. Raises Conflict where the tenant has another role of this name."""
        self._unique(update(roles).where(roles.c.id == role.id).values(_role_columns(role)))
        self._connection.execute(delete(role_permissions).where(role_permissions.c.role_id == role.id))
        self._hold(role)
        tell(self._connection, "role", role.id, role.tenant_id)

    def remove_role(self, role: RoleRow) -> None:
        """Only for a role that no key holds."""
        self._connection.execute(delete(role_permissions).where(role_permissions.c.role_id == role.id))
        self._connection.execute(delete(roles).where(roles.c.id == role.id))
        tell(self._connection, "role", role.id, role.tenant_id)

    def add_key(self, key: KeyRow) -> None:
        self._connection.execute(insert(api_keys).values(_key_columns(key)))
        self._attach(key)
        tell(self._connection, "key", key.id, key.tenant_id)

    def save_key(self, key: KeyRow) -> None:
        """Replace what is stored, roles and secrets included."""
        self._connection.execute(update(api_keys).where(api_keys.c.id == key.id).values(_key_columns(key)))
        self._connection.execute(delete(key_roles).where(key_roles.c.key_id == key.id))
        self._connection.execute(delete(key_secrets).where(key_secrets.c.key_id == key.id))
        self._attach(key)
        tell(self._connection, "key", key.id, key.tenant_id)

    def save_permission(self, permission: Permission, *, platform: bool) -> None:
        """Insert the permission, or replace what is stored of it."""
        columns = {**msgspec.structs.asdict(permission), "platform": platform}
        found = self._connection.execute(
            update(permissions).where(permissions.c.name == permission.name).values(columns)
        )
        if found.rowcount == 0:
            self._connection.execute(insert(permissions).values(columns))
        self.__dict__.pop("_catalogue", None)
        tell(self._connection, "permission", permission.name, None)

    def announce_peppers(self) -> None:
        """Tell every process that the peppers have changed."""
        tell(self._connection, "pepper", "", None)

    def record(self, change: Change) -> None:
        """Put an audit event into the outbox."""
        row = dict(zip(_CHANGE_COLUMNS, msgspec.structs.astuple(change), strict=True))
        self._connection.execute(insert(outbox).values(row))

    def _unique(self, statement: Executable) -> None:
        try:
            self._connection.execute(statement)
        except IntegrityError as error:
            raise Conflict("the name is taken already", code="already_exists", field="name") from error

    def _hold(self, role: RoleRow) -> None:
        # What a tenant's built-in role holds follows from the catalogue, and is never stored.
        if not (role.builtin and role.name in BUILTIN_ROLES):
            rows = [{"role_id": role.id, "permission": permission} for permission in sorted(role.permissions)]
            self._insert_all(role_permissions, rows)

    def _attach(self, key: KeyRow) -> None:
        held = [
            {"key_id": key.id, "role_id": role_id, "business_unit_ids": _json(None if units is None else sorted(units))}
            for role_id, units in ((role_id, key.role_units.get(role_id)) for role_id in sorted(key.role_ids))
        ]
        self._insert_all(key_roles, held)
        self._insert_all(key_secrets, [{"key_id": key.id, **msgspec.structs.asdict(row)} for row in key.secrets])

    def _insert_all(self, table: Table, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(insert(table), rows)


def _role_columns(role: RoleRow) -> dict[str, Any]:
    columns = msgspec.structs.asdict(role)
    del columns["permissions"]
    columns["rate_limits"] = _json(role.rate_limits)
    return columns


def _key_columns(key: KeyRow) -> dict[str, Any]:
    columns = msgspec.structs.asdict(key)
    del columns["role_ids"], columns["role_units"], columns["secrets"]
    for name in ("business_unit_ids", "allowed_cidrs", "metadata", "rate_limits"):
        columns[name] = _json(columns[name])
    return columns


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
