"""Least privilege on a real server: a key is used, advised on, and reduced to what it used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.server import Server, hatchpay, onboard, serving

ADVICE = "/v1/access/advice"
KEYS = "/v1/api-key/keys"
READ = "payment-proxy.transactions.read"
ROLES = "access.roles.read"


@pytest.fixture(scope="module")
def onboarded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    data_dir = tmp_path_factory.mktemp("advice") / "var"
    return data_dir, onboard(data_dir)


@pytest.fixture(scope="module")
def server(onboarded: tuple[Path, dict[str, Any]]) -> Iterator[Server]:
    with serving(onboarded[0]) as found:
        yield found


@pytest.fixture(scope="module")
def admin(server: Server, onboarded: tuple[Path, dict[str, Any]]) -> Iterator[httpx.Client]:
    with server.client(onboarded[1]["api_key"]["key"]) as client:
        yield client


def key_with(admin: httpx.Client, name: str, *roles: str) -> dict[str, Any]:
    ids = {role["name"]: role["id"] for role in admin.get("/roles").json()["data"]}
    made: dict[str, Any] = admin.post(KEYS, json={"name": name}).json()
    answer = admin.put(f"{KEYS}/{made['id']}/roles", json={"role_ids": [ids[role] for role in roles]})
    assert answer.status_code == 200
    return made


def statuses(client: httpx.Client) -> list[int]:
    """Of the two calls that the key makes, and of some that it could make as well."""
    calls = ("/v1/payment-proxy/transactions", "/roles", "/permissions", KEYS, "/v1/audit-log/history", ADVICE)
    return [client.get(path).status_code for path in calls]


def test_a_key_keeps_exactly_the_two_calls_that_it_made(server: Server, admin: httpx.Client) -> None:
    made = key_with(admin, "Back office", "viewer", "admin")
    with server.client(made["key"]) as client:
        for _ in range(2):
            assert client.get("/v1/payment-proxy/transactions").status_code == 200
        assert client.get("/roles").status_code == 200

        advice = admin.get(ADVICE, params={"key_id": made["id"]}).json()
        assert [(use["permission"], use["count"]) for use in advice["used"]] == [(ROLES, 1), (READ, 2)]
        assert advice["proposed_role"] == {"name": "Back office (least privilege)", "permissions": [ROLES, READ]}
        assert (advice["confidence"], advice["observed_days"]) == ("low", 0)
        assert "payment-proxy.customer-details.read" in advice["unseen"]

        early = admin.post(ADVICE, json={"key_id": made["id"]})
        assert (early.status_code, early.json()["code"]) == (409, "observation_too_short")
        assert client.get("/permissions").status_code == 200

        advice = admin.get(ADVICE, params={"key_id": made["id"]}).json()
        assert len(advice["used"]) == 3
        exact = {"name": "Two calls", "permissions": [ROLES, READ]}
        two = admin.post("/roles", json=exact).json()
        broken = admin.post(ADVICE, json={"key_id": made["id"], "role_id": two["id"], "force": True})
        assert (broken.status_code, broken.json()["permission"]) == (409, "access.permissions.read")

    other = key_with(admin, "Two", "viewer", "admin")
    with server.client(other["key"]) as client:
        assert [client.get(path).status_code for path in ("/v1/payment-proxy/transactions", "/roles")] == [200, 200]
        done = admin.post(ADVICE, json={"key_id": other["id"], "force": True})
        assert done.status_code == 200, done.text
        assert done.json()["role"]["permissions"] == [ROLES, READ]
        assert statuses(client) == [200, 200, 403, 403, 403, 403]


def test_the_command_says_and_does_the_same_beside_the_server(server: Server, admin: httpx.Client) -> None:
    made = key_with(admin, "Till", "admin")
    with server.client(made["key"]) as client:
        assert client.get("/roles").status_code == 200
        overview = hatchpay(server.data_dir, "advise").stdout
        (line,) = [line for line in overview.splitlines() if made["id"] in line]
        assert "admin_only_reads, permissions_unused, key_without_owner" in line
        assert "Proposed role: Till (least privilege): access.roles.read" in (
            hatchpay(server.data_dir, "advise", "--key", made["id"]).stdout
        )
        shown = json.loads(hatchpay(server.data_dir, "advise", "--key", made["id"], "--json").stdout)
        assert shown == admin.get(ADVICE, params={"key_id": made["id"]}).json()
        early = hatchpay(server.data_dir, "advise", "--key", made["id"], "--apply", check=False)
        assert (early.returncode, early.stdout) == (1, "")
        assert "observation_too_short" in early.stderr
        printed = hatchpay(server.data_dir, "advise", "--key", made["id"], "--apply", "--force").stdout
        assert "made: access.roles.read" in printed
        assert admin.get(ADVICE, params={"key_id": made["id"]}).json()["held"] == [ROLES]
        record = admin.get("/v1/audit-log/history", params={"method": "LOCAL"}).json()["data"][0]
        assert (record["url"], record["status"]) == ("hatchpay advise", 200)
        assert [change["event"] for change in record["changes"]] == ["access.roles.created", "api-key.keys.roles_set"]
