"""Least privilege: what keys and roles hold that nobody used, and taking it away.

Reading walks the record once. Applying walks it before its transaction, once the caller has shown that it may, and
once more within it over what came meanwhile, so that a long walk holds up no other change and nothing that was used is
taken away.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from hatchpay.access.advisor import Observation
from hatchpay.access.directory import KeyRow, RoleRow
from hatchpay.access.permission import by_name
from hatchpay.admin import advice_apply, checks
from hatchpay.admin.advice_present import key_advice, overview, role_advice
from hatchpay.admin.advice_views import AdviceOverview, AdviceWish, AppliedAdvice, KeyAdvice, RoleAdvice
from hatchpay.admin.keys import is_visible, visible_key
from hatchpay.admin.observe import Visible, observe, observe_since
from hatchpay.admin.paging import every
from hatchpay.admin.ports import Directory, DirectoryView
from hatchpay.admin.views import Actor
from hatchpay.admin.work import Changes, found
from hatchpay.audit.ports import Replay, UsageReader
from hatchpay.audit.record import Record
from hatchpay.clock import Clock
from hatchpay.errors import InvalidInput
from hatchpay.ids import IdSource

__all__ = ["DEFAULT_DAYS", "MAX_DAYS", "Advice"]

DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 365
_SLOWEST_US: Final = 60_000_000
"""Requests that take longer than this may be recorded after the first walk without being seen by the second."""


class Advice:
    """The use cases around least privilege. Where one raises, nothing has changed:

    - InvalidInput for bad input; NotFound for a key or role that the caller's tenant does not have, or may not see
    - Forbidden for what exceeds the caller (`grant_exceeds_caller`) or is not its to do (`permission_missing`)
    - Conflict, see `apply`
    - Unauthenticated where the caller's own key is no longer good
    - AuditUnavailable where the record cannot be read; DirectoryUnavailable
    """

    def __init__(
        self, directory: Directory, replay: Replay, usage: UsageReader, clock: Clock, new_id: IdSource
    ) -> None:
        self._directory = directory
        self._replay = replay
        self._usage = usage
        self._clock = clock
        self._changes = Changes(directory, clock, new_id)

    def of_key(self, actor: Actor, key_id: str, days: int = DEFAULT_DAYS) -> KeyAdvice:
        checks.identifier(key_id, "key_id")
        _check(days)
        with self._reading(actor) as view:
            visible_key(view, actor, key_id)
        observation = self._observed(actor, days)
        usage = self._usage.usage([key_id])
        with self._reading(actor) as view:
            key = visible_key(view, actor, key_id)
            name = advice_apply.free_name(view, key.tenant_id, key.name)
            return key_advice(key, _all_roles(view, key.tenant_id), by_name(view.catalogue()), observation, usage, name)

    def of_role(self, actor: Actor, role_id: str, days: int = DEFAULT_DAYS) -> RoleAdvice:
        checks.identifier(role_id, "role_id")
        _check(days)
        tenant_id = actor.principal.tenant_id
        with self._reading(actor) as view:
            found(view.role(tenant_id, role_id), "role")
        observation = self._observed(actor, days)
        with self._reading(actor) as view:
            role = found(view.role(tenant_id, role_id), "role")
            keys = [key for key in view.keys_holding([role_id]) if is_visible(actor, key)]
            name = advice_apply.free_name(view, tenant_id, role.name) if role.builtin else role.name
            return role_advice(role, keys, _all_roles(view, tenant_id), observation, name)

    def of_all(self, actor: Actor, days: int = DEFAULT_DAYS) -> AdviceOverview:
        """The keys with findings, the gravest first."""
        _check(days)
        observation = self._observed(actor, days)
        with self._reading(actor) as view:
            keys = _visible_keys(view, actor)
            roles, catalogue = _all_roles(view, actor.principal.tenant_id), by_name(view.catalogue())
        usage = self._usage.usage([key.id for key in keys])
        return overview(keys, roles, catalogue, observation, usage)

    def apply(self, actor: Actor, wish: AdviceWish) -> AppliedAdvice:
        """Gives a key one role in place of all of its own, or reduces a custom role. Raises Conflict:

        - `nothing_to_apply` where nothing was used, or nothing is held besides what was
        - `observation_too_short` where the confidence is low and `force` is not set
        - `advice_breaks_use` naming a permission that was used and would be taken away
        - `advice_grants_more` where the chosen role holds what the key does not, or lacks one of its rate limits
        - `advice_limits_more` where the chosen role limits the rate more than the key's roles do
        - `advice_scopes_differ` where the key's roles are attached for different business units
        - `advice_changes_policy` where a policy names a role that would be detached or attached
        - `builtin_role`, `last_administrator`
        """
        _check(wish.days)
        if wish.key_id is None and wish.role_id is None:
            raise InvalidInput("give a key_id, or the role_id of a custom role", field="key_id")
        for field, value in (("key_id", wish.key_id), ("role_id", wish.role_id)):
            if value is not None:
                checks.identifier(value, field)
        with self._reading(actor) as view:
            if wish.key_id is not None:
                found(view.key(actor.principal.tenant_id, wish.key_id), "API key")
            if wish.role_id is not None and wish.key_id is None:
                found(view.role(actor.principal.tenant_id, wish.role_id), "role")
        with self._changes.by(actor, "access.advice.apply") as work:
            advice_apply.demand(work, wish)
        began = self._clock()
        # Of all units: what nobody may be told of must not be taken away either.
        observation = observe(self._replay, actor.principal.tenant_id, wish.days, began)
        with self._changes.by(actor, "access.advice.apply") as work:
            roles = _all_roles(work.transaction, work.tenant_id)
            later = partial(observe_since, self._replay, work.tenant_id, began - _SLOWEST_US)
            if wish.key_id is None:
                return advice_apply.to_role(work, wish, roles, observation, later)
            return advice_apply.to_key(work, wish, roles, observation, later)

    @contextmanager
    def _reading(self, actor: Actor) -> Iterator[DirectoryView]:
        with self._directory.read() as view:
            found(view.tenant(actor.principal.tenant_id), "tenant")
            yield view

    def _observed(self, actor: Actor, days: int) -> Observation:
        visible: Visible | None = None
        units = actor.principal.limits.business_unit_ids
        if units is not None:
            with self._reading(actor) as view:
                visible = partial(_counts, units, frozenset(key.id for key in _visible_keys(view, actor)))
        return observe(self._replay, actor.principal.tenant_id, days, self._clock(), visible)


def _counts(units: frozenset[str], key_ids: frozenset[str], record: Record) -> bool:
    """To a caller of chosen units: what concerned one of them, or was done for none by a key that is of them only."""
    unit = record.business_unit_id
    return unit in units if unit is not None else record.key_id in key_ids


def _visible_keys(view: DirectoryView, actor: Actor) -> list[KeyRow]:
    keys = every(partial(view.keys, actor.principal.tenant_id), _key_id)
    return [key for key in keys if is_visible(actor, key)]


def _all_roles(view: DirectoryView, tenant_id: str) -> dict[str, RoleRow]:
    return {role.id: role for role in every(partial(view.roles, tenant_id), _role_id)}


def _role_id(role: RoleRow) -> str:
    return role.id


def _key_id(key: KeyRow) -> str:
    return key.id


def _check(days: int) -> None:
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput(f"days is 1 to {MAX_DAYS}", field="days")
