"""Streams as a whole: made by a server's calls, shipped by a process of its own, watched by metrics and doctor."""

from __future__ import annotations

import fcntl
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook
from tests.support.server import Server, hatchpay, onboard, serving
from tests.support.shipping import ships
from tests.support.sinks import HttpSink, http_sink

from hatchpay.app.command import program
from hatchpay.cli.errors import run

STREAMS = "/v1/audit-log/streams"
LAX = {"HATCHPAY_ALLOW_INSECURE_STREAMS": "true", "HATCHPAY_STREAM_LAG_ALARM_S": "1"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    data_dir = tmp_path_factory.mktemp("streams") / "var"
    return {"data_dir": data_dir, **onboard(data_dir)}


@pytest.fixture(scope="module")
def server(made: dict[str, Any]) -> Iterator[Server]:
    # The keeper waits for this lock: these tests ship by themselves, when they choose to.
    with (made["data_dir"] / "keeper.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with serving(made["data_dir"], None, **LAX) as server:
            yield server


@pytest.fixture
def client(server: Server, made: dict[str, Any]) -> Iterator[httpx.Client]:
    with server.client(made["api_key"]["key"]) as client:
        yield client
        for stream in client.get(STREAMS).json()["data"]:
            client.delete(f"{STREAMS}/{stream['id']}")


def create(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post(STREAMS, json={"name": "Security team", "kind": "http", **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def ids(sink: HttpSink) -> list[str]:
    lines = (json.loads(line) for request in sink.received for line in request.body.splitlines())
    return [line.get("data", line)["request_id"] for line in lines]


def eventually(holds: Callable[[], bool], patience_s: float = 15.0) -> None:
    until = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until, "it never came to this"
        time.sleep(0.02)


def metrics(server: Server, name: str) -> dict[str, float]:
    """Of each stream."""
    text = httpx.get(f"{server.admin_url}/metrics").text
    found = re.findall(rf'^{name}{{[^}}]*stream="([^"]+)"[^}}]*}} (\S+)$', text, re.MULTILINE)
    return {stream: float(value) for stream, value in found}


def test_the_requests_of_a_tenant_reach_its_collector_with_what_they_changed(
    client: httpx.Client, made: dict[str, Any]
) -> None:
    with http_sink() as sink:
        stream = create(client, destination_url=sink.url)
        with ships(made["data_dir"]):
            wanted = [client.get("/roles").headers["HatchPay-Request-Id"] for _ in range(5)]
            changing = client.post("/v1/api-key/keys", json={"name": "Till"})
            wanted.append(changing.headers["HatchPay-Request-Id"])
            eventually(lambda: set(wanted) <= set(ids(sink)))
            lines = [json.loads(line) for request in sink.received for line in request.body.splitlines()]
            (created,) = [line for line in lines if line["request_id"] == wanted[-1]]
            assert [change["event"] for change in created["changes"]] == ["api-key.keys.created"]
            assert lines[0]["changes"][0]["event"] == "audit-log.streams.created"
            eventually(lambda: client.get(f"{STREAMS}/{stream['id']}").json()["state"] == "ok")
        order = [one for one in ids(sink) if one in wanted]
        assert order == wanted


def test_a_webhook_is_signed_with_the_secret_that_was_shown_and_disabled_once_it_is_gone(
    client: httpx.Client, made: dict[str, Any]
) -> None:
    with http_sink() as sink:
        sink.answer = lambda _: (204, {}, b"")
        types = ["access.permissions.read"]
        stream = create(client, kind="webhook", destination_url=sink.url, event_types=types)
        with ships(made["data_dir"]):
            client.get("/roles")
            wanted = client.get("/permissions").headers["HatchPay-Request-Id"]
            eventually(lambda: bool(sink.received))
            one = sink.received[0]
            taken = Webhook(stream["secret"]).verify(one.body, one.headers)
            assert (taken["type"], taken["data"]["request_id"]) == (types[0], wanted)
            assert one.headers["webhook-id"] == f"msg_{wanted}"
            sink.answer = lambda _: (410, {}, b"")
            client.get("/permissions")
            eventually(lambda: client.get(f"{STREAMS}/{stream['id']}").json()["status"] == "disabled")
        assert {request.body for request in sink.received} != set()
        shown = client.get(f"{STREAMS}/{stream['id']}").json()
        assert (shown["disabled_reason"], shown["state"]) == ("stream_gone", "stopped")
        history = client.get("/v1/audit-log/history", params={"method": "LOCAL", "limit": 1}).json()["data"]
        (change,) = history[0]["changes"]
        assert (change["event"], change["subject_id"]) == ("audit-log.streams.updated", stream["id"])
        assert change["detail"]["after"] == {"status": "disabled", "disabled_reason": "stream_gone"}


def test_a_test_event_tells_what_came_back_within_its_time(client: httpx.Client, made: dict[str, Any]) -> None:
    with http_sink() as sink:
        stream = create(client, kind="webhook", destination_url=sink.url)
        told = client.post(f"{STREAMS}/{stream['id']}/test").json()
        assert (told["delivered"], told["status"], told["code"]) == (True, 200, None)
        Webhook(stream["secret"]).verify(sink.received[0].body, sink.received[0].headers)
        rotated = client.post(f"{STREAMS}/{stream['id']}/rotate-secret", json={"overlap_seconds": 60}).json()
        sink.answer = lambda _: (500, {}, b"")
        told = client.post(f"{STREAMS}/{stream['id']}/test").json()
        assert (told["delivered"], told["status"], told["code"]) == (False, 500, "stream_status")
        for secret in (stream["secret"], rotated["secret"]):
            Webhook(secret).verify(sink.received[1].body, sink.received[1].headers)
    told = client.post(f"{STREAMS}/{stream['id']}/test").json()
    assert (told["delivered"], told["status"], told["code"]) == (False, None, "stream_unreachable")


def test_no_secret_of_a_stream_is_anywhere_on_the_disk(client: httpx.Client, made: dict[str, Any]) -> None:
    with http_sink() as sink:
        secret = "zQ9plainWord4711"
        headers = [{"name": "X-Anything", "secret": secret}]
        stream = create(client, destination_url=sink.url, headers=headers)
        hook = create(client, name="hook", kind="webhook", destination_url=sink.url)
        client.patch(f"{STREAMS}/{stream['id']}", json={"headers": headers})
        client.post(f"{STREAMS}/{stream['id']}/test")
        assert sink.received[0].headers["x-anything"] == secret
        sought = [secret.encode(), hook["secret"].encode(), hook["secret"].removeprefix("whsec_").encode()]
        for file in made["data_dir"].rglob("*"):
            content = file.read_bytes() if file.is_file() else b""
            assert not any(one in content for one in sought), file
        shown = client.get(f"{STREAMS}/{stream['id']}")
        assert shown.json()["header_names"] == ["X-Anything"]
        assert secret not in shown.text


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1/", "not public"),
        ("https://[::ffff:10.0.0.1]/", "not public"),
        ("https://localhost/", "not public"),
        ("https://169.254.169.254/latest", "not public"),
        ("http://example.com/", "https://"),
    ],
)
def test_an_inner_address_is_refused_unless_it_is_for_tests(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], url: str, why: str
) -> None:
    monkeypatch.setenv("HATCHPAY_DATA_DIR", str(made["data_dir"]))
    assert run(program(), ["audit", "streams", "add", "x", "http", url]) == 2
    assert why in capfd.readouterr().err


def test_lag_is_a_metric_an_alarm_and_a_finding_even_where_nobody_ships(
    client: httpx.Client, server: Server, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HATCHPAY_STREAM_LAG_ALARM_S", "1")
    with http_sink() as sink:
        stream = create(client, destination_url=sink.url)["id"]
        client.get("/roles")
        eventually(lambda: metrics(server, "hatchpay_stream_lag_seconds").get(stream, 0) > 1)
        assert metrics(server, "hatchpay_stream_lag_records")[stream] >= 2
        assert metrics(server, "hatchpay_stream_stopped")[stream] == 1
        eventually(lambda: f"the stream {stream}" in server.log.read_text())
        assert re.search(rf"WARNING hatchpay.streams the stream {stream} .* seconds behind", server.log.read_text())
        finding = json.loads(hatchpay(made["data_dir"], "doctor", "--json").stdout)["checks"][-1]
        assert (finding["check"], finding["status"]) == ("streams", "warning")
        assert stream in finding["items"][0] and "nobody ships it" in finding["items"][0]
        shown = client.get(f"{STREAMS}/{stream}").json()
        assert shown["lag_seconds"] > 1 and shown["lag_records"] >= 2
        with ships(made["data_dir"]):
            eventually(lambda: metrics(server, "hatchpay_stream_lag_seconds").get(stream, 9) < 1)
            assert metrics(server, "hatchpay_stream_delivered_records_total")[stream] >= 2
            assert metrics(server, "hatchpay_stream_stopped")[stream] == 0
            sink.answer = lambda _: (500, {}, b"")
            client.get("/roles")
            eventually(lambda: metrics(server, "hatchpay_stream_failures_total")[stream] >= 1)
            eventually(lambda: client.get(f"{STREAMS}/{stream}").json()["state"] == "backing_off")


def test_the_shipper_may_be_killed_at_any_time_and_nothing_is_lost_or_out_of_order(
    client: httpx.Client, made: dict[str, Any]
) -> None:
    chance = random.Random(5)
    with http_sink() as collector, http_sink() as hook:
        create(client, destination_url=collector.url)
        create(client, name="hook", kind="webhook", destination_url=hook.url)
        wanted: list[str] = []
        for _ in range(8):
            with ships(made["data_dir"]) as process:
                until = time.monotonic() + chance.uniform(0.0, 0.25)
                while time.monotonic() < until:
                    wanted.append(client.get("/roles").headers["HatchPay-Request-Id"])
                process.kill()
        with ships(made["data_dir"]):
            eventually(lambda: set(wanted) <= set(ids(collector)) and set(wanted) <= set(ids(hook)))
    for sink in (collector, hook):
        first_seen = list(dict.fromkeys(one for one in ids(sink) if one in set(wanted)))
        assert first_seen == wanted
    assert len(wanted) > 50


def test_the_command_does_what_the_calls_do(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**LAX, "HATCHPAY_DATA_DIR": str(made["data_dir"])}.items():
        monkeypatch.setenv(name, value)

    def streams(*arguments: str, code: int = 0) -> str:
        assert run(program(), ["audit", "streams", *arguments]) == code
        return capfd.readouterr().out

    (tmp_path / "headers").write_text("Authorization: Bearer zQ9plainWord4712\n")
    with http_sink() as sink:
        assert streams("add", "Hook", "webhook", sink.url).splitlines()[-1].startswith("whsec_")
        options = ("--header-file", str(tmp_path / "headers"), "--event-type", "api-key.keys.created")
        added = streams("add", "Logs", "http", sink.url, *options, "--json")
        stream = json.loads(added)
        assert stream["header_names"] == ["Authorization"] and "zQ9plain" not in added
        assert "yes" in streams("test", stream["id"])
        assert sink.received[0].headers["authorization"] == "Bearer zQ9plainWord4712"
        sink.answer = lambda _: (503, {}, b"")
        assert "stream_status" in streams("test", stream["id"], code=1)
        assert json.loads(streams("update", stream["id"], "--all-types", "--json"))["event_types"] is None
        assert "Removed" in streams("remove", stream["id"])
        (hook,) = json.loads(streams("list", "--json"))["data"]
        assert hook["name"] == "Hook"
        assert "whsec_" in streams("update", hook["id"], "--name", "Hook 2", "--rotate-secret", "60")
        assert "Hook 2" in streams("list")
        streams("remove", hook["id"])
