"""Nobody reaches into another tenant, and nobody gets more than was given to them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.support.server import Server
from tests.support.tenancy import HISTORY, KEYS, TRANSACTIONS, UNITS, Key, Operator, Tenant, problem_of

from hatchpay.ids import new_id

BODY = {
    "customer_details": {"first_name": "Jane", "last_name": "Doe", "address": "1 Example Street"},
    "payment_details": {"payment_method": "CREDIT_CARD", "cc_token": "tok_sample_4242"},
    "transaction": {
        "payment_orchestrator_id": "orchestrator-1",
        "merchant_id": "merchant-1",
        "transaction_items": [{"name": "Tea", "amount": "12.50", "quantity": 2}],
    },
    "capture": False,
}
KEY_MAKER = ("api-key.keys.create", "api-key.key-roles.update", "api-key.keys.update", "api-key.keys.rotate")
ROLE_MAKER = ("access.roles.create", "access.roles.update", "access.roles.read")


@pytest.fixture
def anyone(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def tenant(operator: Operator) -> Iterator[Tenant]:
    """A fresh one, for what would spoil another."""
    number = len(operator.client.get("/v1/tenants", params={"limit": 200}).json()["data"])
    with operator.onboard(f"Tenant {number}") as found:
        yield found


def state_of(tenant: Tenant) -> dict[str, Any]:
    """All that a tenant can see of itself and that no attack may change."""
    keys = tenant.get(f"{KEYS}?limit=200")["data"]
    for key in keys:
        # Reading is use, and use is no change.
        del key["last_used_at"], key["last_used_ip"]
    return {
        "keys": keys,
        "roles": tenant.get("/roles?limit=200")["data"],
        "units": tenant.get(f"{UNITS}?limit=200")["data"],
        "transactions": tenant.get(f"{TRANSACTIONS}?limit=200")["data"],
    }


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body = problem_of(answer)
    assert (body["status"], body["code"]) == (status, code), answer.text
    return body


class Estate:
    """What a tenant owns."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.unit = tenant.make_unit("Head office")
        self.role = tenant.make_role("Cashier", "payment-proxy.transactions.read")
        self.key = tenant.make_key("viewer")
        made = tenant.client.post(TRANSACTIONS, json={**BODY, "business_unit_id": self.unit})
        assert made.status_code == 201, made.text
        self.transaction = str(made.json()["id"])


@pytest.fixture(scope="module")
def estate(alice: Tenant) -> Estate:
    return Estate(alice)


