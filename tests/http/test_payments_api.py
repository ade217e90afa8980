"""The sample payments API over HTTP, with the caller put into the scope as HatchPay's middleware does."""

from __future__ import annotations

import asyncio
import copy
import json
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from examples.payments_api import create_app

URL = "/v1/payment-proxy/transactions"
SAMPLE_DIRECTORY = Path(__file__).parents[2] / "examples" / "payments_api"
UNIT = "0190a5c8-1f2e-7c3a-9b4d-5e6f708192a3"
SAMPLE = {**json.loads((SAMPLE_DIRECTORY / "transaction.json").read_text()), "business_unit_id": UNIT}
REFUND = {"requested_by": "alice@example.com", "approved_by": "bob@example.com"}
OTHER_UNIT = "0190a5c8-1f2e-7c3a-9b4d-5e6f708192ff"
UNKNOWN_ID = "0190a5c8-1f2e-7c3a-9b4d-000000000000"
SEE_CUSTOMERS = "payment-proxy.customer-details.read"


@dataclass(frozen=True)
class Principal:
    id: str = "key-1"
    tenant_id: str | None = "tenant-1"
    business_unit_ids: frozenset[str] | None = None
    permissions: frozenset[str] = frozenset()

    def may(self, permission: str) -> bool:
        return permission in self.permissions


@dataclass(frozen=True)
class Hatchpay:
    principal: Principal | None
    request_id: str = "request-1"


