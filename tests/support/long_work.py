"""An application whose answers take as long as a test likes, streamed as a rehearsal is: /probe/whole and the like.

What it waits for, and what it leaves behind, are files in the data directory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from anyio import CapacityLimiter

from hatchpay.control.streamed import StreamedAnswer
from hatchpay.errors import AuditUnavailable

__all__ = ["ROUTES", "app"]

ROUTES = Path(__file__).parent / "probe" / "routes.toml"
_PATIENCE_S = 30
_limiter = CapacityLimiter(4)


class Done(msgspec.Struct, frozen=True):
    result: str


class Work:
    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour
        self.folder = Path(os.environ["HATCHPAY_DATA_DIR"])
        self.done, self.total = 1, 2

    def steps(self) -> Iterator[None]:
        until = time.monotonic() + _PATIENCE_S
        try:
            while time.monotonic() < until and not (self.folder / f"{self.behaviour}-may-end").exists():
                time.sleep(0.01)
                yield
            if self.behaviour == "breaks":
                raise AuditUnavailable("the ledger is gone")
        finally:
            (self.folder / f"{self.behaviour}-is-over").touch()

    def result(self) -> Done:
        return Done("whole")


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    behaviour = scope["path"].rpartition("/")[2]
    await StreamedAnswer(Work(behaviour), _limiter, every_s=0.02)(scope, receive, send)
