"""`/v1/audit-log/history`: the caller's own record, and nobody else's."""

from __future__ import annotations

import pytest
from tests.http.control.harness import HISTORY, KEYS, UNITS, Tenant, World, problem_of

from hatchpay.audit.record import Record, flat
from hatchpay.ids import PLATFORM_TENANT_ID, new_id


def ids(world: World, key: str, query: str = "") -> list[str]:
    answer = world.call("GET", f"{HISTORY}?{query}", key=key)
    assert answer.status_code == 200, answer.text
    return [record["request_id"] for record in answer.json()["data"]]


def test_a_record_is_one_flat_object_with_its_body_as_json(world: World, tenant: Tenant) -> None:
    request_id = world.record(
        tenant.id,
        method="POST",
        url="/v1/api-key/keys",
        started_us=1_000_000,
        headers={"user-agent": "curl/8.5.0"},
        body=b'{"name":"Till","description":null}',
        status=201,
    )
    (record,) = world.call("GET", HISTORY, key=tenant.admin).json()["data"]
    assert record["request_id"] == request_id
    assert record["body"] == {"name": "Till", "description": None}
    assert record["headers"] == {"user-agent": "curl/8.5.0"}
    assert record["started_at"] == "1970-01-01T00:00:01.000000Z"
    assert list(record) == list(flat(Record(request_id, tenant.id, "GET", "/", 0), []))


def test_a_change_stands_with_the_request_that_made_it(world: World, tenant: Tenant) -> None:
    created = world.call("POST", KEYS, key=tenant.admin, json={"name": "Till"}).json()
    (request_id,) = world.requests_that_changed(created["id"])
    world.record(tenant.id, request_id=request_id)
    (record,) = world.call("GET", HISTORY, key=tenant.admin).json()["data"]
    (change,) = record["changes"]
    assert (change["event"], change["subject_id"]) == ("api-key.keys.created", created["id"])
    assert change["detail"]["after"]["name"] == "Till"
    assert created["key"] not in world.call("GET", HISTORY, key=tenant.admin).text


def test_a_tenant_sees_its_own_requests_and_the_operator_what_is_nobodys(world: World, tenant: Tenant) -> None:
    other = world.onboard("Other")
    mine, theirs, nobodys = (world.record(tenant_id) for tenant_id in (tenant.id, other.id, PLATFORM_TENANT_ID))
    assert ids(world, tenant.admin) == [mine]
    assert ids(world, other.admin) == [theirs]
    assert ids(world, world.operator) == [nobodys]


def test_a_caller_of_chosen_units_sees_theirs_only(world: World, tenant: Tenant) -> None:
    berlin, paris = (
        world.call("POST", UNITS, key=tenant.admin, json={"name": zone, "timezone_name": zone}).json()["id"]
        for zone in ("Europe/Berlin", "Europe/Paris")
    )
    clerk = world.create(tenant, "admin", business_unit_ids=[berlin])
    here = world.record(tenant.id, business_unit_id=berlin)
    there = world.record(tenant.id, business_unit_id=paris)
    nowhere = world.record(tenant.id)
    assert ids(world, tenant.admin) == [nowhere, there, here]
    assert ids(world, clerk) == [here]
    assert ids(world, clerk, f"business_unit_id={paris}") == []


def test_it_is_newest_first_page_by_page(world: World, tenant: Tenant) -> None:
    made = [world.record(tenant.id) for _ in range(5)]
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = world.call("GET", f"{HISTORY}?limit=2{cursor}", key=tenant.admin).json()
        found += [record["request_id"] for record in answer["data"]]
        cursor = f"&cursor={answer['next_cursor']}" if answer["next_cursor"] else None
    assert found == made[::-1]


def test_each_condition_narrows(world: World, tenant: Tenant) -> None:
    key_id, unit_id = new_id(), new_id()
    wanted = world.record(
        tenant.id,
        method="POST",
        url="/roles?page=1",
        route="/roles",
        status=403,
        principal_id=key_id,
        key_id=key_id,
        business_unit_id=unit_id,
        client_ip="2001:db8::1",
        response_time_us=1500,
        started_us=1_767_225_600_000_000,
    )
    world.record(tenant.id, method="GET", url="/permissions", route="/permissions", status=200, started_us=1)
    for query in (
        "method=POST",
        "method=post",
        "path=/roles",
        "route=/roles",
        "status=403",
        "status=4xx",
        f"principal_id={key_id}",
        f"key_id={key_id}",
        f"business_unit_id={unit_id}",
        f"request_id={wanted}",
        "client_ip=2001:DB8:0::1",
        "min_ms=1.5",
        "from=2026-01-01T00:00:00Z",
        "from=2026-01-01T01:00:00%2B01:00&to=2026-01-01T00:00:00.000001Z",
    ):
        assert ids(world, tenant.admin, query) == [wanted], query
    for query in ("status=404", "min_ms=1.501", "to=1970-01-01T00:00:00Z", "path=/role", "method=PUT"):
        assert ids(world, tenant.admin, query) == [], query


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("limit=201", (422, "invalid_field", "limit")),
        ("status=denied", (422, "invalid_field", "status")),
        ("key_id=7", (422, "invalid_uuid", "key_id")),
        ("cursor=zzz", (400, "invalid_cursor", "cursor")),
        ("tenant_id=7", (422, "unknown_parameter", "tenant_id")),
        ("limit=1&limit=2", (400, "duplicate_parameter", "limit")),
    ],
)
def test_a_condition_that_cannot_be_meant_is_named(
    world: World, tenant: Tenant, query: str, refusal: tuple[int, str, str]
) -> None:
    assert problem_of(world.call("GET", f"{HISTORY}?{query}", key=tenant.admin)) == refusal
