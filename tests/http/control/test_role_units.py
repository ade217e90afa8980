"""`PUT /v1/api-key/keys/{id}/roles` with roles for chosen business units."""

from __future__ import annotations

from typing import Any

import pytest
from tests.http.control.harness import KEYS, UNITS, Tenant, World, problem_of

from hatchpay.ids import new_id


def unit(world: World, tenant: Tenant, name: str = "Berlin") -> str:
    made = world.call("POST", UNITS, key=tenant.admin, json={"name": name, "timezone_name": "Europe/Berlin"})
    return str(made.json()["id"])


def test_a_role_is_attached_for_chosen_units_and_shown_so(world: World, tenant: Tenant) -> None:
    key, berlin = world.create(tenant), unit(world, tenant)
    viewer, ledger = tenant.roles["viewer"], tenant.roles["gl"]
    body = {"role_ids": [viewer, ledger], "business_unit_ids": {ledger: [berlin]}}

    answer = world.call("PUT", f"{KEYS}/{key}/roles", key=tenant.admin, json=body)

    assert answer.status_code == 200
    assert answer.json()["roles"] == [
        {"id": ledger, "name": "gl", "business_unit_ids": [berlin]},
        {"id": viewer, "name": "viewer", "business_unit_ids": None},
    ]
    assert world.call("GET", f"{KEYS}/{key}", key=tenant.admin).json() == answer.json()


def test_the_ids_of_roles_alone_attach_for_the_whole_tenant(world: World, tenant: Tenant) -> None:
    key, viewer = world.create(tenant), tenant.roles["viewer"]
    for body in ({"role_ids": [viewer]}, {"role_ids": [viewer], "business_unit_ids": {}}):
        answer = world.call("PUT", f"{KEYS}/{key}/roles", key=tenant.admin, json=body)
        assert [role["business_unit_ids"] for role in answer.json()["roles"]] == [None]


@pytest.mark.parametrize(
    ("units", "status", "code", "field"),
    [
        (None, 422, "invalid_field", "business_unit_ids"),
        ([], 422, "invalid_field", "business_unit_ids"),
        ({"viewer": None}, 422, "invalid_field", "business_unit_ids.?"),
        ({"viewer": []}, 422, "invalid_field", "business_unit_ids.?"),
        ({"viewer": ["x"]}, 422, "invalid_uuid", "business_unit_ids.?.0"),
        ({"x": ["unit"]}, 422, "invalid_uuid", "business_unit_ids.x"),
        ({"viewer": ["unit", "unit"]}, 422, "duplicate_business_unit", "business_unit_ids"),
        ({"viewer": ["nobodys"]}, 422, "unknown_business_unit", "business_unit_ids"),
        ({"viewer": ["archived"]}, 422, "business_unit_archived", "business_unit_ids"),
        ({"gl": ["unit"]}, 422, "unknown_role", "business_unit_ids"),
        ({"viewer": ["many"] * 51}, 422, "invalid_field", "business_unit_ids.?"),
    ],
)
def test_a_wrong_scope_is_named(world: World, tenant: Tenant, units: Any, status: int, code: str, field: str) -> None:
    key, viewer = world.create(tenant), tenant.roles["viewer"]
    known = {"unit": unit(world, tenant), "nobodys": new_id(), "archived": unit(world, tenant, "old")}
    world.call("POST", f"{UNITS}/{known['archived']}/archive", key=tenant.admin)
    if isinstance(units, dict):
        units = {
            tenant.roles.get(role, role): ids and [new_id() if one == "many" else known.get(one, one) for one in ids]
            for role, ids in units.items()
        }
    before = world.state()
    body = {"role_ids": [viewer], "business_unit_ids": units}
    answer = world.call("PUT", f"{KEYS}/{key}/roles", key=tenant.admin, json=body)
    assert problem_of(answer) == (status, code, field)
    assert world.state() == before
