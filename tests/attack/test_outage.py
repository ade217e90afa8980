"""The audit store is full, locked or gone: 503, no handler runs, and all is well again when the store is."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tests.support.probe import runs
from tests.support.records import stored
from tests.support.server import onboard, serving


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    db = sqlite3.connect(data_dir / "ledger.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


@contextmanager
def gone(data_dir: Path) -> Iterator[None]:
    names = ["ledger.db", "ledger.db-wal", "ledger.db-shm"]
    away = data_dir / "away"
    away.mkdir()
    for name in names:
        (data_dir / name).rename(away / name)
    try:
        yield
    finally:
        assert not (data_dir / "ledger.db").exists(), "an empty ledger was begun in place of the one that vanished"
        for name in names:
            (away / name).rename(data_dir / name)


@contextmanager
def full(data_dir: Path) -> Iterator[None]:
    filler = data_dir / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB of its own."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(mount)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system needs root")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


Outage = Callable[[Path], AbstractContextManager[None]]


@pytest.mark.parametrize("outage", [locked, gone, full])
def test_nothing_runs_unrecorded_while_the_store_is_out_and_service_comes_back(
    small_disk: Path, outage: Outage
) -> None:
    data_dir = small_disk / "var"
    key = onboard(data_dir)["api_key"]["key"]
    with (
        serving(data_dir, "tests.support.probe:app", HATCHPAY_AUDIT_PATIENCE_MS="3000") as server,
        server.client(key) as client,
    ):
        assert client.post("/probe/plain").status_code == 200
        with outage(data_dir):
            # A full disk takes a little while to show, since the log's file may still hold room; and it may take a
            # few more, when SQLite can begin its log anew. A request is either recorded and run, or neither.
            answers = [client.post("/probe/plain")]
            while answers[-1].status_code == 200:
                answers.append(client.post("/probe/plain"))
            answers += [client.post("/probe/plain") for _ in range(2)]
            unknown = client.get("/probe/plain", headers={"X-API-Key": "made up"})
        refused = [answer for answer in answers if answer.status_code != 200]
        assert {answer.status_code for answer in refused} == {503}
        not_run = {answer.json()["request_id"] for answer in refused if answer.json()["code"] == "audit_unavailable"}
        perhaps_run = {answer.json()["request_id"] for answer in refused} - not_run
        assert not_run.isdisjoint(runs(data_dir))
        # Only where the intent had still found room.
        assert perhaps_run <= set(runs(data_dir))
        assert {answer.json()["code"] for answer in refused} <= {"audit_unavailable", "outcome_unrecorded"}
        assert unknown.status_code in {401, 503}
        recovered = client.post("/probe/plain")
        while recovered.status_code == 503:
            recovered = client.post("/probe/plain")
        assert recovered.status_code == 200
    status = {record.request_id: record.status for record in stored(data_dir)}
    # The refusals are owed, and written once that is possible.
    assert {status.get(answer.json()["request_id"]) for answer in refused} == {503}
    ran = [answer.headers["HatchPay-Request-Id"] for answer in (*answers, recovered) if answer.status_code == 200]
    assert {status.get(request_id) for request_id in ran} == {200}
