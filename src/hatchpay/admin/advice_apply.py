"""Taking from a key or a role what was not used, within one transaction, after a rehearsal.

Nobody gains: what is held afterwards was held before, for the same business units, under the same rate limits and
policies. Nobody loses what was used: that is looked up once more at the moment of the change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from hatchpay.access.advisor import Need, Observation, advise_key, advise_role, strictest, together
from hatchpay.access.directory import KeyRow, RoleRow
from hatchpay.access.policy import parsed
from hatchpay.access.rate_limit import loosen
from hatchpay.admin.advice_views import AdviceWish, AppliedAdvice
from hatchpay.admin.keys import save_roles
from hatchpay.admin.ports import DirectoryView
from hatchpay.admin.present import role_view
from hatchpay.admin.roles import custom, define, replace
from hatchpay.admin.views import RoleDraft
from hatchpay.admin.work import Work
from hatchpay.errors import Conflict, Forbidden, InvalidInput

__all__ = ["demand", "free_name", "to_key", "to_role"]

_LONGEST_NAME: Final = 120
_DESCRIPTION: Final = "What was used of what the holder had"

Later = Callable[[], Observation]
"""Walks the record once more, over what came after the first walk."""


def free_name(view: DirectoryView, tenant_id: str, name: str) -> str:
    """A role's name that is derived from `name` and that the tenant has not got."""
    number = 1
    while True:
        suffix = " (least privilege)" if number == 1 else f" (least privilege {number})"
        derived = name[: _LONGEST_NAME - len(suffix)] + suffix
        if view.role_named(tenant_id, derived) is None:
            return derived
        number += 1


def demand(work: Work, wish: AdviceWish) -> None:
    """What can be told before anything was observed. Raises as admin.advice.Advice.apply says."""
    if wish.key_id is None:
        _demand(work, "access.roles.update")
        return
    _demand(work, "api-key.key-roles.update")
    work.key(wish.key_id)


def to_key(
    work: Work, wish: AdviceWish, roles: Mapping[str, RoleRow], observation: Observation, later: Later
) -> AppliedAdvice:
    """Raises as admin.advice.Advice.apply says."""
    _demand(work, "api-key.key-roles.update")
    key = work.key(wish.key_id or "")
    need = advise_key(key, roles, observation)
    role = _chosen(wish, roles) or need.fitting
    permissions = need.proposed if role is None else role.permissions
    if permissions is None or need.held == permissions:
        raise _nothing(need)
    if role is None:
        _demand(work, "access.roles.create")
    else:
        _refuse_more(key, need, role, roles)
    _refuse_guesses(need, wish)
    _refuse_other_policies(work, key, role)
    _refuse_breaking(permissions, advise_key(key, roles, together(observation, later())))
    created = role is None
    if role is None:
        name = free_name(work.transaction, work.tenant_id, key.name)
        role = define(work, _draft(name, permissions, [roles[role_id] for role_id in key.role_ids]))
    scope = _scope(key)
    new = msgspec.structs.replace(
        key,
        role_ids=frozenset({role.id}),
        role_units={} if scope is None else {role.id: scope},
        updated_us=work.now,
    )
    save_roles(work, key, new)
    return _applied(key.id, role, created, need)


def to_role(
    work: Work, wish: AdviceWish, roles: Mapping[str, RoleRow], observation: Observation, later: Later
) -> AppliedAdvice:
    """Raises as admin.advice.Advice.apply says."""
    _demand(work, "access.roles.update")
    old = custom(work.role(wish.role_id or ""))
    keys = work.transaction.keys_holding([old.id])
    need = advise_role(old, keys, roles, observation)
    permissions = frozenset(need.used)
    if not permissions or not need.unused:
        raise _nothing(need)
    _refuse_guesses(need, wish)
    _refuse_breaking(permissions, advise_role(old, keys, roles, together(observation, later())))
    new = msgspec.structs.replace(old, permissions=permissions, updated_us=work.now)
    replace(work, old, new)
    return _applied(None, new, False, need)


