"""A change of access is tried on what was really recorded; then it is made, and what was foretold happens."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support import long_work
from tests.support.server import ROOT, Server, hatchpay, onboard, serving
from tests.support.tenancy import KEYS, TRANSACTIONS, Key, Operator, Tenant, problem_of

REHEARSE = "/v1/access/rehearse"
TRANSACTION = json.loads((ROOT / "examples/payments_api/transaction.json").read_text("utf-8"))
CALLS: list[tuple[str, str, Any]] = [
    ("POST", TRANSACTIONS, TRANSACTION),
    ("GET", TRANSACTIONS, None),
    ("GET", "/roles", None),
    ("GET", KEYS, None),
]


@pytest.fixture
def cafe(operator: Operator) -> Iterator[Tenant]:
    """A tenant of its own, so that nobody else's requests are counted."""
    with operator.onboard(f"Cafe {time.monotonic_ns()}") as found:
        yield found


def call_all(server: Server, key: Key) -> dict[str, httpx.Response]:
    """Each of CALLS, by the id of its request."""
    with server.client(key.text) as client:
        answers = [client.request(method, path, json=body) for method, path, body in CALLS]
    return {answer.headers["HatchPay-Request-Id"]: answer for answer in answers}


def rehearse(tenant: Tenant, change: dict[str, Any], **span: str) -> dict[str, Any]:
    answer = tenant.client.post(REHEARSE, json={"change": change, **span})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    result: dict[str, Any] = json.loads(answer.text.splitlines()[-1])
    return result


def told(differences: dict[str, Any]) -> set[str]:
    samples = {one for group in differences["groups"] for one in group["samples"]}
    assert differences["count"] == len(samples) and differences["more_groups"] == 0
    return samples


def test_the_loss_of_a_role_is_foretold_by_the_true_requests_and_then_happens(server: Server, cafe: Tenant) -> None:
    reader = cafe.make_role("Reader", "access.roles.read")
    till = cafe.make_key("gl", reader)
    before = call_all(server, till)
    assert [answer.status_code for answer in before.values()] == [201, 200, 200, 403]

    result = rehearse(cafe, {"key_id": till.id, "role_ids": [reader]})

    foretold = told(result["denied"])
    assert foretold == set(list(before)[:2])
    assert result["allowed"] == {"count": 0, "groups": [], "more_groups": 0}
    groups = {group["permission"]: group for group in result["denied"]["groups"]}
    assert groups.keys() == {"payment-proxy.transactions.create", "payment-proxy.transactions.read"}
    created = groups["payment-proxy.transactions.create"]
    assert (created["method"], created["route"], created["name"]) == ("POST", TRANSACTIONS, "Till")
    assert (created["reason"], created["missing"]) == ("permission_missing", "payment-proxy.transactions.create")
    # Nothing has changed by it.
    assert [answer.status_code for answer in call_all(server, till).values()] == [201, 200, 200, 403]

    cafe.set_roles(till, reader)
    after = call_all(server, till)
    pairs = zip(before.items(), after.values(), strict=True)
    newly_refused = {old for (old, was), now in pairs if was.is_success and not now.is_success}
    assert newly_refused == foretold


def test_what_a_role_gains_and_loses_is_foretold_for_all_its_keys(server: Server, cafe: Tenant) -> None:
    role = cafe.make_role("Reader", "access.roles.read")
    keys = [cafe.make_key(role), cafe.make_key(role, "viewer")]
    before = [call_all(server, key) for key in keys]

    result = rehearse(cafe, {"role_id": role, "permissions": ["api-key.keys.read"]})

    # The second reads roles as a viewer too.
    assert told(result["denied"]) == {list(before[0])[2]}
    assert told(result["allowed"]) == {list(before[0])[3], list(before[1])[3]}
    assert {group["reason"] for group in result["allowed"]["groups"]} == {"permission_missing"}
    draft = {"name": "Reader", "permissions": ["api-key.keys.read"]}
    assert cafe.client.put(f"/roles/{role}", json=draft).status_code == 200
    after = [[answer.status_code for answer in call_all(server, key).values()] for key in keys]
    assert after == [[403, 403, 403, 200], [403, 200, 200, 200]]


