"""What of a body can still be relied on, once it has gone through redaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from hatchpay.access.recorded import fields_of
from hatchpay.access.routes import BodyField, Route
from hatchpay.access.rules import FieldValue
from hatchpay.audit.record import Record
from hatchpay.audit.redact import BodyRedactor
from hatchpay.errors import MalformedRequest

ROUTE = Route(method="POST", template="/", permission="a.b.c", fields=(BodyField("note", "string", "/note"),))


def read_note(fields: Sequence[BodyField], body: bytes) -> Mapping[str, FieldValue]:
    found = msgspec.json.decode(body)
    return {"note": found["note"]} if isinstance(found, dict) and isinstance(found.get("note"), str) else {}


def recorded(body: bytes, content_type: str = "application/json") -> Record:
    redactor = BodyRedactor(content_type, bytes(32))
    redactor.feed(body)
    kept = redactor.finish()
    return Record(
        "r", "t", "POST", "/", 0, decision="allow", body=kept.value, body_size=kept.size, body_digest=kept.digest
    )


def note(value: str, **more: Any) -> bytes:
    return msgspec.json.encode({**more, "note": value})


@pytest.mark.parametrize(
    "body", [note("tea"), note("tea", items=["a", "b"]), note("[one] of two"), note("tea", password="secret")]
)
def test_a_field_that_was_kept_as_it_came_is_told(body: bytes) -> None:
    assert fields_of(recorded(body), ROUTE, read_note) == {"note": msgspec.json.decode(body)["note"]}


@pytest.mark.parametrize("body", [b'{"items":["a"]}', b"{}", b'{"note":7}'])
def test_a_field_that_was_not_there_is_told_not_to_be_there(body: bytes) -> None:
    assert fields_of(recorded(body), ROUTE, read_note) == {}


@pytest.mark.parametrize(
    "body",
    [
        note("my card is 4111 1111 1111 1111"),
        note("my card is 4111111111111111"),
        note("Authorization: Bearer abcdefghijklmnop"),
        note("-----BEGIN PRIVATE KEY-----MIIB-----END PRIVATE KEY-----"),
        b'{"password":"secret"}',
        note("x" * 70_000),
    ],
)
def test_a_field_that_redaction_may_have_changed_or_dropped_is_not_told(body: bytes) -> None:
    assert recorded(body).body != body
    assert fields_of(recorded(body), ROUTE, read_note) is None


@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/plain"])
def test_a_body_that_is_not_kept_as_json_is_not_told(content_type: str) -> None:
    assert fields_of(recorded(note("tea"), content_type), ROUTE, read_note) is None


def test_a_route_without_fields_needs_no_body() -> None:
    route = Route(method="POST", template="/", permission="a.b.c")
    assert fields_of(recorded(b"whatever", "text/plain"), route, None) == {}


def test_a_body_that_the_gate_would_not_read_is_not_told() -> None:
    def unclear(fields: Sequence[BodyField], body: bytes) -> Mapping[str, FieldValue]:
        raise MalformedRequest("not one JSON object")

    assert fields_of(recorded(note("tea")), ROUTE, unclear) is None
