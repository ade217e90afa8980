"""Which business unit a request concerns, read from where its route says."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from hatchpay.access.routes import Match, UnitSource
from hatchpay.ids import is_uuid

__all__ = ["unit_in_body", "unit_in_head"]

_LARGEST_AMBIGUOUS: Final = 64 * 1024
_JSON: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json *(?:;|\Z)", re.IGNORECASE)


def unit_in_head(source: UnitSource | None, match: Match, query: bytes) -> str | None:
    """The id that path or query name; None where they name none, two, or something that is no id."""
    found: str | None = None
    if source is not None and source.place == "path":
        found = match.value(source.name)
    elif source is not None and source.place == "query":
        values = parse_qs(query.decode("latin-1"), keep_blank_values=True).get(source.name, [])
        found = values[0] if len(values) == 1 else None
    return found if found is not None and is_uuid(found) else None


def unit_in_body(content_type: str, body: bytes, name: str) -> str | None:
    """The id in a top-level member of a JSON object, where that member stands there exactly once.

    Only where the body is declared as JSON: one that can be read in two ways may name another unit in the other.
    """
    if not _JSON.match(content_type):
        return None
    if b"\\" not in body and body.count(b'"%s"' % name.encode()) == 1:
        # Nothing but that one place can be the member; the decoder skips all else at a hundredth of the cost.
        try:
            value = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).get(name)
            text = "" if value is None else msgspec.json.decode(value, type=str)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return text if is_uuid(text) else None
    if len(body) > _LARGEST_AMBIGUOUS:
        return None
    found: list[Any] = []

    def outermost(pairs: list[tuple[str, Any]]) -> list[Any]:
        # Called for inner objects first; the outermost comes last and is what remains.
        found[:] = [value for key, value in pairs if key == name]
        return []

    try:
        document = json.loads(body, object_pairs_hook=outermost)
    except (ValueError, RecursionError):
        return None
    if document != [] or len(found) != 1 or not isinstance(found[0], str):
        return None
    return found[0] if is_uuid(found[0]) else None
