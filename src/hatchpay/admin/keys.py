"""API keys: made, read, changed, given roles, rotated, deleted.

Nobody grants what they do not hold. A call grants where the key can do more after it than before, or where
somebody gets a secret for it; then all that the key can do afterwards must be within what the caller can do.
What only takes away is free to whoever may make the call, as long as the tenant keeps an administrator.
"""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import get_args

import msgspec
from msgspec import UNSET

from hatchpay.access.directory import KeyRow
from hatchpay.access.rate_limit import loosen
from hatchpay.admin import checks, secrets, units
from hatchpay.admin.paging import DEFAULT_LIMIT, chosen, page
from hatchpay.admin.ports import Directory, DirectoryView
from hatchpay.admin.present import key_facts, key_view, role_names
from hatchpay.admin.versions import IfMatch
from hatchpay.admin.views import Actor, CreatedKey, KeyChanges, KeyView, NewKey, Page
from hatchpay.admin.work import Changes, Work, found, roles_of, within_units
from hatchpay.audit.ports import KeyUsage, UsageReader
from hatchpay.clock import Clock
from hatchpay.errors import InvalidInput
from hatchpay.identity.principal import Reach
from hatchpay.ids import IdSource
from hatchpay.tokens.apikey import Environment, Randomness
from hatchpay.tokens.digest import Peppers

__all__ = ["Keys", "is_visible", "save_roles", "visible_key"]

_NO_UNITS: Mapping[str, tuple[str, ...]] = {}


