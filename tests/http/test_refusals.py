"""Who is turned away, with what answer, and in whose log it stands."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.support.raw import Answer, Connection, exchange, request
from tests.support.server import Server
from tests.support.tenancy import KEYS, TRANSACTIONS, Key, Operator, Tenant, problem_of

from hatchpay.ids import new_id
from hatchpay.tokens import apikey

BODY = {
    "customer_details": {"first_name": "Jane", "last_name": "Doe", "address": "1 Example Street"},
    "payment_details": {"payment_method": "CREDIT_CARD", "cc_token": "tok_sample_4242"},
    "transaction": {
        "payment_orchestrator_id": "orchestrator-1",
        "merchant_id": "merchant-1",
        "transaction_items": [{"name": "Tea", "amount": "12.50", "quantity": 2}],
    },
}


@pytest.fixture(scope="module")
def viewer(tenant: Tenant) -> Key:
    return tenant.make_key("viewer")


@pytest.fixture(scope="module")
def units(tenant: Tenant) -> tuple[str, str]:
    return tenant.make_unit("Zurich"), tenant.make_unit("Basel")


@pytest.fixture(scope="module")
def clerk(tenant: Tenant, units: tuple[str, str]) -> Key:
    """Holds gl, in the first of the units alone."""
    return tenant.make_key("gl", business_unit_ids=[units[0]])


@pytest.fixture(scope="module")
def everybody(tenant: Tenant) -> Key:
    """Holds gl, in every unit."""
    return tenant.make_key("gl")


@pytest.fixture(scope="module")
def anyone(server: Server) -> Iterator[httpx.Client]:
    """Somebody without a key."""
    with server.client() as client:
        yield client


def made_up() -> str:
    """A key in perfect form that nobody has issued."""
    return apikey.issue(new_id(), "live").text


def mistyped(key: Key) -> str:
    return key.text[:40] + ("A" if key.text[40] != "A" else "B") + key.text[41:]


def with_another_secret(key: Key) -> str:
    return apikey.issue(key.id, "live").text


def owned_by(owner: Tenant | Operator, others: list[Tenant | Operator], request_id: str) -> dict[str, Any]:
    """The record, which must be in the owner's log and in no other."""
    found = owner.record(request_id)
    assert found is not None, "the request is not in the log where it belongs"
    for other in others:
        assert other.record(request_id) is None, "the request is in a log where it does not belong"
    return found


def refused(answer: httpx.Response | Answer, status: int, code: str) -> dict[str, Any]:
    body = problem_of(answer)
    assert (body["status"], body["code"]) == (status, code)
    return body


