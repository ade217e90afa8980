"""Starts the keeper beside a server, and starts it again should it end."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
from typing import Final

import msgspec

from hatchpay.settings import Settings

__all__ = ["KeeperProcess"]

_log: Final = logging.getLogger("hatchpay")
_AFTER_S: Final = 1.0
_END_WITHIN_S: Final = 8.0


class KeeperProcess:
    """The server does not wait for it and does not depend on it: a ledger without a keeper is sealed later."""

    def __init__(self, settings: Settings) -> None:
        self._settings = msgspec.json.encode(settings, enc_hook=str)
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="hatchpay-keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wait for it to finish what it is at; kill it where that takes too long, which loses nothing."""
        self._stopping.set()
        # One that is being started right now is ended by the thread, which looks once more.
        process = self._process
        if process is not None:
            self._end(process)
        self._thread.join(2 * _END_WITHIN_S)

    def _started(self) -> subprocess.Popen[bytes] | None:
        command = [sys.executable, "-m", "hatchpay.app.keeper"]
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603
        except OSError as error:
            _log.error("the record's keeper cannot be started: %s", error.strerror)
            return None
        assert process.stdin is not None  # noqa: S101
        with contextlib.suppress(OSError):
            process.stdin.write(self._settings + b"\n")
            process.stdin.flush()
        return process

    def _keep(self) -> None:
        # Not while the server itself starts: what the keeper does can wait, and takes a processor to begin with.
        while not self._stopping.wait(_AFTER_S):
            self._process = process = self._started()
            if process is None:
                continue
            if self._stopping.is_set():
                self._end(process)
                return
            process.wait()
            if not self._stopping.is_set():
                _log.error("the record's keeper ended; starting another")

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None  # noqa: S101
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
