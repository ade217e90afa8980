"""The keeper: the process beside a server that follows the ledger, so that what it does costs no request anything.

One works for each data directory; further ones wait for its lock, and take over when it dies. It ends when the server
that started it does: its standard input is then at its end.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.app.paths import DataDirectory
from hatchpay.app.sealing import sealer_of, submitter_of
from hatchpay.app.streams import shipping
from hatchpay.errors import HatchPayError
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory

__all__ = ["Work", "main", "work_of"]

_log: Final = logging.getLogger("hatchpay.keeper")
_LOCK_EVERY_S: Final = 0.25
_END_WITHIN_S: Final = 5.0

Work = Callable[[threading.Event], None]
"""The body of a thread: works until the event is set, ends soon after it, and raises nothing."""


def work_of(settings: Settings, paths: DataDirectory, directory: SqlDirectory) -> dict[str, Work]:
    """What there is to do, by name."""
    secrets = paths.secret_files(settings, directory)
    works: dict[str, Work] = {"sealer": sealer_of(settings, paths, secrets).run}
    submitter = submitter_of(settings, paths)
    if submitter is not None:
        works["witnesses"] = submitter.run
    return works


def main() -> None:
    """Settings come as one JSON document on a line of standard input, since they hold secrets."""
    _log_to_stderr()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    settings = msgspec.json.decode(line, type=Settings, dec_hook=lambda kind, value: kind(value))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    paths = DataDirectory(settings.data_dir)
    try:
        with _turn(paths.root / "keeper.lock", stop) as mine:
            if mine:
                _work(settings, paths, stop)
    except HatchPayError as error:
        _log.error("the record's keeper cannot work: %s", error.detail)
        sys.exit(1)


def _work(settings: Settings, paths: DataDirectory, stop: threading.Event) -> None:
    # Opening a directory makes it where there is none; one that has vanished is an outage, and comes back or not.
    while not paths.directory.exists():
        if stop.wait(_LOCK_EVERY_S):
            return
    with contextlib.closing(SqlDirectory(paths.directory)) as directory, shipping(settings) as shipper:
        works = {**work_of(settings, paths, directory), "shipper": shipper.run}
        threads = _started(works, stop)
        stop.wait()
        for thread in threads:
            thread.join(_END_WITHIN_S)


def _started(works: dict[str, Work], stop: threading.Event) -> Sequence[threading.Thread]:
    threads = [threading.Thread(target=work, args=(stop,), name=name, daemon=True) for name, work in works.items()]
    for thread in threads:
        thread.start()
    return threads


def _watch_parent(stop: threading.Event) -> None:
    sys.stdin.buffer.read()
    stop.set()


@contextlib.contextmanager
def _turn(path: Path, stop: threading.Event) -> Iterator[bool]:
    """Waits until nobody else keeps this data directory; False where it is to stop before."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not stop.is_set():
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stop.wait(_LOCK_EVERY_S)
                continue
            yield True
            return
        yield False
    finally:
        os.close(fd)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
