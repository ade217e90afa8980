"""Whom a request is about: the first of the places that its route declares in which there is something."""

from __future__ import annotations

from hatchpay.access.routes import BodyField, Match
from hatchpay.audit.subject import subject_digest
from hatchpay.errors import MalformedRequest
from hatchpay.gate.fields import fields_in_body

__all__ = ["subject_of"]

_NAME = "subject"


def subject_of(match: Match, content_type: str, body: bytes, key: bytes, tenant_id: str) -> str | None:
    """As a digest; None where the request names nobody, and then its record is erased by itself. `body` is what was
    read ahead: a subject behind the first 64 KiB of a body is not found.
    """
    for place in match.route.subject:
        value = match.value(place[1:-1]) if place.startswith("{") else _in_body(place, content_type, body)
        if value:
            return subject_digest(key, tenant_id, value)
    return None


def _in_body(pointer: str, content_type: str, body: bytes) -> str | None:
    if not body:
        return None
    for kind in ("string", "long"):
        try:
            found = fields_in_body([BodyField(_NAME, kind, pointer)], content_type, body)
        except MalformedRequest:
            return None
        if _NAME in found:
            return str(found[_NAME])
    return None