def _demand(work: Work, permission: str) -> None:
    if permission not in work.reach.permissions:
        raise Forbidden("the caller does not hold a permission that applying this needs", permission=permission)


def _chosen(wish: AdviceWish, roles: Mapping[str, RoleRow]) -> RoleRow | None:
    if wish.role_id is None:
        return None
    role = roles.get(wish.role_id)
    if role is None:
        raise InvalidInput("there is no such role in this tenant", code="unknown_role", field="role_id")
    return role


def _nothing(need: Need) -> Conflict:
    if need.used:
        return Conflict("nothing is held besides what was used", code="nothing_to_apply")
    return Conflict(
        "nothing was used in these days, so nothing can be proposed; disable or delete it, or name a role",
        code="nothing_to_apply",
    )


def _refuse_more(key: KeyRow, need: Need, role: RoleRow, roles: Mapping[str, RoleRow]) -> None:
    more = sorted(role.permissions - need.held)
    if more:
        raise Conflict("the role holds what the key does not", code="advice_grants_more", permission=more[0])
    before, after = strictest(roles[role_id] for role_id in key.role_ids), strictest([role])
    if loosen(before, after):
        raise Conflict("the role lacks a rate limit of the key's roles", code="advice_grants_more")
    if before != after:
        raise Conflict("the role limits the rate more than the key's roles do", code="advice_limits_more")


def _refuse_guesses(need: Need, wish: AdviceWish) -> None:
    if need.confidence == "low" and not wish.force:
        raise Conflict(
            f"too little was observed: {need.requests} requests in {need.observed_days} days, of at least 20 in 7",
            code="observation_too_short",
        )


def _scope(key: KeyRow) -> frozenset[str] | None:
    """The business units for which all roles of the key are attached; None is the whole tenant."""
    scopes = {key.role_units.get(role_id) for role_id in key.role_ids}
    if len(scopes) > 1:
        raise Conflict("the key's roles are attached for different business units", code="advice_scopes_differ")
    return next(iter(scopes), None)


def _refuse_other_policies(work: Work, key: KeyRow, role: RoleRow | None) -> None:
    """A policy may forbid something to whoever holds a role: whoever loses that role gains, whoever gets it loses."""
    changed = key.role_ids ^ ({role.id} if role is not None else set())
    policies = work.transaction.policies(work.tenant_id)
    if changed and any(_names_one(policy.text, changed) for policy in policies):
        raise Conflict("a policy names a role that the key would lose or get", code="advice_changes_policy")


def _names_one(text: str, role_ids: Iterable[str]) -> bool:
    """Whether a policy names any of the roles, however it spells their ids. One that cannot be read may name all."""
    statements = parsed(text)
    if statements is None:
        return True
    return any(("Role", role_id) in statement.entities for statement in statements for role_id in role_ids)


def _refuse_breaking(permissions: frozenset[str], now: Need) -> None:
    missing = sorted(now.used.keys() - permissions)
    if missing:
        raise Conflict("this was used, and would be denied afterwards", code="advice_breaks_use", permission=missing[0])


def _draft(name: str, permissions: frozenset[str], roles: Iterable[RoleRow]) -> RoleDraft:
    """With the strictest limits of the `roles` that it takes the place of."""
    return RoleDraft(
        name=name,
        description=_DESCRIPTION,
        permissions=tuple(sorted(permissions)),
        rate_limits=strictest(roles),
    )


def _applied(key_id: str | None, role: RoleRow, created: bool, need: Need) -> AppliedAdvice:
    return AppliedAdvice(
        key_id=key_id,
        role=role_view(role),
        created=created,
        permissions_before=len(need.held),
        permissions_after=len(role.permissions),
        removed=tuple(sorted(need.held - role.permissions)),
        observed_days=need.observed_days,
        confidence=need.confidence,
    )
