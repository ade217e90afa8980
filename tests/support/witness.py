"""A real `hatchpay witness serve` in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.server import HATCHPAY, ROOT

from hatchpay.clock import wall_us
from hatchpay.ledger.cosignature import WitnessKey
from hatchpay.store.witness_state import open_witness
from hatchpay.store.witnesses import KnownWitness

__all__ = ["RunningWitness", "witnessing"]


class RunningWitness:
    """`errors` is where its standard error goes."""

    def __init__(self, process: subprocess.Popen[str], url: str, key: WitnessKey, errors: Path) -> None:
        self.process = process
        self.url = url
        self.known = KnownWitness(key, url)
        self.errors = errors

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=20)


@contextmanager
def witnessing(folder: Path, name: str, *vkeys: str) -> Iterator[RunningWitness]:
    """On a free port; ends with the block."""
    key = WitnessKey.parse(open_witness(folder, name, (), wall_us).vkey)
    errors = folder.parent / f"{folder.name}.log"
    logs = [part for vkey in vkeys for part in ("--log", vkey)]
    command = [*HATCHPAY, "witness", "serve", "--key-name", name, "--listen", "127.0.0.1:0", *logs]
    environment = {**os.environ, "HATCHPAY_DATA_DIR": str(folder)}
    with errors.open("a") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the witness did not start ({process.wait(10)}): {errors.read_text()}")
        try:
            yield RunningWitness(process, line.split()[-1], key, errors)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