def test_the_rehearsal_itself_is_recorded_whole(cafe: Tenant) -> None:
    till = cafe.make_key("viewer")
    answer = cafe.client.post(REHEARSE, json={"change": {"key_id": till.id, "role_ids": []}})
    record = cafe.record(answer.headers["HatchPay-Request-Id"])
    assert record is not None
    assert (record["state"], record["status"], record["changes"]) == ("completed", 200, [])
    assert record["response_size"] == len(answer.content)
    assert record["body"]["change"]["key_id"] == till.id


def test_whoever_lacks_the_permission_is_refused(server: Server, cafe: Tenant) -> None:
    with server.client(cafe.make_key("viewer").text) as client:
        answer = client.post(REHEARSE, json={"change": {"key_id": cafe.key.id, "role_ids": []}})
    assert (answer.status_code, problem_of(answer)["permission"]) == (403, "access.rehearsals.read")


def test_another_tenants_keys_and_requests_are_out_of_sight(server: Server, cafe: Tenant, rival: Tenant) -> None:
    theirs = rival.make_key("viewer")
    call_all(server, theirs)
    answer = cafe.client.post(REHEARSE, json={"change": {"key_id": theirs.id, "role_ids": []}})
    assert (answer.status_code, problem_of(answer)["code"]) == (422, "unknown_key")


class TestCommand:
    @pytest.fixture
    def used(self, server: Server, cafe: Tenant) -> Key:
        till = cafe.make_key("gl")
        call_all(server, till)
        return till

    def run(self, server: Server, cafe: Tenant, *arguments: str) -> Any:
        routes = ("--routes", str(server.data_dir.parent / "routes.toml"))
        return hatchpay(server.data_dir, "rehearse", "--tenant", cafe.id, *routes, *arguments, check=False)

    def test_it_shows_a_diff_and_fails_where_something_used_would_break(
        self, server: Server, cafe: Tenant, used: Key
    ) -> None:
        done = self.run(server, cafe, "--key", used.id, "--roles", "viewer")
        assert (done.returncode, done.stderr) == (1, "")
        lines = done.stdout.splitlines()
        assert lines[2] == f"@@ Till {used.id} @@"
        (broken,) = lines[3:-1]
        assert broken.startswith(f"- POST {TRANSACTIONS} ×1: permission_missing payment-proxy.transactions.create, ")
        assert "1 would be denied and 0 allowed" in lines[-1]

    def test_it_ends_well_where_nothing_used_breaks(self, server: Server, cafe: Tenant, used: Key) -> None:
        done = self.run(server, cafe, "--key", used.id, "--roles", "gl,admin")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"+ GET {KEYS} ×1: permission_missing api-key.keys.read, " in done.stdout

    def test_its_document_is_that_of_the_call(self, server: Server, cafe: Tenant, used: Key) -> None:
        span = {"from": "2020-01-01T00:00:00Z", "to": "2999-01-01T00:00:00Z"}
        over_http = rehearse(cafe, {"key_id": used.id, "role_ids": []}, **span)
        options = ("--from", span["from"], "--to", span["to"], "--json")
        done = self.run(server, cafe, "--key", used.id, "--roles", "", *options)
        assert done.returncode == 1
        printed = json.loads(done.stdout)
        # The rehearsal over HTTP is a request as well.
        assert printed == over_http | {"requests": over_http["requests"] + 1}

    def test_wrong_input_is_told_apart_from_what_breaks(
        self, server: Server, cafe: Tenant, used: Key, tmp_path: Path
    ) -> None:
        viewer = cafe.roles["viewer"]
        for arguments, complaint in (
            ((), "exactly one"),
            (("--key", used.id), "exactly one"),
            (("--key", used.id, "--roles", "", "--role", viewer, "--permissions", ""), "exactly one"),
            (("--key", "7", "--roles", ""), "invalid_uuid"),
            (("--key", used.id, "--roles", "captain"), "there is no role 'captain'"),
            (("--key", cafe.roles["gl"], "--roles", ""), "unknown_key"),
            (("--role", "viewer", "--permissions", ""), "builtin_role"),
            (("--policy", "night", str(tmp_path / "missing.cedar")), "--policy"),
            (("--key", used.id, "--roles", "", "--from", "yesterday"), "--from"),
            (("--key", used.id, "--roles", "", "--from", "2999-01-01T00:00:00Z"), "from must be before to"),
            (("--key", used.id, "--roles", "", "--tenant", "Nobody"), "not_found"),
        ):
            done = self.run(server, cafe, *arguments)
            assert (done.returncode, done.stdout) == (2, ""), arguments
            assert complaint in done.stderr, arguments

    def test_without_the_applications_route_table_it_does_not_pretend_that_nothing_breaks(
        self, server: Server, cafe: Tenant, used: Key
    ) -> None:
        done = hatchpay(server.data_dir, "rehearse", "--tenant", cafe.id, "--key", used.id, "--roles", "", check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "--routes" in done.stderr

    def test_it_only_reads(self, server: Server, cafe: Tenant, used: Key) -> None:
        before = cafe.history(limit="200")
        self.run(server, cafe, "--key", used.id, "--roles", "")
        assert cafe.history(limit="200")[1:] == before
        assert [role["name"] for role in cafe.get(f"{KEYS}/{used.id}")["roles"]] == ["gl"]


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, httpx.Client]]:
    data_dir = tmp_path_factory.mktemp("streaming") / "var"
    key = onboard(data_dir)["api_key"]["key"]
    routes = {"HATCHPAY_ROUTES": str(long_work.ROUTES)}
    with serving(data_dir, "tests.support.long_work:app", **routes) as server, server.client(key) as client:
        yield server, client


