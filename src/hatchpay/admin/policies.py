"""Policies: what the tenant's callers must not do, whatever their roles say.

A policy that is written may take the place of one that forbade something, and one that is deleted lifts what it
forbade: so each write counts as granting everything, and needs every permission of the tenant, without limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

import msgspec

from hatchpay.access.cedar_schema import NO_FIELDS, BodyFields
from hatchpay.access.directory import PolicyRow
from hatchpay.access.policy import compile_policies, parsed
from hatchpay.access.policy_check import Vocabulary, check
from hatchpay.access.policy_text import split
from hatchpay.access.rules import Rules
from hatchpay.admin import checks
from hatchpay.admin.lockout import is_administrable
from hatchpay.admin.paging import DEFAULT_LIMIT, every, page
from hatchpay.admin.ports import Directory
from hatchpay.admin.present import policy_facts, policy_view
from hatchpay.admin.versions import IfMatch
from hatchpay.admin.views import Actor, Page, PolicyView
from hatchpay.admin.work import Changes, Work, found
from hatchpay.audit.redact import redact_text
from hatchpay.clock import Clock
from hatchpay.errors import Conflict, InvalidInput
from hatchpay.ids import IdSource

__all__ = ["MAX_POLICY_BYTES", "MAX_STATEMENTS", "Policies"]

MAX_POLICY_BYTES: Final = 1024 * 1024
"""Of all the texts of a tenant together, in UTF-8."""
MAX_STATEMENTS: Final = 1_000


class Policies:
    """The use cases around policies. Where one raises, nothing has changed:

    - InvalidInput for bad input, with line and column for a text (`policy_invalid`, `policy_permits`)
    - NotFound for a policy that the caller's tenant does not have
    - Forbidden for a caller who does not hold everything (`grant_exceeds_caller`), or may not (`permission_missing`)
    - Conflict: `already_exists`, `policy_set_too_large`, `too_many_policies`, `policy_locks_out`
    - Unauthenticated where the caller's own key is no longer good; DirectoryUnavailable
    """

    def __init__(self, directory: Directory, clock: Clock, new_id: IdSource, fields: BodyFields = NO_FIELDS) -> None:
        """`fields` are those of the served routes, which `context.body` has."""
        self._directory = directory
        self._changes = Changes(directory, clock, new_id)
        self._fields = fields

    def list(self, actor: Actor, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[PolicyView]:
        """Newest first."""
        with self._directory.read() as view:

            def fetch(count: int, last: str | None) -> Sequence[PolicyRow]:
                return view.policies(actor.principal.tenant_id, count, last)

            return page(fetch, lambda rows: list(map(policy_view, rows)), lambda row: row.id, limit, cursor)

    def get(self, actor: Actor, policy_id: str) -> PolicyView:
        checks.identifier(policy_id, "policy_id")
        with self._directory.read() as view:
            return policy_view(found(view.policy(actor.principal.tenant_id, policy_id), "policy"))

    def create(self, actor: Actor, name: str, text: str) -> PolicyView:
        self._check(name, text)
        with self._changes.by(actor, "access.policies.create") as work:
            work.demand_everything()
            policy = PolicyRow(
                id=work.new_id(),
                tenant_id=work.tenant_id,
                name=name,
                text=text,
                created_us=work.now,
                updated_us=work.now,
            )
            work.transaction.add_policy(policy)
            _keep_within_bounds(work)
            work.record("access.policies.created", policy.id, {}, policy_facts(policy))
            return policy_view(policy)

    def update(self, actor: Actor, policy_id: str, name: str, text: str, expected: IfMatch | None = None) -> PolicyView:
        """Replaces name and text."""
        checks.identifier(policy_id, "policy_id")
        self._check(name, text)
        with self._changes.by(actor, "access.policies.update") as work:
            work.demand_everything()
            old = _policy(work, policy_id, expected)
            new = msgspec.structs.replace(old, name=name, text=text, updated_us=work.now)
            if policy_facts(new) == policy_facts(old):
                return policy_view(old)
            work.transaction.save_policy(new)
            _keep_within_bounds(work)
            work.record("access.policies.updated", policy_id, policy_facts(old), policy_facts(new))
            return policy_view(new)

    def delete(self, actor: Actor, policy_id: str, expected: IfMatch | None = None) -> None:
        """What it forbade is forbidden no longer, unless another policy does; it can lock nobody out."""
        checks.identifier(policy_id, "policy_id")
        with self._changes.by(actor, "access.policies.delete") as work:
            work.demand_everything()
            policy = _policy(work, policy_id, expected)
            work.transaction.remove_policy(policy)
            work.record("access.policies.deleted", policy_id, policy_facts(policy), {})

    def supposed(self, rules: Rules, tenant_id: str, name: str, text: str) -> Rules:
        """`rules` with this policy besides, or in the place of the one of its name. Raises InvalidInput."""
        self._check(name, text)
        with self._directory.read() as view:
            rows = {row.name: row for row in reversed(view.policies(tenant_id))}
            role_ids = {role.name: role.id for role in every(partial(view.roles, tenant_id), lambda role: role.id)}
        rows[name] = PolicyRow(id="", tenant_id=tenant_id, name=name, text=text, created_us=0, updated_us=0)
        compiled = compile_policies(rows.values(), role_ids, with_body=frozenset(self._fields))
        return Rules(rules.units, MappingProxyType({**rules.policies, tenant_id: compiled}))

    def _check(self, name: str, text: str) -> None:
        """Before the transaction: it takes up to seconds for the largest texts, and others want to write meanwhile."""
        checks.name(name)
        if len(text) > MAX_POLICY_BYTES or len(text.encode("utf-8", "replace")) > MAX_POLICY_BYTES:
            raise _too_large()
        # Each statement ends with one, and to check one costs far more than to count it.
        if text.count(";") >= MAX_STATEMENTS and len(split(text)) > MAX_STATEMENTS:
            raise _too_many()
        with self._directory.read() as view:
            names = frozenset(permission.name for permission in view.catalogue())
        _check_text(text, Vocabulary(names, self._fields))


def _check_text(text: str, vocabulary: Vocabulary) -> None:
    try:
        check(text, vocabulary)
        return
    except InvalidInput as error:
        refusal = error
    # Out here, so that no traceback carries the first one along: it quotes the text, and somebody may have pasted there
    # what belongs nowhere.
    raise InvalidInput(
        redact_text(refusal.detail), code=refusal.code, field="text", line=refusal.line, column=refusal.column
    )


def _policy(work: Work, policy_id: str, expected: IfMatch | None) -> PolicyRow:
    return found(work.transaction.policy(work.tenant_id, policy_id), "policy", expected)


def _keep_within_bounds(work: Work) -> None:
    """Raises Conflict where the tenant's policies are too much together, or lock out every administrator."""
    rows = work.transaction.policies(work.tenant_id)
    if sum(len(row.text.encode()) for row in rows) > MAX_POLICY_BYTES:
        raise _too_large()
    if sum(len(parsed(row.text) or ()) for row in rows) > MAX_STATEMENTS:
        raise _too_many()
    if work.transaction.administrators(work.tenant_id) and not is_administrable(
        work.transaction, work.tenant_id, work.actor, work.now
    ):
        raise Conflict(
            "no administrator key could change or delete policies any more, calling as you do: now, and in some hour "
            "of this week, of one in a year and of one in ten, or this takes more than a second to tell; let the "
            "policy spare one, as in "
            'unless { principal == ApiKey::"<its id>" }',
            code="policy_locks_out",
            field="text",
        )


def _too_large() -> Conflict:
    return Conflict(
        "the policies of a tenant hold at most 1 MiB of text together", code="policy_set_too_large", field="text"
    )


def _too_many() -> Conflict:
    return Conflict(
        f"the policies of a tenant hold at most {MAX_STATEMENTS} statements together",
        code="too_many_policies",
        field="text",
    )
