"""What leaves the server, and when: through a real server, around an application that misbehaves."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import httpx
import pytest
from tests.support.probe import runs
from tests.support.records import history
from tests.support.server import Server, onboard, serving

PATIENCE = {"HATCHPAY_AUDIT_PATIENCE_MS": "1500"}


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    data_dir = tmp_path_factory.mktemp("probe") / "var"
    key = onboard(data_dir)["api_key"]["key"]
    with serving(data_dir, "tests.support.probe:app", **PATIENCE) as server:
        yield server, key


@pytest.fixture
def client(probe: tuple[Server, str]) -> Iterator[httpx.Client]:
    server, key = probe
    with server.client(key) as client:
        yield client


def record_of(client: httpx.Client, answer: httpx.Response) -> dict[str, object]:
    (record,) = history(client, request_id=answer.headers["HatchPay-Request-Id"])
    return record


def writer_of(server: Server) -> int:
    command = ["ps", "-o", "pid=,args=", "--ppid", str(server.process.pid)]
    children = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    (writer,) = [child for child in children if "hatchpay.store.writer" in child]
    return int(writer.split()[0])


@pytest.fixture
def frozen_writer(probe: tuple[Server, str]) -> Iterator[int]:
    """The pid of the ledger's writer; whatever a test does to it, it runs again afterwards."""
    pid = writer_of(probe[0])
    yield pid
    os.kill(pid, signal.SIGCONT)


def received_until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        part = connection.recv(4096)
        assert part, f"closed after {received!r}"
        received += part
    return received


def raw_request(server: Server, key: str, method: str, behaviour: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    head = f"{method} /probe/{behaviour} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: 0\r\n\r\n"
    connection.sendall(head.encode())
    return connection


@pytest.mark.parametrize(
    ("behaviour", "status", "body"),
    [("plain", 200, "ok"), ("stream", 200, "one two three"), ("measured", 200, "halfhalf"), ("empty", 204, "")],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_shape_of_answer_arrives_whole_and_is_recorded(
    client: httpx.Client, method: str, behaviour: str, status: int, body: str
) -> None:
    answer = client.request(method, f"/probe/{behaviour}")
    assert (answer.status_code, answer.text) == (status, body)
    record = record_of(client, answer)
    assert (record["state"], record["status"], record["response_size"]) == ("completed", status, len(body))


def test_head_is_answered_without_a_body_and_recorded(client: httpx.Client) -> None:
    answer = client.head("/probe/plain")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "2")
    assert record_of(client, answer)["method"] == "HEAD"


def test_the_request_id_is_always_ours(client: httpx.Client) -> None:
    answer = client.get("/probe/forged")
    assert answer.headers.get_list("HatchPay-Request-Id") != ["forged"]
    assert len(answer.headers.get_list("HatchPay-Request-Id")) == 1
    assert record_of(client, answer)["status"] == 200


def test_extensions_that_send_past_the_record_are_not_offered(client: httpx.Client) -> None:
    assert client.get("/probe/extension").text == ""


@pytest.mark.parametrize("behaviour", ["raises", "silent", "panics", "cancels", "injects", "odd", "stints"])
def test_an_application_that_fails_is_answered_for_and_recorded_as_failed(client: httpx.Client, behaviour: str) -> None:
    answer = client.post(f"/probe/{behaviour}")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["content-type"] == "application/problem+json"
    record = record_of(client, answer)
    assert (record["state"], record["status"]) == ("failed", 500)


def test_what_an_exception_holds_is_redacted_in_the_log(probe: tuple[Server, str], client: httpx.Client) -> None:
    server, key = probe
    client.get("/probe/raises", params={"note": "of-the-caller"})
    log = server.log.read_text()
    assert "ValueError" in log
    assert "4111111111111111" not in log
    assert key not in log


@pytest.mark.parametrize("behaviour", ["breaks", "boasts"])
def test_an_answer_that_breaks_off_is_cut_and_recorded_as_failed(client: httpx.Client, behaviour: str) -> None:
    before = len(history(client, path=f"/probe/{behaviour}"))
    if behaviour == "breaks":
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"/probe/{behaviour}")
    else:
        assert client.get(f"/probe/{behaviour}").status_code == 500
    records = history(client, path=f"/probe/{behaviour}")
    assert len(records) == before + 1
    assert records[0]["state"] == "failed"


def test_background_work_does_not_hold_back_the_answer(probe: tuple[Server, str], client: httpx.Client) -> None:
    server, _ = probe
    answer = client.post("/probe/background")
    assert answer.text == "ok"
    assert record_of(client, answer)["state"] == "completed"
    (server.data_dir / "background-may-end").touch()


def test_no_handler_with_effects_runs_before_its_intent_is_durable(
    probe: tuple[Server, str], frozen_writer: int
) -> None:
    server, key = probe
    before = len(runs(server.data_dir))
    os.kill(frozen_writer, signal.SIGSTOP)
    with raw_request(server, key, "POST", "plain") as connection:
        connection.settimeout(0.4)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert len(runs(server.data_dir)) == before
        os.kill(frozen_writer, signal.SIGCONT)
        connection.settimeout(20)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert len(runs(server.data_dir)) == before + 1


