"""`/v1/api-key/keys`, from the mission's own calls on."""

from __future__ import annotations

import pytest
from tests.http.control.harness import KEYS, Tenant, World, problem_of

from hatchpay.ids import new_id
from hatchpay.tokens import apikey

FUTURE = "2999-01-01T00:00:00Z"


def test_the_missions_two_calls_make_a_key_and_attach_a_role(world: World, tenant: Tenant) -> None:
    body = {"name": "Tenant API key", "description": "Default tenant API key"}
    created = world.call("POST", KEYS, key=tenant.admin, json=body)
    assert created.status_code == 201
    key = created.json()
    assert (key["name"], key["description"]) == ("Tenant API key", "Default tenant API key")
    assert (key["status"], key["roles"], key["environment"]) == ("enabled", [], "live")
    assert apikey.parse(key["key"]).id == key["id"]
    assert created.headers["location"] == f"{KEYS}/{key['id']}"

    attached = world.call(
        "PUT", f"{KEYS}/{key['id']}/roles", key=tenant.admin, json={"role_ids": [tenant.roles["viewer"]]}
    )
    assert attached.status_code == 200
    assert attached.json()["roles"] == [{"id": tenant.roles["viewer"], "name": "viewer", "business_unit_ids": None}]
    assert world.principal(key["id"]).may("access.roles.read")


def test_a_keys_text_is_shown_once(world: World, tenant: Tenant) -> None:
    created = world.call("POST", KEYS, key=tenant.admin, json={"name": "Till"}).json()
    text = created["key"]
    answers = [
        world.call("GET", KEYS, key=tenant.admin),
        world.call("GET", f"{KEYS}/{created['id']}", key=tenant.admin),
        world.call("PATCH", f"{KEYS}/{created['id']}", key=tenant.admin, json={"name": "Till 2"}),
        world.call("PUT", f"{KEYS}/{created['id']}/roles", key=tenant.admin, json={"role_ids": []}),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert text not in answer.text
        assert '"key":' not in answer.text
    assert answers[1].json()["prefix"] == text[:30]
    assert answers[1].json()["last_four"] == text[-4:]


def test_every_field_of_a_key_comes_back(world: World, tenant: Tenant) -> None:
    body = {
        "name": "Till",
        "description": "In the shop",
        "environment": "test",
        "owner": "Ada",
        "expires_at": "2999-01-01T01:00:00+01:00",
        "allowed_cidrs": ["192.0.2.0/24", "2001:db8::/32"],
        "metadata": {"floor": "2"},
    }
    key_id = world.call("POST", KEYS, key=tenant.admin, json=body).json()["id"]
    key = world.call("GET", f"{KEYS}/{key_id}", key=tenant.admin).json()
    assert {name: key[name] for name in body} == body | {"expires_at": "2999-01-01T00:00:00.000000Z"}


def test_keys_are_listed_newest_first_page_by_page(world: World, tenant: Tenant) -> None:
    made = [world.create(tenant) for _ in range(4)]
    found: list[str] = []
    cursor = ""
    pages = 0
    while pages == 0 or cursor:
        answer = world.call("GET", f"{KEYS}?limit=2{cursor}", key=tenant.admin).json()
        assert set(answer) == {"data", "next_cursor"}
        found += [key["id"] for key in answer["data"]]
        cursor = f"&cursor={answer['next_cursor']}" if answer["next_cursor"] else ""
        pages += 1
    assert found == [*reversed(made), tenant.admin]
    assert pages == 3


def test_a_change_touches_only_what_it_names(world: World, tenant: Tenant) -> None:
    key_id = world.create(tenant, owner="Ada", allowed_cidrs=["192.0.2.0/24"])
    before = world.call("GET", f"{KEYS}/{key_id}", key=tenant.admin).json()
    changed = world.call("PATCH", f"{KEYS}/{key_id}", key=tenant.admin, json={"status": "disabled"})
    assert changed.status_code == 200
    after = changed.json()
    assert after["status"] == "disabled"
    assert {name for name in before if before[name] != after[name]} == {"status", "updated_at"}


def test_null_lifts_a_limit(world: World, tenant: Tenant) -> None:
    key_id = world.create(tenant, owner="Ada", allowed_cidrs=["192.0.2.0/24"], expires_at=FUTURE)
    lifted = dict.fromkeys(("owner", "allowed_cidrs", "expires_at"))
    changed = world.call("PATCH", f"{KEYS}/{key_id}", key=tenant.admin, json=lifted).json()
    assert {name: changed[name] for name in lifted} == lifted


def test_a_deleted_key_is_gone_and_its_roles_with_it(world: World, tenant: Tenant) -> None:
    key_id = world.create(tenant, "viewer")
    deleted = world.call("DELETE", f"{KEYS}/{key_id}", key=tenant.admin)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert world.principal(key_id).grants == {}
    assert problem_of(world.call("GET", f"{KEYS}/{key_id}", key=tenant.admin)) == (404, "not_found", None)


@pytest.mark.parametrize("body", [None, {}, {"grace_seconds": 0}])
def test_a_rotation_ends_the_old_secret_at_once_unless_told_otherwise(
    world: World, tenant: Tenant, body: object
) -> None:
    old = world.call("POST", KEYS, key=tenant.admin, json={"name": "Till"}).json()
    rotated = world.call("POST", f"{KEYS}/{old['id']}/rotate", key=tenant.admin, json=body)
    assert rotated.status_code == 200
    assert apikey.parse(rotated.json()["key"]).id == old["id"]
    assert rotated.json()["key"] != old["key"]
    assert rotated.json()["previous_secrets"] == []


def test_a_grace_period_can_be_seen_and_ended(world: World, tenant: Tenant) -> None:
    old = world.call("POST", KEYS, key=tenant.admin, json={"name": "Till"}).json()
    path = f"{KEYS}/{old['id']}"
    world.call("POST", f"{path}/rotate", key=tenant.admin, json={"grace_seconds": 2_592_000})
    world.record(tenant.id, key_id=old["id"], secret_version=1, client_ip="192.0.2.7", started_us=1_000_000)
    (previous,) = world.call("GET", path, key=tenant.admin).json()["previous_secrets"]
    assert previous["last_four"] == old["key"][-4:]
    assert previous["last_used_at"] == "1970-01-01T00:00:01.000000Z"
    assert previous["last_used_ip"] == "192.0.2.7"

    ended = world.call("DELETE", f"{path}/previous-secrets", key=tenant.admin)
    assert ended.status_code == 200
    assert ended.json()["previous_secrets"] == []
    assert "key" not in ended.json()


def test_another_tenants_key_does_not_exist(world: World, tenant: Tenant) -> None:
    other = world.onboard("Other")
    path = f"{KEYS}/{other.admin}"
    before = world.state()
    for method, suffix, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "Mine"}),
        ("DELETE", "", None),
        ("PUT", "/roles", {"role_ids": []}),
        ("POST", "/rotate", {}),
        ("DELETE", "/previous-secrets", None),
    ):
        answer = world.call(method, path + suffix, key=tenant.admin, json=body)
        assert problem_of(answer) == (404, "not_found", None), method
    assert world.state() == before


