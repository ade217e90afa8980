"""Cedar, as far as HatchPay speaks to it. This module alone knows the library.

Nothing here raises for what somebody has written into a policy: a failure is a complaint, a sentence of Cedar's own.
The bounds that `policy_text.check_shape` puts on a text come first: Cedar walks an expression by recursion, and ends
the process where that is deeper than the stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import cedarpy
import msgspec
from cedarpy import _internal

__all__ = [
    "Answer",
    "Entities",
    "PolicySet",
    "Request",
    "Schema",
    "complaints",
    "entities",
    "evaluate",
    "policy_set",
    "schema",
    "syntax_complaint",
    "to_json",
    "to_text",
]

PolicySet = cedarpy.PolicySet
Schema = cedarpy.Schema
Entities = _internal.Entities
Request = Mapping[str, object]


class _Diagnostics(msgspec.Struct, frozen=True):
    reason: tuple[str, ...]
    errors: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True):
    """`decision` is Allow or Deny; `diagnostics` has the ids of the policies that decided, and what went wrong."""

    decision: str
    diagnostics: _Diagnostics


_answer: Final = msgspec.json.Decoder(Answer).decode


def to_json(text: str) -> str | None:
    """A text's policies in Cedar's JSON form; None where it cannot be parsed."""
    try:
        return cedarpy.policies_to_json_str(text)
    except ValueError:
        return None


def syntax_complaint(text: str) -> str | None:
    """What is wrong with the syntax, or None."""
    try:
        PolicySet.from_str(text, release_gil=True)
    except ValueError as error:
        return str(error)
    return None


def to_text(document: bytes) -> str:
    """The policies of a document in Cedar's JSON form. Raises ValueError."""
    return cedarpy.policies_from_json_str(document.decode())


def policy_set(text: str) -> PolicySet:
    """Its policies are named `policy0`, `policy1` and so on, as they stand. Raises ValueError.

    Five times as quick as from the JSON form.
    """
    return PolicySet.from_str(text, release_gil=True)


def schema(document: Mapping[str, object]) -> Schema:
    """From Cedar's JSON form. Raises ValueError."""
    return Schema.from_json_str(msgspec.json.encode(document).decode(), release_gil=True)


def complaints(text: str, against: Schema) -> tuple[str, ...]:
    """What is wrong with the policies of `text` by the schema, in no order."""
    result = cedarpy.validate_policies(text, against, release_gil=True)
    return tuple(error.error for error in result.errors) or (() if result.validation_passed else ("is not valid",))


def entities(found: list[dict[str, object]]) -> Entities:
    """Raises ValueError."""
    return Entities.from_json_str(msgspec.json.encode(found).decode())


def evaluate(request: Request, policies: PolicySet, known: Entities) -> Answer:
    """`request` has `principal`, `action` and `resource` as `{"type", "id"}`, and `context` as JSON text.

    Raises ValueError. Goes past the library's public function, whose wrapping and unwrapping takes as long as a third
    of a decision; ids as objects spare Cedar the parsing of its own syntax, another third.
    """
    return _answer(_internal.is_authorized(dict(request), policies, known))
