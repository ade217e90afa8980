"""A tenant's policies, compiled: for each permission, only the statements that could concern it are ever evaluated.

Evaluated is one `permit(principal, action, resource);` together with the tenant's forbids, so that Cedar allows what
no forbid matches; whether a role grants it was decided before. Whatever goes wrong denies.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from hatchpay.access import cedar
from hatchpay.access.decision import Decision
from hatchpay.access.directory import PolicyRow
from hatchpay.access.policy_request import body_of, context_of, principal_of, resource_of
from hatchpay.access.policy_source import Forbid, read
from hatchpay.access.rules import Asked, UnitEntry
from hatchpay.errors import InvalidInput
from hatchpay.identity.principal import Principal

__all__ = ["CompiledPolicies", "compile_policies", "parsed"]

_log: Final = logging.getLogger("hatchpay.policies")
_MOST_KEPT_STATEMENTS: Final = 20_000
_MOST_KEPT_ENTITIES: Final = 512
_MOST_KEPT_ANSWERS: Final = 2_048
_LONGEST_KEPT_CONTEXT: Final = 512
_MOST_KEPT_TEXT: Final = 16 * 1024 * 1024
_MOST_PREPARED_STATEMENTS: Final = 2_000
_PERMIT: Final = "permit(principal, action, resource);\n"
_ERROR: Final = re.compile(r"error while evaluating policy `policy([0-9]+)`: (.*)\Z", re.DOTALL)
_MISSING: Final = re.compile(r"does not have the attribute `(.*)`\Z", re.DOTALL)
_UNKNOWN: Final = Decision("deny", "policy_error")


class _Rule(msgspec.Struct, frozen=True):
    policy: str
    forbid: Forbid


class _Handle(msgspec.Struct, frozen=True):
    """What is evaluated for a permission. `context` has the members that its statements ask for; `order` says which
    rule each of its policies is, after the permit.
    """

    policies: cedar.PolicySet
    context: frozenset[str]
    order: tuple[int, ...]


class CompiledPolicies:
    """Immutable to whoever uses it; what it has built for a permission or a caller it keeps, within bounds. So it does
    with answers: the same caller, permission, unit and context have the same one as long as these policies last.

    `broken` names the policies whose text cannot be read any more: they could concern anything.
    """

    def __init__(
        self,
        tenant_id: str,
        rules: tuple[_Rule, ...],
        broken: tuple[str, ...],
        role_ids: Mapping[str, str],
        with_body: frozenset[str],
    ) -> None:
        self._tenant_id = tenant_id
        self._rules = rules
        self._broken = broken
        self._role_ids = role_ids
        self._with_body = with_body
        self._everywhere = tuple(index for index, rule in enumerate(rules) if rule.forbid.actions is None)
        scoped: dict[str, list[int]] = {}
        for index, rule in enumerate(rules):
            for permission in rule.forbid.actions or ():
                scoped.setdefault(permission, []).append(index)
        self._scoped = {name: tuple(sorted((*self._everywhere, *found))) for name, found in scoped.items()}
        self._handles: dict[str, _Handle] = {}
        self._entities: dict[tuple[object, ...], cedar.Entities] = {}
        self._answers: dict[tuple[object, ...], Decision | None] = {}

    def concern(self, permission: str) -> bool:
        return permission in self._scoped or bool(self._everywhere or self._broken)

    def concerning(self, permission: str) -> tuple[Forbid, ...]:
        """The statements that could forbid it."""
        return tuple(self._rules[index].forbid for index in self._scoped.get(permission, self._everywhere))

    def prepare(self) -> None:
        """Build ahead what requests need, as far as that is not too much: it takes up to a second for the largest sets,
        for which nobody's request should wait.
        """
        left = _MOST_PREPARED_STATEMENTS
        for permission in ("", *self._scoped):
            left -= len(self._scoped.get(permission, self._everywhere))
            if left < 0:
                return
            try:
                self._handle(permission)
            except ValueError:
                _log.error("the policies of tenant %s cannot be read together", self._tenant_id)

    def judge(self, asked: Asked) -> Decision | None:
        permission = asked.match.route.permission or ""
        if self._broken:
            return Decision("deny", "policy_error", f"policy:{self._broken[0]}")
        if not self.concern(permission):
            return None
        try:
            denial = self._judge(asked, permission)
            if denial is None and asked.principal.kind == "user" and asked.principal.key_id is not None:
                denial = self._judge(_by_key(asked, asked.principal.key_id), permission)
            return denial
        except (ValueError, KeyError, OverflowError, OSError) as error:
            # A zone that is gone, an id that Cedar refuses: nobody can say what the policies would have said.
            _log.error("policies of tenant %s could not be evaluated: %s", self._tenant_id, type(error).__name__)
            return _UNKNOWN

    def _judge(self, asked: Asked, permission: str) -> Decision | None:
        handle = self._handle(permission)
        body: dict[str, object] | None = None
        if "body" in handle.context and (asked.match.route.fields or permission in self._with_body):
            body = body_of(asked.match.route.fields, asked.body)
        context = context_of(asked, handle.context, body)
        caller = _caller(asked.principal, asked.unit)
        # A time never comes again.
        if "time" in handle.context or len(context) > _LONGEST_KEPT_CONTEXT:
            return self._evaluated(asked, permission, handle, caller, context, body or {})
        key = (permission, context, *caller)
        kept = self._answers.get(key, _UNKNOWN)
        if kept is not _UNKNOWN:
            return kept
        answer = self._evaluated(asked, permission, handle, caller, context, body or {})
        if len(self._answers) >= _MOST_KEPT_ANSWERS:
            self._answers = {}
        self._answers[key] = answer
        return answer

    def _evaluated(
        self,
        asked: Asked,
        permission: str,
        handle: _Handle,
        caller: tuple[object, ...],
        context: str,
        body: Mapping[str, object],
    ) -> Decision | None:
        known = self._known(asked.principal, asked.unit, caller)
        if known is None:
            return _UNKNOWN
        request = {
            "principal": principal_of(asked.principal),
            "action": {"type": "Action", "id": permission},
            "resource": resource_of(self._tenant_id, asked.unit),
            "context": context,
        }
        answer = cedar.evaluate(request, handle.policies, known)
        if answer.decision == "Allow" and not answer.diagnostics.errors:
            return None
        return self._denial(answer, handle.order, body)

    def _denial(self, answer: cedar.Answer, order: tuple[int, ...], body: Mapping[str, object]) -> Decision:
        """By the oldest policy that forbids; where none does, by the oldest that could not be evaluated."""
        if answer.decision != "Allow":
            index = min(order[int(name.removeprefix("policy")) - 1] for name in answer.diagnostics.reason)
            return Decision("deny", "policy_forbids", self._rule(index))
        found = filter(None, map(_ERROR.match, answer.diagnostics.errors))
        failed = sorted((order[int(one[1]) - 1], one[2]) for one in found)
        if not failed:
            return _UNKNOWN
        index, message = failed[0]
        field = _missing(message, self._rules[index].forbid.body, body)
        if field is None:
            return Decision("deny", "policy_error", self._rule(index))
        return Decision("deny", "policy_input_missing", self._rule(index), f"body.{field}")

    def _rule(self, index: int) -> str:
        return f"policy:{self._rules[index].policy}"

    def _handle(self, permission: str) -> _Handle:
        key = permission if permission in self._scoped else ""
        handle = self._handles.get(key)
        if handle is None:
            handle = self._build(self._scoped.get(key, self._everywhere))
            kept = sum(len(one.order) + 1 for one in list(self._handles.values()))
            if kept + len(handle.order) + 1 > _MOST_KEPT_STATEMENTS:
                self._handles = {}
            self._handles[key] = handle
        return handle

    def _build(self, indices: tuple[int, ...]) -> _Handle:
        """All of it from one text: of two that are put together, Cedar numbers the second's policies as it likes."""
        policies = cedar.policy_set(_PERMIT + "\n".join(self._rules[index].forbid.text for index in indices))
        context = frozenset[str]().union(*(self._rules[index].forbid.context for index in indices))
        return _Handle(policies, context, indices)

    def _known(self, principal: Principal, unit: UnitEntry | None, key: tuple[object, ...]) -> cedar.Entities | None:
        """The caller in its roles, and the unit in its tenant. None where a key's role is not known by its name: it was
        renamed a moment ago, and nobody can tell which one is meant.
        """
        known = self._entities.get(key)
        if known is not None:
            return known
        held = [self._role_ids[name] for name in principal.roles if name in self._role_ids]
        if principal.kind != "user" and len(held) < len(principal.roles):
            return None
        found: list[dict[str, object]] = [_entity(principal_of(principal), "Role", held)]
        if unit is not None:
            found.append(_entity(resource_of(self._tenant_id, unit), "Tenant", [self._tenant_id]))
        known = cedar.entities(found)
        if len(self._entities) >= _MOST_KEPT_ENTITIES:
            self._entities = {}
        self._entities[key] = known
        return known