class TestTenants:
    """Another tenant's things do not exist: not to be read, changed, used, counted or guessed."""

    def test_nothing_of_another_tenant_can_be_addressed(self, alice: Tenant, mallory: Tenant, estate: Estate) -> None:
        before = state_of(alice)
        attempts: list[tuple[str, str, str, Any]] = [
            ("GET", KEYS + "/{}", estate.key.id, None),
            ("GET", KEYS + "/{}", alice.key.id, None),
            ("PATCH", KEYS + "/{}", estate.key.id, {"name": "mine"}),
            ("PATCH", KEYS + "/{}", estate.key.id, {"status": "disabled"}),
            ("DELETE", KEYS + "/{}", estate.key.id, None),
            ("PUT", KEYS + "/{}/roles", estate.key.id, {"role_ids": [mallory.roles["admin"]]}),
            ("PUT", KEYS + "/{}/roles", estate.key.id, {"role_ids": []}),
            ("POST", KEYS + "/{}/rotate", estate.key.id, {}),
            ("DELETE", KEYS + "/{}/previous-secrets", estate.key.id, None),
            ("GET", "/roles/{}", estate.role, None),
            ("GET", "/roles/{}", alice.roles["admin"], None),
            ("PUT", "/roles/{}", estate.role, {"name": "x", "permissions": []}),
            ("DELETE", "/roles/{}", estate.role, None),
            ("GET", UNITS + "/{}", estate.unit, None),
            ("GET", TRANSACTIONS + "/{}", estate.transaction, None),
            ("POST", TRANSACTIONS + "/{}/complete", estate.transaction, None),
        ]
        for method, path, subject, body in attempts:
            theirs = mallory.client.request(method, path.format(subject), json=body)
            assert (theirs.status_code, theirs.json()["code"]) == (404, "not_found"), f"{method} {path}"
            nobodys = mallory.client.request(method, path.format(new_id()), json=body)
            assert nobodys.json() | {"request_id": ""} == theirs.json() | {"request_id": ""}
        assert state_of(alice) == before

    def test_another_tenants_roles_and_units_cannot_be_used(
        self, alice: Tenant, mallory: Tenant, estate: Estate
    ) -> None:
        own = mallory.make_key()
        for role in (estate.role, alice.roles["admin"], alice.roles["viewer"]):
            answer = mallory.client.put(f"{KEYS}/{own.id}/roles", json={"role_ids": [mallory.roles["viewer"], role]})
            refused(answer, 422, "unknown_role")
        assert mallory.get(f"{KEYS}/{own.id}")["roles"] == []
        for method, path in (("POST", KEYS), ("PATCH", f"{KEYS}/{own.id}")):
            body = {"name": "x", "business_unit_ids": [estate.unit]}
            refused(mallory.client.request(method, path, json=body), 422, "unknown_business_unit")

    def test_lists_hold_the_callers_own_alone(self, alice: Tenant, mallory: Tenant, estate: Estate) -> None:
        theirs = state_of(alice)
        hers = {thing["id"] for part in theirs.values() for thing in part}
        assert {estate.key.id, estate.role, estate.unit, estate.transaction} <= hers
        for part in state_of(mallory).values():
            assert not hers & {thing["id"] for thing in part}

    def test_a_cursor_of_another_tenant_leads_into_ones_own_list(self, alice: Tenant, mallory: Tenant) -> None:
        hers = {thing["id"] for part in state_of(alice).values() for thing in part}
        for path in (KEYS, "/roles", UNITS, TRANSACTIONS, HISTORY):
            alice.make_unit(f"For the cursor of {path}")
            alice.client.post(TRANSACTIONS, json=BODY)
            cursor = alice.get(f"{path}?limit=1")["next_cursor"]
            assert cursor is not None
            found = mallory.get(f"{path}?limit=200&cursor={cursor}")["data"]
            if path == HISTORY:
                assert {record["tenant_id"] for record in found} <= {mallory.id}
            else:
                assert not hers & {thing["id"] for thing in found}

    def test_the_history_of_another_tenant_cannot_be_asked_for(
        self, alice: Tenant, mallory: Tenant, estate: Estate
    ) -> None:
        read = alice.client.get("/roles")
        request_id = read.headers["hatchpay-request-id"]
        assert alice.record(request_id) is not None
        for conditions in (
            {"request_id": request_id},
            {"key_id": alice.key.id},
            {"principal_id": alice.key.id},
            {"business_unit_id": estate.unit},
        ):
            assert mallory.history(**conditions) == []
        assert all(record["tenant_id"] == mallory.id for record in mallory.history(limit="200"))
        for conditions in ({"tenant_id": alice.id}, {"tenant": alice.id}, {"all": "1"}):
            refused(mallory.client.get(HISTORY, params=conditions), 422, "unknown_parameter")
        twice = mallory.client.get(f"{HISTORY}?key_id={mallory.key.id}&key_id={alice.key.id}")
        refused(twice, 400, "duplicate_parameter")

    def test_a_tenant_cannot_be_named_by_a_header(self, alice: Tenant, mallory: Tenant, estate: Estate) -> None:
        for name in ("X-Tenant-ID", "HatchPay-Tenant", "X-Hatchpay-Tenant-Id", "Tenant"):
            answer = mallory.client.get(f"{TRANSACTIONS}/{estate.transaction}", headers={name: alice.id})
            assert answer.status_code == 404

    def test_a_failure_with_anothers_key_id_shows_the_attacker_nothing(
        self, anyone: httpx.Client, alice: Tenant, mallory: Tenant, operator: Operator
    ) -> None:
        answer = anyone.get("/roles", headers={"X-API-Key": mallory.key.text[:30] + alice.key.text[30:]})
        request_id = problem_of(answer)["request_id"]
        record = mallory.record(request_id)
        assert record is not None and record["claimed_key_id"] == mallory.key.id
        assert alice.record(request_id) is None
        assert operator.record(request_id) is None


