"""Tenants: onboarded by the platform's operator, whose own key is made here too."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable, Sequence

from hatchpay.access.directory import KeyRow, RoleRow, TenantRow
from hatchpay.access.permission import PLATFORM_PERMISSIONS
from hatchpay.access.role import BUILTIN_DESCRIPTIONS, BUILTIN_ROLES, OPERATOR_ROLE
from hatchpay.admin import checks, secrets
from hatchpay.admin.keys import remove
from hatchpay.admin.paging import DEFAULT_LIMIT, page
from hatchpay.admin.ports import Directory
from hatchpay.admin.present import key_facts, key_view, role_names, tenant_view
from hatchpay.admin.views import Actor, CreatedKey, Onboarded, Page, TenantView
from hatchpay.admin.work import Changes, Work, found
from hatchpay.clock import Clock
from hatchpay.errors import Conflict, Forbidden
from hatchpay.identity.principal import Reach
from hatchpay.ids import PLATFORM_TENANT_ID, IdSource, is_uuid
from hatchpay.tokens.apikey import Randomness
from hatchpay.tokens.digest import Peppers

__all__ = ["OPERATOR_PERMISSIONS", "Tenants"]

OPERATOR_PERMISSIONS = frozenset(permission.name for permission in PLATFORM_PERMISSIONS) | {"audit-log.history.read"}


class Tenants:
    """The use cases around tenants. Where one raises, nothing has changed:

    - Forbidden for whoever does not act for the platform (`permission_missing`, `local_only`)
    - InvalidInput for bad input; Conflict for a name that is taken (`already_exists`)
    - Unauthenticated where the caller's own key is no longer good; DirectoryUnavailable
    """

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        new_id: IdSource,
        peppers: Callable[[], Peppers],
        *,
        randbelow: Randomness = randomness.randbelow,
    ) -> None:
        self._directory = directory
        self._changes = Changes(directory, clock, new_id)
        self._peppers = peppers
        self._randbelow = randbelow

    def onboard(self, actor: Actor, name: str) -> Onboarded:
        """A tenant, its built-in roles and its first admin key, whose text is shown this once.

        The one call that grants more than the caller holds: it is what `platform.tenants.create` stands for,
        and it reaches into no tenant that exists.
        """
        with self._changes.by(actor, "platform.tenants.create") as work:
            tenant = TenantRow(id=work.new_id(), name=checks.name(name), created_us=work.now)
            work.transaction.add_tenant(tenant)
            for builtin in BUILTIN_ROLES:
                work.transaction.add_role(
                    self._builtin(work, tenant.id, builtin, BUILTIN_DESCRIPTIONS[builtin], frozenset())
                )
            admin = found(work.transaction.role_named(tenant.id, "admin"), "role")
            work.record("platform.tenants.onboarded", tenant.id, {}, {"name": tenant.name})
            key = self._key(work, tenant.id, admin, "Tenant API key", "Default tenant API key")
            return Onboarded(tenant_view(tenant), key)

    def list(self, actor: Actor, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[TenantView]:
        """Newest first, without the platform's own."""
        if actor.principal.tenant_id != PLATFORM_TENANT_ID:
            raise _no_operator()
        with self._directory.read() as view:

            def fetch(count: int, last: str | None) -> Sequence[TenantRow]:
                return view.tenants(count, last)

            return page(fetch, lambda rows: list(map(tenant_view, rows)), lambda row: row.id, limit, cursor)

    def find(self, name_or_id: str) -> TenantView:
        """By id or else by name, the platform's own included. Raises NotFound."""
        with self._directory.read() as view:
            tenant = view.tenant(name_or_id) if is_uuid(name_or_id) else None
            return tenant_view(found(tenant or view.tenant_named(name_or_id), "tenant"))

    def operator_key(self, actor: Actor, replace: bool = False) -> CreatedKey:
        """The key of the platform's operator, for somebody at the machine only.

        There is one: raises Conflict (`operator_exists`) where it was made already, unless it is to be
        replaced.
        """
        with self._changes.by(actor, "platform.tenants.create") as work:
            if actor.principal.kind != "local":
                raise Forbidden("the operator's key is made at the machine itself", code="local_only")
            role = work.transaction.role_named(PLATFORM_TENANT_ID, OPERATOR_ROLE)
            if role is None:
                description = "Onboards tenants, and reads the platform's own log"
                role = self._builtin(work, PLATFORM_TENANT_ID, OPERATOR_ROLE, description, OPERATOR_PERMISSIONS)
                work.transaction.add_role(role)
            existing = work.transaction.keys_holding([role.id])
            if existing and not replace:
                raise Conflict("the operator's key exists; replace it if it is lost", code="operator_exists")
            for key in existing:
                remove(work, key)
            created = self._key(work, PLATFORM_TENANT_ID, role, "Operator key", "The platform operator's key")
            work.record(
                "platform.operator_key.created",
                created.view.id,
                {},
                {"replaced": [key.id for key in existing]},
            )
            return created

    def _builtin(self, work: Work, tenant_id: str, name: str, description: str, permissions: frozenset[str]) -> RoleRow:
        return RoleRow(
            id=work.new_id(),
            tenant_id=tenant_id,
            name=name,
            description=description,
            builtin=True,
            permissions=permissions,
            created_us=work.now,
            updated_us=work.now,
        )

    def _key(self, work: Work, tenant_id: str, role: RoleRow, name: str, description: str) -> CreatedKey:
        drafted = KeyRow(
            id=work.new_id(),
            tenant_id=tenant_id,
            name=name,
            description=description,
            environment="live",
            created_us=work.now,
            updated_us=work.now,
            role_ids=frozenset({role.id}),
        )
        if tenant_id == work.tenant_id:
            work.demand(Reach(role.permissions, drafted.limits))
        key, text = secrets.issued(drafted, self._peppers(), self._randbelow, work.now)
        work.transaction.add_key(key)
        facts = {**key_facts(key), "roles": role_names([role])}
        work.record("api-key.keys.created", key.id, {}, facts, tenant_id=tenant_id)
        return CreatedKey(key_view(key, {role.id: role}, (), work.now), text)


def _no_operator() -> Forbidden:
    return Forbidden("this is for the platform's operator only", permission="platform.tenants.create")
