"""What `POST /v1/access/explain` answers is what the gate then decides, and what the record says of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.http.oauth import bearer, token_for, trust
from tests.http.test_refusals import BODY
from tests.support.issuer import serving_issuer
from tests.support.server import Server
from tests.support.tenancy import TRANSACTIONS, Key, Tenant, problem_of

EXPLAIN = "/v1/access/explain"
HERE = {"client_ip": "127.0.0.1"}
READ = "payment-proxy.transactions.read"


@dataclass(frozen=True)
class Caller:
    """Who is asked about, what they call with, and what is to be said of that beside."""

    principal: str
    headers: dict[str, str]
    context: dict[str, Any] = field(default_factory=dict)


def explain(tenant: Tenant, principal: str, method: str, path: str, **more: Any) -> dict[str, Any]:
    question = {"principal": principal, "method": method, "path": path, **more}
    answer = tenant.client.post(EXPLAIN, json=question)
    assert answer.status_code == 200, answer.text
    explanation: dict[str, Any] = answer.json()
    return explanation


def decided(known: dict[str, Any]) -> tuple[Any, ...]:
    return known["decision"], known["reason"], known["rule"], known["missing"]


@pytest.fixture(scope="module")
def anyone(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="module")
def units(tenant: Tenant) -> tuple[str, str]:
    return tenant.make_unit("Explained"), tenant.make_unit("Explained elsewhere")


@pytest.fixture(scope="module")
def callers(tenant: Tenant, anyone: httpx.Client, units: tuple[str, str]) -> dict[str, Caller]:
    ends = datetime.now(UTC) + timedelta(seconds=2)
    keys = {
        "expired": tenant.make_key(expires_at=ends.isoformat().replace("+00:00", "Z")),
        "admin": tenant.make_key("admin"),
        "viewer": tenant.make_key("viewer"),
        "nobody": tenant.make_key(),
        "clerk": tenant.make_key("gl", business_unit_ids=[units[0]]),
        "custom": tenant.make_key(tenant.make_role("Stock keeper", "shop.stock.read", "shop.orders.create")),
        "here": tenant.make_key("viewer", allowed_cidrs=["127.0.0.0/8"]),
        "elsewhere": tenant.make_key("viewer"),
        "disabled": tenant.make_key("admin"),
        "deleted": tenant.make_key("admin"),
    }
    tokens = {name: token_for(anyone, keys[name]) for name in ("viewer", "clerk", "disabled", "elsewhere")}
    tenant.change(keys["elsewhere"], allowed_cidrs=["192.0.2.0/24"])
    tenant.change(keys["disabled"], status="disabled")
    tenant.delete(keys["deleted"])
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.01)
    with_tokens = {
        f"token of {name}": Caller(keys[name].id, bearer(token), {"authentication_method": "token"})
        for name, token in tokens.items()
    }
    return {name: Caller(key.id, key.header) for name, key in keys.items()} | with_tokens


def requests(units: tuple[str, str]) -> list[tuple[str, str, Any]]:
    return [
        ("GET", "/roles?limit=1", None),
        ("HEAD", "/permissions", None),
        ("GET", "/v1/api-key/keys", None),
        ("GET", "/v1/tenants", None),
        ("GET", "/openapi.json", None),
        ("GET", "/nothing/here", None),
        ("DELETE", "/roles", None),
        ("GET", TRANSACTIONS, None),
        ("POST", TRANSACTIONS, BODY),
        ("POST", TRANSACTIONS, {**BODY, "business_unit_id": units[0]}),
        ("POST", TRANSACTIONS, {**BODY, "business_unit_id": units[1]}),
        ("POST", f"{TRANSACTIONS}/authorize", {**BODY, "business_unit_id": units[0]}),
        ("GET", f"/shop/units/{units[0]}/stock", None),
        ("GET", f"/shop/units/{units[1]}/stock", None),
        ("GET", f"/shop/stock?unit={units[0]}", None),
        ("GET", f"/shop/stock?unit={units[0]}&unit={units[0]}", None),
        ("GET", "/shop/stock", None),
        ("GET", "/shop/prices", None),
        ("POST", "/shop/count", {"n": 1}),
        ("GET", "/shop/count", None),
    ]


def test_every_answer_is_what_the_gate_then_decides(
    anyone: httpx.Client, tenant: Tenant, callers: dict[str, Caller], units: tuple[str, str]
) -> None:
    told: set[str] = set()
    for name, caller in callers.items():
        calls = requests(units)
        answers = [anyone.request(method, path, headers=caller.headers, json=body) for method, path, body in calls]
        records = {record["request_id"]: record for record in tenant.history(limit="20")}
        for (method, path, body), answer in zip(calls, answers, strict=True):
            more = {"context": {**HERE, **caller.context}} | ({} if body is None else {"body": body})
            explanation = explain(tenant, caller.principal, method, path, **more)
            record = records[answer.headers["hatchpay-request-id"]]
            assert decided(explanation) == decided(record), (name, method, path)
            assert (answer.status_code < 400) == (explanation["decision"] == "allow"), (name, method, path)
            failed = [step["reason"] for step in explanation["trace"] if step["outcome"] == "fail"]
            assert (explanation["reason"] in failed) == (explanation["decision"] == "deny")
            told.add(explanation["reason"])
    assert told == {
        *("open_route", "role_grants", "permission_missing", "route_not_listed", "network_not_allowed"),
        *("business_unit_missing", "business_unit_not_allowed", "business_unit_not_separable"),
        "business_unit_unclear",
        *("key_disabled", "key_deleted", "key_expired", "token_key_disabled"),
    }


def test_the_record_says_what_decided_and_what_was_missing(tenant: Tenant, anyone: httpx.Client) -> None:
    key = tenant.make_key("viewer")
    allowed, denied = (anyone.get(path, headers=key.header) for path in ("/roles", "/v1/api-key/keys"))
    one, other = (tenant.record(answer.headers["hatchpay-request-id"]) for answer in (allowed, denied))
    assert one is not None and decided(one) == ("allow", "role_grants", "role:viewer", None)
    assert other is not None and decided(other) == ("deny", "permission_missing", None, "api-key.keys.read")
    assert problem_of(denied)["permission"] == "api-key.keys.read"


def test_what_is_missing_comes_with_the_roles_that_would_do_smallest_first(tenant: Tenant) -> None:
    key = tenant.make_key("viewer")
    role = tenant.make_role("Key watcher", "api-key.keys.read")
    found = explain(tenant, key.id, "GET", "/v1/api-key/keys")
    assert found["missing"] == "api-key.keys.read"
    assert found["roles_that_grant"][0] == {"id": role, "name": "Key watcher", "more_permissions": 0}
    tenant.set_roles(key, "viewer", found["roles_that_grant"][0]["id"])
    assert explain(tenant, key.id, "GET", "/v1/api-key/keys")["rule"] == "role:Key watcher"


def test_a_user_of_a_trusted_issuer_is_known_by_their_last_request(
    trusting: Server, house: Tenant, neighbour: Tenant
) -> None:
    with serving_issuer(audience="https://explained.test") as issuer, trusting.client() as client:
        made = trust(house, issuer, [READ], claims={"roles": "roles"})
        assert house.client.post(EXPLAIN, json=_asked("user:explained-ada")).json()["code"] == "principal_unknown"
        headers = bearer(issuer.token(sub="explained-ada", roles=["viewer", "stranger"]))
        for method, path in (("GET", TRANSACTIONS), ("GET", "/roles"), ("POST", f"{TRANSACTIONS}/x/complete")):
            answer = client.request(method, path, headers=headers)
            record = house.record(answer.headers["hatchpay-request-id"])
            assert record is not None
            found = explain(house, "explained-ada", method, path)
            assert decided(found) == decided(record)
        hypothetical = {"roles": [], "issuer_id": made["id"]}
        assert explain(house, "bob", "GET", TRANSACTIONS, context=hypothetical)["missing"] == READ
        assert neighbour.client.post(EXPLAIN, json=_asked("user:explained-ada")).status_code == 404
        house.client.patch(f"/v1/auth/issuers/{made['id']}", json={"status": "disabled"})
        answer = client.get(TRANSACTIONS, headers=headers)
        record = house.record(answer.headers["hatchpay-request-id"])
        assert record is not None
        assert (
            record["reason"]
            == explain(house, "explained-ada", "GET", TRANSACTIONS)["reason"]
            == "token_issuer_disabled"
        )


def _asked(principal: str) -> dict[str, Any]:
    return {"principal": principal, "method": "GET", "path": "/roles"}


class TestWhoMayAsk:
    def test_the_permission_is_needed(self, tenant: Tenant, anyone: httpx.Client) -> None:
        key = tenant.make_key("viewer")
        refused = problem_of(anyone.post(EXPLAIN, json=_asked(key.id), headers=key.header))
        assert (refused["code"], refused["permission"]) == ("permission_missing", "access.explanations.read")

    def test_only_about_the_keys_of_the_callers_own_tenant_and_units(
        self, tenant: Tenant, rival: Tenant, anyone: httpx.Client, units: tuple[str, str]
    ) -> None:
        role = tenant.make_role("Explainer", "access.explanations.read")
        mine = tenant.make_key(role, business_unit_ids=[units[0]])
        other = tenant.make_key("viewer", business_unit_ids=[units[1]])
        for asker, asked, status in (
            (mine, mine, 200),
            (mine, other, 404),
            (tenant.key, other, 200),
            (rival.key, other, 404),
        ):
            assert anyone.post(EXPLAIN, json=_asked(asked.id), headers=asker.header).status_code == status


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "field", "code"),
        [
            ({"principle": "x"}, "principle", "unknown_field"),
            ({"context": {"ip": "127.0.0.1"}}, "context.ip", "unknown_field"),
            ({"context": {"client_ip": "localhost"}}, "context.client_ip", "invalid_field"),
            ({"context": {"time": "tomorrow"}}, "context.time", "invalid_field"),
            ({"context": {"authentication_method": "password"}}, "context.authentication_method", "invalid_field"),
            ({"context": {"token_age": "5"}}, "context.token_age", "invalid_field"),
            ({"context": {"token_age": -1}}, "context.token_age", "invalid_field"),
            ({"context": {"roles": "admin"}}, "context.roles", "invalid_field"),
            ({"context": {"issuer_id": "x"}}, "context.issuer_id", "invalid_uuid"),
            ({"context": None}, "context", "invalid_field"),
            ({"method": "get"}, "method", "invalid_field"),
            ({"path": "/a/../b"}, "path", "path_not_canonical"),
            ({"path": "/a?api_key=x"}, "path", "credential_in_query"),
            ({"path": ""}, "path", "invalid_field"),
            ({"principal": 5}, "principal", "invalid_field"),
        ],
    )
    def test_it_is_refused_by_the_name_of_the_field(
        self, tenant: Tenant, change: dict[str, Any], field: str, code: str
    ) -> None:
        refused = problem_of(tenant.client.post(EXPLAIN, json={**_asked(tenant.key.id), **change}))
        assert (refused["status"], refused["field"], refused["code"]) == (422, field, code)

    def test_a_key_twice_in_the_body_that_would_be_sent_is_refused(self, tenant: Tenant) -> None:
        text = f'{{"principal": "{tenant.key.id}", "method": "POST", "path": "/roles", "body": {{"a": 1, "a": 2}}}}'
        answer = tenant.client.post(EXPLAIN, content=text, headers={"content-type": "application/json"})
        assert problem_of(answer)["code"] == "duplicate_json_key"

    def test_null_is_a_body_and_no_body_is_none(self, tenant: Tenant, callers: dict[str, Caller]) -> None:
        for more in ({}, {"body": None}, {"body": []}, {"body": 0.1}):
            found = explain(tenant, callers["clerk"].principal, "POST", TRANSACTIONS, **more)
            assert found["reason"] == ("business_unit_unclear" if more else "business_unit_missing")


def test_of_the_body_that_would_be_sent_only_the_redacted_record_of_the_question_is_kept(
    tenant: Tenant, callers: dict[str, Caller], units: tuple[str, str]
) -> None:
    card = "4111111111111111"
    question = {**_asked(callers["clerk"].principal), "body": {"card_number": card, "cvv": "123"}}
    answer = tenant.client.post(EXPLAIN, json=question)
    assert answer.status_code == 200 and card not in answer.text
    record = tenant.record(answer.headers["hatchpay-request-id"])
    assert record is not None and record["changes"] == []
    assert card not in str(record) and "123" not in str(record["body"])


def test_asking_sends_nothing(tenant: Tenant, callers: dict[str, Caller]) -> None:
    before = len(tenant.get("/v1/business-unit/business-units")["data"])
    found = explain(
        tenant,
        tenant.key.id,
        "POST",
        "/v1/business-unit/business-units",
        body={"name": "Never made", "timezone_name": "Europe/Zurich"},
    )
    assert found["decision"] == "allow"
    assert len(tenant.get("/v1/business-unit/business-units")["data"]) == before


def test_keys_are_named_by_their_text_nowhere(tenant: Tenant, callers: dict[str, Caller]) -> None:
    key: Key = tenant.make_key("viewer")
    answer = tenant.client.post(EXPLAIN, json=_asked(key.text))
    assert (answer.status_code, key.text in answer.text) == (404, False)
    record = tenant.record(answer.headers["hatchpay-request-id"])
    assert record is not None and key.text[-20:] not in str(record)