class TestCredentials:
    """401: one shape, a challenge, and a detailed reason in the record alone."""

    def test_without_a_key_nothing_opens(
        self, anyone: httpx.Client, operator: Operator, tenant: Tenant, rival: Tenant
    ) -> None:
        for path in ("/roles", TRANSACTIONS, "/nothing/here"):
            answer = anyone.get(path)
            body = refused(answer, 401, "credential_missing")
            assert 'header="X-API-Key"' in answer.headers["www-authenticate"]
            record = owned_by(operator, [tenant, rival], body["request_id"])
            assert (record["reason"], record["status"], record["state"]) == ("credential_missing", 401, "refused")
            assert (record["principal_id"], record["key_id"], record["claimed_key_id"]) == (None, None, None)

    def test_a_made_up_key_is_the_operators_business(
        self, anyone: httpx.Client, operator: Operator, tenant: Tenant, rival: Tenant
    ) -> None:
        body = refused(anyone.get("/roles", headers={"X-API-Key": made_up()}), 401, "credential_invalid")
        assert owned_by(operator, [tenant, rival], body["request_id"])["reason"] == "key_unknown"

    @pytest.mark.parametrize("text", ["hp_live_", "hp_live_short", "hp_prod_" + "0" * 61, "hp_live_" + "é" * 61])
    def test_a_key_of_no_form_is_malformed(self, server: Server, operator: Operator, text: str) -> None:
        answer = exchange(server.port, request("/roles", headers=[("X-API-Key", text)]))
        body = refused(answer, 401, "credential_malformed")
        record = operator.record(body["request_id"])
        assert record is not None and record["reason"] == "key_malformed"

    @pytest.mark.parametrize("text", ["", "secret", "null", "Bearer", "Basic QWxhZGRpbjpvcGVu"])
    def test_what_is_no_key_at_all_is_invalid(self, server: Server, operator: Operator, text: str) -> None:
        answer = exchange(server.port, request("/roles", headers=[("X-API-Key", text)]))
        body = refused(answer, 401, "credential_invalid")
        record = operator.record(body["request_id"])
        assert record is not None and record["reason"] == "credential_unknown"

    @pytest.mark.parametrize("scheme", ["Basic QWxhZGRpbjpvcGVu", "Digest x", "Bearer", "Bearer a b"])
    def test_an_authorization_that_nobody_knows_is_invalid_and_not_missing(
        self, anyone: httpx.Client, scheme: str
    ) -> None:
        refused(anyone.get("/roles", headers={"Authorization": scheme}), 401, "credential_invalid")

    def test_what_looks_like_a_token_and_is_none_is_told_so(self, anyone: httpx.Client) -> None:
        answer = anyone.get("/roles", headers={"Authorization": "Bearer abc.def.ghi"})
        refused(answer, 401, "invalid_token")
        # RFC 6750, section 3.1
        assert answer.headers["www-authenticate"].startswith('Bearer realm="hatchpay", error="invalid_token"')

    def test_a_mistyped_key_is_in_the_log_of_the_tenant_whose_key_it_names(
        self, anyone: httpx.Client, operator: Operator, tenant: Tenant, rival: Tenant, viewer: Key
    ) -> None:
        answer = anyone.get("/roles", headers={"X-API-Key": mistyped(viewer)})
        body = refused(answer, 401, "credential_malformed")
        record = owned_by(tenant, [rival, operator], body["request_id"])
        assert (record["claimed_key_id"], record["key_id"], record["principal_id"]) == (viewer.id, None, None)
        assert (record["reason"], record["roles"]) == ("key_malformed", [])

    def test_a_wrong_secret_looks_like_an_unknown_key_to_the_caller_only(
        self, anyone: httpx.Client, operator: Operator, tenant: Tenant, rival: Tenant, viewer: Key
    ) -> None:
        wrong = refused(
            anyone.get("/roles", headers={"X-API-Key": with_another_secret(viewer)}), 401, "credential_invalid"
        )
        unknown = refused(anyone.get("/roles", headers={"X-API-Key": made_up()}), 401, "credential_invalid")
        assert {**wrong, "request_id": ""} == {**unknown, "request_id": ""}
        record = owned_by(tenant, [rival, operator], wrong["request_id"])
        assert (record["reason"], record["claimed_key_id"]) == ("key_secret_wrong", viewer.id)

    def test_a_disabled_key_is_refused_like_an_unknown_one(
        self, anyone: httpx.Client, operator: Operator, tenant: Tenant, rival: Tenant
    ) -> None:
        key = tenant.make_key("viewer")
        tenant.change(key, status="disabled")
        body = refused(anyone.get("/roles", headers=key.header), 401, "credential_invalid")
        record = owned_by(tenant, [rival, operator], body["request_id"])
        assert (record["reason"], record["claimed_key_id"]) == ("key_disabled", key.id)
        assert (record["key_id"], record["principal_id"]) == (None, None)

    def test_a_deleted_key_is_refused_and_still_its_tenants(
        self, anyone: httpx.Client, operator: Operator, tenant: Tenant, rival: Tenant
    ) -> None:
        key = tenant.make_key("viewer")
        tenant.delete(key)
        body = refused(anyone.get("/roles", headers=key.header), 401, "credential_invalid")
        record = owned_by(tenant, [rival, operator], body["request_id"])
        assert (record["reason"], record["claimed_key_id"], record["principal_id"]) == ("key_deleted", key.id, None)

    def test_an_expired_key_is_told_so(
        self, anyone: httpx.Client, operator: Operator, tenant: Tenant, rival: Tenant
    ) -> None:
        ends = datetime.now(UTC) + timedelta(seconds=0.6)
        key = tenant.make_key("viewer", expires_at=ends.isoformat().replace("+00:00", "Z"))
        assert anyone.get("/roles", headers=key.header).status_code == 200
        time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.01)
        body = refused(anyone.get("/roles", headers=key.header), 401, "credential_expired")
        record = owned_by(tenant, [rival, operator], body["request_id"])
        assert (record["reason"], record["claimed_key_id"]) == ("key_expired", key.id)
        assert tenant.get(f"{KEYS}/{key.id}")["status"] == "expired"

    def test_all_refusals_have_one_shape_and_one_challenge(self, anyone: httpx.Client, viewer: Key) -> None:
        answers = [
            anyone.get("/roles"),
            *[
                anyone.get("/roles", headers={"X-API-Key": text})
                for text in (made_up(), mistyped(viewer), with_another_secret(viewer), "nonsense")
            ],
        ]
        shapes = {tuple(sorted(answer.json())) for answer in answers}
        assert shapes == {("code", "detail", "request_id", "status", "title", "type")}
        assert len({answer.headers["www-authenticate"] for answer in answers}) == 1
        assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
        assert len({answer.json()["request_id"] for answer in answers}) == len(answers)

    def test_no_refusal_repeats_what_was_sent(self, anyone: httpx.Client, viewer: Key) -> None:
        for text in (made_up(), mistyped(viewer), "hunter2-secret"):
            answer = anyone.get(f"/roles?x={text}", headers={"X-API-Key": text})
            assert text not in answer.text + str(answer.headers)