def compile_policies(
    rows: Iterable[PolicyRow],
    role_ids: Mapping[str, str],
    *,
    with_body: frozenset[str] = frozenset(),
) -> CompiledPolicies:
    """`rows` are those of one tenant, the oldest first; `role_ids` has its roles by their names.

    `with_body` are the permissions of which some route declares body fields: `context.body` is there for all their
    requests, so that a policy that needs a field denies whatever comes without it.
    """
    rules: list[_Rule] = []
    broken: list[str] = []
    tenant_id = ""
    for row in rows:
        tenant_id = row.tenant_id
        found = parsed(row.text)
        if found is None:
            _log.error("policy %s of tenant %s cannot be read: what it could concern is denied", row.id, tenant_id)
            broken.append(row.name)
        else:
            rules += [_Rule(row.name, forbid) for forbid in found]
    return CompiledPolicies(tenant_id, tuple(rules), tuple(broken), MappingProxyType(dict(role_ids)), with_body)


class _Memory:
    """Parsed texts, the ones used last, as far as there is room: a text is parsed once per process, not per reader."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._kept: dict[str, tuple[Forbid, ...] | None] = {}
        self._lock = threading.Lock()

    def get(self, text: str) -> tuple[Forbid, ...] | None:
        with self._lock:
            if text in self._kept:
                found = self._kept[text] = self._kept.pop(text)
                return found
        try:
            found = read(text)
        except InvalidInput:
            found = None
        with self._lock:
            if text not in self._kept:
                self._held += len(text)
            self._kept[text] = found
            while self._held > self._most:
                oldest = next(iter(self._kept))
                self._held -= len(oldest)
                del self._kept[oldest]
        return found


_memory: Final = _Memory(_MOST_KEPT_TEXT)


def parsed(text: str) -> tuple[Forbid, ...] | None:
    """The statements of a policy's text; None where it cannot be read."""
    return _memory.get(text)


def _missing(message: str, needed: tuple[str, ...], body: Mapping[str, object]) -> str | None:
    """The field of the body that the message is about, where it is about one."""
    found = _MISSING.search(message)
    absent = [name for name in needed if name not in body]
    if found is None or not absent:
        return None
    if found[1] == "body":
        return absent[0]
    return found[1] if found[1] in absent else None


def _by_key(asked: Asked, key_id: str) -> Asked:
    """The same request as one of the key through which the user acts: else users would do by it what it must not."""
    principal = asked.principal
    roles = () if principal.token is None else principal.token.key_roles
    return msgspec.structs.replace(
        asked, principal=msgspec.structs.replace(principal, id=key_id, kind="api_key", roles=roles)
    )


def _caller(principal: Principal, unit: UnitEntry | None) -> tuple[object, ...]:
    """All that the entities of a request depend on."""
    return principal.kind, principal.id, principal.roles, None if unit is None else unit.id


def _entity(uid: dict[str, object], kind: str, parents: list[str]) -> dict[str, object]:
    return {"uid": uid, "attrs": {}, "parents": [{"type": kind, "id": parent} for parent in parents]}
