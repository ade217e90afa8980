"""One change by one caller: a transaction that knows who acts, what they hold right now, and what may follow.

What the gate let through was judged by a snapshot. Here the caller's authority is read again in the
transaction that uses it, so that a key which has just been disabled, or lost a role, changes nothing any
more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TypeVar

import msgspec

from hatchpay.access.directory import KeyRow, RoleRow, reach, user_reach
from hatchpay.admin.lockout import is_administrable
from hatchpay.admin.ports import Directory, DirectoryTransaction, DirectoryView
from hatchpay.admin.singling import SinglingPolicies
from hatchpay.admin.versions import IfMatch, check
from hatchpay.admin.views import Actor
from hatchpay.audit.naming import recorded_id
from hatchpay.audit.record import Change
from hatchpay.audit.redact import redact_text
from hatchpay.clock import Clock
from hatchpay.errors import Conflict, Forbidden, NotFound, Unauthenticated
from hatchpay.identity.principal import Limits, Principal, Reach, TokenUse
from hatchpay.ids import IdSource

__all__ = ["Changes", "Work", "demand_everything", "found", "limits_for", "roles_of", "within_units"]


Row = TypeVar("Row", bound=msgspec.Struct)


class Work:
    """`reach` is all that the caller can do; `limits` are where it may do this; `now` is in microseconds since the
    epoch.
    """

    def __init__(
        self, transaction: DirectoryTransaction, actor: Actor, held: Reach, limits: Limits, now: int, new_id: IdSource
    ) -> None:
        self.transaction = transaction
        self.actor = actor
        self.tenant_id = actor.principal.tenant_id
        self.reach = held
        self.limits = limits
        self.now = now
        self.new_id = new_id

    def key(self, key_id: str, expected: IfMatch | None = None) -> KeyRow:
        """To be changed. Raises NotFound where the caller's tenant has no such key, Forbidden where it is of
        business units that are not the caller's, PreconditionFailed where it is not as `expected`.
        """
        key = found(self.transaction.key(self.tenant_id, key_id), "API key")
        self.demand_units(key.business_unit_ids)
        check(key, expected)
        return key

    def role(self, role_id: str, expected: IfMatch | None = None) -> RoleRow:
        """Raises NotFound where the caller's tenant has no such role, PreconditionFailed where it is not as
        `expected`.
        """
        return found(self.transaction.role(self.tenant_id, role_id), "role", expected)

    def reach_of(self, key: KeyRow) -> Reach:
        return reach(key, roles_of(self.transaction, key))

    def is_own(self, key: KeyRow) -> bool:
        """Whether the caller calls with this very key, itself or by a token of it."""
        return self.actor.principal.kind == "api_key" and self.actor.principal.key_id == key.id

    def demand(self, granted: Reach, *, counted_alike: bool = False) -> None:
        """Raises Forbidden where the caller does not hold all of what is about to be granted.

        A caller of a limited rate grants nothing, whatever the limits of what it would grant to: a second key is a
        second allowance. `counted_alike`: what is granted counts in the caller's own buckets.
        """
        if not counted_alike:
            _refuse_limited_rate(self.reach)
        _refuse_beyond(self.reach, granted)
        if granted.held and self._singling.concern(granted.held):
            self.demand_everything()

    def demand_everything(self) -> None:
        """Raises Forbidden where the caller does not hold every permission of the tenant, without limits: what changing
        a policy, or evading one, needs.
        """
        _refuse_less_than_everything(self.transaction, self.reach)

    def demand_unnamed(self, role_ids: Iterable[str]) -> None:
        """Whoever holds these roles changes. Raises Forbidden as `demand_everything` does, where a policy names one."""
        if self._singling.name(role_ids):
            self.demand_everything()

    @cached_property
    def _singling(self) -> SinglingPolicies:
        return SinglingPolicies(self.transaction.policies(self.tenant_id))

    def demand_held(self, permissions: frozenset[str]) -> None:
        """Raises Forbidden where the caller does not hold all of `permissions`, each in some business unit at least."""
        _refuse_limited_rate(self.reach)
        _refuse(sorted(permissions - self.reach.held))

    def demand_units(self, unit_ids: Iterable[str] | None) -> None:
        """Raises Forbidden where the caller may do this for chosen business units only, and these (None: all) are not
        among them.
        """
        if not within_units(self.limits, unit_ids):
            raise Forbidden("this concerns business units that are not the caller's", code="grant_exceeds_caller")

    @contextmanager
    def keeping_an_administrator(self, tenant_id: str) -> Iterator[None]:
        """Raises Conflict where the block leaves a tenant without administrators that had one before, or without one
        that the tenant's policies let through.
        """
        before = self._administration(tenant_id)
        yield
        if any(had and not has for had, has in zip(before, self._administration(tenant_id), strict=True)):
            raise Conflict(
                "the tenant would lose its last key that can administer it without limit",
                code="last_administrator",
            )

    def _administration(self, tenant_id: str) -> tuple[bool, bool]:
        return (
            self.transaction.administrators(tenant_id) > 0,
            is_administrable(self.transaction, tenant_id, self.actor, self.now),
        )

    def record(
        self,
        event: str,
        subject_id: str,
        before: Mapping[str, object],
        after: Mapping[str, object],
        *,
        tenant_id: str | None = None,
    ) -> None:
        """Write the audit event. Of `before` and `after`, only the members that differ are kept, and
        redacted:

        people write into names and descriptions what belongs into no audit trail.
        """
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        detail = {
            "before": {name: _redacted(before[name]) for name in changed if name in before},
            "after": {name: _redacted(after[name]) for name in changed if name in after},
        }
        self.transaction.record(
            Change(
                id=self.new_id(),
                request_id=self.actor.request_id,
                tenant_id=tenant_id or self.tenant_id,
                at_us=self.now,
                actor=recorded_id(self.actor.principal),
                event=event,
                subject_id=subject_id,
                detail=msgspec.json.encode(detail, order="deterministic"),
            )
        )


class Changes:
    """Begins changes to one directory."""

    def __init__(self, directory: Directory, clock: Clock, new_id: IdSource) -> None:
        self._directory = directory
        self._clock = clock
        self._new_id = new_id

    @contextmanager
    def by(self, actor: Actor, permission: str | None) -> Iterator[Work]:
        """A transaction in which `actor` does what needs `permission`, or what anybody may who is proven.

        Raises Unauthenticated where the caller's key is no longer good, Forbidden where it now lacks the
        permission.
        """
        with self._directory.transaction() as transaction:
            now = self._clock()
            held = _authority(transaction, actor, now)
            yield Work(transaction, actor, held, _limits(held, permission), now, self._new_id)


def limits_for(view: DirectoryView, actor: Actor, permission: str, now: int) -> Limits:
    """Within which the actor may now do what needs `permission`, for whoever changes nothing.

    Raises Forbidden and Unauthenticated as Changes.by does.
    """
    return _limits(_authority(view, actor, now), permission)


def _limits(held: Reach, permission: str | None) -> Limits:
    if permission is None or permission in held.permissions:
        return held.limits
    units = held.units_of(permission)
    if not units:
        raise Forbidden("the caller does not hold the permission that this needs", permission=permission)
    return held.limits.within(units)


def demand_everything(view: DirectoryView, actor: Actor, now: int) -> None:
    """As Work.demand for every permission of the tenant without limits, for whoever changes nothing.

    Raises Forbidden, and Unauthenticated where the caller's key is no longer good.
    """
    _refuse_less_than_everything(view, _authority(view, actor, now))


def _refuse_less_than_everything(view: DirectoryView, held: Reach) -> None:
    _refuse_limited_rate(held)
    _refuse_beyond(held, Reach(frozenset(permission.name for permission in view.catalogue()), Limits()))


def _refuse_limited_rate(held: Reach) -> None:
    if held.counted:
        raise Forbidden("a caller of a limited rate grants nothing", code="grant_exceeds_caller")


def _refuse_beyond(held: Reach, granted: Reach) -> None:
    _refuse(held.lacks(granted))
    if not held.limits.cover(granted.limits):
        raise Forbidden("this reaches beyond the limits of the caller", code="grant_exceeds_caller")


def _refuse(missing: list[str]) -> None:
    if missing:
        raise Forbidden(
            "this grants permissions that the caller does not hold", code="grant_exceeds_caller", permission=missing[0]
        )


def within_units(limits: Limits, unit_ids: Iterable[str] | None) -> bool:
    mine = limits.business_unit_ids
    return mine is None or (unit_ids is not None and mine.issuperset(unit_ids))


def roles_of(view: DirectoryView, key: KeyRow) -> dict[str, RoleRow]:
    return view.roles_by_id(key.tenant_id, key.role_ids)


def found(row: Row | None, noun: str, expected: IfMatch | None = None) -> Row:
    """Raises NotFound for None, PreconditionFailed where it is not as `expected`."""
    if row is None:
        raise NotFound(f"there is no such {noun}")
    check(row, expected)
    return row


def _authority(view: DirectoryView, actor: Actor, now: int) -> Reach:
    principal = actor.principal
    if principal.kind == "local":
        found(view.tenant(principal.tenant_id), "tenant")
        return Reach(frozenset(principal.grants), principal.limits)
    token = principal.token
    if token is not None and any(view.is_revoked(one) for one in (*token.ancestors, token.id) if one is not None):
        raise Unauthenticated("the caller's token was revoked")
    if principal.key_id is None:
        return _users_authority(view, principal, token)
    held = _keys_authority(view, principal, now)
    if token is None:
        return held
    if token.issuer_id is not None:
        users = _users_authority(view, principal, token)
        held = msgspec.structs.replace(held.only(users.permissions), counted=held.counted or users.counted)
    return (held if token.permissions is None else held.only(token.permissions)).within(token.business_unit_ids)


def _keys_authority(view: DirectoryView, principal: Principal, now: int) -> Reach:
    key = None if principal.key_id is None else view.key(principal.tenant_id, principal.key_id)
    if key is None or not key.enabled or (key.expires_us is not None and now >= key.expires_us):
        raise Unauthenticated("the caller's key is no longer valid")
    if principal.token is not None:
        version = principal.token.secret_version
        secret = next((row for row in key.secrets if row.version == version), None)
        if secret is None or (secret.ends_us is not None and now >= secret.ends_us):
            raise Unauthenticated("the secret that the caller's token came from is no longer valid")
    return reach(key, roles_of(view, key))


def _users_authority(view: DirectoryView, principal: Principal, token: TokenUse | None) -> Reach:
    issuer = None
    if token is not None and token.issuer_id is not None:
        issuer = view.issuer(principal.tenant_id, token.issuer_id)
    if token is None or issuer is None or not issuer.enabled:
        raise Unauthenticated("the issuer of the caller's token is no longer trusted")
    return user_reach(issuer, token, view.roles_named(principal.tenant_id, token.role_names))


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {redact_text(str(name)): _redacted(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(member) for member in value]
    return value