class Api:
    """One call, one client; `behind` None is the app run bare."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.app = create_app(directory)

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        by: Principal | None = Principal(),
        bare: bool = False,
        raise_app_exceptions: bool = True,
    ) -> httpx.Response:
        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope if bare else scope | {"hatchpay": Hatchpay(by)}, receive, send)

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(wrapped, raise_app_exceptions=raise_app_exceptions)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
                headers = {} if content is None else {"Content-Type": "application/json"}
                return await client.request(method, path, content=content, headers=headers)

        return asyncio.run(once())

    def create(self, path: str = URL, **changes: Any) -> dict[str, Any]:
        by = changes.pop("by", Principal())
        answer = self.call("POST", path, SAMPLE | changes, by=by)
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path / "data")
    yield api
    api.app.state.store.close()


def with_item(**changes: Any) -> dict[str, Any]:
    body = copy.deepcopy(SAMPLE)
    body["transaction"]["transaction_items"][0] |= changes
    return body


def with_text(old: str, new: str) -> bytes:
    text = json.dumps(SAMPLE)
    assert old in text
    return text.replace(old, new).encode()


def assert_problem(answer: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body = answer.json()
    assert body["type"] == f"urn:hatchpay:problem:{code}"
    assert (body["status"], body["code"], body.get("field")) == (status, code, field)
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == "request-1"


# Create, read, list


def test_a_created_transaction_reads_back_as_it_was_answered(api: Api) -> None:
    answer = api.call("POST", URL, SAMPLE)
    created = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{URL}/{created['id']}"
    assert created["state"] == "completed"
    assert created["business_unit_id"] == UNIT
    assert created["metadata"] == {"order": "A-1001"}
    assert created["completed_at"] == created["created_at"]
    assert api.call("GET", f"{URL}/{created['id']}").json() == created


def test_a_transaction_outlives_the_process_that_took_it(api: Api) -> None:
    created = api.create()
    api.app.state.store.close()
    assert Api(api.directory).call("GET", f"{URL}/{created['id']}").json() == created


def test_the_unit_and_metadata_may_be_left_out(api: Api) -> None:
    body = {name: SAMPLE[name] for name in ("customer_details", "payment_details", "transaction")}
    created = api.call("POST", URL, body).json()
    assert (created["business_unit_id"], created["metadata"], created["capture"]) == (None, {}, True)


def test_metadata_keeps_scalars_as_they_are(api: Api) -> None:
    metadata = {"text": "é", "count": 3, "flag": True, "none": None}
    assert api.create(metadata=metadata)["metadata"] == metadata


def test_the_list_walks_every_transaction_once_newest_first(api: Api) -> None:
    ids = [api.create()["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.call("GET", f"{URL}?limit=2{cursor}").json()
        seen += [transaction["id"] for transaction in page["data"]]
        if page["next_cursor"] is None:
            break
        assert len(page["data"]) == 2
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]


def test_a_page_that_ends_the_list_exactly_has_no_next_one(api: Api) -> None:
    api.create()
    api.create()
    assert api.call("GET", f"{URL}?limit=2").json()["next_cursor"] is None


def test_an_empty_list_is_a_list(api: Api) -> None:
    assert api.call("GET", URL).json() == {"data": [], "next_cursor": None}


@pytest.mark.parametrize("limit", ["0", "-1", "201", "1.5", "many", ""])
def test_a_limit_out_of_range_is_refused(api: Api, limit: str) -> None:
    assert_problem(api.call("GET", f"{URL}?limit={limit}"), 422, "invalid_field", "limit")


@pytest.mark.parametrize("cursor", ["", "x", "%00", UNKNOWN_ID.replace("a", "A"), UNKNOWN_ID + "%0a"])
def test_a_cursor_that_was_never_given_out_is_refused(api: Api, cursor: str) -> None:
    assert_problem(api.call("GET", f"{URL}?cursor={cursor}"), 422, "invalid_field", "cursor")


# Authorize, complete


def test_an_authorized_transaction_is_completed_once(api: Api) -> None:
    authorized = api.create(f"{URL}/authorize", capture=False)
    assert (authorized["state"], authorized["completed_at"]) == ("authorized", None)
    complete = f"{URL}/{authorized['id']}/complete"
    answer = api.call("POST", complete)
    assert (answer.status_code, answer.json()["state"]) == (200, "completed")
    assert answer.json()["completed_at"] > authorized["created_at"]
    assert api.call("GET", f"{URL}/{authorized['id']}").json() == answer.json()
    assert_problem(api.call("POST", complete), 409, "not_authorized_state")
    assert api.call("GET", f"{URL}/{authorized['id']}").json() == answer.json()


def test_of_many_who_complete_at_once_one_succeeds(api: Api) -> None:
    complete = f"{URL}/{api.create(f'{URL}/authorize', capture=False)['id']}/complete"
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: api.call("POST", complete).status_code, range(8)))
    assert sorted(statuses) == [200] + [409] * 7


def test_a_captured_transaction_cannot_be_completed_again(api: Api) -> None:
    assert_problem(api.call("POST", f"{URL}/{api.create()['id']}/complete"), 409, "not_authorized_state")


def test_create_without_capture_only_authorizes(api: Api) -> None:
    created = api.create(capture=False)
    assert (created["state"], created["capture"]) == ("authorized", False)


def test_authorize_needs_no_capture_and_refuses_a_contradicting_one(api: Api) -> None:
    body = {name: value for name, value in SAMPLE.items() if name != "capture"}
    assert api.call("POST", f"{URL}/authorize", body).json()["state"] == "authorized"
    assert_problem(api.call("POST", f"{URL}/authorize", SAMPLE), 422, "invalid_field", "capture")


@pytest.mark.parametrize("unknown", [UNKNOWN_ID, "x", "%00", "authorize"])
def test_what_does_not_exist_is_not_found(api: Api, unknown: str) -> None:
    assert_problem(api.call("GET", f"{URL}/{unknown}"), 404, "not_found")
    assert_problem(api.call("POST", f"{URL}/{unknown}/complete"), 404, "not_found")


# Amounts


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ('"12.5"', "12.50"),
        ("12.5", "12.50"),
        ("12.50", "12.50"),
        ("12", "12.00"),
        ("0.01", "0.01"),
        ("0.29", "0.29"),
        ('"99999999.99"', "99999999.99"),
        ("99999999.99", "99999999.99"),
        ("1e2", "100.00"),
        ("1E-1", "0.10"),
    ],
)
def test_an_amount_is_answered_exactly_as_meant(api: Api, sent: str, answered: str) -> None:
    response = api.call("POST", URL, with_text('"12.50"', sent))
    assert response.status_code == 201, response.text
    assert response.json()["transaction"]["transaction_items"][0]["amount"] == answered


def test_the_total_is_computed_to_the_cent(api: Api) -> None:
    assert api.create()["total"] == "32.05"
    assert api.call("POST", URL, with_item(amount=0.1, quantity=3)).json()["total"] == "7.35"
    dear = {"name": "Ship", "amount": "99999999.99", "quantity": 10_000}
    most = SAMPLE["transaction"] | {"transaction_items": [dear] * 100}
    assert api.create(transaction=most)["total"] == "99999999990000.00"


@pytest.mark.parametrize(
    "sent",
    [
        "12.505", "12.500", '"12.500"', "-1", '"-1.00"', "0", '"0.00"', "-0.0", "1e-3", "1e8", '"1e2"',
        "100000000", "1e999999999", "12.50000000000000000000000000000001", '""', '" 1"', '"1\\n"', '"+1"',
        '"01"', '"1."', '".5"', '"1_0"', '"1,5"', '"NaN"', '"\u0661"', "true", "null", "[]", "{}",
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused(api: Api, sent: str) -> None:
    answer = api.call("POST", URL, with_text('"12.50"', sent))
    assert_problem(answer, 422, "invalid_field", "transaction.transaction_items.0.amount")


@pytest.mark.parametrize("currency", ["USD", "CHF", None])
def test_the_currency_is_kept_as_it_was_sent(api: Api, currency: str | None) -> None:
    created = api.create(transaction=SAMPLE["transaction"] | {"currency": currency})
    assert created["transaction"]["currency"] == currency
    assert api.call("GET", f"{URL}/{created['id']}").json() == created


def test_without_a_currency_a_transaction_is_as_good(api: Api) -> None:
    assert "currency" not in SAMPLE["transaction"]
    assert api.create()["transaction"]["currency"] is None


# Refunds


def test_refunds_never_exceed_what_was_paid(api: Api) -> None:
    path = f"{URL}/{api.create()['id']}/refund"
    part = api.call("POST", path, REFUND | {"amount": "12.05"})
    assert part.status_code == 201
    assert {name: part.json()[name] for name in (*REFUND, "amount")} == REFUND | {"amount": "12.05"}
    assert_problem(api.call("POST", path, REFUND | {"amount": "20.01"}), 409, "not_refundable")
    # 32.05 in all, less 12.05
    assert api.call("POST", path, REFUND).json()["amount"] == "20.00"
    for more in (REFUND, REFUND | {"amount": "0.01"}):
        assert_problem(api.call("POST", path, more), 409, "not_refundable")


def test_of_many_who_refund_at_once_one_succeeds(api: Api) -> None:
    path = f"{URL}/{api.create()['id']}/refund"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.call("POST", path, REFUND).status_code, range(8)))
    assert sorted(answers) == [201, *[409] * 7]


def test_only_what_is_completed_and_within_reach_is_refunded(api: Api) -> None:
    open_one = api.create(f"{URL}/authorize", capture=False)
    assert_problem(api.call("POST", f"{URL}/{open_one['id']}/refund", REFUND), 409, "not_refundable")
    paid = f"{URL}/{api.create()['id']}/refund"
    for stranger in (Principal(tenant_id="tenant-2"), Principal(business_unit_ids=frozenset({OTHER_UNIT}))):
        assert_problem(api.call("POST", paid, REFUND, by=stranger), 404, "not_found")
    assert_problem(api.call("POST", f"{URL}/{UNKNOWN_ID}/refund", REFUND), 404, "not_found")
    assert api.call("POST", paid, REFUND, by=Principal(business_unit_ids=frozenset({UNIT}))).status_code == 201


@pytest.mark.parametrize("changes", [{"amount": "0"}, {"approved_by": None}, {"requested_by": " "}, {"note": "x"}])
def test_a_refund_with_a_wrong_field_is_refused(api: Api, changes: dict[str, Any]) -> None:
    path = f"{URL}/{api.create()['id']}/refund"
    assert_problem(api.call("POST", path, REFUND | changes), 422, "invalid_field", next(iter(changes)))
    assert api.call("POST", path, REFUND).json()["amount"] == "32.05"


# Masking


def test_customer_details_are_masked_in_every_answer(api: Api) -> None:
    masked = {"first_name": "J***", "last_name": "D***", "address": "***"}
    authorized = api.create(f"{URL}/authorize", capture=False)
    path = f"{URL}/{authorized['id']}"
    answers = [
        api.create(),
        authorized,
        api.call("GET", path).json(),
        api.call("POST", f"{path}/complete").json(),
        *api.call("GET", URL).json()["data"],
    ]
    assert len(answers) == 6
    assert all(answer["customer_details"] == masked for answer in answers)


def test_who_may_read_customer_details_sees_them(api: Api) -> None:
    trusted = Principal(permissions=frozenset({SEE_CUSTOMERS}))
    created = api.create(by=trusted)
    assert created["customer_details"] == SAMPLE["customer_details"]
    assert api.call("GET", f"{URL}/{created['id']}", by=trusted).json() == created
    assert api.call("GET", URL, by=trusted).json()["data"] == [created]


def test_a_name_of_one_letter_is_masked_whole(api: Api) -> None:
    created = api.create(customer_details=SAMPLE["customer_details"] | {"first_name": "J"})
    assert created["customer_details"]["first_name"] == "***"


def test_of_a_card_token_only_the_last_four_are_answered_or_kept(api: Api) -> None:
    token = "tok_unmistakable_1234"
    answer = api.call("POST", URL, SAMPLE | {"payment_details": SAMPLE["payment_details"] | {"cc_token": token}})
    assert answer.json()["payment_details"] == {"payment_method": "CREDIT_CARD", "cc_token_last4": "1234"}
    kept = b"".join(path.read_bytes() for path in api.directory.iterdir())
    assert b"1234" in kept
    assert b"unmistakable" not in kept
    assert "unmistakable" not in answer.text


@pytest.mark.parametrize("place", ["value", "key", "metadata key", "type", "not json"])
def test_a_refusal_never_repeats_what_was_sent(api: Api, place: str) -> None:
    body = copy.deepcopy(SAMPLE)
    details = body["payment_details"]
    match place:
        case "value":
            details["cc_token"] = "4242424242424242 "
        case "key":
            details["4242424242424242"] = "x"
        case "metadata key":
            body["metadata"] = {"a4242424242424242": []}
        case "type":
            details["payment_method"] = "4242424242424242"
        case "not json":
            body = b'{"cc_token": 4242424242424242 '
    answer = api.call("POST", URL, body)
    assert answer.status_code in {400, 422}
    assert "4242" not in answer.text


# Tenants and units


@pytest.mark.parametrize("tenant_id", ["tenant-0", "tenant-2", "tenant-", "tenant-10", "TENANT-1", "", "%"])
def test_another_tenants_transaction_does_not_exist(api: Api, tenant_id: str) -> None:
    stranger = Principal(tenant_id=tenant_id)
    authorized = api.create(f"{URL}/authorize", capture=False)
    path = f"{URL}/{authorized['id']}"
    assert_problem(api.call("GET", path, by=stranger), 404, "not_found")
    assert_problem(api.call("POST", f"{path}/complete", by=stranger), 404, "not_found")
    assert api.call("GET", URL, by=stranger).json()["data"] == []
    assert api.call("GET", path).json()["state"] == "authorized"


def test_a_caller_bound_to_units_sees_only_those(api: Api) -> None:
    mine = api.create(f"{URL}/authorize", capture=False)
    other = api.create(f"{URL}/authorize", capture=False, business_unit_id=OTHER_UNIT)
    nobodys = api.create(f"{URL}/authorize", capture=False, business_unit_id=None)
    bound = Principal(business_unit_ids=frozenset({UNIT}))
    assert api.call("GET", URL, by=bound).json()["data"] == [mine]
    assert api.call("GET", f"{URL}/{mine['id']}", by=bound).json() == mine
    for hidden in (other, nobodys):
        assert_problem(api.call("GET", f"{URL}/{hidden['id']}", by=bound), 404, "not_found")
        assert_problem(api.call("POST", f"{URL}/{hidden['id']}/complete", by=bound), 404, "not_found")
        assert api.call("GET", f"{URL}/{hidden['id']}").json() == hidden
    assert api.call("POST", f"{URL}/{mine['id']}/complete", by=bound).status_code == 200


def test_pages_of_a_bound_caller_hold_its_units_only(api: Api) -> None:
    mine = [api.create(business_unit_id=unit)["id"] for unit in (UNIT, OTHER_UNIT, UNIT, OTHER_UNIT, UNIT)][::2]
    bound = Principal(business_unit_ids=frozenset({UNIT}))
    first = api.call("GET", f"{URL}?limit=2", by=bound).json()
    second = api.call("GET", f"{URL}?limit=2&cursor={first['next_cursor']}", by=bound).json()
    assert [transaction["id"] for transaction in first["data"] + second["data"]] == mine[::-1]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("path", [URL, f"{URL}/authorize"])
@pytest.mark.parametrize("unit", [OTHER_UNIT, None])
def test_a_caller_bound_to_units_writes_only_to_those(api: Api, path: str, unit: str | None) -> None:
    bound = Principal(business_unit_ids=frozenset({UNIT}))
    body = SAMPLE | {"capture": False}
    assert api.call("POST", path, body, by=bound).status_code == 201
    refused = api.call("POST", path, body | {"business_unit_id": unit}, by=bound)
    assert_problem(refused, 403, "business_unit_forbidden", "business_unit_id")
    assert len(api.call("GET", URL).json()["data"]) == 1


def test_a_caller_bound_to_no_unit_at_all_sees_nothing(api: Api) -> None:
    created = api.create()
    bound = Principal(business_unit_ids=frozenset())
    assert api.call("GET", URL, by=bound).json()["data"] == []
    assert_problem(api.call("GET", f"{URL}/{created['id']}", by=bound), 404, "not_found")


@pytest.mark.parametrize("by", [None, Principal(tenant_id=None, permissions=frozenset({SEE_CUSTOMERS}))])
def test_a_caller_without_a_tenant_is_refused(api: Api, by: Principal | None) -> None:
    created = api.create()
    path = f"{URL}/{created['id']}"
    for method, where, body in [
        ("GET", URL, None),
        ("GET", path, None),
        ("POST", URL, SAMPLE),
        ("POST", f"{URL}/authorize", SAMPLE | {"capture": False}),
        ("POST", f"{path}/complete", None),
        ("POST", f"{path}/refund", REFUND),
    ]:
        assert_problem(api.call(method, where, body, by=by), 403, "tenant_required")


def test_run_bare_the_caller_is_local_and_sees_no_customer(api: Api) -> None:
    created = api.call("POST", URL, SAMPLE, bare=True).json()
    path = f"{URL}/{created['id']}"
    assert api.call("GET", path, bare=True).json()["customer_details"]["first_name"] == "J***"
    assert api.call("GET", path, by=Principal(tenant_id="local")).status_code == 200
    assert api.call("GET", path).status_code == 404
    assert api.call("GET", f"{URL}/x", bare=True).json()["request_id"] is None


# Bad input


@pytest.mark.parametrize(
    ("part", "changes", "field"),
    [
        (None, {"note": 1}, "note"),
        (None, {"tenant_id": "tenant-2"}, "tenant_id"),
        (None, {"state": "completed"}, "state"),
        (None, {"capture": "false"}, "capture"),
        (None, {"capture": 0}, "capture"),
        (None, {"business_unit_id": "x"}, "business_unit_id"),
        (None, {"business_unit_id": UNIT.upper()}, "business_unit_id"),
        (None, {"business_unit_id": UNIT + "\n"}, "business_unit_id"),
        (None, {"business_unit_id": UNIT.replace("-", "")}, "business_unit_id"),
        (None, {"metadata": []}, "metadata"),
        (None, {"metadata": None}, "metadata"),
        (None, {"metadata": {"nested": {}}}, "metadata.nested"),
        (None, {"metadata": {"large": 2**53}}, "metadata.large"),
        (None, {"metadata": {"real": 1.5}}, "metadata.real"),
        (None, {"metadata": {"long": "x" * 501}}, "metadata.long"),
        (None, {"metadata": {"nul": "a\0"}}, "metadata.nul"),
        (None, {"metadata": {"half": "\ud800"}}, "metadata.half"),
        (None, {"metadata": {"": "x"}}, "metadata.?.?"),
        (None, {"metadata": {f"k{i}": i for i in range(51)}}, "metadata"),
        ("customer_details", {"first_name": "a\0b"}, "customer_details.first_name"),
        ("customer_details", {"first_name": "a\x85b"}, "customer_details.first_name"),
        ("customer_details", {"first_name": "\ud800"}, "customer_details.first_name"),
        ("customer_details", {"first_name": ""}, "customer_details.first_name"),
        ("customer_details", {"first_name": "  "}, "customer_details.first_name"),
        ("customer_details", {"first_name": 1}, "customer_details.first_name"),
        ("customer_details", {"last_name": "x" * 101}, "customer_details.last_name"),
        ("customer_details", {"address": "x" * 501}, "customer_details.address"),
        ("customer_details", {"born": "1970"}, "customer_details.born"),
        ("payment_details", {"payment_method": "CASH"}, "payment_details.payment_method"),
        ("payment_details", {"cc_token": "short"}, "payment_details.cc_token"),
        ("payment_details", {"cc_token": "tok 4242 4242"}, "payment_details.cc_token"),
        ("payment_details", {"cvv": "123"}, "payment_details.cvv"),
        ("transaction", {"transaction_items": []}, "transaction.transaction_items"),
        ("transaction", {"merchant_id": None}, "transaction.merchant_id"),
        ("transaction", {"total": "1.00"}, "transaction.total"),
        ("transaction", {"currency": "usd"}, "transaction.currency"),
        ("transaction", {"currency": "US"}, "transaction.currency"),
        ("transaction", {"currency": "USD\n"}, "transaction.currency"),
    ],
)
def test_a_wrong_field_is_refused_by_name(api: Api, part: str | None, changes: dict[str, Any], field: str) -> None:
    body = SAMPLE | changes if part is None else SAMPLE | {part: SAMPLE[part] | changes}
    assert_problem(api.call("POST", URL, body), 422, "invalid_field", field)
    assert api.call("GET", URL).json()["data"] == []


@pytest.mark.parametrize("quantity", [0, -1, 10_001, 1.0, "1", True, None])
def test_a_quantity_is_a_whole_number_of_pieces(api: Api, quantity: object) -> None:
    answer = api.call("POST", URL, with_item(quantity=quantity))
    assert_problem(answer, 422, "invalid_field", "transaction.transaction_items.0.quantity")


def test_an_item_takes_no_further_field(api: Api) -> None:
    answer = api.call("POST", URL, with_item(tax="0.10"))
    assert_problem(answer, 422, "invalid_field", "transaction.transaction_items.0.tax")


@pytest.mark.parametrize("missing", ["customer_details", "payment_details", "transaction"])
def test_a_missing_part_is_named(api: Api, missing: str) -> None:
    body = {name: value for name, value in SAMPLE.items() if name != missing}
    assert_problem(api.call("POST", URL, body), 422, "invalid_field", missing)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"{} {}",
        with_text('"12.50"', "NaN"),
        with_text('"12.50"', "-Infinity"),
        with_text('"12.50"', "1e99999999999999999999"),
        with_text('"quantity": 2', '"quantity": ' + "9" * 5000),
        with_text('"capture": true', '"capture": true, "capture": false'),
        with_text('"name": "Tea"', '"name": "Tea", "name": "Tea"'),
        b"[" * 60_000,
    ],
)
def test_an_unreadable_or_ambiguous_body_is_refused(api: Api, body: bytes) -> None:
    assert_problem(api.call("POST", URL, body), 400, "malformed_body")


@pytest.mark.parametrize("body", [None, b"", b"[]", b"null", b'"text"'])
def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes | None) -> None:
    assert_problem(api.call("POST", URL, body), 422, "invalid_field", "body")


def test_a_body_too_large_is_refused(api: Api) -> None:
    assert_problem(api.call("POST", URL, b" " * 65_537), 413, "body_too_large")


def test_an_unknown_path_and_method_are_problems_too(api: Api) -> None:
    assert_problem(api.call("GET", "/v1/nothing"), 404, "not_found")
    assert_problem(api.call("GET", URL + "/"), 404, "not_found")
    answer = api.call("DELETE", URL)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


def test_an_unexpected_failure_is_a_problem_that_tells_nothing(api: Api) -> None:
    api.create()
    with sqlite3.connect(api.directory / "payments.db") as connection:
        connection.execute("ALTER TABLE payment RENAME TO gone")
    connection.close()
    answer = api.call("GET", URL, raise_app_exceptions=False)
    assert_problem(answer, 500, "internal_error")
    assert "payment_" not in answer.json()["detail"]


# What lies beside the code


def test_the_route_table_lists_exactly_the_routes_and_defines_every_permission(api: Api) -> None:
    table = tomllib.loads((SAMPLE_DIRECTORY / "routes.toml").read_text())
    listed = {(route["method"], route["path"]) for route in table["routes"]}
    paths = api.app.openapi()["paths"]
    assert listed == {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert len(listed) == len(table["routes"]) == 6
    permissions = {permission["name"] for permission in table["permissions"]}
    assert permissions == {route["permission"] for route in table["routes"]} | {SEE_CUSTOMERS}
    sensitive = {permission["name"] for permission in table["permissions"] if permission.get("sensitive")}
    assert sensitive == {SEE_CUSTOMERS}


def test_importing_the_app_touches_no_file(tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(SAMPLE_DIRECTORY.parents[1])!r}); import examples.payments_api"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


def test_the_sample_imports_nothing_of_hatchpay() -> None:
    for module in SAMPLE_DIRECTORY.glob("*.py"):
        assert "import hatchpay" not in module.read_text()
        assert "from hatchpay" not in module.read_text()


def test_the_lifespan_opens_the_database_of_the_environment_and_closes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app()
    monkeypatch.setenv("HATCHPAY_DATA_DIR", str(tmp_path / "there"))

    async def live() -> None:
        async with app.router.lifespan_context(app):
            assert (tmp_path / "there" / "payments.db-wal").exists()

    asyncio.run(live())
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["payments.db"]
    assert (tmp_path / "there" / "payments.db").stat().st_mode & 0o077 == 0
