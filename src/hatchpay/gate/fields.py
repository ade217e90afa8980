"""The fields of a JSON body that policies can ask for, as the route declares them.

A field that is not there, or is of another type, is left out: the policy that needs it then denies the request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from typing import Final

from hatchpay.access.routes import BodyField, FieldType
from hatchpay.access.rules import FieldValue
from hatchpay.errors import MalformedRequest
from hatchpay.gate.json_members import Members, elements, members, scalar, whole

__all__ = ["MOST_BYTES", "MOST_ELEMENTS", "fields_in_body"]

MOST_BYTES: Final = 1024 * 1024
"""Of a body that fields are read from."""
MOST_ELEMENTS: Final = 1_000
"""Of an array on the way to a field; a longer one counts as another type."""
_MOST_MEMBERS: Final = 10_000
"""Of all objects on the way to fields together."""
_MOST_READINGS: Final = 4_000
"""Numbers of elements that are read for all sums of a body together."""

_DECIMAL: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,4})?")
_LONG: Final = re.compile(rb"-?[0-9]{1,19}")
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_LARGEST: Final = Decimal("922337203685477.5807")
"""Of Cedar's decimal: 64 bits, of which four digits stand behind the point."""
_LONGS: Final = range(-(2**63), 2**63)
_PRECISION: Final = 200
"""Digits; more than any sum of so many products can need, so that all are exact."""


def fields_in_body(fields: Sequence[BodyField], content_type: str, body: bytes) -> dict[str, FieldValue]:
    """The declared fields that are there. A decimal is text with two to four digits behind the point.

    Raises MalformedRequest (`body_unclear`) where the body is not empty and not one JSON object in UTF-8, declared as
    such, in which the names on the way to a field stand once; or where it takes too long to read: it is larger than
    MOST_BYTES, or has too many members and elements on the way to its fields.
    """
    if not body:
        return {}
    if len(body) > MOST_BYTES:
        raise _too_much()
    document = _Document(whole(content_type, body), _Budget())
    with localcontext(prec=_PRECISION):
        found = {field.name: _value(field, document) for field in fields}
    return {name: value for name, value in found.items() if value is not None}


class _Budget:
    """What may still be looked at for the fields of one body."""

    def __init__(self) -> None:
        self.members = _MOST_MEMBERS
        self.readings = _MOST_READINGS

    def read(self) -> None:
        self.readings -= 1
        if self.readings < 0:
            raise _too_much()


class _Document:
    """Remembers what it has found on the way: all fields of a body share it."""

    def __init__(self, text: bytes, budget: _Budget) -> None:
        self._budget = budget
        self._found: dict[tuple[str, ...], bytes | None] = {(): text}
        self._members: dict[tuple[str, ...], Members | None] = {}
        self._elements: dict[tuple[str, ...], list[_Document] | None] = {}

    def at(self, path: tuple[str, ...]) -> bytes | None:
        """By the reference tokens of a JSON Pointer (RFC 6901, section 4)."""
        if path not in self._found:
            self._found[path] = self._step(path[:-1], path[-1])
        return self._found[path]

    def number(self, path: tuple[str, ...], read: Callable[[bytes | None], Decimal | None]) -> Decimal | None:
        self._budget.read()
        return read(self.at(path))

    def elements(self, path: tuple[str, ...]) -> list[_Document] | None:
        if path not in self._elements:
            array = self.at(path)
            parts = None if array is None else elements(array, MOST_ELEMENTS)
            self._elements[path] = None if parts is None else [_Document(part, self._budget) for part in parts]
        return self._elements[path]

    def _step(self, path: tuple[str, ...], token: str) -> bytes | None:
        document = self.at(path)
        if document is None:
            return None
        if not document.startswith(b"["):
            found = self._members_at(path, document)
            return None if found is None else found.once(token)
        parts = self.elements(path) if _INDEX.fullmatch(token) else None
        return parts[int(token)].at(()) if parts is not None and int(token) < len(parts) else None

    def _members_at(self, path: tuple[str, ...], document: bytes) -> Members | None:
        if path not in self._members:
            found = members(document, self._budget.members)
            self._budget.members -= 0 if found is None else found.count
            self._members[path] = found
        return self._members[path]


def _value(field: BodyField, document: _Document) -> FieldValue | None:
    if "*" in field.segments:
        return _WRITTEN[field.type](_sum(field, document))
    place = document.at(field.segments)
    if place is None:
        return None
    if field.type == "string":
        return scalar(place, str)
    if field.type == "boolean":
        return scalar(place, bool)
    return _WRITTEN[field.type](_READ[field.type](place))


def _sum(field: BodyField, document: _Document) -> Decimal | None:
    """Over all elements; None where there is no such array, or any of them lacks its number."""
    star = field.segments.index("*")
    way, read = field.segments[star + 1 :], _READ[field.type]
    parts = document.elements(field.segments[:star])
    if parts is None:
        return None
    total = Decimal(0)
    for part in parts:
        number = part.number(way, read)
        factor = Decimal(1) if field.times is None else part.number((*way[:-1], field.times), read)
        if number is None or factor is None:
            return None
        total += number * factor
    return total


def _decimal(place: bytes | None) -> Decimal | None:
    """A JSON number, or the same as a string; None for exponents, and for more than four digits behind the point."""
    if place is None:
        return None
    text = scalar(place, str) if place.startswith(b'"') else place.decode("ascii", "replace")
    return Decimal(text) if text is not None and _DECIMAL.fullmatch(text) else None


def _long(place: bytes | None) -> Decimal | None:
    return Decimal(int(place)) if place is not None and _LONG.fullmatch(place) else None


def _decimal_text(value: Decimal | None) -> str | None:
    if value is None or abs(value) > _LARGEST:
        return None
    sign, digits = "-" if value < 0 else "", f"{abs(value):.8f}"
    # Two decimals of four digits each have products of eight.
    return None if not digits.endswith("0000") else sign + (digits[:-6] + digits[-6:-4].rstrip("0"))


def _long_value(value: Decimal | None) -> int | None:
    return int(value) if value is not None and int(value) in _LONGS else None


_READ: Final[dict[FieldType, Callable[[bytes | None], Decimal | None]]] = {"decimal": _decimal, "long": _long}
_WRITTEN: Final[dict[FieldType, Callable[[Decimal | None], FieldValue | None]]] = {
    "decimal": _decimal_text,
    "long": _long_value,
}


def _too_much() -> MalformedRequest:
    return MalformedRequest(
        "policies need fields of the body, and it is too large for that: more than 1 MiB, or too many members",
        code="body_unclear",
    )
