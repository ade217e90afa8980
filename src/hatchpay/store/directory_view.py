"""Reading the directory within one transaction: rows to values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Row, func, select

from hatchpay.access.directory import KeyRow, PolicyRow, RoleRow, SecretRow, TenantRow, UnitRow
from hatchpay.access.permission import Permission
from hatchpay.access.role import BUILTIN_ROLES, builtin_permissions
from hatchpay.identity.principal import RateLimit
from hatchpay.ids import PLATFORM_TENANT_ID
from hatchpay.store.schema import (
    api_keys,
    business_units,
    key_roles,
    key_secrets,
    permissions,
    policies,
    role_permissions,
    roles,
    tenants,
)
from hatchpay.store.stream_rows import StreamView
from hatchpay.store.token_rows import TokenView

__all__ = ["SqlView"]

_CHUNK: Final = 500
_strings: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_mapping: Final = msgspec.json.Decoder(dict[str, str]).decode
_limits: Final = msgspec.json.Decoder(tuple[RateLimit, ...]).decode


class SqlView(TokenView, StreamView):
    """What one transaction sees. Whatever takes a `tenant_id` finds nothing of another tenant."""

    def catalogue(self) -> tuple[Permission, ...]:
        """The permissions that tenants' roles can hold, by name."""
        return self._catalogue

    @cached_property
    def _catalogue(self) -> tuple[Permission, ...]:
        query = select(permissions).where(~permissions.c.platform).order_by(permissions.c.name)
        return tuple(map(permission_of, self._connection.execute(query)))

    def tenant(self, tenant_id: str) -> TenantRow | None:
        return self._one_tenant(tenants.c.id == tenant_id)

    def tenant_named(self, name: str) -> TenantRow | None:
        return self._one_tenant(tenants.c.name == name)

    def tenants(self, limit: int, before: str | None) -> list[TenantRow]:
        """Newest first, without the platform's own."""
        query = select(tenants).where(tenants.c.id != PLATFORM_TENANT_ID).order_by(tenants.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(tenants.c.id < before)
        return [TenantRow(**row._mapping) for row in self._connection.execute(query)]

    def key(self, tenant_id: str, key_id: str) -> KeyRow | None:
        """None where there is none, or no longer."""
        return self._one_key(
            api_keys.c.tenant_id == tenant_id, api_keys.c.id == key_id, api_keys.c.deleted_us.is_(None)
        )

    def key_of_any_tenant(self, key_id: str) -> KeyRow | None:
        return self._one_key(api_keys.c.id == key_id, api_keys.c.deleted_us.is_(None))

    def keys(self, tenant_id: str, limit: int, before: str | None) -> list[KeyRow]:
        """Newest first, without the deleted ones."""
        query = (
            select(api_keys.c.id)
            .where(api_keys.c.tenant_id == tenant_id, api_keys.c.deleted_us.is_(None))
            .order_by(api_keys.c.id.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(api_keys.c.id < before)
        return sorted(self.load_keys(self._ids(query)), key=lambda key: key.id, reverse=True)

    def keys_by_id(self, tenant_id: str, key_ids: Iterable[str]) -> dict[str, KeyRow]:
        """Those among `key_ids` that are keys of this tenant, without the deleted ones."""
        keys = self.load_keys(set(key_ids))
        return {key.id: key for key in keys if key.tenant_id == tenant_id and key.deleted_us is None}

    def keys_holding(self, role_ids: Iterable[str]) -> list[KeyRow]:
        """The keys to which any of these roles is attached."""
        return list(self.load_keys(self.ids_of_keys_holding(role_ids)))

    def keys_under(self, pepper_version: int) -> list[KeyRow]:
        """The keys that have a secret under this pepper, ended ones included."""
        query = (
            select(key_secrets.c.key_id)
            .join(api_keys, api_keys.c.id == key_secrets.c.key_id)
            .where(key_secrets.c.pepper_version == pepper_version, api_keys.c.deleted_us.is_(None))
            .distinct()
        )
        return list(self.load_keys(self._ids(query)))

    def pepper_versions(self, key_ids: Iterable[str]) -> set[int]:
        """Those under which any of these keys has a secret."""
        return {
            version
            for part in _chunks(key_ids)
            for version in self._connection.execute(
                select(key_secrets.c.pepper_version).where(key_secrets.c.key_id.in_(part)).distinct()
            ).scalars()
        }

    def secrets_per_pepper(self, now: int) -> dict[int, int]:
        """How many secrets that have not ended are under each pepper version."""
        query = (
            select(key_secrets.c.pepper_version, func.count())
            .join(api_keys, api_keys.c.id == key_secrets.c.key_id)
            .where(
                api_keys.c.deleted_us.is_(None),
                (key_secrets.c.ends_us.is_(None)) | (key_secrets.c.ends_us > now),
            )
            .group_by(key_secrets.c.pepper_version)
            .order_by(key_secrets.c.pepper_version)
        )
        return {version: count for version, count in self._connection.execute(query)}  # noqa: C416

    def administrators(self, tenant_id: str) -> int:
        """How many keys can administer the whole tenant, from anywhere, for ever, and as often as they want."""
        return len(self._administrator_ids(tenant_id))

    def administrator_keys(self, tenant_id: str) -> list[KeyRow]:
        """Those that `administrators` counts."""
        return list(self.load_keys(self._administrator_ids(tenant_id)))

    def _administrator_ids(self, tenant_id: str) -> list[str]:
        counted = (
            select(key_roles.c.key_id)
            .join(roles, roles.c.id == key_roles.c.role_id)
            .where(key_roles.c.key_id == api_keys.c.id, roles.c.rate_limits != "[]")
            .correlate(api_keys)
            .exists()
        )
        query = (
            select(api_keys.c.id)
            .join(key_roles, key_roles.c.key_id == api_keys.c.id)
            .join(roles, roles.c.id == key_roles.c.role_id)
            .where(
                api_keys.c.tenant_id == tenant_id,
                api_keys.c.deleted_us.is_(None),
                api_keys.c.enabled,
                api_keys.c.environment == "live",
                api_keys.c.expires_us.is_(None),
                api_keys.c.business_unit_ids.is_(None),
                api_keys.c.allowed_cidrs.is_(None),
                key_roles.c.business_unit_ids.is_(None),
                api_keys.c.rate_limits == "[]",
                ~counted,
                roles.c.builtin,
                roles.c.name == "admin",
            )
        )
        return self._ids(query)

    def role(self, tenant_id: str, role_id: str) -> RoleRow | None:
        return self.roles_by_id(tenant_id, [role_id]).get(role_id)

    def role_named(self, tenant_id: str, name: str) -> RoleRow | None:
        query = select(roles).where(roles.c.tenant_id == tenant_id, roles.c.name == name)
        return next(iter(self._roles(self._connection.execute(query).all())), None)

    def roles(self, tenant_id: str, limit: int, after: str | None) -> list[RoleRow]:
        """Oldest first, so that the built-in ones lead."""
        query = select(roles).where(roles.c.tenant_id == tenant_id).order_by(roles.c.id).limit(limit)
        if after is not None:
            query = query.where(roles.c.id > after)
        return self._roles(self._connection.execute(query).all())

    def roles_named(self, tenant_id: str, names: Iterable[str]) -> list[RoleRow]:
        """Those among `names` that are roles of this tenant."""
        found: list[RoleRow] = []
        for part in _chunks(names):
            query = select(roles).where(roles.c.tenant_id == tenant_id, roles.c.name.in_(part))
            found += self._roles(self._connection.execute(query).all())
        return found

    def roles_by_id(self, tenant_id: str, role_ids: Iterable[str]) -> dict[str, RoleRow]:
        """Those among `role_ids` that are roles of this tenant."""
        found: dict[str, RoleRow] = {}
        for part in _chunks(role_ids):
            query = select(roles).where(roles.c.tenant_id == tenant_id, roles.c.id.in_(part))
            found |= {role.id: role for role in self._roles(self._connection.execute(query).all())}
        return found

    def unit(self, tenant_id: str, unit_id: str) -> UnitRow | None:
        query = select(business_units).where(business_units.c.tenant_id == tenant_id, business_units.c.id == unit_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else UnitRow(**row._mapping)

    def units(self, tenant_id: str, limit: int, before: str | None) -> list[UnitRow]:
        """Newest first."""
        query = select(business_units).where(business_units.c.tenant_id == tenant_id)
        if before is not None:
            query = query.where(business_units.c.id < before)
        query = query.order_by(business_units.c.id.desc()).limit(limit)
        return [UnitRow(**row._mapping) for row in self._connection.execute(query)]

    def known_units(self, tenant_id: str, unit_ids: Iterable[str]) -> dict[str, UnitRow]:
        """Those among `unit_ids` that are units of this tenant, archived ones included."""
        found: dict[str, UnitRow] = {}
        for part in _chunks(unit_ids):
            query = select(business_units).where(business_units.c.tenant_id == tenant_id, business_units.c.id.in_(part))
            found |= {row.id: UnitRow(**row._mapping) for row in self._connection.execute(query)}
        return found

    def policy(self, tenant_id: str, policy_id: str) -> PolicyRow | None:
        query = select(policies).where(policies.c.tenant_id == tenant_id, policies.c.id == policy_id)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else PolicyRow(**row._mapping)

    def policies(self, tenant_id: str, limit: int | None = None, before: str | None = None) -> list[PolicyRow]:
        """Newest first; all without a `limit`."""
        query = select(policies).where(policies.c.tenant_id == tenant_id).order_by(policies.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(policies.c.id < before)
        return [PolicyRow(**row._mapping) for row in self._connection.execute(query)]

    def load_policies(self, tenant_ids: Iterable[str] | None) -> list[PolicyRow]:
        """Of these tenants, oldest first; of all for None."""
        query = select(policies).order_by(policies.c.id)
        if tenant_ids is not None:
            query = query.where(policies.c.tenant_id.in_(list(tenant_ids)))
        return [PolicyRow(**row._mapping) for row in self._connection.execute(query)]

    def load_units(self, tenant_ids: Iterable[str] | None) -> list[UnitRow]:
        """Of these tenants, archived ones included; of all for None."""
        query = select(business_units)
        if tenant_ids is not None:
            query = query.where(business_units.c.tenant_id.in_(list(tenant_ids)))
        return [UnitRow(**row._mapping) for row in self._connection.execute(query)]

    def ids_of_keys_holding(self, role_ids: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for part in _chunks(role_ids):
            found.update(self._ids(select(key_roles.c.key_id).where(key_roles.c.role_id.in_(part))))
        return found

    def load_keys(self, key_ids: Iterable[str] | None) -> Iterator[KeyRow]:
        """Keys by id, deleted ones included, in no order; all of the directory for None."""
        if key_ids is None:
            yield from self._load_keys(None)
        else:
            for part in _chunks(key_ids):
                yield from self._load_keys(part)

    def load_roles(self, role_ids: Iterable[str] | None) -> list[RoleRow]:
        """Roles by id, of every tenant; all of the directory for None."""
        if role_ids is None:
            return self._roles(self._connection.execute(select(roles)).all())
        rows: list[Row[Any]] = []
        for part in _chunks(role_ids):
            rows += self._connection.execute(select(roles).where(roles.c.id.in_(part))).all()
        return self._roles(rows)

    def _one_tenant(self, condition: ColumnElement[bool]) -> TenantRow | None:
        row = self._connection.execute(select(tenants).where(condition)).one_or_none()
        return None if row is None else TenantRow(**row._mapping)

    def _one_key(self, *conditions: ColumnElement[bool]) -> KeyRow | None:
        return next(self.load_keys(self._ids(select(api_keys.c.id).where(*conditions))), None)

    def _ids(self, query: Any) -> list[str]:
        return list(self._connection.execute(query).scalars())

    def _load_keys(self, part: Sequence[str] | None) -> Iterator[KeyRow]:
        keys, links, secrets = select(*api_keys.c), select(*key_roles.c), select(*key_secrets.c)
        if part is not None:
            keys = keys.where(api_keys.c.id.in_(part))
            links = links.where(key_roles.c.key_id.in_(part))
            secrets = secrets.where(key_secrets.c.key_id.in_(part))
        held: dict[str, dict[str, str | None]] = {}
        for key_id, role_id, units in self._connection.execute(links):
            held.setdefault(key_id, {})[role_id] = units
        kept: dict[str, list[SecretRow]] = {}
        for key_id, version, digest, pepper, last_four, created, ends in self._connection.execute(
            secrets.order_by(key_secrets.c.version.desc())
        ):
            kept.setdefault(key_id, []).append(
                SecretRow(
                    version=version,
                    digest=digest,
                    pepper_version=pepper,
                    last_four=last_four,
                    created_us=created,
                    ends_us=ends,
                )
            )
        for row in self._connection.execute(keys):
            yield _key(row, held.get(row.id, {}), tuple(kept.get(row.id, ())))

    def _roles(self, rows: Sequence[Row[Any]]) -> list[RoleRow]:
        held: dict[str, list[str]] = {}
        for part in _chunks(row.id for row in rows):
            query = select(role_permissions).where(role_permissions.c.role_id.in_(part))
            for role_id, permission in self._connection.execute(query):
                held.setdefault(role_id, []).append(permission)
        return [_role(row, held.get(row.id, []), self._catalogue) for row in rows]


def _role(row: Row[Any], held: list[str], catalogue: tuple[Permission, ...]) -> RoleRow:
    permissions_held = frozenset(held)
    if row.builtin and row.name in BUILTIN_ROLES:
        permissions_held = builtin_permissions(row.name, catalogue)
    return RoleRow(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        description=row.description,
        builtin=row.builtin,
        permissions=permissions_held,
        rate_limits=_limits(row.rate_limits),
        created_us=row.created_us,
        updated_us=row.updated_us,
    )


def _key(row: Row[Any], roles_held: dict[str, str | None], secrets: tuple[SecretRow, ...]) -> KeyRow:
    return KeyRow(
        id=row.id,
        tenant_id=row.tenant_id,
        name=row.name,
        description=row.description,
        environment=row.environment,
        owner=row.owner,
        enabled=row.enabled,
        enabled_from_us=row.enabled_from_us,
        expires_us=row.expires_us,
        business_unit_ids=None if row.business_unit_ids is None else _strings(row.business_unit_ids),
        allowed_cidrs=None if row.allowed_cidrs is None else _strings(row.allowed_cidrs),
        metadata=_mapping(row.metadata),
        created_us=row.created_us,
        updated_us=row.updated_us,
        deleted_us=row.deleted_us,
        role_ids=frozenset(roles_held),
        role_units={role_id: frozenset(_strings(units)) for role_id, units in roles_held.items() if units is not None},
        rate_limits=_limits(row.rate_limits),
        secrets=secrets,
    )


def permission_of(row: Row[Any]) -> Permission:
    return Permission(
        name=row.name,
        description=row.description,
        read_only=row.read_only,
        sensitive=row.sensitive,
        administrative=row.administrative,
    )


def _chunks(values: Iterable[str]) -> Iterator[list[str]]:
    """Databases bound the number of parameters of one statement."""
    every = list(values)
    for start in range(0, len(every), _CHUNK):
        yield every[start : start + _CHUNK]
