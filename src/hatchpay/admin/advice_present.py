"""From what was observed to the advice that callers see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hatchpay.access.advisor import Need, Observation, Use, advise_key, advise_role, holders
from hatchpay.access.directory import KeyRow, RoleRow
from hatchpay.access.findings import key_findings, role_findings, weight
from hatchpay.access.permission import Permission
from hatchpay.admin.advice_views import (
    AdviceOverview,
    HolderUse,
    KeyAdvice,
    KeySummary,
    OnlyUser,
    PermissionUse,
    ProposedRole,
    RoleAdvice,
    SmallestRole,
    UserUse,
)
from hatchpay.admin.present import key_view
from hatchpay.audit.ports import KeyUsage
from hatchpay.clock import format_time

__all__ = ["key_advice", "overview", "role_advice"]

_MOST: Final = 200
"""How many keys one answer tells of."""

Uses = Mapping[str, Sequence[KeyUsage]]


def key_advice(
    key: KeyRow,
    roles: Mapping[str, RoleRow],
    catalogue: Mapping[str, Permission],
    observation: Observation,
    usage: Uses,
    name: str,
) -> KeyAdvice:
    """`roles` are all of the tenant's; `name` is that of a role which would be made."""
    need = advise_key(key, roles, observation)
    view = key_view(key, roles, usage.get(key.id, ()), observation.now_us)
    return KeyAdvice(
        key_id=key.id,
        name=key.name,
        status=view.status,
        owner=key.owner,
        roles=view.roles,
        days=observation.days,
        observed_days=need.observed_days,
        requests=need.requests,
        confidence=need.confidence,
        last_used_at=view.last_used_at,
        held=_sorted(need.held),
        used=_evidence(need),
        unused=_sorted(need.unused),
        unseen=_sorted(need.unseen),
        used_by_this_key_only=_sorted(need.used.keys() - _used_by_others(key, observation)),
        smallest_role=_smallest(need),
        proposed_role=None if need.proposed is None else ProposedRole(name, _sorted(need.proposed)),
        findings=key_findings(key, need, catalogue, observation, _newest(usage.get(key.id, ()))),
    )


def role_advice(
    role: RoleRow,
    keys: Sequence[KeyRow],
    roles: Mapping[str, RoleRow],
    observation: Observation,
    name: str,
) -> RoleAdvice:
    """`keys` are those that hold the role and that the caller may see; `name` as for `key_advice`."""
    need = advise_role(role, keys, roles, observation)
    users = _of_role(role, observation.users.get(role.name, {}))
    shown = sorted((_holder(key, role, observation) for key in keys), key=lambda one: (-one.requests, one.key_id))
    permissions = need.proposed
    if not role.builtin and need.used and need.unused:
        # A custom role is reduced itself, whichever others fit.
        permissions = frozenset(need.used)
    return RoleAdvice(
        role_id=role.id,
        name=role.name,
        builtin=role.builtin,
        days=observation.days,
        observed_days=need.observed_days,
        requests=need.requests,
        confidence=need.confidence,
        held=_sorted(need.held),
        used=_evidence(need),
        unused=_sorted(need.unused),
        unseen=_sorted(need.unseen),
        used_by_one_key_only=_only_users(need, keys, users, observation),
        smallest_role=_smallest(need),
        proposed_role=None if permissions is None else ProposedRole(name, _sorted(permissions)),
        findings=role_findings(need, keys, bool(users)),
        key_count=len(keys),
        keys=tuple(shown[:_MOST]),
        users=_user_use(users),
    )


def overview(
    keys: Sequence[KeyRow],
    roles: Mapping[str, RoleRow],
    catalogue: Mapping[str, Permission],
    observation: Observation,
    usage: Uses,
) -> AdviceOverview:
    found = []
    for key in keys:
        need = advise_key(key, roles, observation)
        findings = key_findings(key, need, catalogue, observation, _newest(usage.get(key.id, ())))
        if weight(findings):
            found.append((key, need, findings))
    found.sort(key=lambda one: (-weight(one[2]), -len(one[1].unused), one[0].id))
    lines = []
    for key, need, findings in found[:_MOST]:
        view = key_view(key, roles, usage.get(key.id, ()), observation.now_us)
        lines.append(
            KeySummary(
                key_id=key.id,
                name=key.name,
                status=view.status,
                roles=view.roles,
                held=len(need.held),
                used=len(need.used),
                unused=len(need.unused),
                requests=need.requests,
                observed_days=need.observed_days,
                confidence=need.confidence,
                last_used_at=view.last_used_at,
                findings=findings,
            )
        )
    return AdviceOverview(days=observation.days, key_count=len(keys), with_findings=len(found), data=tuple(lines))


def _used_by_others(key: KeyRow, observation: Observation) -> set[str]:
    return {permission for other, uses in observation.keys.items() if other != key.id for permission in uses}


def _only_users(
    need: Need, keys: Sequence[KeyRow], users: Mapping[str, Use], observation: Observation
) -> tuple[OnlyUser, ...]:
    found = []
    for permission in sorted(need.used.keys() - users.keys()):
        using = holders(observation, permission, keys)
        if len(using) == 1:
            found.append(OnlyUser(permission, using[0].id, using[0].name))
    return tuple(found)


def _holder(key: KeyRow, role: RoleRow, observation: Observation) -> HolderUse:
    uses = _of_role(role, observation.keys.get(key.id, {}))
    last = max((use.last_us for use in uses.values()), default=None)
    return HolderUse(
        key_id=key.id,
        name=key.name,
        used=len(uses),
        requests=sum(use.count for use in uses.values()),
        last_used_at=None if last is None else format_time(last),
    )


def _user_use(uses: Mapping[str, Use]) -> UserUse | None:
    if not uses:
        return None
    last = max(use.last_us for use in uses.values())
    return UserUse(len(uses), sum(use.count for use in uses.values()), format_time(last))


def _of_role(role: RoleRow, uses: Mapping[str, Use]) -> dict[str, Use]:
    return {permission: use for permission, use in uses.items() if permission in role.permissions}


def _evidence(need: Need) -> tuple[PermissionUse, ...]:
    return tuple(
        PermissionUse(permission, use.count, format_time(use.first_us), format_time(use.last_us))
        for permission, use in sorted(need.used.items())
    )


def _smallest(need: Need) -> SmallestRole | None:
    role = need.smallest
    return None if role is None else SmallestRole(role.id, role.name, len(role.permissions - need.used.keys()))


def _newest(uses: Iterable[KeyUsage]) -> int | None:
    return max((use.used_us for use in uses), default=None)


def _sorted(permissions: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(permissions))
