"""`/v1/audit-log/streams`: made, read, changed, tested and ended over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.http.control.harness import Tenant, World, problem_of
from tests.support.sinks import HttpSink, http_sink

from hatchpay.ids import new_id

STREAMS = "/v1/audit-log/streams"
MISSING = f"{STREAMS}/{new_id()}"
UNIT = "019ab3c4-2f40-7b41-9c5d-7e8f90123456"


@pytest.fixture(scope="module")
def sink() -> Iterator[HttpSink]:
    with http_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def still(shared: World) -> tuple[World, Tenant]:
    """For requests that change nothing."""
    return shared, shared.onboard("Still")


def create(world: World, tenant: Tenant, sink: HttpSink, **fields: Any) -> dict[str, Any]:
    body = {"name": "Hook", "kind": "webhook", "destination_url": sink.url, **fields}
    answer = world.call("POST", STREAMS, key=tenant.admin, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{STREAMS}/{answer.json()['id']}"
    return dict(answer.json()) | {"etag": answer.headers["etag"]}


def test_a_stream_lives_from_its_making_to_its_end(world: World, tenant: Tenant, sink: HttpSink) -> None:
    made = create(world, tenant, sink, event_types=["access.roles.read"])
    assert made["secret"].startswith("whsec_")
    path = f"{STREAMS}/{made['id']}"
    read = world.call("GET", path, key=tenant.admin)
    assert read.headers["etag"] == made["etag"]
    assert "secret" not in read.json()
    assert (read.json()["state"], read.json()["status"], read.json()["lag_records"]) == ("stopped", "enabled", 0)
    assert world.call("GET", STREAMS, key=tenant.admin).json() == {"data": [read.json()], "next_cursor": None}
    fresh = {"if-match": made["etag"]}
    changed = world.call("PATCH", path, key=tenant.admin, json={"event_types": None}, headers=fresh)
    assert (changed.status_code, changed.json()["event_types"]) == (200, None)
    stale = world.call("DELETE", path, key=tenant.admin, headers=fresh)
    assert problem_of(stale)[:2] == (412, "precondition_failed")
    rotated = world.call("POST", f"{path}/rotate-secret", key=tenant.admin)
    assert rotated.json()["secret"] not in {None, made["secret"]}
    assert len(rotated.json()["secrets"]) == 2
    assert world.call("DELETE", path, key=tenant.admin).status_code == 204
    assert problem_of(world.call("GET", path, key=tenant.admin))[:2] == (404, "not_found")


def test_every_change_is_in_the_history_of_the_request_that_made_it(
    world: World, tenant: Tenant, sink: HttpSink
) -> None:
    made = create(world, tenant, sink)
    path = f"{STREAMS}/{made['id']}"
    world.call("PATCH", path, key=tenant.admin, json={"status": "disabled"})
    world.call("POST", f"{path}/rotate-secret", key=tenant.admin, json={"overlap_seconds": 0})
    world.call("DELETE", path, key=tenant.admin)
    assert len(world.requests_that_changed(made["id"])) == 4


def test_lag_counts_what_was_recorded_since(world: World, tenant: Tenant, sink: HttpSink) -> None:
    world.record(tenant.id)
    made = create(world, tenant, sink)
    other = world.onboard("Other")
    for _ in range(3):
        world.record(tenant.id, started_us=1_000_000)
        world.record(other.id)
    shown = world.call("GET", f"{STREAMS}/{made['id']}", key=tenant.admin).json()
    assert shown["lag_records"] == 3
    assert shown["lag_seconds"] > 1_000_000


def test_a_test_says_what_came_back(world: World, tenant: Tenant, sink: HttpSink) -> None:
    made = create(world, tenant, sink)
    path = f"{STREAMS}/{made['id']}/test"
    answer = world.call("POST", path, key=tenant.admin).json()
    assert (answer["delivered"], answer["code"], answer["status"]) == (True, None, 200)
    sink.answer = lambda _: (404, {}, b"")
    answer = world.call("POST", path, key=tenant.admin).json()
    sink.answer = lambda _: (200, {}, b"")
    assert (answer["delivered"], answer["code"], answer["status"]) == (False, "stream_status", 404)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 422, "invalid_field", "name"),
        ({"name": "x", "kind": "kafka", "destination_url": "https://a.example"}, 422, "invalid_field", "kind"),
        ({"name": "x", "kind": "http", "destination_url": "ftp://a"}, 422, "invalid_url", "destination_url"),
        ({"name": "x", "kind": "syslog", "destination_url": "tls://a"}, 422, "invalid_url", "destination_url"),
        (
            {"name": "x", "kind": "http", "destination_url": "https://a", "nonsense": 1},
            422,
            "unknown_field",
            "nonsense",
        ),
        (
            {"name": "x", "kind": "http", "destination_url": "https://a", "business_unit_ids": [UNIT]},
            422,
            "unknown_business_unit",
            "business_unit_ids",
        ),
        (
            {
                "name": "x",
                "kind": "http",
                "destination_url": "https://a",
                "headers": [{"name": "A", "secret": "b"}, {"name": "A", "secret": "c"}],
            },
            422,
            "duplicate_header",
            "headers",
        ),
        (
            {"name": "x", "kind": "http", "destination_url": "https://a", "headers": {"A": "b"}},
            422,
            "invalid_field",
            "headers",
        ),
    ],
)
def test_bad_bodies_are_refused(
    still: tuple[World, Tenant], body: dict[str, Any], status: int, code: str, field: str
) -> None:
    world, tenant = still
    answer = world.call("POST", STREAMS, key=tenant.admin, json=body)
    assert problem_of(answer) == (status, code, field)


def test_a_stream_that_is_not_there_is_not_found_by_any_call(still: tuple[World, Tenant]) -> None:
    world, tenant = still
    for method, path, body in (
        ("GET", MISSING, None),
        ("PATCH", MISSING, {"name": "x"}),
        ("DELETE", MISSING, None),
        ("POST", f"{MISSING}/test", None),
        ("POST", f"{MISSING}/rotate-secret", {}),
    ):
        answer = world.call(method, path, key=tenant.admin, **({} if body is None else {"json": body}))
        assert problem_of(answer)[:2] == (404, "not_found"), path


def test_a_change_of_nothing_is_refused(still: tuple[World, Tenant]) -> None:
    world, tenant = still
    assert problem_of(world.call("PATCH", MISSING, key=tenant.admin, json={}))[:2] == (422, "invalid_field")
