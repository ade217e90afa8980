"""Business units on a running server: roles for chosen ones, requests that name them, and what archiving closes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.support.server import Server
from tests.support.tenancy import HISTORY, KEYS, TRANSACTIONS, UNITS, Key, Tenant, problem_of

from hatchpay.ids import new_id

BODY = {
    "customer_details": {"first_name": "Jane", "last_name": "Doe", "address": "1 Example Street"},
    "payment_details": {"payment_method": "CREDIT_CARD", "cc_token": "tok_sample_4242"},
    "transaction": {
        "payment_orchestrator_id": "orchestrator-1",
        "merchant_id": "merchant-1",
        "transaction_items": [{"name": "Tea", "amount": "12.50", "quantity": 2}],
    },
}
CREATE, READ = "payment-proxy.transactions.create", "payment-proxy.transactions.read"


@pytest.fixture
def anyone(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def units(tenant: Tenant) -> tuple[str, str]:
    return tenant.make_unit(f"North {new_id()}"), tenant.make_unit(f"South {new_id()}")


def scoped_key(tenant: Tenant, units: list[str], *permissions: str, limits: list[str] | None = None) -> Key:
    """A key that holds the permissions in these units only."""
    role = tenant.make_role(f"role {new_id()}", *permissions)
    key = tenant.make_key(business_unit_ids=limits)
    body = {"role_ids": [role], "business_unit_ids": {role: units}}
    assert tenant.client.put(f"{KEYS}/{key.id}/roles", json=body).status_code == 200
    return key


def denied(tenant: Tenant, answer: httpx.Response, status: int, code: str, missing: str | None = None) -> None:
    body = problem_of(answer)
    assert (body["status"], body["code"], body.get("permission")) == (status, code, missing)
    record = tenant.record(body["request_id"])
    assert record is not None
    assert (record["reason"], record["decision"], record["missing"]) == (code, "deny", missing)
    assert record["handler_us"] == 0


def test_a_role_for_one_unit_works_there_and_the_handler_sees_no_other(
    tenant: Tenant, anyone: httpx.Client, units: tuple[str, str]
) -> None:
    mine, other = units
    key = scoped_key(tenant, [mine], CREATE, READ)

    def post(unit: str | None) -> httpx.Response:
        return anyone.post(TRANSACTIONS, headers=key.header, json={**BODY, "business_unit_id": unit})

    made = post(mine)
    assert made.status_code == 201, made.text
    record = tenant.record(made.headers["hatchpay-request-id"])
    assert record is not None
    assert (record["business_unit_id"], record["decision"]) == (mine, "allow")
    denied(tenant, post(other), 403, "business_unit_not_allowed", CREATE)
    denied(tenant, post(new_id()), 403, "business_unit_not_allowed", CREATE)
    denied(tenant, post(None), 403, "business_unit_missing", CREATE)
    elsewhere = tenant.client.post(TRANSACTIONS, json={**BODY, "business_unit_id": other})
    assert elsewhere.status_code == 201, elsewhere.text
    listed = anyone.get(TRANSACTIONS, headers=key.header).json()["data"]
    assert [one["id"] for one in listed] == [made.json()["id"]]
    assert anyone.get(f"{TRANSACTIONS}/{elsewhere.json()['id']}", headers=key.header).status_code == 404


def test_a_role_for_one_unit_reads_the_record_the_keys_and_the_units_of_that_one(
    tenant: Tenant, anyone: httpx.Client, units: tuple[str, str]
) -> None:
    mine, other = units
    for unit in units:
        assert tenant.client.post(TRANSACTIONS, json={**BODY, "business_unit_id": unit}).status_code == 201
    of_mine, of_other = (tenant.make_key(business_unit_ids=[unit]) for unit in units)
    key = scoped_key(tenant, [mine], "audit-log.history.read", "api-key.keys.read", "business-unit.business-units.read")

    def get(path: str) -> Any:
        answer = anyone.get(path, headers=key.header)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    assert {record["business_unit_id"] for record in get(HISTORY)} == {mine}
    assert [one["id"] for one in get(KEYS)] == [of_mine.id]
    assert [one["id"] for one in get(UNITS)] == [mine]
    for path in (f"{KEYS}/{of_other.id}", f"{UNITS}/{other}"):
        assert problem_of(anyone.get(path, headers=key.header))["code"] == "not_found"


def test_its_tokens_are_bound_to_the_unit_as_well(
    server: Server, tenant: Tenant, anyone: httpx.Client, units: tuple[str, str]
) -> None:
    mine, other = units
    key = scoped_key(tenant, [mine], CREATE)
    form = {"grant_type": "client_credentials"}
    token = anyone.post("/v1/auth/token", headers=key.header, data=form).json()
    assert token["scope"] == CREATE
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    for unit, status in ((mine, 201), (other, 403)):
        answer = anyone.post(TRANSACTIONS, headers=bearer, json={**BODY, "business_unit_id": unit})
        assert answer.status_code == status, answer.text


def test_path_and_body_name_one_unit(tenant: Tenant, anyone: httpx.Client, units: tuple[str, str]) -> None:
    mine, other = units
    path = f"/shop/units/{mine}/orders"
    limited = tenant.make_key("gl", business_unit_ids=[mine])
    for key in (limited, tenant.make_key("gl"), scoped_key(tenant, [mine], "shop.orders.create")):
        for body in ({}, {"business_unit_id": None}, {"business_unit_id": mine}):
            assert anyone.put(path, headers=key.header, json=body).status_code == 200
        assert anyone.put(path, headers=key.header).status_code == 200
        denied(
            tenant,
            anyone.put(path, headers=key.header, json={"business_unit_id": other}),
            400,
            "business_unit_unclear",
        )
        denied(tenant, anyone.put(path, headers=key.header, data={"a": "b"}), 400, "business_unit_unclear")


def test_nobody_acts_for_a_unit_that_is_not_the_tenants(tenant: Tenant, rival: Tenant, anyone: httpx.Client) -> None:
    theirs = rival.make_unit(f"Theirs {new_id()}")
    for unit in (theirs, new_id()):
        denied(tenant, tenant.client.get(f"/shop/units/{unit}/stock"), 403, "business_unit_unknown")
        denied(tenant, tenant.client.get(f"/shop/stock?unit={unit}"), 403, "business_unit_unknown")
        body = {**BODY, "business_unit_id": unit}
        denied(tenant, tenant.client.post(TRANSACTIONS, json=body), 403, "business_unit_unknown")


def test_an_archived_unit_is_closed_from_the_next_request_on_until_it_is_brought_back(
    tenant: Tenant, anyone: httpx.Client, units: tuple[str, str]
) -> None:
    mine, _ = units
    path = f"/shop/units/{mine}/stock"
    keys = (tenant.key, tenant.make_key("gl", business_unit_ids=[mine]), scoped_key(tenant, [mine], "shop.stock.read"))
    for key in keys:
        assert anyone.get(path, headers=key.header).status_code == 200
    assert tenant.client.post(f"{UNITS}/{mine}/archive").json()["status"] == "archived"
    for key in keys:
        denied(tenant, anyone.get(path, headers=key.header), 403, "business_unit_archived")
    attach = tenant.client.post(KEYS, json={"name": "Till", "business_unit_ids": [mine]})
    assert problem_of(attach)["code"] == "business_unit_archived"
    assert tenant.client.patch(f"{UNITS}/{mine}", json={"status": "active"}).json()["status"] == "active"
    for key in keys:
        assert anyone.get(path, headers=key.header).status_code == 200


def test_a_manager_of_one_unit_gives_no_role_beyond_it(
    tenant: Tenant, anyone: httpx.Client, units: tuple[str, str]
) -> None:
    mine, other = units
    key = scoped_key(tenant, [mine], "api-key.keys.create", "api-key.key-roles.update", CREATE)
    role = tenant.make_role(f"till {new_id()}", CREATE)

    def make(units: list[str] | None) -> httpx.Response:
        return anyone.post(KEYS, headers=key.header, json={"name": "Till", "business_unit_ids": units})

    for beyond in (None, [other], [mine, other]):
        assert problem_of(make(beyond))["code"] == "grant_exceeds_caller"
    made = make([mine]).json()["id"]
    attached = anyone.put(f"{KEYS}/{made}/roles", headers=key.header, json={"role_ids": [role]})
    assert attached.status_code == 200, attached.text
    wide = tenant.make_key()
    refused = anyone.put(f"{KEYS}/{wide.id}/roles", headers=key.header, json={"role_ids": [role]})
    assert problem_of(refused)["code"] == "grant_exceeds_caller"
