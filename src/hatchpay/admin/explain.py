"""May they, and why? What the gate would say to a request that nobody has sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgspec

from hatchpay.access.explain import Facts, Subject, Target, explain
from hatchpay.access.routes import Match, RouteTable
from hatchpay.access.rules import Rules
from hatchpay.admin.askers import find_asker
from hatchpay.admin.explain_views import ExplanationView, GrantingRole, Question
from hatchpay.admin.paging import every
from hatchpay.admin.ports import Directory
from hatchpay.admin.views import Actor
from hatchpay.audit.ports import History
from hatchpay.clock import Clock
from hatchpay.errors import InvalidInput
from hatchpay.identity.ports import Snapshot
from hatchpay.identity.principal import Principal

__all__ = ["Explanations", "Reading"]

_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_WRONG_UNIT: Final = frozenset({"business_unit_missing", "business_unit_not_allowed", "business_unit_not_separable"})


class Reading(Protocol):
    """How the gate reads a request."""

    def target(self, path: str) -> Target:
        """Of a path with its query, as callers send it. Raises InvalidInput where the gate would refuse it."""
        ...

    def subject(self, match: Match, query: bytes, body: bytes | None) -> Subject:
        """`body` is JSON text, None where there is none."""
        ...


class Explanations:
    """`snapshot` and `rules` give what is in force; `routes` is the table that the gate decides by.

    Every call raises InvalidInput for bad input, NotFound for a principal that is not the caller's to see,
    DirectoryUnavailable, and AuditUnavailable where a user's last request cannot be read.
    """

    def __init__(
        self,
        directory: Directory,
        snapshot: Callable[[], Snapshot],
        rules: Callable[[], Rules],
        routes: RouteTable,
        reading: Reading,
        history: History,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._snapshot = snapshot
        self._rules = rules
        self._routes = routes
        self._reading = reading
        self._history = history
        self._clock = clock

    def ask(self, actor: Actor, question: Question) -> ExplanationView:
        """What the gate would decide, and why. Changes nothing, sends nothing, keeps nothing."""
        if not _METHOD.fullmatch(question.method):
            raise InvalidInput("a method is a word in capitals, such as POST", field="method")
        target = self._reading.target(question.path)
        context = question.context
        now = self._clock() if context.time_us is None else context.time_us
        snapshot = self._snapshot()
        asker = find_asker(question.principal, actor, snapshot, context, self._history, now)
        match = self._routes.match(question.method, target.path)
        subject = Subject() if match is None else self._reading.subject(match, target.query, question.body)
        facts = Facts(now_us=now, client_ip=context.client_ip, subject=subject)
        principal = _as_far_as_seen(asker.principal, actor, subject)
        found = explain(principal, match, self._rules(), facts, asker.invalid)
        granting: tuple[GrantingRole, ...] = ()
        held = found.missing in asker.principal.grants or found.missing in asker.principal.scoped
        # Whoever holds it somewhere asks for another unit, not for another role.
        if found.missing is not None and not (held and found.reason in _WRONG_UNIT):
            granting = self._roles_that_grant(found.missing, asker.principal, snapshot)
        return ExplanationView(
            decision=found.decision,
            reason=found.reason,
            rule=found.rule,
            missing=found.missing,
            roles_that_grant=granting,
            trace=found.trace,
        )

    def _roles_that_grant(self, missing: str, principal: Principal, snapshot: Snapshot) -> tuple[GrantingRole, ...]:
        """By how much more they would give; none where the ceiling of a user's issuer is in the way of all of them."""
        ceiling = None
        if principal.kind == "user":
            trusted = snapshot.trust.issuers.get(principal.issuer_id or "")
            ceiling = frozenset() if trusted is None else trusted.ceiling
        held = {missing, *principal.grants}
        found = []
        with self._directory.read() as view:
            roles = list(every(partial(view.roles, principal.tenant_id), lambda role: role.id))
        for role in roles:
            given = role.permissions if ceiling is None else role.permissions & ceiling
            if missing in given:
                found.append(GrantingRole(role.id, role.name, len(given - held)))
        return tuple(sorted(found, key=lambda role: (role.more_permissions, role.name)))


def _as_far_as_seen(principal: Principal, actor: Actor, subject: Subject) -> Principal:
    """Where a unit is named, in none but the actor's own: of the others, nobody tells which there are."""
    if subject.unit is None:
        return principal
    limits = principal.limits.within(actor.principal.limits.business_unit_ids)
    return msgspec.structs.replace(principal, limits=limits)
