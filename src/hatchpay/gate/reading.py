"""What the gate would read off a request that nobody has sent, for whoever asks what would become of it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from hatchpay.access.explain import Subject, Target
from hatchpay.access.routes import Match
from hatchpay.errors import InvalidInput, MalformedRequest
from hatchpay.gate.fields import fields_in_body
from hatchpay.gate.limits import MAX_HEADERS, check_path
from hatchpay.gate.units import unit_in_body, unit_in_head
from hatchpay.identity.credential import refuse_in_query

__all__ = ["GateReading"]

_QUERY: Final = re.compile(rb"[\x21\x22\x24-\x7e]*")
_JSON: Final = "application/json"


class GateReading:
    """By the same functions as one that was sent; the port is admin.explain.Reading."""

    def target(self, path: str) -> Target:
        """Raises InvalidInput where the gate would refuse the path, or its query."""
        raw, _, query = path.encode("utf-8", "surrogatepass").partition(b"?")
        decoded = unquote(raw.decode("latin-1"))
        if not _is_canonical(raw, decoded, query):
            raise InvalidInput("not a path in its one canonical form", code="path_not_canonical", field="path")
        if _holds_credential(query):
            raise InvalidInput("a credential may not stand in the query", code="credential_in_query", field="path")
        return Target(decoded, query)

    def subject(self, match: Match, query: bytes, body: bytes | None) -> Subject:
        """`body` is JSON text, None where there is none."""
        unit: str | None = None
        try:
            unit = unit_in_head(match, query)
            unit = unit_in_body(match.route.unit, _JSON, body or b"", unit)
            fields = fields_in_body(match.route.fields, _JSON, body or b"") if match.route.fields else {}
        except MalformedRequest as refusal:
            return Subject(None if refusal.code == "business_unit_unclear" else unit, {}, refusal.code)
        return Subject(unit, fields)


def _is_canonical(raw: bytes, decoded: str, query: bytes) -> bool:
    try:
        check_path(raw, decoded)
    except MalformedRequest:
        return False
    return len(raw) + len(query) <= MAX_HEADERS and _QUERY.fullmatch(query) is not None


def _holds_credential(query: bytes) -> bool:
    try:
        refuse_in_query(query)
    except MalformedRequest:
        return True
    return False