def test_a_key_cannot_be_given_more_than_its_giver_holds(world: World, tenant: Tenant) -> None:
    role = world.call(
        "POST",
        "/roles",
        key=tenant.admin,
        json={"name": "Key keeper", "permissions": ["api-key.key-roles.update", "api-key.keys.read"]},
    ).json()
    keeper = world.create(tenant)
    world.call("PUT", f"{KEYS}/{keeper}/roles", key=tenant.admin, json={"role_ids": [role["id"]]})
    before = world.state()
    answer = world.call("PUT", f"{KEYS}/{keeper}/roles", key=keeper, json={"role_ids": [tenant.roles["admin"]]})
    assert problem_of(answer)[:2] == (403, "grant_exceeds_caller")
    assert world.state() == before


@pytest.mark.parametrize(
    ("method", "suffix", "body"),
    [
        ("DELETE", "", None),
        ("PATCH", "", {"status": "disabled"}),
        ("PATCH", "", {"expires_at": FUTURE}),
        ("PATCH", "", {"allowed_cidrs": ["192.0.2.0/24"]}),
        ("PUT", "/roles", {"role_ids": []}),
    ],
)
def test_the_last_administrator_stays(world: World, tenant: Tenant, method: str, suffix: str, body: object) -> None:
    before = world.state()
    answer = world.call(method, f"{KEYS}/{tenant.admin}{suffix}", key=tenant.admin, json=body)
    assert problem_of(answer)[:2] == (409, "last_administrator")
    assert world.state() == before


def test_roles_are_replaced_as_a_set_or_not_at_all(world: World, tenant: Tenant) -> None:
    other = world.onboard("Other")
    key_id = world.create(tenant, "gl")
    viewer = tenant.roles["viewer"]
    before = world.state()
    for role_ids, code, field in (
        ([viewer, new_id()], "unknown_role", "role_ids"),
        ([viewer, other.roles["gl"]], "unknown_role", "role_ids"),
        ([viewer, viewer], "duplicate_role", "role_ids"),
        ([viewer, "viewer"], "invalid_uuid", "role_ids.1"),
    ):
        answer = world.call("PUT", f"{KEYS}/{key_id}/roles", key=tenant.admin, json={"role_ids": role_ids})
        assert problem_of(answer) == (422, code, field)
    assert world.state() == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "Till", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "Till", "allowed_cidrs": ["192.0.2.1/24"]}, "allowed_cidrs"),
        ({"name": "Till", "business_unit_ids": [new_id()]}, "business_unit_ids"),
    ],
)
def test_what_the_directory_refuses_names_its_field(
    world: World, tenant: Tenant, body: dict[str, object], field: str
) -> None:
    before = world.state()
    status, _, named = problem_of(world.call("POST", KEYS, key=tenant.admin, json=body))
    assert (status, named) == (422, field)
    assert world.state() == before


def test_a_caller_whose_key_has_just_ended_changes_nothing(world: World, tenant: Tenant) -> None:
    second = world.create(tenant, "admin")
    principal = world.principal(second)
    world.call("DELETE", f"{KEYS}/{second}", key=tenant.admin)
    assert principal.may("api-key.keys.create")
    before = world.state()
    # As a request that passed the gate a moment before the deletion.
    answer = world.late_call("POST", KEYS, principal, json={"name": "Late"})
    assert problem_of(answer)[:2] == (401, "credential_invalid")
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert world.state() == before
