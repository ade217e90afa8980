"""Refusals as ASGI messages."""

from __future__ import annotations

import json

import pytest

from hatchpay.errors import (
    Conflict,
    Forbidden,
    HatchPayError,
    InvalidInput,
    MalformedRequest,
    NotFound,
    Unauthenticated,
    Unavailable,
    problem,
)
from hatchpay.gate.problems import problem_messages

REQUEST_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
EVERY = [
    HatchPayError("x"),
    MalformedRequest("x"),
    MalformedRequest("x", code="body_too_large", status=413),
    MalformedRequest("x", code="headers_too_large", status=431),
    MalformedRequest("x", code="websocket_not_allowed", status=403),
    Unauthenticated("x"),
    Forbidden("é", permission="a.b.c"),
    Unavailable("x"),
    InvalidInput("x", field="name"),
    NotFound("x"),
    Conflict("x"),
]


def sent(error: HatchPayError) -> tuple[int, dict[bytes, bytes], bytes]:
    start, body = problem_messages(error, REQUEST_ID)
    assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
    assert not body.get("more_body", False)
    headers = dict(start["headers"])
    assert len(headers) == len(start["headers"])
    return start["status"], headers, body["body"]


@pytest.mark.parametrize("error", EVERY)
def test_every_refusal_is_a_problem_document_with_its_status_and_the_requests_id(error: HatchPayError) -> None:
    status, headers, body = sent(error)
    assert status == error.status
    assert json.loads(body) == problem(error, REQUEST_ID)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"content-length"] == str(len(body)).encode()
    assert headers[b"hatchpay-request-id"] == REQUEST_ID.encode()
    assert headers[b"cache-control"] == b"no-store"


@pytest.mark.parametrize("error", EVERY)
def test_a_header_is_there_exactly_where_it_helps(error: HatchPayError) -> None:
    status, headers, _ = sent(error)
    assert (b"www-authenticate" in headers) == (status == 401)
    assert (b"retry-after" in headers) == (status == 503)
    assert (headers.get(b"connection") == b"close") == (status in (400, 413, 431))


def test_the_challenge_names_both_ways_to_send_a_key() -> None:
    challenge = sent(Unauthenticated("x"))[1][b"www-authenticate"]
    assert challenge.startswith(b"Bearer realm=")
    assert b"X-API-Key" in challenge