class TestPlatform:
    """The operator onboards tenants and sees none of them from inside; tenants are no operators."""

    def test_the_operator_cannot_call_what_is_a_tenants(self, operator: Operator, estate: Estate) -> None:
        attempts = [
            ("GET", KEYS),
            ("POST", KEYS),
            ("DELETE", f"{KEYS}/{estate.key.id}"),
            ("POST", f"{KEYS}/{estate.key.id}/rotate"),
            ("GET", "/roles"),
            ("GET", "/permissions"),
            ("GET", UNITS),
            ("GET", TRANSACTIONS),
            ("GET", f"{TRANSACTIONS}/{estate.transaction}"),
            ("POST", TRANSACTIONS),
            ("POST", "/shop/count"),
        ]
        for method, path in attempts:
            refused(operator.client.request(method, path), 403, "permission_missing")

    def test_the_operator_reads_no_tenants_log(self, operator: Operator, alice: Tenant) -> None:
        request_id = alice.client.get("/roles").headers["hatchpay-request-id"]
        assert operator.record(request_id) is None
        assert {record["tenant_id"] for record in operator.history(limit="200")} <= {operator.tenant_id}

    def test_tenants_cannot_call_what_is_the_operators(self, mallory: Tenant, operator: Operator) -> None:
        before = operator.client.get("/v1/tenants", params={"limit": 200}).json()
        answer = mallory.client.post("/v1/tenants", json={"name": "Mine"})
        assert refused(answer, 403, "permission_missing")["permission"] == "platform.tenants.create"
        answer = mallory.client.get("/v1/tenants")
        assert refused(answer, 403, "permission_missing")["permission"] == "platform.tenants.read"
        assert operator.client.get("/v1/tenants", params={"limit": 200}).json() == before

    def test_platform_permissions_are_nothing_that_a_tenant_could_grant(self, mallory: Tenant) -> None:
        names = {permission["name"] for permission in mallory.get("/permissions?limit=200")["data"]}
        assert "access.roles.read" in names
        assert not {name for name in names if name.startswith("platform.")}
        for role in mallory.get("/roles?limit=200")["data"]:
            assert not {name for name in role["permissions"] if name.startswith("platform.")}
        for permission in ("platform.tenants.create", "platform.tenants.read", "platform.*.*", "*"):
            answer = mallory.client.post("/roles", json={"name": "Root", "permissions": [permission]})
            assert answer.status_code == 422


@dataclass(frozen=True)
class Maker:
    """May make keys and roles, and give them to others; may read transactions; may nothing else."""

    key: Key
    role: str
    client: httpx.Client