class TestLongAnswers:
    """Through a real gate: what is streamed leaves as it is written, and the record tells how it ended."""

    def outcome(self, client: httpx.Client, answer: httpx.Response) -> tuple[str, str]:
        """State and reason on the record of a request that may have ended a moment ago."""
        until = time.monotonic() + 10
        wanted = {"request_id": answer.headers["HatchPay-Request-Id"]}
        while not (found := client.get("/v1/audit-log/history", params=wanted).json()["data"]):
            assert time.monotonic() < until
            time.sleep(0.02)
        return found[0]["state"], found[0]["reason"]

    def test_progress_leaves_while_the_work_goes_on_and_the_whole_is_recorded(
        self, streaming: tuple[Server, httpx.Client]
    ) -> None:
        server, client = streaming
        with client.stream("POST", "/probe/whole") as answer:
            lines = answer.iter_lines()
            assert json.loads(next(lines)) == {"progress": {"done": 1, "total": 2}}
            (server.data_dir / "whole-may-end").touch()
            *_, last = lines
            assert json.loads(last) == {"result": "whole"}
        assert self.outcome(client, answer) == ("completed", "role_grants")

    def test_an_error_in_the_middle_is_the_last_line_and_on_the_record(
        self, streaming: tuple[Server, httpx.Client]
    ) -> None:
        server, client = streaming
        with client.stream("POST", "/probe/breaks") as answer:
            lines = answer.iter_lines()
            next(lines)
            (server.data_dir / "breaks-may-end").touch()
            *_, last = lines
        assert json.loads(last)["error"]["code"] == "audit_unavailable"
        assert json.loads(last)["error"]["request_id"] == answer.headers["HatchPay-Request-Id"]
        assert self.outcome(client, answer) == ("refused", "audit_unavailable")

    def test_whoever_hangs_up_ends_the_work(self, streaming: tuple[Server, httpx.Client]) -> None:
        server, client = streaming
        over = server.data_dir / "endless-is-over"
        with client.stream("POST", "/probe/endless") as answer:
            next(answer.iter_lines())
            assert not over.exists()
        until = time.monotonic() + 10
        while not over.exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        assert self.outcome(client, answer) == ("disconnected", "role_grants")
