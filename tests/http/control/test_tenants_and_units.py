"""`/v1/tenants` and `/v1/business-unit/business-units`."""

from __future__ import annotations

import pytest
from tests.http.control.harness import TENANTS, UNITS, Tenant, World, problem_of

from hatchpay.ids import new_id
from hatchpay.tokens import apikey

BERLIN = {"name": "Berlin branch", "timezone_name": "Europe/Berlin"}


def test_onboarding_answers_with_the_tenant_and_its_first_admin_key_once(world: World) -> None:
    made = world.call("POST", TENANTS, key=world.operator, json={"name": "Demo"})
    assert made.status_code == 201
    answer = made.json()
    assert set(answer) == {"tenant", "api_key"}
    assert answer["tenant"]["name"] == "Demo"
    key = answer["api_key"]
    assert apikey.parse(key["key"]).id == key["id"]
    assert (key["name"], key["description"]) == ("Tenant API key", "Default tenant API key")
    assert [role["name"] for role in key["roles"]] == ["admin"]
    assert world.principal(key["id"]).tenant_id == answer["tenant"]["id"]

    listed = world.call("GET", TENANTS, key=world.operator)
    assert listed.json() == {"data": [answer["tenant"]], "next_cursor": None}
    assert key["key"] not in listed.text


def test_two_tenants_cannot_have_one_name(world: World) -> None:
    world.onboard("Demo")
    before = world.state()
    answer = world.call("POST", TENANTS, key=world.operator, json={"name": "Demo"})
    assert problem_of(answer) == (409, "already_exists", "name")
    assert world.state() == before


def test_a_tenants_admin_does_not_run_the_platform_even_past_the_gate(world: World, tenant: Tenant) -> None:
    before = world.state()
    assert problem_of(world.call("POST", TENANTS, key=tenant.admin, json={"name": "Mine"}))[0] == 403
    assert problem_of(world.call("GET", TENANTS, key=tenant.admin))[0] == 403
    assert world.state() == before


def test_a_business_unit_is_made_and_read(world: World, tenant: Tenant) -> None:
    made = world.call("POST", UNITS, key=tenant.admin, json=BERLIN)
    assert made.status_code == 201
    unit = made.json()
    assert made.headers["location"] == f"{UNITS}/{unit['id']}"
    assert {name: unit[name] for name in BERLIN} == BERLIN
    assert world.call("GET", f"{UNITS}/{unit['id']}", key=tenant.admin).json() == unit
    assert world.call("GET", UNITS, key=tenant.admin).json() == {"data": [unit], "next_cursor": None}


@pytest.mark.parametrize("timezone", ["Mars/Phobos", "europe/berlin", "../etc/passwd", "CET+1"])
def test_a_time_zone_must_exist(world: World, tenant: Tenant, timezone: str) -> None:
    body = BERLIN | {"timezone_name": timezone}
    before = world.state()
    answer = world.call("POST", UNITS, key=tenant.admin, json=body)
    assert problem_of(answer) == (422, "invalid_field", "timezone_name")
    assert world.state() == before


def test_two_units_of_one_tenant_cannot_have_one_name(world: World, tenant: Tenant) -> None:
    world.call("POST", UNITS, key=tenant.admin, json=BERLIN)
    answer = world.call("POST", UNITS, key=tenant.admin, json=BERLIN)
    assert problem_of(answer) == (409, "already_exists", "name")
    assert world.call("POST", UNITS, key=world.onboard("Other").admin, json=BERLIN).status_code == 201


def test_another_tenants_unit_does_not_exist(world: World, tenant: Tenant) -> None:
    other = world.onboard("Other")
    unit_id = world.call("POST", UNITS, key=other.admin, json=BERLIN).json()["id"]
    for path in (f"{UNITS}/{unit_id}", f"{UNITS}/{new_id()}"):
        assert problem_of(world.call("GET", path, key=tenant.admin)) == (404, "not_found", None)
    assert world.call("GET", UNITS, key=tenant.admin).json()["data"] == []


def test_a_business_unit_is_changed_archived_and_brought_back(world: World, tenant: Tenant) -> None:
    unit = world.call("POST", UNITS, key=tenant.admin, json=BERLIN).json()
    assert (unit["status"], unit["updated_at"]) == ("active", unit["created_at"])
    path = f"{UNITS}/{unit['id']}"

    moved = world.call("PATCH", path, key=tenant.admin, json={"name": "Mitte", "timezone_name": "Europe/Paris"})
    assert moved.status_code == 200
    assert moved.json() == {
        **unit,
        "name": "Mitte",
        "timezone_name": "Europe/Paris",
        "updated_at": moved.json()["updated_at"],
    }
    archived = world.call("POST", f"{path}/archive", key=tenant.admin)
    assert (archived.status_code, archived.json()["status"]) == (200, "archived")
    assert world.call("POST", f"{path}/archive", key=tenant.admin).json() == archived.json()
    assert world.call("GET", path, key=tenant.admin).json() == archived.json()
    restored = world.call("PATCH", path, key=tenant.admin, json={"status": "active"})
    assert (restored.status_code, restored.json()["status"]) == (200, "active")
    assert len(world.requests_that_changed(unit["id"])) == 4


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 422, "invalid_field", None),
        ({"status": "gone"}, 422, "invalid_field", "status"),
        ({"status": None}, 422, "invalid_field", "status"),
        ({"name": None}, 422, "invalid_field", "name"),
        ({"name": ""}, 422, "invalid_field", "name"),
        ({"timezone_name": "Mars/Phobos"}, 422, "invalid_field", "timezone_name"),
        ({"archived": True}, 422, "unknown_field", "archived"),
        ({"name": "Taken"}, 409, "already_exists", "name"),
    ],
)
def test_a_wrong_change_of_a_business_unit_is_named(
    world: World, tenant: Tenant, body: dict[str, object], status: int, code: str, field: str | None
) -> None:
    world.call("POST", UNITS, key=tenant.admin, json={**BERLIN, "name": "Taken"})
    unit = world.call("POST", UNITS, key=tenant.admin, json=BERLIN).json()
    before = world.state()
    answer = world.call("PATCH", f"{UNITS}/{unit['id']}", key=tenant.admin, json=body)
    assert problem_of(answer) == (status, code, field)
    assert world.state() == before


def test_another_tenants_unit_is_not_changed(world: World, tenant: Tenant) -> None:
    unit = world.call("POST", UNITS, key=world.onboard("Other").admin, json=BERLIN).json()["id"]
    for unit_id in (unit, new_id()):
        answer = world.call("PATCH", f"{UNITS}/{unit_id}", key=tenant.admin, json={"name": "x"})
        assert problem_of(answer)[:2] == (404, "not_found")
        assert problem_of(world.call("POST", f"{UNITS}/{unit_id}/archive", key=tenant.admin))[0] == 404
    assert problem_of(world.call("POST", f"{UNITS}/x/archive", key=tenant.admin))[0] == 422
