"""`/roles` and `/permissions`."""

from __future__ import annotations

import pytest
from tests.http.control.harness import KEYS, Tenant, World, problem_of

from hatchpay.access.permission import CONTROL_PERMISSIONS, PLATFORM_PERMISSIONS
from hatchpay.ids import new_id

TILL = {"name": "Till", "description": "At the till", "permissions": ["access.roles.read"]}


def test_a_new_tenant_has_the_three_built_in_roles(world: World, tenant: Tenant) -> None:
    answer = world.call("GET", "/roles", key=tenant.admin).json()
    roles = {role["name"]: role for role in answer["data"]}
    assert set(roles) == {"admin", "viewer", "gl"}
    assert all(role["builtin"] for role in roles.values())
    assert roles["admin"]["permissions"] == sorted(permission.name for permission in CONTROL_PERMISSIONS)
    assert roles["viewer"]["permissions"] == [
        "access.permissions.read",
        "access.roles.read",
        "business-unit.business-units.read",
    ]
    one = world.call("GET", f"/roles/{tenant.roles['gl']}", key=tenant.admin)
    assert one.json() == roles["gl"]


def test_a_custom_role_is_made_read_replaced_and_deleted(world: World, tenant: Tenant) -> None:
    made = world.call("POST", "/roles", key=tenant.admin, json=TILL)
    assert made.status_code == 201
    role = made.json()
    assert made.headers["location"] == f"/roles/{role['id']}"
    assert role == TILL | {"id": role["id"], "builtin": False, "rate_limits": []}
    path = f"/roles/{role['id']}"
    assert world.call("GET", path, key=tenant.admin).json() == role

    new = {"name": "Till 2", "permissions": ["access.permissions.read", "access.roles.read"]}
    replaced = world.call("PUT", path, key=tenant.admin, json=new)
    assert replaced.status_code == 200
    assert replaced.json() == new | {"id": role["id"], "builtin": False, "description": "", "rate_limits": []}

    assert world.call("DELETE", path, key=tenant.admin).status_code == 204
    assert problem_of(world.call("GET", path, key=tenant.admin)) == (404, "not_found", None)


@pytest.mark.parametrize("name", ["admin", "viewer", "gl"])
def test_a_built_in_role_cannot_be_changed(world: World, tenant: Tenant, name: str) -> None:
    before = world.state()
    path = f"/roles/{tenant.roles[name]}"
    assert problem_of(world.call("PUT", path, key=tenant.admin, json=TILL))[:2] == (409, "builtin_role")
    assert problem_of(world.call("DELETE", path, key=tenant.admin))[:2] == (409, "builtin_role")
    assert world.state() == before


def test_a_role_that_keys_hold_cannot_be_deleted(world: World, tenant: Tenant) -> None:
    role_id = world.call("POST", "/roles", key=tenant.admin, json=TILL).json()["id"]
    key_id = world.create(tenant)
    world.call("PUT", f"{KEYS}/{key_id}/roles", key=tenant.admin, json={"role_ids": [role_id]})
    answer = world.call("DELETE", f"/roles/{role_id}", key=tenant.admin)
    assert problem_of(answer)[:2] == (409, "role_in_use")


@pytest.mark.parametrize(
    ("permissions", "code"),
    [
        (["payment-proxy.transactions.fly"], "unknown_permission"),
        (["platform.tenants.create"], "unknown_permission"),
        (["*"], "unknown_permission"),
        (["access.roles.read", "access.roles.read"], "duplicate_permission"),
    ],
)
def test_a_role_holds_permissions_of_the_catalogue_only(
    world: World, tenant: Tenant, permissions: list[str], code: str
) -> None:
    before = world.state()
    answer = world.call("POST", "/roles", key=tenant.admin, json={"name": "Odd", "permissions": permissions})
    assert problem_of(answer) == (422, code, "permissions")
    assert world.state() == before


def test_two_roles_cannot_have_one_name(world: World, tenant: Tenant) -> None:
    world.call("POST", "/roles", key=tenant.admin, json=TILL)
    answer = world.call("POST", "/roles", key=tenant.admin, json=TILL)
    assert problem_of(answer) == (409, "already_exists", "name")


def test_another_tenants_role_does_not_exist(world: World, tenant: Tenant) -> None:
    other = world.onboard("Other")
    role_id = world.call("POST", "/roles", key=other.admin, json=TILL).json()["id"]
    before = world.state()
    for method, body in (("GET", None), ("PUT", TILL), ("DELETE", None)):
        answer = world.call(method, f"/roles/{role_id}", key=tenant.admin, json=body)
        assert problem_of(answer) == (404, "not_found", None)
    assert world.state() == before


def test_the_permissions_are_told_with_what_they_are(world: World, tenant: Tenant) -> None:
    answer = world.call("GET", "/permissions?limit=200", key=tenant.admin).json()
    assert answer["next_cursor"] is None
    assert [permission["name"] for permission in answer["data"]] == sorted(
        permission.name for permission in CONTROL_PERMISSIONS
    )
    assert {"name", "description", "service", "read_only", "sensitive", "administrative"} == set(answer["data"][0])


def test_platform_permissions_are_in_no_tenants_list(world: World, tenant: Tenant) -> None:
    platform = {permission.name for permission in PLATFORM_PERMISSIONS}
    text = world.call("GET", "/permissions", key=tenant.admin).text
    text += world.call("GET", "/roles", key=tenant.admin).text
    assert not any(name in text for name in platform)
    assert "operator" not in text


def test_permissions_are_paged(world: World, tenant: Tenant) -> None:
    first = world.call("GET", "/permissions?limit=3", key=tenant.admin).json()
    cursor = first["next_cursor"]
    second = world.call("GET", f"/permissions?limit=3&cursor={cursor}", key=tenant.admin).json()
    names = [permission["name"] for permission in (*first["data"], *second["data"])]
    assert names == sorted(permission.name for permission in CONTROL_PERMISSIONS)[:6]


def test_an_unknown_role_does_not_exist(world: World, tenant: Tenant) -> None:
    assert problem_of(world.call("GET", f"/roles/{new_id()}", key=tenant.admin)) == (404, "not_found", None)