class TestTwoCredentials:
    """400: which one counts is never guessed."""

    def test_a_bearer_key_is_as_good_as_the_header(self, anyone: httpx.Client, tenant: Tenant, viewer: Key) -> None:
        for scheme in ("Bearer", "bearer", "BEARER"):
            answer = anyone.get("/roles", headers={"Authorization": f"{scheme} {viewer.text}"})
            assert answer.status_code == 200
            record = tenant.record(answer.headers["hatchpay-request-id"])
            assert record is not None
            assert (record["key_id"], record["roles"]) == (viewer.id, ["viewer"])
            assert record["headers"]["authorization"] == "Bearer [redacted]"

    @pytest.mark.parametrize("other", ["", "Basic QWxhZGRpbjpvcGVu", "Bearer x", "nonsense", "same"])
    def test_any_authorization_beside_a_key_is_two_credentials(
        self, server: Server, operator: Operator, tenant: Tenant, rival: Tenant, viewer: Key, other: str
    ) -> None:
        headers = [("X-API-Key", viewer.text), ("Authorization", f"Bearer {viewer.text}" if other == "same" else other)]
        body = refused(exchange(server.port, request("/roles", headers=headers)), 400, "multiple_credentials")
        record = owned_by(tenant, [rival, operator], body["request_id"])
        assert (record["reason"], record["claimed_key_id"]) == ("multiple_credentials", viewer.id)
        assert (record["principal_id"], record["key_id"]) == (None, None)

    @pytest.mark.parametrize("name", ["X-API-Key", "Authorization"])
    def test_the_same_header_twice_is_refused_even_with_one_value(
        self, server: Server, tenant: Tenant, viewer: Key, name: str
    ) -> None:
        value = viewer.text if name == "X-API-Key" else f"Bearer {viewer.text}"
        answer = exchange(server.port, request("/roles", headers=[(name, value), (name.lower(), value)]))
        body = refused(answer, 400, "duplicate_header")
        record = tenant.record(body["request_id"])
        assert record is not None and record["reason"] == "duplicate_header"

    def test_a_list_in_one_header_is_the_same_header_twice(self, anyone: httpx.Client, viewer: Key) -> None:
        answer = anyone.get("/roles", headers={"X-API-Key": f"{viewer.text}, {viewer.text}"})
        refused(answer, 400, "duplicate_header")

    def test_keys_of_two_tenants_go_to_the_first_ones_log_alone(
        self, server: Server, operator: Operator, tenant: Tenant, rival: Tenant, viewer: Key
    ) -> None:
        headers = [("X-API-Key", viewer.text), ("X-API-Key", rival.key.text)]
        body = refused(exchange(server.port, request("/roles", headers=headers)), 400, "duplicate_header")
        assert owned_by(tenant, [rival, operator], body["request_id"])["claimed_key_id"] == viewer.id


