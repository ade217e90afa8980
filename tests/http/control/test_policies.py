"""`/v1/policies`."""

from __future__ import annotations

from typing import Any

import pytest
from tests.http.control.harness import KEYS, Tenant, World, problem_of

from hatchpay.ids import new_id

POLICIES = "/v1/policies"
ROLES = 'forbid(principal is User, action == Action::"access.roles.read", resource);'
BODY = {"name": "No users at the roles", "text": ROLES}
MIB = 1024 * 1024


def test_a_policy_is_made_read_replaced_and_deleted(world: World, tenant: Tenant) -> None:
    made = world.call("POST", POLICIES, key=tenant.admin, json=BODY)
    assert made.status_code == 201
    policy = made.json()
    assert policy == BODY | {"id": policy["id"], "created_at": policy["created_at"], "updated_at": policy["created_at"]}
    path = f"{POLICIES}/{policy['id']}"
    assert made.headers["location"] == path
    assert world.call("GET", path, key=tenant.admin).json() == policy
    assert world.call("GET", POLICIES, key=tenant.admin).json() == {"data": [policy], "next_cursor": None}

    replaced = world.call("PUT", path, key=tenant.admin, json={"name": "N", "text": ROLES + ROLES})
    assert replaced.status_code == 200
    assert (replaced.json()["name"], replaced.json()["text"]) == ("N", ROLES + ROLES)

    assert world.call("DELETE", path, key=tenant.admin).status_code == 204
    assert problem_of(world.call("GET", path, key=tenant.admin)) == (404, "not_found", None)


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        (f"{ROLES}\n  forbid(principal, actoin, resource);", "policy_invalid", (2, 21)),
        (ROLES.replace("roles", "rolls"), "policy_invalid", (1, 37)),
        (f"{ROLES}\npermit(principal, action, resource);", "policy_permits", (2, 1)),
        ("// nothing", "policy_invalid", (None, None)),
    ],
)
def test_a_wrong_text_is_a_422_with_line_and_column(
    world: World, tenant: Tenant, text: str, code: str, place: tuple[int | None, int | None]
) -> None:
    before = world.state()
    answer = world.call("POST", POLICIES, key=tenant.admin, json=BODY | {"text": text})
    assert problem_of(answer) == (422, code, "text")
    assert (answer.json().get("line"), answer.json().get("column")) == place
    assert world.state() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "N"}, "text"),
        ({"text": ROLES}, "name"),
        (BODY | {"text": ""}, "text"),
        (BODY | {"text": [ROLES]}, "text"),
        (BODY | {"name": "x" * 121}, "name"),
        (BODY | {"id": new_id()}, "id"),
    ],
)
def test_a_wrong_body_is_refused(world: World, tenant: Tenant, body: dict[str, Any], field: str) -> None:
    assert problem_of(world.call("POST", POLICIES, key=tenant.admin, json=body))[::2] == (422, field)


def test_a_text_of_the_largest_size_arrives_escaped_and_one_byte_more_is_refused(world: World, tenant: Tenant) -> None:
    filler = ROLES + '\n//"\\'
    text = filler + '"' * (MIB - len(filler))
    made = world.call("POST", POLICIES, key=tenant.admin, json=BODY | {"text": text})
    assert made.status_code == 201, made.text[:300]
    path = f"{POLICIES}/{made.json()['id']}"
    assert world.call("GET", path, key=tenant.admin).json()["text"] == text
    wide = BODY | {"text": text[:-1] + "é"}
    assert problem_of(world.call("PUT", path, key=tenant.admin, json=wide)) == (409, "policy_set_too_large", "text")
    long = BODY | {"text": text + '"'}
    assert problem_of(world.call("PUT", path, key=tenant.admin, json=long)) == (422, "invalid_field", "text")
    assert problem_of(world.call("PUT", path, key=tenant.admin, json=BODY | {"text": text * 2}))[:2] == (
        413,
        "body_too_large",
    )


def test_whoever_lacks_a_permission_of_the_tenant_writes_no_policy(world: World, tenant: Tenant) -> None:
    permissions = ["access.policies.create", "access.policies.read"]
    role = world.call("POST", "/roles", key=tenant.admin, json={"name": "Writer", "permissions": permissions}).json()
    key_id = world.create(tenant)
    world.call("PUT", f"{KEYS}/{key_id}/roles", key=tenant.admin, json={"role_ids": [role["id"]]})
    answer = world.call("POST", POLICIES, key=key_id, json=BODY)
    assert problem_of(answer)[:2] == (403, "grant_exceeds_caller")
    assert world.call("GET", POLICIES, key=key_id).json()["data"] == []


def test_a_lock_out_is_judged_from_where_the_caller_calls(world: World, tenant: Tenant) -> None:
    inside, outside = (
        f'forbid(principal, action, resource) unless {{ context.client_ip.isInRange(ip("{network}")) }};'
        for network in ("127.0.0.0/8", "10.0.0.0/8")
    )
    assert world.call("POST", POLICIES, key=tenant.admin, json={"name": "In", "text": inside}).status_code == 201
    answer = world.call("POST", POLICIES, key=tenant.admin, json={"name": "Out", "text": outside})
    assert problem_of(answer) == (409, "policy_locks_out", "text")
    assert "administrator" in answer.json()["detail"]
