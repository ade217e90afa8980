"""Recorded requests decided anew: by the access that stands, and by the same with a change.

Both are asked of access.engine, by the route that the record names with what it needs now. With roles alone the answer
depends on little of a record, so it is remembered; where policies have a say, or the key's networks, each record is
decided for itself, at the time and from the address that it has.

What a record does not tell is not guessed: such a request is `undecided`. A key counts whether it is enabled and
unexpired or not, and a token as its key, since neither is what a change of access is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec

from hatchpay.access.decision import Decision, scope_of
from hatchpay.access.engine import conclude, decide, decide_network
from hatchpay.access.recorded import (
    ReadFields,
    Recorded,
    fields_of,
    hidden_from_policies,
    issued_us,
    skipped,
    was_refused_at_its_head,
)
from hatchpay.access.routes import Match, Route, RouteTable
from hatchpay.access.rules import FieldValue, Rules
from hatchpay.identity.issuer import grants_of
from hatchpay.identity.ports import IssuerEntry, KeyEntry, Snapshot
from hatchpay.identity.principal import Limits, Principal, TokenUse
from hatchpay.tokens.apikey import encode_id

__all__ = ["Comparison", "Standing", "Verdict"]

_MOST_KNOWN: Final = 100_000
_NO_FIELDS: Final[Mapping[str, FieldValue]] = {}


class Standing(msgspec.Struct, frozen=True):
    """What decides about a tenant's requests at one moment, real or supposed."""

    snapshot: Snapshot
    rules: Rules


class Verdict(msgspec.Struct, frozen=True):
    """What the change does to one recorded request.

    `reason` and `missing` are those of the denial, after the change for `denied` and before it for `allowed`; of a
    request that is `skipped` or `undecided`, `reason` says why.
    """

    outcome: Literal["same", "denied", "allowed", "undecided", "skipped"]
    permission: str | None = None
    reason: str = ""
    missing: str | None = None


_SAME: Final = Verdict("same")


class _Alike(msgspec.Struct, frozen=True):
    """What records that are alike share where each needs a verdict of its own; nothing of the records themselves."""

    match: Match
    before: Principal
    after: Principal


class _Case(msgspec.Struct, frozen=True):
    """One recorded request, with whoever calls before and after the change."""

    record: Recorded
    match: Match
    before: Principal
    after: Principal


class Comparison:
    """Of one tenant's requests. Pure but for what it remembers; for one thread at a time."""

    def __init__(
        self,
        tenant_id: str,
        before: Standing,
        after: Standing,
        routes: RouteTable,
        read_fields: ReadFields | None = None,
    ) -> None:
        self._tenant_id = tenant_id
        self._before = before
        self._after = after
        self._routes = {(route.method, route.template): _match(route) for route in routes.routes}
        self._read_fields = read_fields
        self._known: dict[tuple[object, ...], Verdict | _Alike] = {}

    def judge(self, record: Recorded) -> Verdict:
        if record.principal_id is None:
            return _skip("caller_not_proven")
        # All that a verdict can depend on where neither a policy nor a network has a say.
        key = (
            record.principal_id,
            record.key_id,
            record.issuer_id,
            record.token_id is None,
            record.roles,
            record.rule,
            record.method,
            record.route,
            record.permission,
            record.business_unit_id,
            record.decision,
            record.reason,
        )
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[key] = self._judged(record)
        if isinstance(known, Verdict):
            return known
        return self._exactly(_Case(record, known.match, known.before, known.after))

    def _judged(self, record: Recorded) -> Verdict | _Alike:
        """A verdict that holds for all records that are alike, or what is needed to give each its own."""
        reason = skipped(record)
        if reason is not None:
            return _skip(reason)
        match = self._routes.get(("GET" if record.method == "HEAD" else record.method, record.route or ""))
        if match is None:
            return _skip("route_no_longer_listed")
        if match.route.permission is None:
            return _skip("no_permission_needed")
        before = _caller(self._before.snapshot, self._tenant_id, record)
        after = _caller(self._after.snapshot, self._tenant_id, record)
        if isinstance(before, Verdict) or isinstance(after, Verdict):
            return before if isinstance(before, Verdict) else _SAME
        if before.limits.networks is not None or self._concerns(match.route.permission):
            return _Alike(match, before, after)
        return self._compared(_Case(record, match, before, after), _NO_FIELDS)

    def _exactly(self, case: _Case) -> Verdict:
        if decide_network(case.before, case.match, case.record.client_ip) is not None:
            return _skip("network_not_allowed")
        if not self._concerns(case.match.route.permission or ""):
            return self._compared(case, _NO_FIELDS)
        if _both_denied(case):
            return _SAME
        hidden = hidden_from_policies(case.record)
        if hidden is not None:
            return _undecided(hidden)
        body = fields_of(case.record, case.match.route, self._read_fields)
        return _undecided("body_not_kept") if body is None else self._compared(_dated(case), body)

    def _compared(self, case: _Case, body: Mapping[str, FieldValue]) -> Verdict:
        if _both_denied(case):
            return _SAME
        if self._hides_its_unit(case):
            return _undecided("business_unit_not_kept")
        before = _decision(self._before.rules, case.before, case, body)
        after = _decision(self._after.rules, case.after, case, body)
        record, permission = case.record, case.match.route.permission
        if before.outcome == after.outcome:
            return _SAME
        if after.outcome == "deny":
            # What did not work before the change either breaks by nothing.
            return Verdict("denied", permission, after.reason, after.missing) if record.decision == "allow" else _SAME
        if record.decision == "deny" and record.token_id is not None and record.key_id is not None:
            # What a token of ours allows at most is not on the record.
            return _undecided("token_scope_not_kept")
        return Verdict("allowed", permission, before.reason, before.missing)

    def _concerns(self, permission: str) -> bool:
        sides = (self._before.rules.policies.get(self._tenant_id), self._after.rules.policies.get(self._tenant_id))
        return any(policies is not None and policies.concern(permission) for policies in sides)

    def _hides_its_unit(self, case: _Case) -> bool:
        """Whether the answer depends on a unit that nobody has read: the request was refused before."""
        route = case.match.route
        if not route.unit or route.names_unit_in("handler") or not was_refused_at_its_head(case.record):
            return False
        scoped = any(scope_of(principal, case.match) is not None for principal in (case.before, case.after))
        limited = case.before.limits.business_unit_ids is not None or scoped or self._users_units_are_unknown(case)
        return limited or self._concerns(case.match.route.permission or "")

    def _users_units_are_unknown(self, case: _Case) -> bool:
        issuer = self._before.snapshot.trust.issuers.get(case.record.issuer_id or "")
        return issuer is not None and issuer.claims.business_units is not None