class TestKeyInQuery:
    """400: a query string is kept by proxies, browsers and histories."""

    @pytest.mark.parametrize(
        "query",
        [
            "api_key={}",
            "apikey={}",
            "apiKey={}",
            "api-key={}",
            "X-API-Key={}",
            "access_token={}",
            "anything={}",
            "a=1&b={}",
            "{}",
            "a=1;api_key=x",
            "api_key=anything",
            "API_KEY=anything",
            "api%5Fkey=anything",
            "%61pi_key=anything",
            "%2561pi_key=anything",
            "access_token=eyJhbGciOiJIUzI1NiJ9.e30.x",
        ],
    )
    def test_a_credential_in_the_query_is_refused_beside_a_good_header(
        self, server: Server, operator: Operator, tenant: Tenant, viewer: Key, query: str
    ) -> None:
        target = f"/roles?{query.format(viewer.text)}"
        answer = exchange(server.port, request(target, headers=[("X-API-Key", viewer.text)]))
        body = refused(answer, 400, "credential_in_query")
        record = owned_by(tenant, [operator], body["request_id"])
        assert record["reason"] == "credential_in_query"
        assert viewer.text[8:] not in str(record)

    def test_percent_encoding_hides_nothing(self, server: Server, tenant: Tenant, viewer: Key) -> None:
        once = "".join(f"%{ord(letter):02x}" for letter in viewer.text)
        for encoded in (once, once.replace("%", "%25"), viewer.text.replace("_", "%5f")):
            answer = exchange(server.port, request(f"/roles?q={encoded}"))
            body = refused(answer, 400, "credential_in_query")
            record = tenant.record(body["request_id"])
            assert record is not None, "a key's id was named, so this is its tenant's business"
            assert (record["claimed_key_id"], record["url"]) == (viewer.id, "/roles?q=[dropped]")


class TestPermissions:
    """403: known, but not allowed; the caller learns what to ask for."""

    @pytest.mark.parametrize(
        ("method", "path", "permission"),
        [
            ("GET", KEYS, "api-key.keys.read"),
            ("POST", KEYS, "api-key.keys.create"),
            ("POST", "/roles", "access.roles.create"),
            ("GET", "/v1/audit-log/history", "audit-log.history.read"),
            ("POST", TRANSACTIONS, "payment-proxy.transactions.create"),
            ("POST", f"{TRANSACTIONS}/x/complete", "payment-proxy.transactions.complete"),
            ("GET", "/v1/tenants", "platform.tenants.read"),
        ],
    )
    def test_the_missing_permission_is_named(
        self, anyone: httpx.Client, tenant: Tenant, viewer: Key, method: str, path: str, permission: str
    ) -> None:
        answer = anyone.request(method, path, headers=viewer.header, json={} if method == "POST" else None)
        body = refused(answer, 403, "permission_missing")
        assert body["permission"] == permission
        record = tenant.record(body["request_id"])
        assert record is not None
        assert (record["reason"], record["decision"], record["state"]) == ("permission_missing", "deny", "refused")
        assert (record["key_id"], record["permission"], record["handler_us"]) == (viewer.id, permission, 0)

    def test_a_key_without_roles_may_do_nothing(self, anyone: httpx.Client, tenant: Tenant) -> None:
        key = tenant.make_key()
        for path in ("/roles", "/permissions", TRANSACTIONS, KEYS):
            refused(anyone.get(path, headers=key.header), 403, "permission_missing")

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/nothing/here"),
            ("GET", "/"),
            ("GET", "/roles/"),
            ("GET", "/ROLES"),
            ("DELETE", "/roles"),
            ("PATCH", "/permissions"),
            ("OPTIONS", "/roles"),
            ("OPTIONS", TRANSACTIONS),
            ("TRACE", "/roles"),
            ("PROPFIND", "/roles"),
            ("GET", "/docs"),
            ("GET", "/metrics"),
            ("GET", "/healthz"),
            ("GET", "/readyz"),
            ("POST", "/openapi.json"),
        ],
    )
    def test_what_is_not_listed_is_denied_even_to_an_administrator(
        self, server: Server, tenant: Tenant, method: str, path: str
    ) -> None:
        answer = exchange(server.port, request(path, method, headers=[("X-API-Key", tenant.key.text)]))
        body = refused(answer, 403, "route_not_listed")
        record = tenant.record(body["request_id"])
        assert record is not None
        assert (record["reason"], record["route"], record["permission"]) == ("route_not_listed", None, None)
        assert (record["method"], record["url"]) == (method, path)

    @pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "PROPFIND"])
    def test_no_method_is_open_to_strangers(self, server: Server, method: str) -> None:
        answer = exchange(server.port, request("/roles", method))
        refused(answer, 401, "credential_missing")
        assert answer.header("access-control-allow-origin") is None

    def test_a_preflight_is_denied_and_recorded(self, anyone: httpx.Client, operator: Operator) -> None:
        headers = {"Origin": "https://evil.test", "Access-Control-Request-Method": "POST"}
        answer = anyone.options(TRANSACTIONS, headers=headers)
        body = refused(answer, 401, "credential_missing")
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        record = operator.record(body["request_id"])
        assert record is not None and record["method"] == "OPTIONS"

    def test_head_takes_the_permission_of_its_get(self, anyone: httpx.Client, tenant: Tenant, viewer: Key) -> None:
        allowed = anyone.head("/roles", headers=viewer.header)
        assert (allowed.status_code, allowed.content) == (200, b"")
        record = tenant.record(allowed.headers["hatchpay-request-id"])
        assert record is not None
        assert (record["method"], record["permission"]) == ("HEAD", "access.roles.read")
        denied = anyone.head(KEYS, headers=viewer.header)
        assert (denied.status_code, denied.content) == (403, b"")
        record = tenant.record(denied.headers["hatchpay-request-id"])
        assert record is not None
        assert (record["reason"], record["permission"]) == ("permission_missing", "api-key.keys.read")


