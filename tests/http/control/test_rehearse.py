"""`/v1/access/rehearse`: what it takes, and how it refuses the rest."""

from __future__ import annotations

from typing import Any

import pytest
from tests.http.control.harness import UNITS, Tenant, World, problem_of

from hatchpay.ids import new_id

REHEARSE = "/v1/access/rehearse"


def used(world: World, tenant: Tenant, key_id: str, **fields: Any) -> str:
    """An allowed reading of the roles by this key; its id."""
    values = {"route": "/roles", "permission": "access.roles.read", "decision": "allow", "reason": "role_grants"}
    return world.record(tenant.id, principal_id=key_id, key_id=key_id, rule="role:viewer", **(values | fields))


def change_of(key_id: str, *role_ids: str) -> dict[str, Any]:
    return {"change": {"key_id": key_id, "role_ids": list(role_ids)}}


def test_a_short_one_is_answered_in_one_line_of_plain_json(world: World, tenant: Tenant) -> None:
    till = world.create(tenant, "viewer")
    request_id = used(world, tenant, till)
    before = world.changes
    answer = world.call("POST", REHEARSE, key=tenant.admin, json=change_of(till))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.count("\n") == 1
    result = answer.json()
    assert list(result) == [
        *("from", "to", "requests", "skipped", "undecided", "undecided_because", "denied", "allowed"),
    ]
    (group,) = result["denied"]["groups"]
    assert list(group) == [
        *("principal_id", "key_id", "name", "method", "route", "permission", "count", "reason", "missing", "samples"),
        *("first_at", "last_at"),
    ]
    assert (group["samples"], group["count"]) == ([request_id], 1)
    assert world.changes == before


def test_the_span_may_be_said(world: World, tenant: Tenant) -> None:
    till = world.create(tenant, "viewer")
    old = used(world, tenant, till, started_us=1_000_000)
    used(world, tenant, till, started_us=2_000_000)
    span = {"from": "1970-01-01T01:00:01+01:00", "to": "1970-01-01T00:00:02Z"}
    result = world.call("POST", REHEARSE, key=tenant.admin, json=change_of(till) | span).json()
    assert [group["samples"] for group in result["denied"]["groups"]] == [[old]]
    assert (result["from"], result["to"]) == ("1970-01-01T00:00:01.000000Z", "1970-01-01T00:00:02.000000Z")


def test_a_caller_of_chosen_units_sees_theirs_only(world: World, tenant: Tenant) -> None:
    berlin, paris = (
        world.call("POST", UNITS, key=tenant.admin, json={"name": zone, "timezone_name": zone}).json()["id"]
        for zone in ("Europe/Berlin", "Europe/Paris")
    )
    clerk = world.create(tenant, "admin", business_unit_ids=[berlin])
    till = world.create(tenant, "viewer", business_unit_ids=[berlin])
    here = used(world, tenant, till, business_unit_id=berlin)
    used(world, tenant, till, business_unit_id=paris)
    used(world, tenant, till)
    result = world.call("POST", REHEARSE, key=clerk, json=change_of(till)).json()
    assert result["requests"] == 1
    assert [group["samples"] for group in result["denied"]["groups"]] == [[here]]


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (422, "invalid_field", "change")),
        ({"change": {}}, (422, "invalid_field", "change")),
        ({"change": None}, (422, "invalid_field", "change")),
        ({"change": {"key_id": new_id()}}, (422, "invalid_field", "change")),
        ({"change": {"role_ids": []}}, (422, "invalid_field", "change")),
        ({"change": {"key_id": new_id(), "permissions": []}}, (422, "invalid_field", "change")),
        ({"change": {"key_id": new_id(), "role_ids": [], "policy": None}}, (422, "invalid_field", "change")),
        ({"change": {"policy": None}}, (422, "invalid_field", "change.policy")),
        ({"change": {"key_id": None, "role_ids": []}}, (422, "invalid_field", "change.key_id")),
        ({"change": {"key_id": "7", "role_ids": []}}, (422, "invalid_uuid", "change.key_id")),
        ({"change": {"key_id": new_id(), "role_ids": ["7"]}}, (422, "invalid_uuid", "change.role_ids.0")),
        ({"change": {"key_id": new_id(), "role_ids": "7"}}, (422, "invalid_field", "change.role_ids")),
        ({"change": {"key_id": new_id(), "role_ids": []}}, (422, "unknown_key", "change.key_id")),
        ({"change": {"role_id": new_id(), "permissions": []}}, (422, "unknown_role", "change.role_id")),
        ({"change": {"role_id": new_id(), "permissions": [""]}}, (422, "invalid_field", "change.permissions.0")),
        ({"change": {"tenant_id": new_id()}}, (422, "unknown_field", "change.tenant_id")),
        ({"change": {"policy": {"name": "x"}}}, (422, "invalid_field", "change.policy.text")),
        ({"change": {"policy": {"name": "x", "text": ""}}}, (422, "policies_unavailable", "change.policy")),
        ({**change_of(new_id()), "from": "yesterday"}, (422, "invalid_field", "from")),
        ({**change_of(new_id()), "from": "2999-01-01T00:00:00Z"}, (422, "invalid_field", "from")),
        ({**change_of(new_id()), "limit": 1}, (422, "unknown_field", "limit")),
    ],
)
def test_what_cannot_be_meant_is_refused_and_named(
    world: World, tenant: Tenant, body: Any, refusal: tuple[int, str, str]
) -> None:
    assert problem_of(world.call("POST", REHEARSE, key=tenant.admin, json=body)) == refusal


def test_the_roles_that_a_real_change_would_refuse_are_refused(world: World, tenant: Tenant) -> None:
    till, other = world.create(tenant), world.onboard("Other")
    foreign = world.call("POST", REHEARSE, key=tenant.admin, json=change_of(till, other.roles["viewer"]))
    assert problem_of(foreign) == (422, "unknown_role", "change.role_ids")
    builtin = {"change": {"role_id": tenant.roles["gl"], "permissions": []}}
    answer = world.call("POST", REHEARSE, key=tenant.admin, json=builtin)
    assert problem_of(answer) == (409, "builtin_role", "change.role_id")


def test_where_the_record_cannot_be_read_it_is_refused_like_any_other_call(world: World, tenant: Tenant) -> None:
    till = world.create(tenant)
    world.lose_the_ledger()
    answer = world.call("POST", REHEARSE, key=tenant.admin, json=change_of(till))
    assert problem_of(answer) == (503, "audit_unavailable", None)