class TestEscalation:
    """Nobody grants what they do not hold, by whatever call."""

    @pytest.fixture
    def maker(self, tenant: Tenant) -> Iterator[Maker]:
        role = tenant.make_role("Maker", *KEY_MAKER, *ROLE_MAKER, "payment-proxy.transactions.read")
        key = tenant.make_key(role)
        with tenant.server.client(key.text) as client:
            yield Maker(key, role, client)

    @pytest.fixture
    def strong(self, tenant: Tenant) -> Key:
        """What is not the maker's to touch."""
        return tenant.make_key(tenant.make_role("Strong", "payment-proxy.transactions.create"))

    def test_a_stronger_role_cannot_be_attached_to_any_key(self, tenant: Tenant, maker: Maker, strong: Key) -> None:
        client = maker.client
        roles = {role["name"]: role["id"] for role in tenant.get("/roles")["data"]}
        fresh = client.post(KEYS, json={"name": "Fresh"}).json()["id"]
        before = state_of(tenant)
        for target in (fresh, maker.key.id):
            for name in ("admin", "gl", "Strong"):
                body = {"role_ids": [roles["Maker"], roles[name]]}
                refused(client.put(f"{KEYS}/{target}/roles", json=body), 403, "grant_exceeds_caller")
        assert state_of(tenant) == before
        assert client.put(f"{KEYS}/{fresh}/roles", json={"role_ids": [roles["Maker"]]}).status_code == 200

    def test_a_stronger_key_cannot_be_rotated_enabled_or_widened(
        self, tenant: Tenant, maker: Maker, strong: Key
    ) -> None:
        client = maker.client
        tenant.change(strong, status="disabled", allowed_cidrs=["192.0.2.0/24"], expires_at=in_an_hour())
        before = state_of(tenant)
        for target in (strong.id, tenant.key.id):
            refused(client.post(f"{KEYS}/{target}/rotate", json={}), 403, "grant_exceeds_caller")
        for change in (
            {"status": "enabled"},
            {"allowed_cidrs": None},
            {"allowed_cidrs": ["0.0.0.0/0"]},
            {"expires_at": None},
            {"expires_at": "9999-01-01T00:00:00Z"},
            {"name": "harmless", "status": "enabled"},
        ):
            refused(client.patch(f"{KEYS}/{strong.id}", json=change), 403, "grant_exceeds_caller")
        assert state_of(tenant) == before

    def test_a_role_cannot_hold_more_than_its_maker(self, tenant: Tenant, maker: Maker, strong: Key) -> None:
        client = maker.client
        before = state_of(tenant)
        wanted = ["payment-proxy.transactions.read", "payment-proxy.transactions.create"]
        answer = client.post("/roles", json={"name": "Stronger", "permissions": wanted})
        body = refused(answer, 403, "grant_exceeds_caller")
        assert body["permission"] == "payment-proxy.transactions.create"
        draft = {"name": "Maker", "permissions": [*KEY_MAKER, *ROLE_MAKER, *wanted]}
        refused(client.put(f"/roles/{maker.role}", json=draft), 403, "grant_exceeds_caller")
        assert state_of(tenant) == before

    def test_a_role_in_the_hands_of_a_stronger_key_cannot_be_widened(self, tenant: Tenant, maker: Maker) -> None:
        client = maker.client
        shared = tenant.make_role("Shared", "access.roles.read")
        tenant.make_key(shared, "gl")
        draft = {"name": "Shared", "permissions": ["access.roles.read", "payment-proxy.transactions.read"]}
        before = state_of(tenant)
        refused(client.put(f"/roles/{shared}", json=draft), 403, "grant_exceeds_caller")
        assert state_of(tenant) == before

    def test_built_in_roles_cannot_be_changed_or_imitated(self, tenant: Tenant) -> None:
        before = state_of(tenant)
        for name in ("viewer", "gl", "admin"):
            draft = {"name": "x", "permissions": ["access.roles.read"]}
            refused(tenant.client.put(f"/roles/{tenant.roles[name]}", json=draft), 409, "builtin_role")
            refused(tenant.client.delete(f"/roles/{tenant.roles[name]}"), 409, "builtin_role")
            for copy in (name, name.upper(), f" {name} "):
                answer = tenant.client.post("/roles", json={"name": copy, "permissions": []})
                assert answer.status_code in {409, 422}
        assert state_of(tenant) == before

    def test_limits_are_inherited_and_never_loosened(self, tenant: Tenant) -> None:
        zurich, basel = tenant.make_unit("Zurich"), tenant.make_unit("Basel")
        role = tenant.make_role("Key maker", *KEY_MAKER, "access.roles.read")
        limits = {
            "environment": "live",
            "business_unit_ids": [zurich],
            "allowed_cidrs": ["127.0.0.0/8"],
            "expires_at": in_an_hour(),
        }
        clerk = tenant.make_key(role, **limits)
        before = state_of(tenant)
        with tenant.server.client(clerk.text) as client:
            for loosened in (
                {"business_unit_ids": None},
                {"business_unit_ids": [zurich, basel]},
                {"business_unit_ids": [basel]},
                {"allowed_cidrs": None},
                {"allowed_cidrs": ["0.0.0.0/0"]},
                {"allowed_cidrs": ["127.0.0.0/8", "192.0.2.0/24"]},
                {"expires_at": None},
                {"expires_at": in_an_hour(2)},
            ):
                wanted = {key: value for key, value in {"name": "x", **limits, **loosened}.items() if value is not None}
                refused(client.post(KEYS, json=wanted), 403, "grant_exceeds_caller")
                # Nor by changing one's own.
                answer = client.patch(f"{KEYS}/{clerk.id}", json=loosened)
                assert answer.status_code in {403, 404}, loosened
            assert state_of(tenant) == before
            assert client.post(KEYS, json={"name": "Same", **limits}).status_code == 201

    def test_a_test_key_makes_no_live_key(self, tenant: Tenant) -> None:
        role = tenant.make_role("Key maker", *KEY_MAKER)
        trial = tenant.make_key(role, environment="test")
        assert trial.text.startswith("hp_test_")
        with tenant.server.client(trial.text) as client:
            refused(client.post(KEYS, json={"name": "x"}), 403, "grant_exceeds_caller")
            assert client.post(KEYS, json={"name": "x", "environment": "test"}).status_code == 201

    def test_what_only_takes_away_needs_no_more_than_the_call(self, tenant: Tenant, maker: Maker, strong: Key) -> None:
        client = maker.client
        assert client.patch(f"{KEYS}/{strong.id}", json={"status": "disabled"}).status_code == 200
        assert client.put(f"{KEYS}/{strong.id}/roles", json={"role_ids": []}).status_code == 200


