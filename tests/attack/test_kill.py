"""No answered request is missing from the record and none is there twice, however the process ends."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from tests.support.probe import runs
from tests.support.records import stored
from tests.support.server import Server, hatchpay, onboard, serving

from hatchpay.store.instance import is_gone

KILLS = 20


def load(server: Server, key: str, answered: list[tuple[str, int]], stop: threading.Event) -> None:
    """Asks until the server is gone, and notes what was answered in full."""
    turn = random.Random(threading.get_ident())
    with server.client(key) as client:
        while not stop.is_set():
            try:
                if turn.random() < 0.5:
                    answer = client.post("/probe/plain", json={"amount": "12.50"})
                else:
                    answer = client.get(turn.choice(["/probe/plain", "/probe/stream", "/probe/raises", "/nowhere"]))
            except httpx.TransportError:
                return
            answered.append((answer.headers["HatchPay-Request-Id"], answer.status_code))


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def wait_until_gone(data_dir: Path) -> None:
    instances = data_dir / "instances"
    while not all(is_gone(instances, lock.stem) for lock in instances.glob("*.lock")):
        time.sleep(0.02)


def test_requests_survive_twenty_kills_under_load(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    key = onboard(data_dir)["api_key"]["key"]
    chance = random.Random(20)
    answered: list[tuple[str, int]] = []
    for kill in range(KILLS):
        with serving(data_dir, "tests.support.probe:app") as server:
            stop = threading.Event()
            threads = [threading.Thread(target=load, args=(server, key, answered, stop)) for _ in range(8)]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.1, 0.6))
            victims = [server.process.pid]
            if kill % 2:
                # The writer as well: then what it had not committed was not answered either.
                victims = [*children(server.process.pid), server.process.pid]
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            stop.set()
            for thread in threads:
                thread.join()
            server.process.wait()
        wait_until_gone(data_dir)
    assert hatchpay(data_dir, "doctor").returncode == 0

    records = stored(data_dir)
    count = Counter(record.request_id for record in records)
    assert [request_id for request_id, times in count.items() if times > 1] == []
    status = {record.request_id: record.status for record in records if record.state != "indeterminate"}
    assert [pair for pair in answered if status.get(pair[0]) != pair[1]] == []
    assert len(answered) > KILLS * 10

    effects = {record.request_id for record in records if record.method == "POST"}
    recorded_or_safe = effects | {record.request_id for record in records}
    written = set(runs(data_dir))
    posts = {record.request_id for record in records if record.method == "POST" and record.decision == "allow"}
    # Every handler with effects that ran is on record; a safe one that was never answered is the permitted loss.
    assert written & posts == posts & written
    lost = written - recorded_or_safe
    assert lost.isdisjoint(request_id for request_id, _ in answered)
    db = sqlite3.connect(data_dir / "ledger.db")
    assert db.execute("SELECT count(*) FROM intents").fetchone() == (0,)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@pytest.mark.parametrize("last", ["server", "everything"])
def test_an_interrupted_request_with_effects_is_recorded_as_indeterminate(tmp_path: Path, last: str) -> None:
    data_dir = tmp_path / "var"
    key = onboard(data_dir)["api_key"]["key"]
    with serving(data_dir, "tests.support.probe:app") as server:
        hanging = threading.Thread(target=lambda: _ignore(server, key))
        hanging.start()
        while not runs(data_dir):
            time.sleep(0.01)
        (request_id,) = runs(data_dir)
        victims = [server.process.pid] if last == "server" else [*children(server.process.pid), server.process.pid]
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        hanging.join()
        server.process.wait()
    wait_until_gone(data_dir)
    with serving(data_dir, "tests.support.probe:app") as server, server.client(key) as client:
        (record,) = client.get("/v1/audit-log/history", params={"request_id": request_id}).json()["data"]
    assert (record["state"], record["status"], record["method"]) == ("indeterminate", None, "POST")
    assert record["body"] == {"amount": "99.00"}


def test_a_running_servers_requests_are_left_alone_by_the_doctor(tmp_path: Path) -> None:
    data_dir = tmp_path / "var"
    key = onboard(data_dir)["api_key"]["key"]
    with serving(data_dir, "tests.support.probe:app") as server:
        hanging = threading.Thread(target=lambda: _ignore(server, key))
        hanging.start()
        while not runs(data_dir):
            time.sleep(0.01)
        hatchpay(data_dir, "doctor")
        assert [record for record in stored(data_dir) if record.state == "indeterminate"] == []
        (data_dir / "handler-may-end").touch()
        hanging.join()
    (request_id,) = runs(data_dir)
    (record,) = [record for record in stored(data_dir) if record.request_id == request_id]
    assert record.state == "completed"


def _ignore(server: Server, key: str) -> None:
    try:
        with server.client(key) as client:
            client.post("/probe/waits", json={"amount": "99.00"})
    except httpx.TransportError:
        return
