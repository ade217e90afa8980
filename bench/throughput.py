"""Requests per second of the sample API bare and behind HatchPay: side by side, interleaved, medians and spread."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
APPLICATION = "examples.payments_api:app"
TRANSACTIONS = "/v1/payment-proxy/transactions"
BODY = (ROOT / "examples/payments_api/transaction.json").read_text()


def report(rounds: int = 5, seconds: float = 3.0, connections: tuple[int, ...] = (48, 128)) -> list[str]:
    """Lines of a Markdown table."""
    lines = [
        "| request | connections | bare /s | protected /s | kept | bare p50/p99 ms | protected p50/p99 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        _bare(Path(folder) / "bare") as bare,
        _protected(Path(folder) / "var") as (protected, key),
    ):
        for name, requests in _requests(bare, protected, key).items():
            lines += [_row(name, requests, count, rounds, seconds) for count in connections]
    return lines


def _row(name: str, requests: list[tuple[int, str]], connections: int, rounds: int, seconds: float) -> str:
    measured: list[list[dict[str, Any]]] = [[], []]
    for _ in range(rounds):
        for which, (port, request) in enumerate(requests):
            measured[which].append(_load(port, request, connections, seconds))
    rates = [[run["per_second"] for run in runs] for runs in measured]
    kept = [protected / bare for bare, protected in zip(*rates, strict=True)]
    latencies = [
        f"{statistics.median(run['p50_ms'] for run in runs):.1f}/{statistics.median(run['p99_ms'] for run in runs):.1f}"
        for runs in measured
    ]
    cells = [f"{statistics.median(rate):,.0f} ({min(rate):,.0f}–{max(rate):,.0f})" for rate in rates]
    share = f"**{statistics.median(kept):.0%}** ({min(kept):.0%}–{max(kept):.0%})"
    return f"| {name} | {connections} | {cells[0]} | {cells[1]} | {share} | {latencies[0]} | {latencies[1]} |"


def _load(port: int, request: str, connections: int, seconds: float) -> dict[str, Any]:
    given = {
        "port": port,
        "request": request,
        "connections": connections,
        "warm_up_s": 0.5,
        "seconds": seconds,
    }
    command = [sys.executable, "-m", "bench.load", json.dumps(given)]
    answer: dict[str, Any] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    if answer["lost"] or any(int(status) >= 300 for status in answer["statuses"]):
        raise RuntimeError(f"the load was not answered as it should be: {answer}")
    return answer


def _requests(bare: int, protected: int, key: str) -> dict[str, list[tuple[int, str]]]:
    """Per kind of request, port and text for the bare and the protected server. Both get the same bytes."""
    reads = []
    for port in (bare, protected):
        url = f"http://127.0.0.1:{port}{TRANSACTIONS}"
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        created = httpx.post(url, content=BODY, headers=headers).raise_for_status().json()
        reads.append((port, _text("GET", f"{TRANSACTIONS}/{created['id']}", port, key)))
    writes = [(port, _text("POST", TRANSACTIONS, port, key, BODY)) for port in (bare, protected)]
    return {"read a transaction (GET)": reads, "create a transaction (POST)": writes}


def _text(method: str, path: str, port: int, key: str, body: str = "") -> str:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-API-Key: {key}\r\n"
    head += "User-Agent: bench/1\r\nAccept: */*\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
    return head + "\r\n" + body


@contextmanager
def _bare(data_dir: Path) -> Iterator[int]:
    data_dir.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        APPLICATION,
        "--port",
        str(port),
        "--no-access-log",
        "--log-level",
        "error",
    ]
    process = subprocess.Popen(
        [*command, "--loop", "uvloop", "--http", "httptools"], cwd=ROOT, env=_environment(data_dir)
    )
    try:
        _await(port)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _protected(data_dir: Path) -> Iterator[tuple[int, str]]:
    hatchpay = [sys.executable, "-m", "hatchpay.app"]
    onboard = [*hatchpay, "tenants", "onboard", "Bench", "--json"]
    onboarded = subprocess.run(onboard, cwd=ROOT, env=_environment(data_dir), check=True, capture_output=True)
    key = json.loads(onboarded.stdout)["api_key"]["key"]
    command = [*hatchpay, "serve", APPLICATION, "--port", "0", "--admin-port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, env=_environment(data_dir), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rpartition(":")[2]), key
    finally:
        process.terminate()
        process.wait()


def _environment(data_dir: Path) -> dict[str, str]:
    return {**os.environ, "HATCHPAY_DATA_DIR": str(data_dir)}


def _await(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the bare server did not start")
