"""The verifiable log of a real server: receipts that outsiders check, and erasure that leaves them valid."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.server import Server, hatchpay, onboard, serving
from tests.support.sinks import http_sink

from hatchpay.ledger.note import VerifierKey
from hatchpay.ledger.receipt import verify_receipt

ROUTES = """
[[permissions]]
name = "probe.behaviours.read"
description = "Ask"
read_only = true

[[permissions]]
name = "probe.behaviours.run"
description = "Run"

[[routes]]
method = "GET"
path = "/probe/{behaviour}"
permission = "probe.behaviours.read"
subject = "{behaviour}"

[[routes]]
method = "POST"
path = "/probe/{behaviour}"
permission = "probe.behaviours.run"
subject = ["/customer/email", "/customer/number"]
"""
JANE = "jane.doe@example.com"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, httpx.Client]]:
    folder = tmp_path_factory.mktemp("trail")
    routes = folder / "routes.toml"
    routes.write_text(ROUTES)
    demo = onboard(folder / "data")
    with (
        serving(
            folder / "data",
            "tests.support.probe:app",
            "--routes",
            str(routes),
            HATCHPAY_ALLOW_INSECURE_STREAMS="true",
        ) as server,
        server.client(demo["api_key"]["key"]) as client,
    ):
        yield server, client


def sealed(client: httpx.Client, request_id: str) -> bytes:
    """Asked for until it is there, as the answer says."""
    for _ in range(100):
        answer = client.get(f"/v1/audit-log/records/{request_id}/receipt")
        if answer.status_code == 200:
            return answer.content
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        assert answer.headers["retry-after"] == "1"
        time.sleep(0.1)
    raise AssertionError("it was never sealed")


def post(client: httpx.Client, customer: dict[str, object]) -> str:
    body = {"customer": customer, "note": "JANEWASHERE"}
    return client.post("/probe/plain", json=body).headers["hatchpay-request-id"]


def vkey(client: httpx.Client) -> VerifierKey:
    return VerifierKey.parse(client.get("/v1/audit-log/log").json()["vkey"])


def test_every_answer_has_a_receipt(served: tuple[Server, httpx.Client]) -> None:
    _, client = served
    request_id = client.get("/roles").headers["hatchpay-request-id"]
    receipt = sealed(client, request_id)
    verified = verify_receipt(receipt, [vkey(client)])
    assert json.loads(verified.leaf)["request_id"] == request_id
    shown = client.get(f"/v1/audit-log/records/{request_id}").json()
    assert (shown["record"]["url"], shown["openings"]["url"]["value"]) == ("/roles", "/roles")
    assert shown["leaf_index"] == verified.index


def test_refused_requests_have_receipts_as_well(served: tuple[Server, httpx.Client]) -> None:
    _, client = served
    request_id = client.get("/nowhere").headers["hatchpay-request-id"]
    leaf = json.loads(verify_receipt(sealed(client, request_id), [vkey(client)]).leaf)
    assert (leaf["state"], leaf["decision"]) == ("refused", "deny")


def test_nobody_elses_records_are_there(served: tuple[Server, httpx.Client]) -> None:
    server, client = served
    other = onboard(server.data_dir, "Other")["api_key"]["key"]
    request_id = client.get("/roles").headers["hatchpay-request-id"]
    with server.client(other) as stranger:
        for path in (f"/v1/audit-log/records/{request_id}", f"/v1/audit-log/records/{request_id}/receipt"):
            assert stranger.get(path).status_code == 404


def test_the_commands_give_the_same(served: tuple[Server, httpx.Client], tmp_path: Path) -> None:
    server, client = served
    request_id = client.get("/roles").headers["hatchpay-request-id"]
    receipt = sealed(client, request_id)
    key = verify_receipt(receipt, [vkey(client)])
    file = tmp_path / "receipt"
    hatchpay(server.data_dir, "audit", "receipt", request_id, "--tenant", "Demo", "--output", str(file))
    assert verify_receipt(file.read_bytes(), [vkey(client)]).leaf == key.leaf
    record = json.loads(hatchpay(server.data_dir, "audit", "record", request_id, "--tenant", "Demo").stdout)
    assert record["record"]["request_id"] == request_id
    log = json.loads(hatchpay(server.data_dir, "audit", "log", "--tenant", "Demo", "--json").stdout)
    assert log["vkey"] == client.get("/v1/audit-log/log").json()["vkey"]


@pytest.mark.parametrize("customer", [{"email": JANE}, {"number": 4_711}])
def test_what_was_recorded_about_somebody_is_erased(
    served: tuple[Server, httpx.Client], customer: dict[str, object]
) -> None:
    server, client = served
    mine, others = post(client, customer), post(client, {"email": "john@example.com"})
    receipt = sealed(client, mine)
    (subject,) = customer.values()
    answer = client.post("/v1/audit-log/erasures", json={"subject": str(subject)})
    assert answer.status_code == 201
    assert answer.json()["request_ids"] == [mine]
    assert answer.json()["complete"]
    record = client.get(f"/v1/audit-log/records/{mine}").json()
    assert (record["record"]["payload"], record["record"]["body"], record["openings"]) == ("erased", None, {})
    assert "JANEWASHERE" in client.get(f"/v1/audit-log/records/{others}").text
    assert verify_receipt(receipt, [vkey(client)])
    own = client.get("/v1/audit-log/history", params={"route": "/v1/audit-log/erasures"}).json()["data"][0]
    assert (own["body"], own["body_size"] > 0, own["status"]) == (None, True, 201)
    assert str(subject).encode() not in (server.data_dir / "ledger.db-wal").read_bytes()


def test_a_subject_in_the_path_counts_for_reading(served: tuple[Server, httpx.Client]) -> None:
    _, client = served
    request_id = client.get("/probe/plain").headers["hatchpay-request-id"]
    assert client.post("/v1/audit-log/erasures", json={"subject": "plain"}).json()["request_ids"] == [request_id]


def test_single_requests_are_erased(served: tuple[Server, httpx.Client]) -> None:
    _, client = served
    request_id = client.get("/roles").headers["hatchpay-request-id"]
    answer = client.post("/v1/audit-log/erasures", json={"request_ids": [request_id]})
    assert answer.json()["records"] == 1
    assert client.get(f"/v1/audit-log/records/{request_id}").json()["record"]["url"] == ""


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "subject"), ({"subject": "a", "request_ids": ["x"]}, "request_ids.0"), ({"subject": ""}, "subject")],
)
def test_what_is_no_erasure_is_refused_by_its_field(
    served: tuple[Server, httpx.Client], body: dict[str, object], field: str
) -> None:
    _, client = served
    answer = client.post("/v1/audit-log/erasures", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_streams_are_shipped_beside_the_server(served: tuple[Server, httpx.Client]) -> None:
    _, client = served
    with http_sink() as sink:
        wish = {"name": "Collector", "kind": "http", "destination_url": sink.url}
        assert client.post("/v1/audit-log/streams", json=wish).status_code == 201
        request_id = client.get("/roles").headers["hatchpay-request-id"]
        for _ in range(200):
            if any(request_id.encode() in request.body for request in sink.received):
                return
            time.sleep(0.05)
    raise AssertionError("it never arrived")


def test_the_whole_of_it_verifies_while_the_server_runs_and_after(served: tuple[Server, httpx.Client]) -> None:
    server, client = served
    sealed(client, client.get("/roles").headers["hatchpay-request-id"])
    done = json.loads(hatchpay(server.data_dir, "audit", "verify", "--json").stdout)
    assert {one["whole"] for one in done["data"]} == {True}
    assert any(one["size"] > 10 for one in done["data"])
