"""The access of a tenant as it would be after a change, in memory only. What the change asks is checked as if it were
made for real; InvalidInput and Conflict name its fields, such as `change.role_ids`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from hatchpay.access.directory import KeyRow, RoleRow
from hatchpay.access.grants import principal_with
from hatchpay.access.replay import Standing
from hatchpay.access.rules import Rules
from hatchpay.admin import checks
from hatchpay.admin.ports import DirectoryView
from hatchpay.admin.rehearsal_views import Change, KeyRoles, PolicyText, RolePermissions
from hatchpay.admin.views import Actor
from hatchpay.admin.work import within_units
from hatchpay.errors import Conflict, InvalidInput
from hatchpay.identity.ports import KeyEntry, Snapshot
from hatchpay.tokens.apikey import encode_id

__all__ = ["WithPolicy", "supposed"]

WithPolicy = Callable[[Rules, str, str, str], Rules]
"""The rules with one more policy of the tenant, or another one of that name: rules, tenant's id, name, text.

Raises InvalidInput for a text that is none.
"""


def supposed(
    view: DirectoryView, actor: Actor, standing: Standing, change: Change, with_policy: WithPolicy | None
) -> Standing:
    """`standing` with the change.

    Raises InvalidInput (`unknown_key`, `unknown_role`, `unknown_permission` and others), Conflict (`builtin_role`).
    """
    tenant_id = actor.principal.tenant_id
    with _naming_fields("change"):
        match change:
            case KeyRoles():
                key = _key_with_roles(view, actor, change)
                roles = view.roles_by_id(tenant_id, key.role_ids)
                snapshot = _with_keys(standing.snapshot, [key], roles)
                return msgspec.structs.replace(standing, snapshot=snapshot)
            case RolePermissions():
                role = _role_with_permissions(view, tenant_id, change)
                return msgspec.structs.replace(standing, snapshot=_with_role(view, standing.snapshot, role))
            case PolicyText():
                if with_policy is None:
                    raise InvalidInput("policies cannot be rehearsed yet", code="policies_unavailable", field="policy")
                with _naming_fields("policy"):
                    name = checks.name(change.name)
                    rules = with_policy(standing.rules, tenant_id, name, change.text)
                return msgspec.structs.replace(standing, rules=rules)


def _key_with_roles(view: DirectoryView, actor: Actor, change: KeyRoles) -> KeyRow:
    tenant_id, role_ids = actor.principal.tenant_id, change.role_ids
    checks.identifier(change.key_id, "key_id")
    checks.role_ids(role_ids)
    key = view.key(tenant_id, change.key_id)
    if key is None or not within_units(actor.principal.limits, key.business_unit_ids):
        raise InvalidInput("there is no such API key", code="unknown_key", field="key_id")
    if len(view.roles_by_id(tenant_id, role_ids)) < len(role_ids):
        raise InvalidInput("there is no such role in this tenant", code="unknown_role", field="role_ids")
    # As the call itself does: for the whole tenant.
    return msgspec.structs.replace(key, role_ids=frozenset(role_ids), role_units={})


def _role_with_permissions(view: DirectoryView, tenant_id: str, change: RolePermissions) -> RoleRow:
    checks.identifier(change.role_id, "role_id")
    checks.distinct(change.permissions, "permissions", "duplicate_permission")
    role = view.role(tenant_id, change.role_id)
    if role is None:
        raise InvalidInput("there is no such role in this tenant", code="unknown_role", field="role_id")
    if role.builtin:
        raise Conflict("a built-in role cannot be changed", code="builtin_role", field="role_id")
    if not frozenset(change.permissions) <= {permission.name for permission in view.catalogue()}:
        raise InvalidInput("there is no such permission", code="unknown_permission", field="permissions")
    return msgspec.structs.replace(role, permissions=frozenset(change.permissions))


def _with_role(view: DirectoryView, snapshot: Snapshot, role: RoleRow) -> Snapshot:
    """`role` as it is, for the keys that hold it, and for users by its name."""
    keys = view.keys_holding([role.id])
    held = view.roles_by_id(role.tenant_id, {role_id for key in keys for role_id in key.role_ids})
    changed = _with_keys(snapshot, keys, {**held, role.id: role})
    roles = {**snapshot.trust.roles, (role.tenant_id, role.name): role.permissions}
    return msgspec.structs.replace(changed, trust=msgspec.structs.replace(snapshot.trust, roles=roles))


def _with_keys(snapshot: Snapshot, keys: Iterable[KeyRow], roles: Mapping[str, RoleRow]) -> Snapshot:
    changed: dict[str, KeyEntry] = {}
    for key in keys:
        locator = encode_id(key.id)
        entry = snapshot.keys.get(locator)
        if entry is not None:
            changed[locator] = msgspec.structs.replace(entry, principal=principal_with(key, roles))
    return msgspec.structs.replace(snapshot, keys={**snapshot.keys, **changed})


@contextmanager
def _naming_fields(prefix: str) -> Iterator[None]:
    """Errors of the block name their field from further out."""
    try:
        yield
    except (InvalidInput, Conflict) as error:
        error.field = prefix if error.field is None else f"{prefix}.{error.field}"
        raise