def _decision(rules: Rules, principal: Principal, case: _Case, body: Mapping[str, FieldValue]) -> Decision:
    decision = decide(principal, case.match)
    if decision.outcome == "deny":
        return decision
    denial = conclude(
        rules,
        principal,
        case.match,
        case.record.business_unit_id,
        now_us=case.record.started_us,
        client_ip=case.record.client_ip,
        body=body,
    )
    return denial or decision


def _dated(case: _Case) -> _Case:
    """With the age of the token that this request came with."""
    issued = issued_us(case.record)
    if issued is None:
        return case
    before, after = (
        msgspec.structs.replace(
            principal, token=msgspec.structs.replace(principal.token or TokenUse(id=None), issued_us=issued)
        )
        for principal in (case.before, case.after)
    )
    return msgspec.structs.replace(case, before=before, after=after)


def _both_denied(case: _Case) -> bool:
    return all(decide(principal, case.match).outcome == "deny" for principal in (case.before, case.after))


def _match(route: Route) -> Match:
    """Without the path's values: a recorded path may be redacted, and nothing that decides here reads them."""
    return Match(route, ("",) * route.template.count("{"))


def _caller(snapshot: Snapshot, tenant_id: str, record: Recorded) -> Principal | Verdict:
    """Whoever has made the request, with what they may now; or why they make none any more."""
    entry = None if record.key_id is None else snapshot.keys.get(encode_id(record.key_id))
    if record.key_id is not None and (entry is None or entry.principal.tenant_id != tenant_id):
        return _skip("key_unknown")
    if entry is not None and entry.state == "deleted":
        return _skip("key_deleted")
    if record.issuer_id is not None:
        issuer = snapshot.trust.issuers.get(record.issuer_id)
        if issuer is None or not issuer.enabled or issuer.tenant_id != tenant_id:
            return _skip("issuer_not_trusted")
        return _user(snapshot, issuer, entry, record)
    if entry is None:
        return _skip("key_unknown")
    if record.token_id is None:
        return entry.principal
    return msgspec.structs.replace(entry.principal, token=TokenUse(id=None))


def _user(snapshot: Snapshot, issuer: IssuerEntry, key: KeyEntry | None, record: Recorded) -> Principal:
    """The user may what the roles on the record hold now, and what the token has claimed, up to the ceiling.

    Where a key has exchanged the token, no more than the key. Of what was claimed, only what has decided is known.
    """
    held = snapshot.trust.roles
    named = _held(held, issuer.tenant_id, record.roles)
    claimed = frozenset([record.permission] if record.permission and record.rule == "claim:permissions" else ())
    grants: Mapping[str, str] = grants_of(issuer.ceiling, named, claimed)
    scoped: Mapping[str, Mapping[str, str]] = {}
    if key is not None:
        grants, scoped = key.principal.lets_through(grants)
    return Principal(
        id=record.principal_id or "",
        kind="user",
        tenant_id=issuer.tenant_id,
        key_id=record.key_id,
        roles=tuple(name for name, _ in named),
        grants=grants,
        limits=Limits() if key is None else key.principal.limits,
        token=TokenUse(
            id=None,
            issuer_id=issuer.id,
            role_names=record.roles,
            claimed_permissions=claimed,
            key_roles=() if key is None else key.principal.roles,
        ),
        scoped=scoped,
    )


def _held(
    roles: Mapping[tuple[str, str], frozenset[str]], tenant_id: str, names: Iterable[str]
) -> list[tuple[str, frozenset[str]]]:
    return [(name, roles[tenant_id, name]) for name in names if (tenant_id, name) in roles]


def _skip(reason: str) -> Verdict:
    return Verdict("skipped", reason=reason)


def _undecided(reason: str) -> Verdict:
    return Verdict("undecided", reason=reason)
