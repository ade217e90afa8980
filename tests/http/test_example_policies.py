"""The policies of examples/policies, all in force at once, in front of the sample API that they are about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.support.server import ROOT, onboard, serving
from tests.support.tenancy import TRANSACTIONS, UNITS, Key, Tenant, problem_of

EXAMPLES = ROOT / "examples" / "policies"
SAMPLE = json.loads((ROOT / "examples/payments_api/transaction.json").read_text())
SHOP_NETWORK, ELSEWHERE = "192.0.2.10", "198.51.100.7"
# The ids that stand in the examples for the reader's own.
ROLE, SANDBOX = "5f0c8a52-6a3e-4a0b-9d57-1d4f6f1f2a01", "017f22e2-79b0-7cc3-98c4-dc0c0c0739b0"


class House:
    """A tenant behind a proxy, with the five policies. `shop` and `sandbox` have noon now, `closed` has midnight."""

    def __init__(self, tenant: Tenant, caller: httpx.Client) -> None:
        self.tenant = tenant
        self.caller = caller
        noon, midnight = zone_where_it_is(12), zone_where_it_is(0)
        self.shop, self.sandbox = self._unit("Shop", noon), self._unit("Sandbox", noon)
        self.closed = self._unit("Closed", midnight)
        every = ("create", "authorize", "complete", "refund", "read")
        self.role = tenant.make_role("till", *(f"payment-proxy.transactions.{verb}" for verb in every))
        for file in sorted(EXAMPLES.glob("*.cedar")):
            self._write(file.stem, file.read_text())

    def _unit(self, name: str, zone: str) -> str:
        made = self.tenant.client.post(UNITS, json={"name": name, "timezone_name": zone})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def _write(self, name: str, text: str) -> None:
        text = text.replace(ROLE, self.role).replace(SANDBOX, self.sandbox)
        made = self.tenant.client.post("/v1/policies", json={"name": name, "text": text})
        assert made.status_code == 201, made.text
        if name == "business_hours":
            # On a weekend it is closed everywhere: the effect is tried on whichever day this is.
            assert "context.local.weekday <= 5" in text
            text = text.replace("context.local.weekday <= 5", "context.local.weekday <= 7")
            put = self.tenant.client.put(f"/v1/policies/{made.json()['id']}", json={"name": name, "text": text})
            assert put.status_code == 200, put.text

    def call(self, key: Key, method: str, path: str, body: object = None, *, ip: str = SHOP_NETWORK) -> httpx.Response:
        headers = {**key.header, "X-Forwarded-For": ip}
        return self.caller.request(method, path, json=body, headers=headers)

    def pay(
        self, key: Key, amount: str, unit: str, currency: str | None = "USD", *, ip: str = SHOP_NETWORK
    ) -> httpx.Response:
        item = {"name": "Tea", "amount": amount, "quantity": 1}
        transaction = {**SAMPLE["transaction"], "transaction_items": [item]}
        if currency is not None:
            transaction["currency"] = currency
        body = {**SAMPLE, "transaction": transaction, "business_unit_id": unit}
        return self.call(key, "POST", TRANSACTIONS, body, ip=ip)

    def denied(self, answer: httpx.Response, policy: str, code: str = "policy_forbids") -> dict[str, Any]:
        assert answer.status_code == 403, answer.text
        record = self.tenant.record(answer.headers["hatchpay-request-id"])
        assert record is not None
        assert (record["reason"], record["rule"]) == (code, f"policy:{policy}")
        return problem_of(answer)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data = tmp_path_factory.mktemp("examples") / "var"
    made = onboard(data)
    admin = Key(made["api_key"]["id"], made["api_key"]["key"])
    proxy = ("--trusted-proxy", "127.0.0.1/32")
    with (
        serving(data, "examples.payments_api:app", *proxy) as server,
        server.client() as caller,
        Tenant(server, made["tenant"]["id"], admin) as tenant,
    ):
        yield House(tenant, caller)


@pytest.fixture
def till(house: House) -> Key:
    return house.tenant.make_key(house.role)


def test_payments_end_at_500_usd(house: House, till: Key) -> None:
    assert house.pay(till, "500.00", house.shop).status_code == 201
    house.denied(house.pay(till, "500.01", house.shop), "amounts")
    house.denied(house.pay(till, "1.00", house.shop, "EUR"), "amounts")
    problem = house.denied(house.pay(till, "1.00", house.shop, None), "amounts", "policy_input_missing")
    assert problem["field"] == "body.currency"


def test_tills_call_from_their_shops_only(house: House, till: Key) -> None:
    assert house.call(till, "GET", TRANSACTIONS).status_code == 200
    house.denied(house.call(till, "GET", TRANSACTIONS, ip=ELSEWHERE), "networks")
    office = house.tenant.make_key("viewer")
    assert house.call(office, "GET", TRANSACTIONS, ip=ELSEWHERE).status_code == 200


def test_nothing_is_sold_where_it_is_night(house: House, till: Key) -> None:
    assert house.pay(till, "1.00", house.shop).status_code == 201
    house.denied(house.pay(till, "1.00", house.closed), "business_hours")


def test_a_test_key_sells_in_the_sandbox_and_reads_what_it_sold(house: House) -> None:
    units = [house.sandbox, house.shop]
    key = house.tenant.make_key(house.role, environment="test", business_unit_ids=units)
    sold = house.pay(key, "1.00", house.sandbox)
    assert sold.status_code == 201, sold.text
    path = f"{TRANSACTIONS}/{sold.json()['id']}"
    assert house.call(key, "GET", path).status_code == 200
    house.denied(house.pay(key, "1.00", house.shop), "test_keys")
    house.denied(house.call(key, "POST", f"{path}/complete"), "test_keys")


def test_a_refund_takes_two_persons(house: House, till: Key) -> None:
    paid = house.pay(till, "10.00", house.shop).json()["id"]

    def refund(**body: str) -> httpx.Response:
        return house.call(till, "POST", f"{TRANSACTIONS}/{paid}/refund", body)

    alice, bob = "alice@example.com", "bob@example.com"
    house.denied(refund(requested_by=alice, approved_by=alice), "two_person_refunds")
    house.denied(refund(requested_by=alice, approved_by=till.id), "two_person_refunds")
    house.denied(refund(requested_by=alice), "two_person_refunds", "policy_input_missing")
    made = refund(requested_by=alice, approved_by=bob)
    assert (made.status_code, made.json()["amount"]) == (201, "10.00")


def zone_where_it_is(hour: int) -> str:
    """A zone in which this hour is now, and the next one is at most an hour away."""
    offset = hour - datetime.now(UTC).hour
    offset = offset if offset >= -12 else offset + 24
    assert (datetime.now(UTC) + timedelta(hours=offset)).hour in {hour, hour + 1}
    # The signs of these names are the other way round: Etc/GMT-2 is two hours ahead.
    return f"Etc/GMT{-offset:+d}" if offset else "Etc/UTC"
