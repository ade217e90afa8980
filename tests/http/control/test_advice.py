"""`/v1/access/advice`: who gets which answer, and how a call is refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.http.control.harness import Tenant, World, problem_of

from hatchpay.clock import wall_us
from hatchpay.ids import new_id

NOBODY = "01a20d22-288f-7309-99a5-3bea8222f64e"

ADVICE = "/v1/access/advice"
ROLES = "access.roles.read"


def used(world: World, tenant: Tenant, key_id: str, permission: str, times: int = 1) -> None:
    for number in range(times):
        fields = {"key_id": key_id, "permission": permission, "decision": "allow", "rule": "role:admin"}
        world.record(tenant.id, started_us=wall_us() - 1_000_000 + number, **fields)


def advice(world: World, tenant: Tenant, **wanted: Any) -> dict[str, Any]:
    answer = world.call("GET", ADVICE, key=tenant.admin, params=wanted)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_three_answers_say_what_they_are_about(world: World, tenant: Tenant) -> None:
    key_id = world.create(tenant, "viewer", "admin")
    used(world, tenant, key_id, ROLES, 3)
    key = advice(world, tenant, key_id=key_id, days=7)
    assert (key["kind"], key["key_id"], key["days"], key["requests"]) == ("key", key_id, 7, 3)
    assert [use["permission"] for use in key["used"]] == [ROLES]
    assert key["findings"][0]["code"] == "admin_only_reads"
    assert key["proposed_role"] == {"name": "Till (least privilege)", "permissions": [ROLES]}
    assert key["smallest_role"] == {"id": tenant.roles["viewer"], "name": "viewer", "unused": 2}

    role = advice(world, tenant, role_id=tenant.roles["viewer"])
    assert (role["kind"], role["builtin"], role["days"]) == ("role", True, 30)
    assert role["used_by_one_key_only"] == [{"permission": ROLES, "key_id": key_id, "key_name": "Till"}]

    everything = advice(world, tenant)
    assert (everything["kind"], everything["key_count"]) == ("overview", 2)
    assert {line["key_id"] for line in everything["data"]} == {key_id, tenant.admin}


def test_one_call_applies_it(world: World, tenant: Tenant) -> None:
    key_id = world.create(tenant, "viewer", "admin")
    used(world, tenant, key_id, ROLES)
    changes = world.changes
    answer = world.call("POST", ADVICE, key=tenant.admin, json={"key_id": key_id, "force": True})
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert (done["key_id"], done["created"], done["permissions_after"]) == (key_id, True, 1)
    assert done["role"]["permissions"] == [ROLES]
    assert set(world.principal(key_id).grants) == {ROLES}
    assert world.changes == changes + 1


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("key_id=1", (422, "invalid_uuid", "key_id")),
        ("role_id=1", (422, "invalid_uuid", "role_id")),
        ("days=0", (422, "invalid_field", "days")),
        ("days=366", (422, "invalid_field", "days")),
        ("days=1e1", (422, "invalid_field", "days")),
        ("days=%2B7", (422, "invalid_field", "days")),
        ("day=7", (422, "unknown_parameter", "day")),
        ("days=7&days=7", (400, "duplicate_parameter", "days")),
        (f"key_id={NOBODY}&role_id={NOBODY}", (422, "invalid_field", "role_id")),
        (f"key_id={NOBODY}", (404, "not_found", None)),
        (f"role_id={NOBODY}", (404, "not_found", None)),
    ],
)
def test_a_query_that_is_wrong_is_refused(
    world: World, tenant: Tenant, query: str, refusal: tuple[int, str, str | None]
) -> None:
    assert problem_of(world.call("GET", f"{ADVICE}?{query}", key=tenant.admin)) == refusal


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (422, "invalid_field", "key_id")),
        ({"key_id": "1"}, (422, "invalid_uuid", "key_id")),
        ({"key_id": new_id(), "days": "7"}, (422, "invalid_field", "days")),
        ({"key_id": new_id(), "days": 366}, (422, "invalid_field", "days")),
        ({"key_id": new_id(), "force": 1}, (422, "invalid_field", "force")),
        ({"key_id": new_id(), "forced": True}, (422, "unknown_field", "forced")),
        ({"key_id": new_id()}, (404, "not_found", None)),
        ({"role_id": new_id()}, (404, "not_found", None)),
    ],
)
def test_a_body_that_is_wrong_is_refused(
    world: World, tenant: Tenant, body: dict[str, Any], refusal: tuple[int, str, str | None]
) -> None:
    before = world.state()
    assert problem_of(world.call("POST", ADVICE, key=tenant.admin, json=body)) == refusal
    assert world.state() == before


def test_what_would_break_names_the_permission(world: World, tenant: Tenant) -> None:
    key_id = world.create(tenant, "viewer", "admin")
    used(world, tenant, key_id, "audit-log.history.read")
    body = {"key_id": key_id, "role_id": tenant.roles["viewer"], "force": True}
    answer = world.call("POST", ADVICE, key=tenant.admin, json=body)
    assert problem_of(answer) == (409, "advice_breaks_use", None)
    assert answer.json()["permission"] == "audit-log.history.read"