class TestNetworks:
    """A key may be bound to networks; forwarded addresses of strangers do not count."""

    def test_a_key_works_from_its_own_networks_only(self, anyone: httpx.Client, tenant: Tenant) -> None:
        here = tenant.make_key("viewer", allowed_cidrs=["127.0.0.0/8"])
        elsewhere = tenant.make_key("viewer", allowed_cidrs=["192.0.2.0/24", "2001:db8::/32"])
        assert anyone.get("/roles", headers=here.header).status_code == 200
        body = refused(anyone.get("/roles", headers=elsewhere.header), 403, "network_not_allowed")
        record = tenant.record(body["request_id"])
        assert record is not None
        assert (record["reason"], record["key_id"]) == ("network_not_allowed", elsewhere.id)
        assert record["client_ip"] == "127.0.0.1"

    @pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP"])
    def test_an_undeclared_proxy_is_not_believed(self, anyone: httpx.Client, tenant: Tenant, name: str) -> None:
        key = tenant.make_key("viewer", allowed_cidrs=["192.0.2.0/24"])
        value = "for=192.0.2.7" if name == "Forwarded" else "192.0.2.7"
        answer = anyone.get("/roles", headers={**key.header, name: value, "X-Request-ID": "mine"})
        body = refused(answer, 403, "network_not_allowed")
        record = tenant.record(body["request_id"])
        assert record is not None
        assert (record["client_ip"], record["correlation_id"]) == ("127.0.0.1", None)


