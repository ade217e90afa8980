"""`ETag` and `If-Match` over HTTP: what was read may be changed as long as it still is what was read."""

from __future__ import annotations

from typing import Any

import pytest
from tests.http.control.harness import KEYS, UNITS, Tenant, World, problem_of
from tests.support.issuer import serving_issuer

ISSUERS = "/v1/auth/issuers"


def test_a_lost_race_is_told_and_nothing_is_lost(world: World, tenant: Tenant) -> None:
    path = f"{KEYS}/{world.create(tenant)}"
    read = world.call("GET", path, key=tenant.admin)
    condition = {"If-Match": read.headers["etag"]}

    first = world.call("PATCH", path, key=tenant.admin, json={"name": "First"}, headers=condition)
    second = world.call("PATCH", path, key=tenant.admin, json={"name": "Second"}, headers=condition)

    assert first.status_code == 200
    assert problem_of(second) == (412, "precondition_failed", None)
    assert world.call("GET", path, key=tenant.admin).json()["name"] == "First"

    again = {"If-Match": first.headers["etag"]}
    assert world.call("PATCH", path, key=tenant.admin, json={"name": "Second"}, headers=again).status_code == 200


def test_every_call_that_changes_something_heeds_the_condition(world: World, tenant: Tenant) -> None:
    with serving_issuer(["EdDSA"], audience="https://api.test") as issuer:
        trusted = {"issuer": issuer.url, "audience": issuer.audience, "ceiling": ["access.roles.read"]}
        key = f"{KEYS}/{world.create(tenant)}"
        role = f"/roles/{posted(world, tenant, '/roles', {'name': 'Till', 'permissions': []})['id']}"
        trust = f"{ISSUERS}/{posted(world, tenant, ISSUERS, trusted)['id']}"
        calls: list[tuple[str, str, str, Any]] = [
            ("PATCH", key, key, {"name": "New"}),
            ("PUT", f"{key}/roles", key, {"role_ids": [tenant.roles["viewer"]]}),
            ("POST", f"{key}/rotate", key, {"grace_seconds": 60}),
            ("DELETE", f"{key}/previous-secrets", key, None),
            ("DELETE", key, key, None),
            ("PUT", role, role, {"name": "Till 2", "permissions": []}),
            ("DELETE", role, role, None),
            ("PATCH", trust, trust, {"status": "disabled"}),
            ("DELETE", trust, trust, None),
        ]
        for method, path, resource, body in calls:
            more = {} if body is None else {"json": body}
            tag = world.call("GET", resource, key=tenant.admin).headers["etag"]
            before = world.state()
            for wrong in ('"0123"', f"W/{tag}"):
                answer = world.call(method, path, key=tenant.admin, headers={"If-Match": wrong}, **more)
                assert problem_of(answer) == (412, "precondition_failed", None), path
            malformed = world.call(method, path, key=tenant.admin, headers={"If-Match": tag[:-1]}, **more)
            assert problem_of(malformed) == (400, "invalid_if_match", None)
            assert world.state() == before

            condition = {"If-Match": f'"0123", {tag}'}
            answer = world.call(method, path, key=tenant.admin, headers=condition, **more)
            assert answer.status_code in {200, 204}, answer.text
            if answer.status_code == 200:
                assert answer.headers["etag"] == world.call("GET", resource, key=tenant.admin).headers["etag"] != tag


def test_what_is_made_has_the_tag_that_reading_it_gives(world: World, tenant: Tenant) -> None:
    for path, body in (
        (KEYS, {"name": "Till"}),
        ("/roles", {"name": "Till", "permissions": ["access.roles.read"]}),
        (UNITS, {"name": "Zürich", "timezone_name": "Europe/Zurich"}),
    ):
        made = world.call("POST", path, key=tenant.admin, json=body)
        read = world.call("GET", made.headers["location"], key=tenant.admin)
        assert made.headers["etag"] == read.headers["etag"]
        assert read.headers["etag"].startswith('"')
        head = world.call("HEAD", made.headers["location"], key=tenant.admin)
        assert head.headers["etag"] == read.headers["etag"]


def test_a_star_is_met_by_whatever_exists_and_by_nothing_else(world: World, tenant: Tenant) -> None:
    path = f"{KEYS}/{world.create(tenant)}"
    anything = {"If-Match": "*"}
    assert world.call("PATCH", path, key=tenant.admin, json={"name": "A"}, headers=anything).status_code == 200
    assert world.call("DELETE", path, key=tenant.admin, headers=anything).status_code == 204
    assert problem_of(world.call("DELETE", path, key=tenant.admin, headers=anything))[0] == 404


@pytest.mark.parametrize("path", [KEYS, "/roles", UNITS])
def test_a_list_has_no_tag(world: World, tenant: Tenant, path: str) -> None:
    assert "etag" not in world.call("GET", path, key=tenant.admin).headers


def posted(world: World, tenant: Tenant, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = world.call("POST", path, key=tenant.admin, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