class Keys:
    """The use cases around API keys. Where one raises, nothing has changed:

    - InvalidInput for bad input; NotFound for a key that the caller's tenant does not have
    - Forbidden for what exceeds the caller (`grant_exceeds_caller`) or is not its to do (`permission_missing`)
    - Conflict where the tenant would lose its `last_administrator`
    - PreconditionFailed where the key is not as `expected`
    - Unauthenticated where the caller's own key is no longer good
    - AuditUnavailable where the last use of a key cannot be read; DirectoryUnavailable
    """

    def __init__(
        self,
        directory: Directory,
        usage: UsageReader,
        clock: Clock,
        new_id: IdSource,
        peppers: Callable[[], Peppers],
        *,
        randbelow: Randomness = randomness.randbelow,
    ) -> None:
        self._directory = directory
        self._usage = usage
        self._clock = clock
        self._changes = Changes(directory, clock, new_id)
        self._peppers = peppers
        self._randbelow = randbelow

    def create(self, actor: Actor, wanted: NewKey) -> CreatedKey:
        """A key without roles, which may do nothing yet, and its text, this once."""
        with self._changes.by(actor, "api-key.keys.create") as work:
            drafted = KeyRow(
                id=work.new_id(),
                tenant_id=work.tenant_id,
                name=checks.name(wanted.name),
                description=checks.description(wanted.description),
                environment=_environment(wanted.environment),
                owner=checks.owner(wanted.owner),
                expires_us=checks.expiry(wanted.expires_at_us, work.now),
                business_unit_ids=units.limit(work, wanted.business_unit_ids, None),
                allowed_cidrs=checks.cidrs(wanted.allowed_cidrs),
                metadata=checks.metadata(wanted.metadata),
                rate_limits=checks.rate_limits(wanted.rate_limits),
                created_us=work.now,
                updated_us=work.now,
            )
            work.demand(Reach(frozenset(), drafted.limits))
            key, text = secrets.issued(drafted, self._peppers(), self._randbelow, work.now)
            work.transaction.add_key(key)
            work.record("api-key.keys.created", key.id, {}, key_facts(key))
            return CreatedKey(key_view(key, {}, (), work.now), text)

    def list(self, actor: Actor, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[KeyView]:
        """Newest first; to a caller of chosen business units, the keys of those."""
        tenant_id = actor.principal.tenant_id
        with self._directory.read() as view:

            def show(rows: Sequence[KeyRow]) -> Sequence[KeyView]:
                roles = view.roles_by_id(tenant_id, {role_id for row in rows for role_id in row.role_ids})
                uses = self._usage.usage([row.id for row in rows])
                now = self._clock()
                return [key_view(row, roles, uses.get(row.id, ()), now) for row in rows]

            def fetch(count: int, last: str | None) -> Sequence[KeyRow]:
                return view.keys(tenant_id, count, last)

            return page(chosen(fetch, partial(is_visible, actor), _id), show, _id, limit, cursor)

    def get(self, actor: Actor, key_id: str) -> KeyView:
        uses = self._uses(key_id)
        with self._directory.read() as view:
            key = visible_key(view, actor, key_id)
            return key_view(key, roles_of(view, key), uses, self._clock())

    def update(self, actor: Actor, key_id: str, changes: KeyChanges, expected: IfMatch | None = None) -> KeyView:
        """Enabling, and lifting or loosening any limit, grants."""
        uses = self._uses(key_id)
        with self._changes.by(actor, "api-key.keys.update") as work:
            old = work.key(key_id, expected)
            new = _changed(work, old, changes)
            if new == old:
                return self._shown(work, old, uses)
            looser = not old.limits.cover(new.limits) or loosen(old.rate_limits, new.rate_limits)
            if (new.enabled and not old.enabled) or looser:
                work.demand(work.reach_of(new))
            event = "updated" if new.enabled == old.enabled else "enabled" if new.enabled else "disabled"
            return self._saved(work, old, new, uses, event)

    def delete(self, actor: Actor, key_id: str, expected: IfMatch | None = None) -> None:
        """Stops the key at once, and detaches its roles. Its id stays known, to tell whose it was."""
        checks.identifier(key_id, "key_id")
        with self._changes.by(actor, "api-key.keys.delete") as work:
            remove(work, work.key(key_id, expected))

    def set_roles(
        self,
        actor: Actor,
        key_id: str,
        role_ids: tuple[str, ...],
        business_unit_ids: Mapping[str, tuple[str, ...]] = _NO_UNITS,
        expected: IfMatch | None = None,
    ) -> KeyView:
        """Replaces the set. Attaching a role that the key has not got, or for more business units, grants all that the
        key can do then, and so does detaching one that limits its rate. A role is attached for the whole tenant unless
        `business_unit_ids` has units for its id.
        """
        uses = self._uses(key_id)
        checks.role_ids(role_ids)
        with self._changes.by(actor, "api-key.key-roles.update") as work:
            old = work.key(key_id, expected)
            if len(work.transaction.roles_by_id(work.tenant_id, role_ids)) < len(role_ids):
                raise InvalidInput("there is no such role in this tenant", code="unknown_role", field="role_ids")
            scopes = units.scopes(work, role_ids, business_unit_ids, old.role_units)
            new = msgspec.structs.replace(old, role_ids=frozenset(role_ids), role_units=scopes, updated_us=work.now)
            if (new.role_ids, new.role_units) == (old.role_ids, old.role_units):
                return self._shown(work, old, uses)
            save_roles(work, old, new)
            return self._shown(work, new, uses)

    def rotate(self, actor: Actor, key_id: str, grace_seconds: int = 0, expected: IfMatch | None = None) -> CreatedKey:
        """A new secret, this once. The older ones end after the grace period, or when they would have anyway.

        Whoever rotates a key can use it, so rotating grants all that the key can do. Raises Conflict
        (`too_many_secrets`) where ten of its secrets would still work.
        """
        uses = self._uses(key_id)
        ends_after_us = checks.grace(grace_seconds) * 1_000_000
        with self._changes.by(actor, "api-key.keys.rotate") as work:
            old = work.key(key_id, expected)
            work.demand(work.reach_of(old), counted_alike=work.is_own(old))
            new, text = secrets.rotated(old, self._peppers(), self._randbelow, work.now, work.now + ends_after_us)
            new = msgspec.structs.replace(new, updated_us=work.now)
            work.transaction.save_key(new)
            facts = {"secret_version": new.secrets[0].version, "grace_seconds": grace_seconds}
            work.record("api-key.keys.rotated", key_id, {"secret_version": old.secrets[0].version}, facts)
            return CreatedKey(self._shown(work, new, uses), text)

    def end_grace(self, actor: Actor, key_id: str, expected: IfMatch | None = None) -> KeyView:
        """Ends every secret but the newest, now."""
        uses = self._uses(key_id)
        with self._changes.by(actor, "api-key.keys.rotate") as work:
            old = work.key(key_id, expected)
            new = secrets.ended(old, work.now)
            if new != old:
                new = msgspec.structs.replace(new, updated_us=work.now)
                work.transaction.save_key(new)
                working = [row.version for row in old.secrets[1:] if row.ends_us is None or row.ends_us > work.now]
                work.record(
                    "api-key.keys.grace_ended",
                    key_id,
                    {"previous_versions": working},
                    {"previous_versions": []},
                )
            return self._shown(work, new, uses)

    def rehash(self, key_id: str, text: str, secret_version: int) -> None:
        """Bring a proven secret under the current pepper, if it still exists: no caller, so no event."""
        with self._directory.transaction() as transaction:
            old = transaction.key_of_any_tenant(key_id)
            if old is not None:
                new = secrets.rehashed(old, text, secret_version, self._peppers())
                if new != old:
                    transaction.save_key(new)

    def _saved(self, work: Work, old: KeyRow, new: KeyRow, uses: Sequence[KeyUsage], event: str) -> KeyView:
        new = msgspec.structs.replace(new, updated_us=work.now)
        with work.keeping_an_administrator(work.tenant_id):
            work.transaction.save_key(new)
        work.record(f"api-key.keys.{event}", new.id, key_facts(old), key_facts(new))
        return self._shown(work, new, uses)

    def _shown(self, work: Work, key: KeyRow, uses: Sequence[KeyUsage]) -> KeyView:
        return key_view(key, roles_of(work.transaction, key), uses, work.now)

    def _uses(self, key_id: str) -> Sequence[KeyUsage]:
        checks.identifier(key_id, "key_id")
        return self._usage.usage([key_id]).get(key_id, ())


def save_roles(work: Work, old: KeyRow, new: KeyRow) -> None:
    """Save a key with other roles within `work`. Raises Forbidden for what exceeds the caller, and Conflict for the
    last administrator.
    """
    before, after = roles_of(work.transaction, old), roles_of(work.transaction, new)
    unlimited = any(role.rate_limits for role in before.values() if role.id not in new.role_ids)
    if unlimited or _attaches(old, new):
        work.demand(work.reach_of(new))
    work.demand_unnamed(old.role_ids ^ new.role_ids)
    with work.keeping_an_administrator(work.tenant_id):
        work.transaction.save_key(new)
    facts = (
        {"roles": role_names(before.values(), old.role_units)},
        {"roles": role_names(after.values(), new.role_units)},
    )
    work.record("api-key.keys.roles_set", new.id, *facts)


def remove(work: Work, key: KeyRow) -> None:
    """Delete `key` within `work`. Raises Conflict for the last administrator."""
    held = roles_of(work.transaction, key)
    deleted = msgspec.structs.replace(
        key, role_ids=frozenset(), role_units={}, updated_us=work.now, deleted_us=work.now
    )
    with work.keeping_an_administrator(key.tenant_id):
        work.transaction.save_key(deleted)
    facts = {**key_facts(key), "roles": role_names(held.values(), key.role_units)}
    work.record("api-key.keys.deleted", key.id, facts, {})


def _attaches(old: KeyRow, new: KeyRow) -> bool:
    """Whether `new` holds a role that `old` does not, or not in all of the same business units."""
    for role_id in new.role_ids:
        before, after = old.role_units.get(role_id), new.role_units.get(role_id)
        if role_id not in old.role_ids or (before is not None and (after is None or not after <= before)):
            return True
    return False


def is_visible(actor: Actor, key: KeyRow) -> bool:
    return within_units(actor.principal.limits, key.business_unit_ids)


def visible_key(view: DirectoryView, actor: Actor, key_id: str) -> KeyRow:
    """Raises NotFound for a key that is not there, or of business units that are not the caller's."""
    key = found(view.key(actor.principal.tenant_id, key_id), "API key")
    return found(key if is_visible(actor, key) else None, "API key")


def _id(key: KeyRow) -> str:
    return key.id


def _changed(work: Work, key: KeyRow, changes: KeyChanges) -> KeyRow:
    wanted: dict[str, object] = {}
    if changes.name is not UNSET:
        wanted["name"] = checks.name(changes.name)
    if changes.description is not UNSET:
        wanted["description"] = checks.description(changes.description)
    if changes.status is not UNSET:
        if changes.status not in {"enabled", "disabled"}:
            raise InvalidInput("status is enabled or disabled", field="status")
        wanted["enabled"] = changes.status == "enabled"
        if wanted["enabled"] and not key.enabled:
            wanted["enabled_from_us"] = work.now
    if changes.owner is not UNSET:
        wanted["owner"] = checks.owner(changes.owner)
    if changes.expires_at_us is not UNSET:
        wanted["expires_us"] = checks.expiry(changes.expires_at_us, work.now)
    if changes.business_unit_ids is not UNSET:
        wanted["business_unit_ids"] = units.limit(work, changes.business_unit_ids, key.business_unit_ids)
    if changes.allowed_cidrs is not UNSET:
        wanted["allowed_cidrs"] = checks.cidrs(changes.allowed_cidrs)
    if changes.metadata is not UNSET:
        wanted["metadata"] = checks.metadata(changes.metadata)
    if changes.rate_limits is not UNSET:
        wanted["rate_limits"] = checks.rate_limits(changes.rate_limits)
    return msgspec.structs.replace(key, **wanted)


def _environment(value: Environment) -> Environment:
    if value not in get_args(Environment):
        raise InvalidInput("environment is live or test", field="environment")
    return value
