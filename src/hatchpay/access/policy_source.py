"""From the text of a policy to its statements, each a `forbid` that Cedar has read, and what it will ask for.

One thing is changed in them: `context.body has x` becomes a comparison of `context.body.x` with itself. A declared
field is there by the schema, so that `has` says nothing; but a request that leaves the field out, or sends it with
another type, must be denied by what depends on it, not slip past it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from hatchpay.access import cedar
from hatchpay.access.policy_text import Statement, check_shape, invalid, locate, split
from hatchpay.errors import InvalidInput

__all__ = ["Forbid", "read", "read_each"]

_CUT_SHORT: Final = "unexpected end of input"
_QUOTED: Final = re.compile(r"`([^`]+)`|'([^']+)'|: (\S+)\Z")
_UNEXPECTED: Final = re.compile(r"unexpected token `(.*)`\Z", re.DOTALL)
_LARGEST: Final = 2**63 - 1
# Each level takes some 5 KiB of stack.
_DEEPEST: Final = 60
_TOO_DEEP: Final = "an expression is nested too deeply; divide it among several when or unless clauses"
# What `like` costs grows with the text times the pattern, so both are bounded: the text by access.policy_request.
_LONGEST_PATTERN: Final = 256
_MOST_WILDCARDS: Final = 8
_CONTEXT: Final = {"Var": "context"}
_BODY: Final = {".": {"left": _CONTEXT, "attr": "body"}}


class Forbid(msgspec.Struct, frozen=True):
    """One statement.

    `text` is what is evaluated. `actions` are the permissions that its scope names, None where it names none. `context`
    has the members of the context that it asks for, `body` the fields of the body, `entities` what it names by type and
    id, `addresses` what it gives to `ip()`; `by_action` says whether a condition asks for the action.
    """

    text: str
    actions: frozenset[str] | None
    context: frozenset[str]
    body: tuple[str, ...]
    entities: frozenset[tuple[str, str]]
    addresses: frozenset[str]
    by_action: bool


class _Policy(msgspec.Struct):
    effect: str
    principal: dict[str, Any]
    action: dict[str, Any]
    resource: dict[str, Any]
    conditions: list[dict[str, Any]]
    annotations: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class _Parsed(msgspec.Struct):
    templates: dict[str, Any]
    policies: dict[str, _Policy] = msgspec.field(name="staticPolicies")


class _Asked:
    """Collects what the expressions of one statement ask for."""

    def __init__(self) -> None:
        self.context: set[str] = set()
        self.body: dict[str, None] = {}
        self.entities: set[tuple[str, str]] = set()
        self.addresses: set[str] = set()
        self.by_action = False
        self.rewritten = False
        self.likes = 0


class _UnlikelyError(ValueError):
    """The `number`-th `like` of a statement, counted from 0, is refused."""

    def __init__(self, number: int, said: str) -> None:
        super().__init__(said)
        self.number = number


def read(text: str) -> tuple[Forbid, ...]:
    """Raises InvalidInput: `policy_invalid` or `policy_permits`, with line and column."""
    return tuple(forbid for _, forbid in read_each(text))


def read_each(text: str) -> Iterator[tuple[Statement, Forbid]]:
    """As `read`, each with where it stands."""
    statements = split(text)
    if not statements:
        raise InvalidInput("a policy holds at least one forbid statement", code="policy_invalid", field="text")
    for statement in statements:
        check_shape(text, statement)
    for statement in statements:
        yield statement, _read(text, statement)


def _read(text: str, statement: Statement) -> Forbid:
    document = cedar.to_json(statement.text)
    if document is None:
        complaint = cedar.syntax_complaint(statement.text) or _CUT_SHORT
        raise invalid(text, _offence(statement, complaint), complaint)
    try:
        parsed = msgspec.json.decode(document, type=_Parsed)
    except RecursionError:
        raise invalid(text, statement.start, _TOO_DEEP) from None
    if parsed.templates:
        raise invalid(text, locate(statement, "?"), "a policy has no slots such as ?principal")
    if len(parsed.policies) != 1:
        raise invalid(text, statement.start, "this is not one statement")
    policy = next(iter(parsed.policies.values()))
    if policy.effect != "forbid":
        raise _permits(text, locate(statement, policy.effect))
    return _forbid(text, statement, policy)


def _permits(text: str, offset: int) -> InvalidInput:
    place = invalid(text, offset, "")
    return InvalidInput(
        "policies only forbid: what may be done is said by roles",
        code="policy_permits",
        field="text",
        line=place.line,
        column=place.column,
    )


def _forbid(text: str, statement: Statement, policy: _Policy) -> Forbid:
    asked = _Asked()
    for condition in policy.conditions:
        try:
            condition["body"] = _walk(condition["body"], asked)
        except _UnlikelyError as error:
            raise invalid(text, _nth(statement, "like", error.number), str(error)) from None
        except ValueError as error:
            place = statement.start if str(error) == _TOO_DEEP else locate(statement, "context")
            raise invalid(text, place, str(error)) from None
    for scope in (policy.principal, policy.resource):
        asked.entities.update(_named(scope))
    return Forbid(
        text=_rewritten(policy) if asked.rewritten else statement.text,
        actions=_actions(policy.action),
        context=frozenset(asked.context),
        body=tuple(asked.body),
        entities=frozenset(asked.entities),
        addresses=frozenset(asked.addresses),
        by_action=asked.by_action,
    )


def _actions(scope: dict[str, Any]) -> frozenset[str] | None:
    """Actions are in no groups, so that `in` means the same as `==`."""
    if scope["op"] == "All":
        return None
    named = scope["entities"] if "entities" in scope else [scope["entity"]]
    return frozenset(entity["id"] for entity in named if entity["type"] == "Action")


def _named(scope: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for holder in (scope, scope.get("in") or {}):
        if "entity" in holder:
            yield holder["entity"]["type"], holder["entity"]["id"]


def _rewritten(policy: _Policy) -> str:
    document = {"templates": {}, "staticPolicies": {"policy0": policy}, "templateLinks": []}
    return cedar.to_text(msgspec.json.encode(document))


def _walk(node: Any, asked: _Asked, depth: int = 0) -> Any:
    """The expression with what it is to be replaced by.

    Raises ValueError where `context` is used as a whole: nobody could tell then what of it is asked for. And where it
    is deeper than Cedar evaluates on a small stack: that would deny whatever the policy could concern.
    """
    if depth > _DEEPEST:
        raise ValueError(_TOO_DEEP)
    ((operator, operand),) = node.items()
    depth += 1
    if operator == "Value":
        if isinstance(operand, dict) and "__entity" in operand:
            asked.entities.add((operand["__entity"]["type"], operand["__entity"]["id"]))
        return node
    if operator == "Var":
        if operand == "context":
            raise ValueError("context is asked for by its members, as in context.environment, never as a whole")
        asked.by_action |= operand == "action"
        return node
    if operator == "like":
        return _like(operand, asked, depth)
    if operator in {".", "has"} and operand["left"] in (_CONTEXT, _BODY):
        return _member(node, operator, operand, asked)
    if operator == "ip" and isinstance(operand, list):
        asked.addresses.update(one["Value"] for one in operand if isinstance(one.get("Value"), str))
    if operator == "Record":
        return {operator: {name: _walk(one, asked, depth) for name, one in operand.items()}}
    if isinstance(operand, list):
        return {operator: [_walk(one, asked, depth) for one in operand]}
    parts = {"left", "right", "arg", "if", "then", "else", "in"}
    return {operator: {name: _walk(one, asked, depth) if name in parts else one for name, one in operand.items()}}


def _like(operand: Any, asked: _Asked, depth: int) -> Any:
    """Raises _UnlikelyError for one that could take long: the left side is a text of the request, which is bounded."""
    left = _walk(operand["left"], asked, depth)
    number, pattern = asked.likes, operand["pattern"]
    asked.likes += 1
    if sum(len(part["Literal"]) if isinstance(part, dict) else 1 for part in pattern) > _LONGEST_PATTERN:
        raise _UnlikelyError(number, f"the pattern of a like has at most {_LONGEST_PATTERN} characters")
    if sum(part == "Wildcard" for part in pattern) > _MOST_WILDCARDS:
        raise _UnlikelyError(number, f"the pattern of a like has at most {_MOST_WILDCARDS} wildcards")
    if not _is_of_context(operand["left"]):
        raise _UnlikelyError(number, "like is asked of a member of context, as in context.body.currency")
    return {"like": {**operand, "left": left}}


def _is_of_context(node: Any) -> bool:
    while "." in node:
        node = node["."]["left"]
        if node == _CONTEXT:
            return True
    return False


def _nth(statement: Statement, word: str, number: int) -> int:
    """Where a word stands for the `number`-th time, counted from 0."""
    places = [token.start for token in statement.words if token.text == word]
    return places[number] if number < len(places) else statement.start


def _member(node: Any, operator: str, operand: Any, asked: _Asked) -> Any:
    name = str(operand["attr"])
    if operand["left"] == _CONTEXT:
        if name == "body" and operator == ".":
            raise ValueError("context.body is asked for by its members, as in context.body.amount, never as a whole")
        asked.context.add(name)
        return node
    asked.context.add("body")
    asked.body[name] = None
    if operator == ".":
        return node
    asked.rewritten = True
    field = {".": {"left": _BODY, "attr": name}}
    return {"==": {"left": field, "right": field}}


def _offence(statement: Statement, complaint: str) -> int:
    """Where the syntax is wrong: at the last word of the shortest beginning that cannot be continued to anything."""
    words = statement.words
    if complaint == _CUT_SHORT:
        return statement.start
    if complaint.startswith("integer"):
        return next((w.start for w in words if w.text.isdigit() and int(w.text[:40]) > _LARGEST), statement.start)
    low, high = 0, len(words)
    while high - low > 1:
        middle = (low + high) // 2
        said = cedar.syntax_complaint(statement.until(middle))
        if said is None or said == _CUT_SHORT:
            low = middle
        else:
            high = middle
    unexpected = _UNEXPECTED.match(complaint)
    if unexpected is not None:
        # Cedar reads on for a word or two in the hope that it makes sense then.
        return next((w.start for w in reversed(words[:high]) if w.text == unexpected[1]), words[high - 1].start)
    if high < len(words) or words[-1].text != ";":
        return words[high - 1].start
    # Cedar has read all of it, and stumbled over what it means: the message quotes that.
    for quoted in _QUOTED.finditer(complaint):
        offset = locate(statement, next(filter(None, quoted.groups())))
        if offset != statement.start:
            return offset
    return statement.start