@pytest.fixture(scope="module")
def crowded(operator: Operator) -> Iterator[tuple[Tenant, str]]:
    """A tenant with one administrator, many who are nearly one, and a business unit's id."""
    with operator.onboard("Crowd") as tenant:
        unit = tenant.make_unit("Zurich")
        tenant.make_key("admin", business_unit_ids=[unit])
        tenant.make_key("admin", allowed_cidrs=["127.0.0.0/8"])
        tenant.make_key("admin", expires_at=in_an_hour())
        tenant.make_key("admin", environment="test")
        everything = [permission["name"] for permission in tenant.get("/permissions?limit=200")["data"]]
        tenant.make_key(tenant.make_role("Almost admin", *everything))
        tenant.change(tenant.make_key("admin"), status="disabled")
        yield tenant, unit


def filled_in(body: dict[str, Any] | None, **ids: str) -> dict[str, Any] | None:
    """The body with `{name}` in its lists replaced by ids."""
    if body is None:
        return None
    return {
        name: [item.format(**ids) for item in value] if isinstance(value, list) else value
        for name, value in body.items()
    }


class TestLastAdministrator:
    """A tenant always keeps one enabled, unexpiring, tenant-wide, unrestricted key with the role admin."""

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("DELETE", "", None),
            ("PATCH", "", {"status": "disabled"}),
            ("PATCH", "", {"expires_at": "9999-01-01T00:00:00Z"}),
            ("PATCH", "", {"allowed_cidrs": ["0.0.0.0/0"]}),
            ("PATCH", "", {"business_unit_ids": ["{unit}"]}),
            ("PUT", "/roles", {"role_ids": []}),
            ("PUT", "/roles", {"role_ids": ["{viewer}"]}),
        ],
    )
    def test_no_call_removes_it(
        self, crowded: tuple[Tenant, str], method: str, path: str, body: dict[str, Any] | None
    ) -> None:
        tenant, unit = crowded
        filled = filled_in(body, unit=unit, viewer=tenant.roles["viewer"])
        before = state_of(tenant)
        answer = tenant.client.request(method, f"{KEYS}/{tenant.key.id}{path}", json=filled)
        refused(answer, 409, "last_administrator")
        assert state_of(tenant) == before
        second = tenant.make_key("admin")
        assert tenant.client.request(method, f"{KEYS}/{second.id}{path}", json=filled).status_code in {200, 204}
        refused(tenant.client.delete(f"{KEYS}/{tenant.key.id}"), 409, "last_administrator")

    def test_of_two_administrators_who_delete_each_other_one_remains(
        self, tenant: Tenant, anyone: httpx.Client
    ) -> None:
        left, right = tenant.key, tenant.make_key("admin")
        for _ in range(5):
            with ThreadPoolExecutor(2) as pool:
                answers = list(
                    pool.map(
                        lambda pair: httpx.delete(
                            f"{tenant.server.url}{KEYS}/{pair[1].id}", headers=pair[0].header, timeout=30
                        ),
                        [(left, right), (right, left)],
                    )
                )
            statuses = sorted(answer.status_code for answer in answers)
            # The loser's key is gone by the time it acts, or it would have removed the last one.
            assert statuses[0] == 204 and statuses[1] in {401, 409}
            survivor = left if answers[0].status_code == 204 else right
            assert anyone.get("/roles", headers=survivor.header).status_code == 200
            made = anyone.post(KEYS, headers=survivor.header, json={"name": "Next"}).json()
            body = {"role_ids": [tenant.roles["admin"]]}
            assert anyone.put(f"{KEYS}/{made['id']}/roles", headers=survivor.header, json=body).status_code == 200
            left, right = survivor, Key(made["id"], made["key"])

    def test_of_two_administrators_who_demote_each_other_one_remains(
        self, tenant: Tenant, anyone: httpx.Client
    ) -> None:
        left, right = tenant.key, tenant.make_key("admin")

        def demote(pair: tuple[Key, Key]) -> int:
            answer = httpx.put(
                f"{tenant.server.url}{KEYS}/{pair[1].id}/roles",
                headers=pair[0].header,
                json={"role_ids": [tenant.roles["viewer"]]},
                timeout=30,
            )
            return answer.status_code

        with ThreadPoolExecutor(2) as pool:
            statuses = list(pool.map(demote, [(left, right), (right, left)]))
        assert sorted(statuses)[0] == 200 and sorted(statuses)[1] in {403, 409}
        able = [anyone.get(KEYS, headers=key.header).status_code for key in (left, right)]
        assert sorted(able) == [200, 403]


def in_an_hour(hours: int = 1) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