def test_the_last_byte_waits_for_the_record_and_the_bytes_before_do_not(
    probe: tuple[Server, str], frozen_writer: int
) -> None:
    server, key = probe
    gate = server.data_dir / "handler-may-end"
    gate.unlink(missing_ok=True)
    before = len(runs(server.data_dir))
    with raw_request(server, key, "POST", "waits") as connection:
        while len(runs(server.data_dir)) == before:
            pass
        os.kill(frozen_writer, signal.SIGSTOP)
        gate.touch()
        connection.settimeout(0.4)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        os.kill(frozen_writer, signal.SIGCONT)
        connection.settimeout(20)
        assert received_until(connection, b"ok").startswith(b"HTTP/1.1 200")


def test_a_streamed_answer_begins_only_with_a_durable_intent(probe: tuple[Server, str], frozen_writer: int) -> None:
    server, key = probe
    os.kill(frozen_writer, signal.SIGSTOP)
    with raw_request(server, key, "GET", "stream") as connection:
        connection.settimeout(0.4)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        os.kill(frozen_writer, signal.SIGCONT)
        connection.settimeout(20)
        assert b"three" in received_until(connection, b"0\r\n\r\n")


def test_an_outcome_that_cannot_be_recorded_never_looks_like_a_plain_failure(
    probe: tuple[Server, str], client: httpx.Client, frozen_writer: int
) -> None:
    server, key = probe
    gate = server.data_dir / "handler-may-end"
    gate.unlink(missing_ok=True)
    before = len(runs(server.data_dir))
    with raw_request(server, key, "POST", "waits") as connection:
        while len(runs(server.data_dir)) == before:
            pass
        os.kill(frozen_writer, signal.SIGSTOP)
        gate.touch()
        received = b""
        while b"request_id" not in received:
            received += connection.recv(4096)
    head, _, body = received.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert head.startswith(b"HTTP/1.1 503")
    assert (problem["code"], problem["status"]) == ("outcome_unrecorded", 503)
    assert "may have been executed" in problem["detail"]

    os.kill(frozen_writer, signal.SIGCONT)
    record = eventually(client, problem["request_id"])
    assert (record["status"], record["reason"], record["state"]) == (503, "outcome_unrecorded", "failed")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_writer_that_hangs_refuses_requests_without_running_them_and_recovers(
    probe: tuple[Server, str], client: httpx.Client, frozen_writer: int, method: str
) -> None:
    server, _ = probe
    os.kill(frozen_writer, signal.SIGSTOP)
    first = client.request(method, "/probe/plain")
    before = len(runs(server.data_dir))
    second = client.request(method, "/probe/plain")
    assert (first.status_code, second.status_code) == (503, 503)
    assert {first.json()["code"], second.json()["code"]} == {"audit_unavailable"}
    # The first safe request may have run, since its intent was left to its completion; no later one does.
    assert len(runs(server.data_dir)) == before
    ready = httpx.get(f"{server.admin_url}/readyz")
    assert (ready.status_code, ready.json()["failing"]) == (503, ["audit"])

    os.kill(frozen_writer, signal.SIGCONT)
    for refused in (first, second):
        record = eventually(client, refused.json()["request_id"])
        assert (record["state"], record["status"], record["reason"]) == ("refused", 503, "audit_unavailable")
    assert client.request(method, "/probe/plain").status_code == 200
    assert httpx.get(f"{server.admin_url}/readyz").status_code == 200


def test_a_writer_that_is_killed_is_replaced_and_nothing_is_lost(
    probe: tuple[Server, str], client: httpx.Client
) -> None:
    server, key = probe
    pid = writer_of(server)
    os.kill(pid, signal.SIGSTOP)
    with raw_request(server, key, "POST", "plain") as connection:
        os.kill(pid, signal.SIGKILL)
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200")
    request_id = answer.lower().partition(b"hatchpay-request-id: ")[2].split()[0].decode()
    (record,) = history(client, request_id=request_id)
    assert record["state"] == "completed"


def test_a_client_that_leaves_is_recorded_as_disconnected(probe: tuple[Server, str], client: httpx.Client) -> None:
    server, key = probe
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    head = f"POST /probe/echo HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: 100000\r\n\r\nbegun"
    connection.sendall(head.encode())
    while not history(client, path="/probe/plain"):
        client.get("/probe/plain")
    connection.close()
    record: dict[str, object] = {}
    while not record:
        found = history(client, path="/probe/echo", method="POST")
        record = found[0] if found else {}
    assert record["state"] == "disconnected"


def eventually(client: httpx.Client, request_id: str) -> dict[str, object]:
    """Polls for a record that is written once the ledger is back; pytest's own time is the limit."""
    for _ in range(2000):
        answer = client.get("/v1/audit-log/history", params={"request_id": request_id})
        if answer.status_code == 200 and answer.json()["data"]:
            found: dict[str, object] = answer.json()["data"][0]
            return found
    raise AssertionError(f"no record of {request_id}")
