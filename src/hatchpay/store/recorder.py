"""The recorder: hands entries to the writer process and tells each of them when it is durable.

One write to the socket per turn of the event loop, one future per entry. The writer may die at any moment: its
successor gets every unanswered entry again, which is safe because an entry's id makes it count once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Final

import msgspec

from hatchpay.audit.record import Entry
from hatchpay.errors import AuditUnavailable
from hatchpay.store.instance import InstanceLock
from hatchpay.store.vault import Vault
from hatchpay.store.writer import ANSWER, DURABLE, FAILED, PREFIX

__all__ = ["ProcessRecorder"]

_log: Final = logging.getLogger("hatchpay.audit")
_encode: Final = msgspec.msgpack.Encoder().encode
_CHECK_EVERY_S: Final = 0.25
_OWED_PER_CHECK: Final = 200
_MOST_PENDING_BYTES: Final = 64 * 1024 * 1024


class _Pending:
    __slots__ = ("done", "frame", "since")

    def __init__(self, done: asyncio.Future[None], frame: bytes, since: int) -> None:
        self.done = done
        self.frame = frame
        self.since = since


class ProcessRecorder:
    """`patience_s` is how long an entry may wait before those who wait are told that it failed. The writer is told
    the same deadline and drops what is late; only a commit that is under way while the deadline passes can still
    succeed, and then the ledger holds what the application answered, though its caller was told 503.
    """

    def __init__(
        self,
        ledger: Path,
        instances: Path,
        instance: str,
        vault: Vault,
        *,
        patience_s: float = 5.0,
        most_owed: int = 10_000,
        observe_wait: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._ledger = ledger
        self._instances = instances
        self._instance = instance
        self._vault = vault
        self._patience_s = patience_s
        self._patience_ns = int(patience_s * 1e9)
        self._most_owed = most_owed
        self._observe_wait = observe_wait
        self._pending: deque[_Pending] = deque()
        self._pending_bytes = 0
        self._owed: deque[Entry] = deque()
        self._outgoing: list[bytes] = []
        self._unsent = b""
        self._answers = bytearray()
        self._flush_planned = False
        self._failed = False
        self._late = False
        self._closing = False
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._check: asyncio.TimerHandle | None = None
        self.unrecorded = 0
        self.restarts = 0

    async def start(self) -> None:
        """Start the writer and wait for it. Raises AuditUnavailable, as it does where there is no ledger."""
        self._loop = asyncio.get_running_loop()
        self._lock = InstanceLock(self._instances, self._instance)
        self._ready = self._loop.create_future()
        self._spawn()
        self._check = self._loop.call_later(_CHECK_EVERY_S, self._watch)
        try:
            await asyncio.wait_for(asyncio.shield(self._ready), 30)
        except (TimeoutError, AuditUnavailable) as error:
            await self.close()
            raise AuditUnavailable(f"the ledger's writer did not start: {error}") from error

    async def close(self) -> None:
        """Wait for what is pending, end the writer, let go of the lock."""
        self._closing = True
        if self._check is not None:
            self._check.cancel()
        for entry in self._owed:
            self._enqueue(entry, deadline=False)
        self._owed.clear()
        waiting = [pending.done for pending in self._pending if not pending.done.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=self._patience_s)
        self._disconnect()
        if self._process is not None:
            # One that hangs is left to finish what it has; it holds the lock for as long as that takes.
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, self._patience_s)
            self._process = None
        self._lock.release()

    @property
    def healthy(self) -> bool:
        return not (self._failed or self._late)

    @property
    def pending(self) -> int:
        return len(self._pending)

    @property
    def owed(self) -> int:
        return len(self._owed)

    def submit(self, entry: Entry) -> asyncio.Future[None]:
        if self._late or self._closing or self._pending_bytes > _MOST_PENDING_BYTES:
            refused: asyncio.Future[None] = self._loop.create_future()
            _fail(refused, "the audit record cannot be stored at the moment")
            return refused
        return self._enqueue(entry)

    def owe(self, entry: Entry) -> None:
        """Write `entry` as soon as the ledger takes entries again; nobody waits for it."""
        if len(self._owed) >= self._most_owed:
            self._owed.popleft()
            self.unrecorded += 1
        self._owed.append(entry)

    def _enqueue(self, entry: Entry, *, deadline: bool = True) -> asyncio.Future[None]:
        done: asyncio.Future[None] = self._loop.create_future()
        data = _encode(entry)
        now = monotonic_ns()
        frame = PREFIX.pack(len(data), now + self._patience_ns if deadline else 0) + data
        self._pending.append(_Pending(done, frame, now))
        self._pending_bytes += len(frame)
        self._outgoing.append(frame)
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)
        return done

    def _flush(self) -> None:
        self._flush_planned = False
        if self._unsent:
            # The socket is full; once it has room, `_flush_rest` takes along what has gathered.
            return
        self._flush_rest()

    def _flush_rest(self) -> None:
        if self._socket is None:
            return
        data = b"".join((self._unsent, *self._outgoing))
        self._outgoing.clear()
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The writer is gone; reading end of file from it starts the next one.
            return
        was_blocked = bool(self._unsent)
        self._unsent = data[sent:]
        if self._unsent and not was_blocked:
            self._loop.add_writer(self._socket, self._flush_rest)
        elif was_blocked and not self._unsent:
            self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        assert self._socket is not None  # noqa: S101
        try:
            received = self._socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._writer_ended()
            return
        self._answers += received
        while len(self._answers) >= ANSWER.size:
            verdict, count, length = ANSWER.unpack_from(self._answers)
            end = ANSWER.size + length
            if len(self._answers) < end:
                return
            text = bytes(self._answers[ANSWER.size : end]).decode()
            del self._answers[:end]
            self._apply(verdict, count, text)

    def _apply(self, verdict: int, count: int, text: str) -> None:
        if not self._ready.done():
            if verdict == FAILED:
                self._ready.set_exception(AuditUnavailable(text))
            else:
                self._ready.set_result(None)
                if count:
                    _log.warning("%d requests of an earlier run have no outcome; recorded as indeterminate", count)
            return
        # Whatever it says, the writer is awake.
        self._late = False
        if verdict == FAILED:
            if not self._failed:
                _log.error("audit records cannot be stored: %s", text)
            self._failed = True
        elif verdict == DURABLE:
            if self._failed:
                _log.warning("audit records are stored again")
            self._failed = False
            self._observe_wait((monotonic_ns() - self._pending[0].since) / 1e9)
        for _ in range(count if verdict in (DURABLE, FAILED) else 0):
            pending = self._pending.popleft()
            self._pending_bytes -= len(pending.frame)
            done = pending.done
            if done.done():
                continue
            if verdict == DURABLE:
                done.set_result(None)
            else:
                _fail(done, "the audit record could not be stored")

    def _watch(self) -> None:
        self._check = self._loop.call_later(_CHECK_EVERY_S, self._watch)
        if self._socket is None:
            self._spawn()
        if self._pending and not self._late and monotonic_ns() - self._pending[0].since > self._patience_ns:
            self._late = self._failed = True
            _log.error("audit records are not stored in time; refusing requests until they are")
            for pending in self._pending:
                if not pending.done.done():
                    _fail(pending.done, "the audit record was not stored in time")
        if not self._late:
            for _ in range(min(len(self._owed), _OWED_PER_CHECK)):
                self._settle(self._owed.popleft())

    def _settle(self, entry: Entry) -> None:
        def keep(done: asyncio.Future[None]) -> None:
            if done.cancelled() or done.exception() is not None:
                self.owe(entry)

        self._enqueue(entry, deadline=False).add_done_callback(keep)

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with contextlib.suppress(OSError):
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        command = [sys.executable, "-m", "hatchpay.store.writer"]
        command += ["--ledger", str(self._ledger), "--vault", str(self._vault.path)]
        command += ["--instances", str(self._instances)]
        command += ["--instance", self._instance, "--socket", str(theirs.fileno())]
        try:
            # The lock goes along: this instance is not gone before its writer is.
            self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(), self._lock.fd))  # noqa: S603
        except OSError as error:
            _log.error("the ledger's writer cannot be started: %s", error)
            ours.close()
            return
        finally:
            theirs.close()
        self._socket = ours
        # Not as an argument or in the environment, where other processes could read it.
        self._outgoing = [self._vault.derived]
        self._outgoing += [pending.frame for pending in self._pending]
        self._loop.add_reader(ours, self._read)
        self._loop.call_soon(self._flush)

    def _writer_ended(self) -> None:
        self._disconnect()
        if self._closing:
            return
        if not self._ready.done():
            self._ready.set_exception(AuditUnavailable("the ledger's writer ended"))
            return
        _log.error("the ledger's writer ended; starting another")
        self._failed = True
        self.restarts += 1
        if self._process is not None:
            self._process.poll()

    def _disconnect(self) -> None:
        if self._socket is None:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._socket = None
        self._unsent = b""
        self._outgoing = []
        self._answers.clear()


def _fail(done: asyncio.Future[None], text: str) -> None:
    done.set_exception(AuditUnavailable(text))
    # The one who waited may be gone already; reading the exception says that nobody has to ask for it.
    done.exception()
