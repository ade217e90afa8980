"""What a recorded request tells of its decision, and what of its body can still be relied on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, Protocol

from hatchpay.access.routes import BodyField, Route
from hatchpay.access.rules import FieldValue
from hatchpay.errors import MalformedRequest
from hatchpay.ids import is_uuid

__all__ = [
    "ReadFields",
    "Recorded",
    "fields_of",
    "hidden_from_policies",
    "issued_us",
    "skipped",
    "was_refused_at_its_head",
]

ReadFields = Callable[[Sequence[BodyField], bytes], Mapping[str, FieldValue]]
"""Reads the declared fields of a JSON body as the gate does, without those that are missing or of another type.

Raises MalformedRequest for what the gate would not read.
"""

_HEAD: Final = "permission_missing"
_PREFIXES: Final = ("business_unit_", "policy_")
_LOCAL: Final = "local:"
_NONE: Final[Mapping[str, FieldValue]] = {}
_MARK: Final = re.compile(rb"\[(?:redact|removed|dropped|binary)|\*\*")
"""What redaction puts in the place of something, or into the middle of a card number."""


class Recorded(Protocol):
    """The part of audit.record.Record that decides; see there."""

    @property
    def request_id(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def started_us(self) -> int: ...
    @property
    def client_ip(self) -> str | None: ...
    @property
    def business_unit_id(self) -> str | None: ...
    @property
    def principal_id(self) -> str | None: ...
    @property
    def key_id(self) -> str | None: ...
    @property
    def roles(self) -> tuple[str, ...]: ...
    @property
    def decision(self) -> Literal["allow", "deny"]: ...
    @property
    def reason(self) -> str: ...
    @property
    def rule(self) -> str | None: ...
    @property
    def route(self) -> str | None: ...
    @property
    def permission(self) -> str | None: ...
    @property
    def body(self) -> bytes | None: ...
    @property
    def body_size(self) -> int: ...
    @property
    def body_digest(self) -> str | None: ...
    @property
    def token_id(self) -> str | None: ...
    @property
    def issuer_id(self) -> str | None: ...


def skipped(record: Recorded) -> str | None:
    """Why access had nothing to decide about the request, or None.

    A request that was let through counts, whatever its handler has made of it. Of the others only those do that were
    denied for a reason which roles, units or policies give.
    """
    if record.principal_id is None:
        return "caller_not_proven"
    if record.principal_id.startswith(_LOCAL):
        return "local"
    if record.route is None:
        return "route_not_listed"
    if record.permission is None:
        return "no_permission_needed"
    if record.decision == "deny" and record.reason != _HEAD and not record.reason.startswith(_PREFIXES):
        return "refused_otherwise"
    return None


def was_refused_at_its_head(record: Recorded) -> bool:
    """Then nobody has read which business unit it concerns, nor its body."""
    return record.decision == "deny" and record.reason == _HEAD and record.business_unit_id is None


def hidden_from_policies(record: Recorded) -> str | None:
    """What the record does not tell of the caller that any policy may ask for; None where it tells all."""
    if record.token_id is not None and issued_us(record) is None:
        return "token_age_not_kept"
    return "caller_not_kept" if _is_marked(record.principal_id or "") else None


def issued_us(record: Recorded) -> int | None:
    """When the token of the request was issued, in microseconds; None for one of another issuer, or for none.

    The id of a token of ours is a UUIDv7 of that very millisecond (RFC 9562, section 5.7).
    """
    if record.token_id is None or record.key_id is None or not is_uuid(record.token_id):
        return None
    return int(record.token_id[:8] + record.token_id[9:13], 16) * 1000


def fields_of(record: Recorded, route: Route, read: ReadFields | None) -> Mapping[str, FieldValue] | None:
    """The fields that the route declares, as policies may ask for them; None where the record does not tell them all.

    A field is not told where the body was not read, was cut, or has a mark of redaction in the field's place.
    """
    if not route.fields:
        return _NONE
    if record.body is None:
        return None if was_refused_at_its_head(record) or record.body_size else _NONE
    if read is None or record.body_digest is not None:
        return None
    try:
        found = read(route.fields, record.body)
    except MalformedRequest:
        return None
    if len(record.body) == record.body_size and _MARK.search(record.body) is None:
        return found
    told = all(field.name in found and not _is_marked(found[field.name]) for field in route.fields)
    return found if told else None


def _is_marked(value: FieldValue) -> bool:
    return isinstance(value, str) and _MARK.search(value.encode()) is not None
