"""Whether a policy may be written: its syntax, its types, and the permissions that it names."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hatchpay.access import cedar
from hatchpay.access.cedar_schema import BodyFields, schema_document
from hatchpay.access.policy_source import Forbid, read_each
from hatchpay.access.policy_text import Statement, invalid, locate

__all__ = ["Vocabulary", "check"]

_MOST_WORK: Final = 4_000_000
"""Words of statements times permissions to judge them for: about 3 s of one core at most, without the interpreter's
lock."""
_PREFIX: Final = re.compile(r"for policy `[^`]*`, ")
_QUOTED: Final = re.compile(r"`((?:[^`\\]|\\.)+)`")
_INAPPLICABLE: Final = "unable to find an applicable action"


class Vocabulary(msgspec.Struct, frozen=True):
    """What policies can name: permissions, and the fields of bodies by permission."""

    permissions: frozenset[str]
    fields: BodyFields


def check(text: str, vocabulary: Vocabulary) -> tuple[Forbid, ...]:
    """The statements. Raises InvalidInput with line and column: `policy_invalid` or `policy_permits`."""
    checked: list[Forbid] = []
    schemas: dict[tuple[frozenset[str], frozenset[str]], cedar.Schema] = {}
    work = 0
    for statement, forbid in read_each(text):
        named = _names(forbid)
        known = ((forbid.actions or frozenset()) | named) & vocabulary.permissions
        applied = _applied(forbid, named, vocabulary) or known
        work += len(statement.words) * len(applied)
        if work > _MOST_WORK:
            raise invalid(text, statement.start, "too costly to check: divide it, or name fewer permissions")
        if (applied, known) not in schemas:
            schemas[applied, known] = cedar.schema(schema_document(applied, known, vocabulary.fields))
        found = cedar.complaints(statement.text, schemas[applied, known])
        if found:
            _, offset, complaint = min(_placed(statement, complaint) for complaint in found)
            raise invalid(text, offset, complaint)
        checked.append(forbid)
    return tuple(checked)


def _names(forbid: Forbid) -> frozenset[str]:
    """The permissions that its conditions name, known or not."""
    return frozenset(name for kind, name in forbid.entities if kind == "Action")


def _applied(forbid: Forbid, named: frozenset[str], vocabulary: Vocabulary) -> frozenset[str]:
    """Permissions in whose place all others can stand that the statement concerns.

    What types it has depends on the fields of the body only, and on the permission itself where a condition asks for
    it. To judge it for each of hundreds of permissions would take hundreds of times as long.
    """
    concerned = vocabulary.permissions if forbid.actions is None else forbid.actions & vocabulary.permissions
    chosen = set(named & concerned) if forbid.by_action else set()
    shapes: set[tuple[tuple[str, str], ...]] = set()
    others = concerned - chosen
    with_fields = sorted(others & vocabulary.fields.keys()) if "body" in forbid.context else []
    for name in (*with_fields, *_first(others.difference(with_fields))):
        shape = tuple(sorted(vocabulary.fields.get(name, {}).items()))
        if shape not in shapes:
            shapes.add(shape)
            chosen.add(name)
    return frozenset(chosen)


def _placed(statement: Statement, complaint: str) -> tuple[int, int, str]:
    """A rank, where it stands, and what it says: of several complaints the lowest is told.

    First those that quote a name which stands in the statement, by its place; then those of the whole statement; last
    the one that only follows from others.
    """
    said = _PREFIX.sub("", complaint)
    for quoted in _QUOTED.findall(said):
        offset = locate(statement, quoted)
        if offset != statement.start:
            return 0, offset, said
    return (2 if said.startswith(_INAPPLICABLE) else 1), statement.start, said


def _first(names: frozenset[str]) -> tuple[str, ...]:
    return (min(names),) if names else ()
