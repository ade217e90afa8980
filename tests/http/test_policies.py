"""Policies of a running server: what they forbid is refused and recorded, for the next request on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.server import ROOT, Server, hatchpay, onboard, serving
from tests.support.tenancy import HISTORY, Operator, Tenant, problem_of

POLICIES = "/v1/policies"


@pytest.fixture
def house(operator: Operator) -> Iterator[Tenant]:
    """A tenant of its own, whose policies concern no other test."""
    with operator.onboard(f"Policy House {len(operator.client.get('/v1/tenants').json()['data'])}") as found:
        yield found


@contextmanager
def policy(tenant: Tenant, text: str, name: str = "Closed") -> Iterator[str]:
    made = tenant.client.post(POLICIES, json={"name": name, "text": text})
    assert made.status_code == 201, made.text
    yield str(made.json()["id"])
    assert tenant.client.delete(f"{POLICIES}/{made.json()['id']}").status_code == 204


def test_a_policy_restricts_what_a_role_grants_until_it_is_deleted(house: Tenant) -> None:
    key = house.make_key("viewer")
    with house.server.client(key.text) as caller:
        assert caller.get("/roles").status_code == 200
        text = f'forbid(principal in Role::"{house.roles["viewer"]}", action == Action::"access.roles.read", resource);'
        with policy(house, text):
            refused = caller.get("/roles")
            assert refused.status_code == 403
            problem = problem_of(refused)
            assert problem["code"] == "policy_forbids"
            assert "field" not in problem
            record = house.record(refused.headers["hatchpay-request-id"])
            assert record is not None
            assert {name: record[name] for name in ("decision", "reason", "rule", "status")} == {
                "decision": "deny",
                "reason": "policy_forbids",
                "rule": "policy:Closed",
                "status": 403,
            }
            assert caller.get("/permissions").status_code == 200
            assert house.client.get("/roles").status_code == 200
        assert caller.get("/roles").status_code == 200


def test_a_policy_grants_nothing(house: Tenant) -> None:
    key = house.make_key("viewer")
    with house.server.client(key.text) as caller, policy(house, "forbid(principal is User, action, resource);"):
        assert problem_of(caller.get(HISTORY))["code"] == "permission_missing"


def test_a_policy_says_from_where(house: Tenant) -> None:
    key = house.make_key("viewer")
    scope = f'forbid(principal == ApiKey::"{key.id}", action, resource)'
    with house.server.client(key.text) as caller:
        with policy(house, f'{scope} unless {{ context.client_ip.isInRange(ip("127.0.0.0/8")) }};'):
            assert caller.get("/roles").status_code == 200
        with policy(house, f'{scope} unless {{ context.client_ip.isInRange(ip("192.0.2.0/24")) }};'):
            assert problem_of(caller.get("/roles"))["code"] == "policy_forbids"


def test_what_cannot_be_evaluated_is_denied_with_a_reason_of_its_own(house: Tenant) -> None:
    key = house.make_key("viewer")
    scope = f'forbid(principal == ApiKey::"{key.id}", action, resource)'
    with house.server.client(key.text) as caller:
        with policy(house, f"{scope} when {{ 9223372036854775807 + 1 > 0 }};"):
            assert problem_of(caller.get("/roles"))["code"] == "policy_error"


def test_a_token_is_judged_by_its_age_and_its_method(house: Tenant) -> None:
    key = house.make_key("viewer")
    scope = f'forbid(principal == ApiKey::"{key.id}", action, resource)'
    text = f'{scope} unless {{ context has token_age && context.token_age < 3600 && context.environment == "live" }};'
    with house.server.client(key.text) as caller, policy(house, text):
        assert caller.get("/roles").status_code == 403
        form = {"grant_type": "client_credentials"}
        token = caller.post("/v1/auth/token", data=form).json()["access_token"]
        del caller.headers["X-API-Key"]
        assert caller.get("/roles", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_the_key_that_policies_spare_cannot_be_deleted(house: Tenant) -> None:
    second = house.make_key("admin")
    spared = f'forbid(principal, action, resource) unless {{ principal == ApiKey::"{house.key.id}" }};'
    with policy(house, spared):
        answer = house.client.delete(f"/v1/api-key/keys/{house.key.id}")
        assert problem_of(answer)["code"] == "last_administrator"
        with house.server.client(second.text) as caller:
            assert problem_of(caller.get("/roles"))["code"] == "policy_forbids"


def test_policies_of_the_command_line_hold_in_a_running_server(tmp_path: Path) -> None:
    data, text = tmp_path / "data", tmp_path / "closed.cedar"
    demo = onboard(data)
    key = demo["api_key"]["key"]
    text.write_text('forbid(principal, action == Action::"access.roles.read", resource);')
    with serving(data) as server, server.client(key) as caller:
        made = json.loads(hatchpay(data, "policies", "create", "Closed", str(text), "--json").stdout)
        assert eventually(caller, 403)
        assert hatchpay(data, "policies", "show", made["id"]).stdout.strip() == text.read_text()
        assert "Closed" in hatchpay(data, "policies", "list").stdout

        text.write_text('\nforbid(principal, action == Action::"access.rolls.read", resource);')
        wrong = hatchpay(data, "policies", "update", made["id"], str(text), check=False)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "line 2, column 29 (policy_invalid)" in wrong.stderr
        text.write_text("forbid(principal, action, resource);")
        locked = hatchpay(data, "policies", "update", made["id"], str(text), check=False)
        assert (locked.returncode, "(policy_locks_out)" in locked.stderr) == (1, True)

        assert (
            json.loads(hatchpay(data, "policies", "update", made["id"], "--name", "Shut", "--json").stdout)["name"]
            == "Shut"
        )
        hatchpay(data, "policies", "delete", made["id"])
        assert eventually(caller, 200)
    history = hatchpay(data, "audit", "history", "--json").stdout
    assert all(f"hatchpay policies {verb}" in history for verb in ("create", "update", "delete"))


def test_policies_are_tested_without_a_data_directory(tmp_path: Path) -> None:
    file = str(ROOT / "examples/policies/tests.yaml")
    passed = hatchpay(tmp_path / "none", "policies", "test", file)
    assert passed.stdout.splitlines()[-1].endswith(" passed, 0 failed")

    (tmp_path / "closed.cedar").write_text("forbid(principal, action, resource);")
    failed = hatchpay(tmp_path / "none", "policies", "test", file, "--policies", str(tmp_path), "--json", check=False)
    assert failed.returncode == 1
    outcomes = json.loads(failed.stdout)
    assert outcomes["failed"] == sum(not one["passed"] for one in outcomes["data"]) > 0
    assert {one["policy"] for one in outcomes["data"]} == {"closed"}

    (tmp_path / "tests.yaml").write_text("cases:\n  - name: one\n  name: two\n")
    wrong = hatchpay(tmp_path / "none", "policies", "test", str(tmp_path / "tests.yaml"), check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "tests.yaml, line 3" in wrong.stderr
    assert not (tmp_path / "none").exists()


def test_the_policies_of_a_tenant_are_tested_as_they_are_stored(tmp_path: Path) -> None:
    data = tmp_path / "data"
    onboard(data)
    with serving(data) as server:
        assert isinstance(server, Server)
    (tmp_path / "reading.cedar").write_text('forbid(principal, action == Action::"access.roles.read", resource);')
    hatchpay(data, "policies", "create", "Reading", str(tmp_path / "reading.cedar"))
    (tmp_path / "tests.yaml").write_text(
        "cases:\n  - name: one\n    principal: {type: ApiKey, id: k}\n    action: access.roles.read\n    expect: deny\n"
    )
    done = hatchpay(data, "policies", "test", str(tmp_path / "tests.yaml"), "--tenant", "Demo")
    assert done.stdout.splitlines() == ["ok      one", "1 passed, 0 failed"]


def eventually(caller: httpx.Client, status: int) -> bool:
    """Whether the answer becomes that within the time in which a change is heard of, with room for a busy machine."""
    until = time.monotonic() + 10
    while caller.get("/roles").status_code != status and time.monotonic() < until:
        time.sleep(0.02)
    return caller.get("/roles").status_code == status
