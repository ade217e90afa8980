"""A real `hatchpay serve` in a process of its own, on free loopback ports, for the length of a `with` block."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

__all__ = ["HATCHPAY", "Server", "hatchpay", "onboard", "serving"]

ROOT = Path(__file__).parents[2]
HATCHPAY = [sys.executable, "-m", "hatchpay.app"]


class Server:
    """`url` and `admin_url` answer; `log` is where its standard error goes.

    `out` holds its standard output once it has ended.
    """

    def __init__(self, process: subprocess.Popen[str], url: str, admin_url: str, data_dir: Path, log: Path) -> None:
        self.process = process
        self.url = url
        self.admin_url = admin_url
        self.data_dir = data_dir
        self.log = log
        self.out = log.with_suffix(".out")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def client(self, key: str | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"X-API-Key": key} if key else {}, timeout=30)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=30)


def hatchpay(data_dir: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    environment = {**os.environ, "HATCHPAY_DATA_DIR": str(data_dir)}
    done = subprocess.run(
        [*HATCHPAY, *arguments], cwd=ROOT, env=environment, text=True, capture_output=True, timeout=60, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"hatchpay {arguments[0]} ended with {done.returncode}: {done.stderr}")
    return done


def onboard(data_dir: Path, name: str = "Demo") -> dict[str, Any]:
    """`{"tenant": {...}, "api_key": {"id": ..., "key": ...}}`"""
    answer: dict[str, Any] = json.loads(hatchpay(data_dir, "tenants", "onboard", name, "--json").stdout)
    return answer


@contextmanager
def serving(
    data_dir: Path, application: str | None = "examples.payments_api:app", *options: str, **environment: str
) -> Iterator[Server]:
    """Starts on ports that are free, waits until it answers, and ends it with the block."""
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir.parent / f"{data_dir.name}.log"
    command = [
        *HATCHPAY,
        "serve",
        *([application] if application else []),
        "--port",
        "0",
        "--admin-port",
        "0",
        *options,
    ]
    with log.open("a") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "HATCHPAY_DATA_DIR": str(data_dir), **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    drain: threading.Thread | None = None
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        if not all(lines):
            raise AssertionError(f"hatchpay serve did not start ({process.wait(10)}): {log.read_text()}")
        url, admin_url = (line.split()[-1] for line in lines)
        server = Server(process, url, admin_url, data_dir, log)
        # Whatever else it prints must not fill the pipe and stop it.
        printed = process.stdout
        drain = threading.Thread(target=lambda: server.out.write_text("".join((*lines, printed.read()))))
        drain.start()
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if drain is not None:
            drain.join()
        if process.stdout is not None:
            process.stdout.close()
