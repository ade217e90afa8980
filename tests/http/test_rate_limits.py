"""Rate limits on real servers: exactly as many as were granted, however many processes count, and what callers see."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.probe import runs
from tests.support.records import history
from tests.support.server import Server, onboard, serving

KEYS = "/v1/api-key/keys"
MONTH_S = 30 * 86_400
PROBE = "tests.support.probe:app"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server, str]]:
    """Two on one data directory, and its admin key."""
    data_dir = tmp_path_factory.mktemp("limits") / "var"
    admin = onboard(data_dir)["api_key"]["key"]
    with serving(data_dir, PROBE) as one, serving(data_dir, PROBE) as other:
        yield one, other, admin


@pytest.fixture
def client(servers: tuple[Server, Server, str]) -> Iterator[httpx.Client]:
    """The admin at the first server."""
    with servers[0].client(servers[2]) as client:
        yield client


def limited(client: httpx.Client, *limits: tuple[int, int], role: str = "admin") -> tuple[str, str]:
    """A key with the built-in role and these limits: its id and its text."""
    wanted = [{"requests": requests, "window_seconds": window_s} for requests, window_s in limits]
    made = client.post(KEYS, json={"name": "Till", "rate_limits": wanted}).json()
    assert made["rate_limits"] == wanted
    roles = {one["name"]: one["id"] for one in client.get("/roles").json()["data"]}
    assert client.put(f"{KEYS}/{made['id']}/roles", json={"role_ids": [roles[role]]}).status_code == 200
    return made["id"], made["key"]


def test_two_servers_together_let_through_what_the_limit_says(
    servers: tuple[Server, Server, str], client: httpx.Client
) -> None:
    one, other, _ = servers
    _, key = limited(client, (30, MONTH_S))
    # The other server hears of the key within 250 ms; asking it what is open to everybody would tell nothing.
    with other.client(key) as there:
        waited = 0
        while there.get("/probe/plain").status_code == 401:
            waited += 1
            assert waited < 1000
    before = len(runs(one.data_dir))

    def hammer(server: Server) -> list[int]:
        with server.client(key) as here:
            return [here.post("/probe/plain").status_code for _ in range(20)]

    with ThreadPoolExecutor(4) as pool:
        found = [status for statuses in pool.map(hammer, [one, other, one, other]) for status in statuses]

    # One was spent on waiting for the other server.
    assert sorted(found) == [200] * 29 + [429] * 51
    assert len(runs(one.data_dir)) - before == 29


def test_a_caller_is_told_what_is_left_and_when_to_come_again(
    servers: tuple[Server, Server, str], client: httpx.Client
) -> None:
    key_id, key = limited(client, (3, 3600))
    with servers[0].client(key) as here:
        answers = [here.get("/probe/plain") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"key";q=3;w=3600'}
    left = [re.fullmatch(r'"key";r=([0-9]+);t=([0-9]+)', answer.headers["ratelimit"]) for answer in answers]
    assert [int(match[1]) for match in left if match] == [2, 1, 0, 0]
    assert all(1190 < int(match[2]) <= 1200 for match in left if match)

    refused = answers[-1]
    assert 1190 < int(refused.headers["retry-after"]) <= 1200
    assert "www-authenticate" not in refused.headers
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "rate_limited"
    (record,) = history(client, request_id=refused.headers["HatchPay-Request-Id"])
    assert (record["status"], record["decision"], record["reason"], record["rule"], record["key_id"]) == (
        429,
        "deny",
        "rate_limited",
        "limit:key",
        key_id,
    )
    metrics = httpx.get(f"{servers[0].admin_url}/metrics").text
    assert re.search(r"^hatchpay\w*\{[^}]*rate_limited[^}]*\} [1-9]", metrics, re.MULTILINE)


def test_what_is_forbidden_counts_and_what_is_open_does_not(
    servers: tuple[Server, Server, str], client: httpx.Client
) -> None:
    _, key = limited(client, (2, MONTH_S), role="viewer")
    with servers[0].client(key) as here:
        assert here.get("/openapi.json").status_code == 200
        assert here.post("/v1/auth/token", data={"grant_type": "client_credentials"}).status_code == 200
        forbidden = [here.post("/probe/plain"), here.get("/nowhere"), here.get("/roles")]
        opened = here.get("/openapi.json")
    assert [answer.status_code for answer in forbidden] == [403, 403, 429]
    assert forbidden[0].headers["ratelimit"].startswith('"key";r=1;t=')
    assert opened.status_code == 200
    assert "ratelimit" not in opened.headers


def test_a_token_counts_against_its_key(servers: tuple[Server, Server, str], client: httpx.Client) -> None:
    _, key = limited(client, (2, MONTH_S))
    with servers[0].client(key) as here, servers[0].client() as bearer:
        token = here.post("/v1/auth/token", data={"grant_type": "client_credentials"}).json()["access_token"]
        bearer.headers["Authorization"] = f"Bearer {token}"
        found = [one.get("/roles").status_code for one in (here, bearer, here, bearer)]
    assert found == [200, 200, 429, 429]


def test_the_limits_of_a_role_are_those_of_each_key_that_holds_it(
    servers: tuple[Server, Server, str], client: httpx.Client
) -> None:
    limit: dict[str, Any] = {"requests": 2, "window_seconds": MONTH_S}
    body = {"name": "Slow", "permissions": ["access.roles.read"], "rate_limits": [limit]}
    role = client.post("/roles", json=body).json()
    assert role["rate_limits"] == [limit]
    keys = [client.post(KEYS, json={"name": "Till"}).json() for _ in range(2)]
    found = []
    for key in keys:
        client.put(f"{KEYS}/{key['id']}/roles", json={"role_ids": [role["id"]]})
        with servers[0].client(key["key"]) as here:
            answers = [here.get("/roles") for _ in range(3)]
            found.append([answer.status_code for answer in answers])
            assert answers[-1].headers["ratelimit-policy"] == f'"role:Slow";q=2;w={MONTH_S}'
    assert found == [[200, 200, 429]] * 2


def test_an_applications_own_fields_give_way_where_a_caller_has_limits(
    servers: tuple[Server, Server, str], client: httpx.Client
) -> None:
    _, key = limited(client, (10, 60))
    with servers[0].client(key) as here:
        replaced, kept = here.get("/probe/limited").headers, client.get("/probe/limited").headers
    assert replaced.get_list("ratelimit-policy") == ['"key";q=10;w=60']
    assert len(replaced.get_list("ratelimit")) == 1
    assert replaced["ratelimit"].startswith('"key";r=9;')
    assert replaced["ratelimit-reset"] == "1"
    assert (kept["ratelimit"], kept["ratelimit-policy"]) == ('"own";r=7', '"own";q=9')


@pytest.mark.parametrize(("setting", "statuses"), [("deny", [503, 503]), ("allow", [200, 200])])
def test_where_nothing_can_be_counted_the_setting_decides(tmp_path: Path, setting: str, statuses: list[int]) -> None:
    data_dir = tmp_path / "var"
    admin = onboard(data_dir)["api_key"]["key"]
    (data_dir / "limits").mkdir()
    with serving(data_dir, PROBE, HATCHPAY_RATE_LIMITS_ON_FAILURE=setting) as server, server.client(admin) as client:
        _, key = limited(client, (1, MONTH_S))
        with server.client(key) as here:
            answers = [here.get("/probe/plain") for _ in range(2)]
        assert [answer.status_code for answer in answers] == statuses
        if setting == "deny":
            assert answers[0].json()["code"] == "rate_limits_unavailable"
            assert answers[0].headers["retry-after"] == "1"
        assert "ratelimit" not in answers[0].headers
        # Whoever has no limit is not concerned.
        assert client.get("/probe/plain").status_code == 200
    assert server.log.read_text().count("rate limits cannot be used") == 1


def test_a_wrong_limit_is_refused_by_its_field(client: httpx.Client) -> None:
    for wrong, field in (
        ([{"requests": 0, "window_seconds": 60}], "rate_limits.0.requests"),
        ([{"requests": 1, "window_seconds": 31 * 86_400 + 1}], "rate_limits.0.window_seconds"),
        ([{"requests": 1.5, "window_seconds": 60}], "rate_limits.0.requests"),
        ([{"requests": True, "window_seconds": 60}], "rate_limits.0.requests"),
        ([{"requests": 1}], "rate_limits.0.window_seconds"),
        ([{"requests": 1, "window_seconds": 60, "burst": 5}], "rate_limits.0.burst"),
        ([{"requests": 1, "window_seconds": second} for second in range(1, 7)], "rate_limits"),
        ([{"requests": 1, "window_seconds": 60}, {"requests": 2, "window_seconds": 60}], "rate_limits"),
        ({}, "rate_limits"),
        (None, "rate_limits"),
    ):
        answer = client.post(KEYS, json={"name": "Till", "rate_limits": wrong})
        assert (answer.status_code, answer.json()["field"]) == (422, field), wrong
