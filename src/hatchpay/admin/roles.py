"""Roles: read by all who may, and custom ones made, changed and deleted.

A role that gains a permission, or limits the rate less, grants to every key that holds the role, in the business units
for which it does, so the caller must hold all that those keys can do afterwards. A change that only takes permissions
away, or only renames, is free; but not for a caller of chosen business units where users hold roles by name, since
those hold them in all.
"""

from __future__ import annotations

from collections.abc import Sequence

from hatchpay.access.directory import RoleRow
from hatchpay.access.rate_limit import loosen
from hatchpay.access.role import BUILTIN_ROLES, OPERATOR_ROLE
from hatchpay.admin import checks
from hatchpay.admin.paging import DEFAULT_LIMIT, page
from hatchpay.admin.ports import Directory
from hatchpay.admin.present import role_facts, role_view
from hatchpay.admin.versions import IfMatch
from hatchpay.admin.views import Actor, Page, RoleDraft, RoleView
from hatchpay.admin.work import Changes, Work, found
from hatchpay.clock import Clock
from hatchpay.errors import Conflict, InvalidInput
from hatchpay.identity.principal import Limits, Reach
from hatchpay.ids import PLATFORM_TENANT_ID, IdSource

__all__ = ["Roles", "custom", "define", "replace"]


class Roles:
    """The use cases around roles. Where one raises, nothing has changed:

    - InvalidInput for bad input; NotFound for a role that the caller's tenant does not have
    - Forbidden for what exceeds the caller (`grant_exceeds_caller`) or is not its to do (`permission_missing`)
    - Conflict: `builtin_role`, `role_in_use`, `already_exists`
    - PreconditionFailed where the role is not as `expected`
    - Unauthenticated where the caller's own key is no longer good; DirectoryUnavailable
    """

    def __init__(self, directory: Directory, clock: Clock, new_id: IdSource) -> None:
        self._directory = directory
        self._changes = Changes(directory, clock, new_id)

    def list(self, actor: Actor, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[RoleView]:
        """Oldest first: the built-in ones lead."""
        with self._directory.read() as view:

            def fetch(count: int, last: str | None) -> Sequence[RoleRow]:
                return view.roles(actor.principal.tenant_id, count, last)

            return page(fetch, lambda rows: [role_view(row) for row in rows], lambda row: row.id, limit, cursor)

    def get(self, actor: Actor, role_id: str) -> RoleView:
        checks.identifier(role_id, "role_id")
        with self._directory.read() as view:
            return role_view(found(view.role(actor.principal.tenant_id, role_id), "role"))

    def create(self, actor: Actor, draft: RoleDraft) -> RoleView:
        with self._changes.by(actor, "access.roles.create") as work:
            return role_view(define(work, draft))

    def update(self, actor: Actor, role_id: str, draft: RoleDraft, expected: IfMatch | None = None) -> RoleView:
        """Replaces name, description, permissions and rate limits."""
        checks.identifier(role_id, "role_id")
        with self._changes.by(actor, "access.roles.update") as work:
            old = custom(work.role(role_id, expected))
            new = _drafted(work, draft, role_id, old.created_us)
            if role_facts(new) == role_facts(old):
                return role_view(old)
            replace(work, old, new)
            return role_view(new)

    def delete(self, actor: Actor, role_id: str, expected: IfMatch | None = None) -> None:
        checks.identifier(role_id, "role_id")
        with self._changes.by(actor, "access.roles.delete") as work:
            role = custom(work.role(role_id, expected))
            if work.transaction.keys_holding([role_id]):
                raise Conflict("API keys hold this role; detach it first", code="role_in_use")
            work.demand_unnamed([role_id])
            _demand_units_of_users(work)
            if role.rate_limits:
                _demand_all_of_users(work)
            work.transaction.remove_role(role)
            work.record("access.roles.deleted", role_id, role_facts(role), {})


def define(work: Work, draft: RoleDraft) -> RoleRow:
    """Make a role within `work`. Raises as `Roles.create`."""
    role = _drafted(work, draft, work.new_id(), work.now)
    if role.rate_limits:
        # It slows down whoever an issuer says holds a role of this name.
        _demand_units_of_users(work)
    work.demand_held(role.permissions)
    _demand_for_users(work, role.permissions)
    work.transaction.add_role(role)
    work.record("access.roles.created", role.id, {}, role_facts(role))
    return role


def replace(work: Work, old: RoleRow, new: RoleRow) -> None:
    """Save a changed role within `work`. Raises as `Roles.update`."""
    _demand_units_of_users(work)
    with work.keeping_an_administrator(work.tenant_id):
        work.transaction.save_role(new)
    looser = loosen(old.rate_limits, new.rate_limits)
    if new.name != old.name:
        # Users hold it by its name.
        work.demand_unnamed([old.id])
        _demand_for_users(work, new.permissions)
    if looser or (old.rate_limits and new.name != old.name):
        _demand_all_of_users(work)
    for key in work.transaction.keys_holding([old.id]):
        work.demand_units(key.role_units.get(old.id, key.business_unit_ids))
    if looser or not new.permissions <= old.permissions:
        work.demand_held(new.permissions)
        _demand_for_users(work, new.permissions)
        for key in work.transaction.keys_holding([old.id]):
            work.demand(work.reach_of(key))
    work.record("access.roles.updated", old.id, role_facts(old), role_facts(new))


def custom(role: RoleRow) -> RoleRow:
    """Raises Conflict (`builtin_role`) for a role that is not the tenant's own."""
    if role.builtin:
        raise Conflict("a built-in role cannot be changed or deleted", code="builtin_role")
    return role


def _demand_for_users(work: Work, permissions: frozenset[str]) -> None:
    """Users of trusted issuers hold roles by name, tenant-wide: whoever makes, renames or widens one grants it to them.

    Raises Forbidden where the caller could not.
    """
    for issuer in work.transaction.issuers(work.tenant_id):
        if issuer.claims.roles is not None and permissions & issuer.ceiling:
            work.demand(Reach(permissions & issuer.ceiling, Limits()))


def _demand_units_of_users(work: Work) -> None:
    """Raises Forbidden where users may hold the role, and the caller may do this for chosen business units only."""
    if any(issuer.claims.roles is not None for issuer in work.transaction.issuers(work.tenant_id)):
        work.demand_units(None)


def _demand_all_of_users(work: Work) -> None:
    """Who lifts a limit of users' rate grants whatever they can do, by this role or another."""
    for issuer in work.transaction.issuers(work.tenant_id):
        if issuer.claims.roles is not None:
            work.demand(Reach(issuer.ceiling, Limits()))


def _drafted(work: Work, draft: RoleDraft, role_id: str, created_us: int) -> RoleRow:
    name = checks.name(draft.name)
    # A lookalike of a built-in role would deceive whoever reads a list of roles.
    reserved = {*BUILTIN_ROLES, *([OPERATOR_ROLE] if work.tenant_id == PLATFORM_TENANT_ID else [])}
    if name.strip().casefold() in reserved:
        raise Conflict("the name is that of a built-in role", code="already_exists", field="name")
    checks.distinct(draft.permissions, "permissions", "duplicate_permission")
    wanted = frozenset(draft.permissions)
    if not wanted <= {permission.name for permission in work.transaction.catalogue()}:
        raise InvalidInput("there is no such permission", code="unknown_permission", field="permissions")
    return RoleRow(
        id=role_id,
        tenant_id=work.tenant_id,
        name=name,
        description=checks.description(draft.description),
        permissions=wanted,
        rate_limits=checks.rate_limits(draft.rate_limits),
        created_us=created_us,
        updated_us=work.now,
    )
