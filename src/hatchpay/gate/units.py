"""Which business unit a request concerns, read from all the places where its route says that it stands.

A request that could mean two units, or one that only some readers find, is refused for every caller: else whoever is
kept from a unit could name it in the way that only the handler behind reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from hatchpay.access.routes import Match, UnitSource
from hatchpay.errors import MalformedRequest
from hatchpay.gate.json_members import member, scalar, whole
from hatchpay.ids import is_uuid

__all__ = ["unit_in_body", "unit_in_head"]


def unit_in_head(match: Match, query: bytes) -> str | None:
    """The id that path and query name, None where they name none.

    Raises MalformedRequest (`business_unit_unclear`) for two, or something that is no id.
    """
    unit: str | None = None
    for source in match.route.unit:
        if source.place == "path":
            unit = _one(unit, match.value(source.name))
        elif source.place == "query":
            unit = _one(unit, _parameter(query, source.name))
    return unit


def unit_in_body(sources: Sequence[UnitSource], content_type: str, body: bytes, unit: str | None) -> str | None:
    """The id that a top-level member of the body names, or else `unit`, which the head names.

    An empty body names none, and null is no name. Raises MalformedRequest (`business_unit_unclear`) where the body is
    not one JSON object in UTF-8 that is declared as such, where the member stands there twice or is no id, and where it
    is not `unit`.
    """
    if not body:
        return unit
    for source in sources:
        if source.place == "body":
            unit = _one(unit, _member(content_type, body, source.name))
    return unit


def _parameter(query: bytes, name: str) -> str | None:
    """As decoders read it that split at `;` as well, ignore the case, or make a list of `unit[]`."""
    text = query.decode("latin-1")
    found = _named(text.replace(";", "&"), name)
    if not found:
        return None
    if found != [(name, found[0][1])] or (";" in text and found != _named(text, name)):
        raise _unclear()
    return found[0][1]


def _named(query: str, name: str) -> list[tuple[str, str]]:
    pairs = parse_qsl(query, keep_blank_values=True)
    return [(key, value) for key, value in pairs if key.partition("[")[0].casefold() == name.casefold()]


def _member(content_type: str, body: bytes, name: str) -> str | None:
    try:
        found = member(whole(content_type, body), name)
        if found is None or found == b"null":
            return None
        text = scalar(found, str)
    except MalformedRequest:
        text = None
    if text is None:
        raise _unclear()
    return text


def _one(unit: str | None, named: str | None) -> str | None:
    if named is None:
        return unit
    if not is_uuid(named) or unit not in {None, named}:
        raise _unclear()
    return named


def _unclear() -> MalformedRequest:
    return MalformedRequest(
        "the request must name one business unit, once, and where all readers find it", code="business_unit_unclear"
    )