class TestBusinessUnits:
    """A key of chosen units reaches nothing else, wherever a request names its unit."""

    def ask(self, anyone: httpx.Client, key: Key, method: str, path: str, **more: Any) -> httpx.Response:
        return anyone.request(method, path, headers=key.header, **more)

    def denied(self, tenant: Tenant, answer: httpx.Response, code: str, unit: str | None) -> None:
        body = refused(answer, 400 if code == "business_unit_unclear" else 403, code)
        record = tenant.record(body["request_id"])
        assert record is not None
        assert (record["reason"], record["decision"], record["state"]) == (code, "deny", "refused")
        assert (record["business_unit_id"], record["handler_us"]) == (unit, 0)

    def test_the_path_may_name_only_a_unit_of_the_key(
        self, anyone: httpx.Client, tenant: Tenant, units: tuple[str, str], clerk: Key
    ) -> None:
        mine, other = units
        answer = self.ask(anyone, clerk, "GET", f"/shop/units/{mine}/stock")
        assert answer.status_code == 200
        record = tenant.record(answer.headers["hatchpay-request-id"])
        assert record is not None and record["business_unit_id"] == mine
        for method in ("GET", "HEAD"):
            answer = self.ask(anyone, clerk, method, f"/shop/units/{other}/stock")
            assert answer.status_code == 403
        self.denied(
            tenant, self.ask(anyone, clerk, "GET", f"/shop/units/{other}/stock"), "business_unit_not_allowed", other
        )
        self.denied(tenant, self.ask(anyone, clerk, "GET", "/shop/units/all/stock"), "business_unit_unclear", None)

    def test_the_query_may_name_only_a_unit_of_the_key_and_only_once(
        self, anyone: httpx.Client, tenant: Tenant, units: tuple[str, str], clerk: Key, everybody: Key
    ) -> None:
        mine, other = units
        assert self.ask(anyone, clerk, "GET", f"/shop/stock?unit={mine}").status_code == 200
        for query, code, unit in (
            (f"unit={other}", "business_unit_not_allowed", other),
            ("", "business_unit_missing", None),
        ):
            self.denied(tenant, self.ask(anyone, clerk, "GET", f"/shop/stock?{query}"), code, unit)
        for query in (f"unit={mine}&unit={other}", f"unit={other}&unit={mine}", f"unit={mine.upper()}", "unit="):
            for key in (clerk, everybody):
                answer = self.ask(anyone, key, "GET", f"/shop/stock?{query}")
                self.denied(tenant, answer, "business_unit_unclear", None)

    def test_what_names_no_unit_is_closed_to_a_key_of_chosen_units(
        self, anyone: httpx.Client, tenant: Tenant, clerk: Key, everybody: Key
    ) -> None:
        code = "business_unit_not_separable"
        self.denied(tenant, self.ask(anyone, clerk, "GET", "/shop/prices"), code, None)
        self.denied(tenant, self.ask(anyone, clerk, "POST", "/shop/count", content=b"x"), code, None)
        self.denied(tenant, self.ask(anyone, clerk, "POST", "/shop/count"), code, None)
        assert self.ask(anyone, everybody, "GET", "/shop/prices").status_code == 200

    def test_a_transaction_names_its_unit_in_the_body(
        self, anyone: httpx.Client, tenant: Tenant, units: tuple[str, str], clerk: Key, everybody: Key
    ) -> None:
        mine, other = units
        made = self.ask(anyone, clerk, "POST", TRANSACTIONS, json={**BODY, "business_unit_id": mine})
        assert made.status_code == 201, made.text
        record = tenant.record(made.headers["hatchpay-request-id"])
        assert record is not None and record["business_unit_id"] == mine
        answer = self.ask(anyone, clerk, "POST", TRANSACTIONS, json={**BODY, "business_unit_id": other})
        self.denied(tenant, answer, "business_unit_not_allowed", other)
        self.denied(tenant, self.ask(anyone, clerk, "POST", TRANSACTIONS, json=BODY), "business_unit_missing", None)
        self.denied(tenant, self.ask(anyone, clerk, "POST", TRANSACTIONS), "business_unit_missing", None)
        twice = f'{{"business_unit_id": "{mine}", "business_unit_id": "{other}"}}'
        json = {"Content-Type": "application/json"}
        for key in (clerk, everybody):
            answer = anyone.post(TRANSACTIONS, headers={**key.header, **json}, content=twice)
            self.denied(tenant, answer, "business_unit_unclear", None)
        packed = gzip.compress(twice.encode())
        answer = anyone.post(
            TRANSACTIONS, headers={**everybody.header, **json, "Content-Encoding": "gzip"}, content=packed
        )
        self.denied(tenant, answer, "business_unit_unclear", None)
        assert self.ask(anyone, everybody, "POST", TRANSACTIONS, json=BODY).status_code == 201

    def test_a_transaction_of_another_unit_does_not_exist_for_the_key(
        self, anyone: httpx.Client, units: tuple[str, str], clerk: Key, everybody: Key
    ) -> None:
        body = {**BODY, "business_unit_id": units[1], "capture": False}
        made = self.ask(anyone, everybody, "POST", TRANSACTIONS, json=body).json()["id"]
        assert self.ask(anyone, clerk, "GET", f"{TRANSACTIONS}/{made}").status_code == 404
        assert self.ask(anyone, clerk, "POST", f"{TRANSACTIONS}/{made}/complete").status_code == 404
        listed = self.ask(anyone, clerk, "GET", TRANSACTIONS).json()["data"]
        assert {transaction["business_unit_id"] for transaction in listed} <= {units[0]}
        assert self.ask(anyone, everybody, "GET", f"{TRANSACTIONS}/{made}").json()["state"] == "authorized"

    def test_a_key_of_chosen_units_reads_the_history_of_those(
        self, anyone: httpx.Client, tenant: Tenant, units: tuple[str, str]
    ) -> None:
        auditor = tenant.make_key(tenant.make_role("auditor", "audit-log.history.read"), business_unit_ids=[units[0]])
        answer = anyone.get("/v1/audit-log/history", headers=auditor.header)
        assert answer.status_code == 200
        found = {record["business_unit_id"] for record in answer.json()["data"]}
        assert found == {units[0]}


