"""A shipper in a process of its own, which may be killed; forked from one that has imported everything already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from hatchpay.app.streams import shipping
from hatchpay.audit.stream.pace import Pace
from hatchpay.settings import Settings

__all__ = ["ships"]


def _ship(data_dir: Path, ready: Event) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = Settings(data_dir=data_dir, allow_insecure_streams=True)
    with shipping(settings, Pace(first_s=0.05, most_s=0.2, tick_s=0.05)) as shipper:
        ready.set()
        shipper.run(stop)
    os._exit(0)


@contextmanager
def ships(data_dir: Path) -> Iterator[Any]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ready = context.Event()
    process = context.Process(target=_ship, args=(data_dir, ready), daemon=True)
    process.start()
    try:
        assert ready.wait(20)
        yield process
    finally:
        process.terminate()
        process.join(10)
