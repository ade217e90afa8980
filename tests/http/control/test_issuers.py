"""`/v1/auth/issuers`: made, read, changed and ended over HTTP, with keys fetched from a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.http.control.harness import Tenant, World, problem_of
from tests.support.issuer import ServedIssuer, serving_issuer

from hatchpay.ids import new_id

ISSUERS = "/v1/auth/issuers"
CEILING = ["access.roles.read", "business-unit.business-units.read"]
MISSING = f"{ISSUERS}/{new_id()}"


@pytest.fixture(scope="module")
def issuer() -> Iterator[ServedIssuer]:
    with serving_issuer(["EdDSA", "RS256"], audience="https://api.test") as issuer:
        yield issuer


@pytest.fixture(scope="module")
def still(shared: World) -> tuple[World, Tenant]:
    """For requests that change nothing."""
    return shared, shared.onboard("Still")


@pytest.fixture
def wanted(issuer: ServedIssuer) -> dict[str, Any]:
    issuer.asked.clear()
    return {"issuer": issuer.url, "audience": issuer.audience, "ceiling": CEILING}


def trust(world: World, tenant: Tenant, wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = world.call("POST", ISSUERS, key=tenant.admin, json={**wanted, **more})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def get(world: World, key: str, path: str) -> Any:
    answer = world.call("GET", path, key=key)
    assert answer.status_code == 200, answer.text
    return answer.json()


def change(world: World, tenant: Tenant, made: dict[str, Any], **changes: Any) -> httpx.Response:
    return world.call("PATCH", f"{ISSUERS}/{made['id']}", key=tenant.admin, json=changes)


def clerk(world: World, tenant: Tenant, *permissions: str, **fields: Any) -> str:
    """A key with a role of these permissions; its id."""
    body = {"name": f"Clerk {new_id()}", "permissions": permissions}
    role = world.call("POST", "/roles", key=tenant.admin, json=body).json()
    key = world.create(tenant, **fields)
    world.call("PUT", f"/v1/api-key/keys/{key}/roles", key=tenant.admin, json={"role_ids": [role["id"]]})
    return key


class TestTrusting:
    def test_one_call_is_all_it_takes(self, world: World, tenant: Tenant, issuer: ServedIssuer, wanted: Any) -> None:
        answer = world.call("POST", ISSUERS, key=tenant.admin, json=wanted)
        assert answer.status_code == 201
        made = answer.json()
        assert answer.headers["location"] == f"{ISSUERS}/{made['id']}"
        times = {name: made.pop(name) for name in ("keys_fetched_at", "created_at", "updated_at")}
        assert all(time.endswith("Z") for time in times.values())
        keys = made.pop("keys")
        assert sorted(key["kid"] for key in keys) == ["EdDSA-1", "RS256-1"]
        assert made.pop("id")
        assert made == {
            "issuer": issuer.url,
            "audience": "https://api.test",
            "jwks_url": None,
            "algorithms": ["EdDSA", "ES256", "PS256", "RS256"],
            "ceiling": CEILING,
            "claims": {"user_id": "sub", "roles": None, "permissions": None, "business_units": None},
            "status": "enabled",
            "keys_failure": None,
        }
        assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]

    def test_or_one_with_the_address_of_the_keys(
        self, world: World, tenant: Tenant, issuer: ServedIssuer, wanted: Any
    ) -> None:
        claims = {"user_id": "email", "roles": "/realm/roles", "permissions": "scope", "business_units": "units"}
        given = {"jwks_url": issuer.jwks_url, "algorithms": ["EdDSA"], "claims": claims}
        made = trust(world, tenant, wanted, **given)
        assert {name: made[name] for name in given} == given
        assert issuer.asked == ["/keys"]

    def test_it_is_read_again_as_it_was_made(self, world: World, tenant: Tenant, wanted: Any) -> None:
        made = trust(world, tenant, wanted)
        assert get(world, tenant.admin, f"{ISSUERS}/{made['id']}") == made
        assert world.requests_that_changed(made["id"])

    def test_pages_are_newest_first(self, world: World, tenant: Tenant, wanted: Any) -> None:
        made = [trust(world, tenant, wanted, audience=f"https://{number}.test")["id"] for number in range(3)]
        first = get(world, tenant.admin, f"{ISSUERS}?limit=2")
        rest = get(world, tenant.admin, f"{ISSUERS}?limit=2&cursor={first['next_cursor']}")
        assert [issuer["id"] for issuer in first["data"] + rest["data"]] == made[::-1]
        assert rest["next_cursor"] is None

    def test_one_issuer_for_one_audience_stands_once(self, world: World, tenant: Tenant, wanted: Any) -> None:
        trust(world, tenant, wanted)
        again = world.call("POST", ISSUERS, key=tenant.admin, json=wanted)
        assert problem_of(again)[:2] == (409, "issuer_exists")
        trust(world, tenant, wanted, audience="https://another.test")


class TestChanging:
    def test_only_what_is_named_changes(self, world: World, tenant: Tenant, issuer: ServedIssuer, wanted: Any) -> None:
        made = trust(world, tenant, wanted)
        answer = change(world, tenant, made, audience="https://new.test", algorithms=["RS256"])
        assert answer.status_code == 200
        expected = {**made, "audience": "https://new.test", "algorithms": ["RS256"]}
        assert {**answer.json(), "updated_at": made["updated_at"]} == expected
        assert issuer.fetches == 1

    def test_another_address_fetches_the_keys_anew(
        self, world: World, tenant: Tenant, issuer: ServedIssuer, wanted: Any
    ) -> None:
        made = trust(world, tenant, wanted)
        assert change(world, tenant, made, jwks_url=issuer.jwks_url).json()["jwks_url"] == issuer.jwks_url
        assert issuer.fetches == 2
        lost = change(world, tenant, made, jwks_url=f"{issuer.url}/lost")
        assert problem_of(lost) == (422, "fetch_status", "jwks_url")
        assert get(world, tenant.admin, f"{ISSUERS}/{made['id']}")["jwks_url"] == issuer.jwks_url

    def test_it_is_disabled_and_enabled(self, world: World, tenant: Tenant, wanted: Any) -> None:
        made = trust(world, tenant, wanted)
        for status in ("disabled", "enabled"):
            assert change(world, tenant, made, status=status).json()["status"] == status

    def test_it_is_gone_once_it_is_deleted(self, world: World, tenant: Tenant, wanted: Any) -> None:
        made = trust(world, tenant, wanted)
        at = f"{ISSUERS}/{made['id']}"
        answer = world.call("DELETE", at, key=tenant.admin)
        assert (answer.status_code, answer.content) == (204, b"")
        for method in ("GET", "DELETE"):
            assert problem_of(world.call(method, at, key=tenant.admin))[:2] == (404, "not_found")
        assert get(world, tenant.admin, ISSUERS)["data"] == []
        trust(world, tenant, wanted)

    @pytest.mark.parametrize("body", [{}, {"issuer": "https://id.test"}, {"id": "x"}, {"audience": None}, []])
    def test_what_cannot_change_is_refused(self, world: World, tenant: Tenant, wanted: Any, body: Any) -> None:
        made = trust(world, tenant, wanted)
        answer = world.call("PATCH", f"{ISSUERS}/{made['id']}", key=tenant.admin, json=body)
        assert problem_of(answer)[0] == 422
        assert get(world, tenant.admin, f"{ISSUERS}/{made['id']}") == made


class TestNobodyGrantsWhatTheyDoNotHold:
    def test_a_ceiling_is_at_most_its_makers(
        self, world: World, tenant: Tenant, issuer: ServedIssuer, wanted: Any
    ) -> None:
        maker = clerk(world, tenant, "auth.issuers.create", CEILING[0])
        answer = world.call("POST", ISSUERS, key=maker, json=wanted)
        assert problem_of(answer)[:2] == (403, "grant_exceeds_caller")
        assert answer.json()["permission"] == CEILING[1]
        # Nor is anything fetched for whoever may not.
        assert issuer.asked == []
        assert world.call("POST", ISSUERS, key=maker, json={**wanted, "ceiling": CEILING[:1]}).status_code == 201

    def test_a_maker_with_limits_trusts_nobody(self, world: World, tenant: Tenant, wanted: Any) -> None:
        for limit in ({"allowed_cidrs": ["127.0.0.0/8"]}, {"environment": "test"}):
            maker = clerk(world, tenant, "auth.issuers.create", *CEILING, **limit)
            answer = world.call("POST", ISSUERS, key=maker, json=wanted)
            assert problem_of(answer)[:2] == (403, "grant_exceeds_caller")

    @pytest.mark.parametrize(
        "changes",
        [
            {"ceiling": [*CEILING, "access.roles.create"]},
            {"audience": "https://wider.test"},
            {"claims": {"roles": "roles"}},
            {"status": "enabled"},
        ],
    )
    def test_a_change_that_grants_is_granting(
        self, world: World, tenant: Tenant, wanted: Any, changes: dict[str, Any]
    ) -> None:
        made = trust(world, tenant, wanted)
        if changes == {"status": "enabled"}:
            assert change(world, tenant, made, status="disabled").status_code == 200
        editor = clerk(world, tenant, "auth.issuers.update", CEILING[0])
        answer = world.call("PATCH", f"{ISSUERS}/{made['id']}", key=editor, json=changes)
        assert problem_of(answer)[:2] == (403, "grant_exceeds_caller")

    @pytest.mark.parametrize("changes", [{"ceiling": CEILING[:1]}, {"algorithms": ["EdDSA"]}, {"status": "disabled"}])
    def test_to_take_away_needs_no_more_than_the_permission(
        self, world: World, tenant: Tenant, wanted: Any, changes: dict[str, Any]
    ) -> None:
        made = trust(world, tenant, wanted)
        editor = clerk(world, tenant, "auth.issuers.update")
        assert world.call("PATCH", f"{ISSUERS}/{made['id']}", key=editor, json=changes).status_code == 200

    def test_what_no_tenant_may_hold_is_in_no_ceiling(self, world: World, tenant: Tenant, wanted: Any) -> None:
        for name in ("platform.tenants.create", "no.such.permission"):
            answer = world.call("POST", ISSUERS, key=tenant.admin, json={**wanted, "ceiling": [name]})
            assert problem_of(answer)[0] in {403, 422}


class TestOtherTenants:
    def test_their_issuers_do_not_exist(self, world: World, tenant: Tenant, wanted: Any) -> None:
        made = trust(world, tenant, wanted)
        rival = world.onboard("Rival")
        for path in (f"{ISSUERS}/{made['id']}", MISSING):
            for method, body in (("GET", None), ("PATCH", {"status": "disabled"}), ("DELETE", None)):
                answer = world.call(method, path, key=rival.admin, json=body)
                assert problem_of(answer)[:2] == (404, "not_found")
        assert get(world, rival.admin, ISSUERS) == {"data": [], "next_cursor": None}
        assert get(world, tenant.admin, f"{ISSUERS}/{made['id']}") == made


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"issuer": ""}, "issuer"),
            ({"issuer": "id.test"}, "issuer"),
            ({"issuer": "ftp://id.test"}, "issuer"),
            ({"issuer": "https://user:secret@id.test"}, "issuer"),
            ({"issuer": "https://id.test/#x"}, "issuer"),
            ({"issuer": "https://id.test/?x=1"}, "issuer"),
            ({"issuer": "https://id.test/a b"}, "issuer"),
            ({"issuer": "https://ïd.test"}, "issuer"),
            ({"issuer": "https://id.test/" + "x" * 2048}, "issuer"),
            ({"issuer": 7}, "issuer"),
            ({"audience": ""}, "audience"),
            ({"audience": " "}, "audience"),
            ({"audience": ["https://api.test"]}, "audience"),
            ({"jwks_url": "keys"}, "jwks_url"),
            ({"algorithms": []}, "algorithms"),
            ({"algorithms": ["HS256"]}, "algorithms.0"),
            ({"algorithms": ["none"]}, "algorithms.0"),
            ({"algorithms": ["EdDSA", "EdDSA"]}, "algorithms"),
            ({"ceiling": []}, "ceiling"),
            ({"ceiling": [CEILING[0], CEILING[0]]}, "ceiling"),
            ({"ceiling": "access.roles.read"}, "ceiling"),
            ({"claims": {"user_id": None}}, "claims.user_id"),
            ({"claims": {"user_id": ""}}, "claims.user_id"),
            ({"claims": {"roles": "x" * 201}}, "claims.roles"),
            ({"claims": {"groups": "groups"}}, "claims.groups"),
            ({"claims": "sub"}, "claims"),
            ({"status": "disabled"}, "status"),
            ({"keys": []}, "keys"),
        ],
    )
    def test_it_names_the_field(
        self, still: tuple[World, Tenant], wanted: Any, changes: dict[str, Any], field: str
    ) -> None:
        world, tenant = still
        answer = world.call("POST", ISSUERS, key=tenant.admin, json={**wanted, **changes})
        assert (problem_of(answer)[0], problem_of(answer)[2]) == (422, field)
        assert get(world, tenant.admin, ISSUERS)["data"] == []

    @pytest.mark.parametrize("field", ["issuer", "audience", "ceiling"])
    def test_what_is_missing_is_named(self, still: tuple[World, Tenant], wanted: Any, field: str) -> None:
        world, tenant = still
        del wanted[field]
        answer = world.call("POST", ISSUERS, key=tenant.admin, json=wanted)
        assert (problem_of(answer)[0], problem_of(answer)[2]) == (422, field)

    def test_an_unreadable_body_is_malformed(self, still: tuple[World, Tenant]) -> None:
        world, tenant = still
        for body in (b"{", b'{"issuer": 1, "issuer": 2}', b"\xff"):
            headers = {"Content-Type": "application/json"}
            answer = world.call("POST", ISSUERS, key=tenant.admin, content=body, headers=headers)
            assert problem_of(answer)[0] == 400

    def test_an_id_is_a_uuid(self, still: tuple[World, Tenant]) -> None:
        world, tenant = still
        for method, body in (("GET", None), ("PATCH", {"status": "disabled"}), ("DELETE", None)):
            answer = world.call(method, f"{ISSUERS}/7", key=tenant.admin, json=body)
            assert problem_of(answer)[:2] == (422, "invalid_uuid")

    @pytest.mark.parametrize(
        ("published", "code"),
        [
            ({"body": b"{}"}, "jwks_invalid"),
            ({"body": b'{"keys": {}}'}, "jwks_invalid"),
            ({"body": b" " * (512 * 1024 + 1)}, "fetch_too_large"),
            ({"status": 503}, "fetch_status"),
        ],
    )
    def test_keys_that_cannot_be_had_are_said_to_be(
        self, still: tuple[World, Tenant], published: dict[str, Any], code: str
    ) -> None:
        world, tenant = still
        with serving_issuer() as broken:
            for name, value in published.items():
                setattr(broken, name, value)
            wanted = {"issuer": broken.url, "audience": "a", "ceiling": CEILING, "jwks_url": broken.jwks_url}
            answer = world.call("POST", ISSUERS, key=tenant.admin, json=wanted)
        assert problem_of(answer) == (422, code, "jwks_url")

    def test_a_discovery_document_of_another_issuer_is_refused(
        self, still: tuple[World, Tenant], issuer: ServedIssuer, wanted: Any
    ) -> None:
        world, tenant = still
        answer = world.call("POST", ISSUERS, key=tenant.admin, json={**wanted, "issuer": f"{issuer.url}/"})
        assert problem_of(answer) == (422, "issuer_mismatch", "issuer")