class TestWebSockets:
    @pytest.mark.parametrize("named", [True, False])
    def test_a_websocket_is_refused_and_recorded(
        self, server: Server, operator: Operator, tenant: Tenant, viewer: Key, named: bool
    ) -> None:
        headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
        ]
        if named:
            headers.append(("X-API-Key", viewer.text))
        with Connection(server.port) as connection:
            connection.send(request("/roles", headers=headers))
            answer = connection.answer()
            assert answer is not None
            body = refused(answer, 403, "websocket_not_allowed")
            connection.send(b"\x81\x05hello")
            assert connection.is_closed()
        record = (tenant if named else operator).record(body["request_id"])
        assert record is not None
        assert (record["reason"], record["claimed_key_id"]) == ("websocket_not_allowed", viewer.id if named else None)


class TestOpenRoutes:
    def test_the_description_of_the_api_is_open_and_recorded(
        self, anyone: httpx.Client, operator: Operator, tenant: Tenant, viewer: Key
    ) -> None:
        stranger = anyone.get("/openapi.json")
        assert (stranger.status_code, stranger.json()["openapi"][:3]) == (200, "3.1")
        record = operator.record(stranger.headers["hatchpay-request-id"])
        assert record is not None
        assert (record["decision"], record["reason"], record["rule"]) == ("allow", "open_route", "route:open")
        known = anyone.get("/openapi.json", headers=viewer.header)
        assert known.status_code == 200
        record = tenant.record(known.headers["hatchpay-request-id"])
        assert record is not None and record["key_id"] == viewer.id

    def test_an_open_route_takes_no_ambiguous_credential_either(self, anyone: httpx.Client, viewer: Key) -> None:
        answer = anyone.get("/openapi.json", headers={**viewer.header, "Authorization": "Bearer x"})
        refused(answer, 400, "multiple_credentials")


class TestAdministrationPort:
    def test_health_and_metrics_answer_on_their_own_port_only(self, server: Server, anyone: httpx.Client) -> None:
        with httpx.Client(base_url=server.admin_url) as administration:
            assert administration.get("/healthz").json() == {"status": "ok"}
            assert administration.get("/readyz").json() == {"status": "ok", "failing": []}
            assert "hatchpay_requests_total" in administration.get("/metrics").text
        for path in ("/healthz", "/readyz", "/metrics"):
            refused(anyone.get(path), 401, "credential_missing")

    def test_nothing_else_answers_there(self, server: Server, tenant: Tenant) -> None:
        with httpx.Client(base_url=server.admin_url, headers=tenant.key.header) as administration:
            for method, path in (
                ("GET", "/roles"),
                ("GET", TRANSACTIONS),
                ("GET", "/openapi.json"),
                ("POST", "/metrics"),
                ("GET", "/"),
            ):
                answer = administration.request(method, path)
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
