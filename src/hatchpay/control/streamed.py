"""Answers that take their time: JSON lines, of which all but the last tell how far the work has come.

The work runs in a thread of its own and ends early where the client hangs up. What is done within half a second is
answered in one line. An error before the first line is answered as any other; a later one is the last line, as
`{"error": {...}}`, which no result is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final, Protocol

import anyio
import msgspec
from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Response
from starlette.types import Receive, Scope, Send

from hatchpay.control.problems import last_words

__all__ = ["MEDIA_TYPE", "Steps", "StreamedAnswer"]

MEDIA_TYPE: Final = "application/x-ndjson"
_EVERY_S: Final = 0.5


class Steps(Protocol):
    """Work in steps. `done` of `total` may be read by any thread at any time."""

    @property
    def done(self) -> int: ...

    @property
    def total(self) -> int: ...

    def steps(self) -> Iterator[None]: ...

    def result(self) -> msgspec.Struct: ...


class StreamedAnswer(Response):
    """`limiter` bounds how many such answers are worked on at a time; the others wait. `every_s` is in seconds."""

    media_type = MEDIA_TYPE

    def __init__(self, work: Steps, limiter: CapacityLimiter, every_s: float = _EVERY_S) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._work = work
        self._limiter = limiter
        self._every_s = every_s
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        last = await self._outcome(receive, send)
        if last is None:
            return
        if not isinstance(last, Exception):
            await self._say(send, last, more=False)
        elif self._begun:
            await self._say(send, {"error": last_words(last, scope)}, more=False)
        else:
            raise last

    async def _outcome(self, receive: Receive, send: Send) -> msgspec.Struct | Exception | None:
        """What has come of the work, or None where the client has gone. Sends the lines before the last meanwhile."""
        hung_up, ended = threading.Event(), anyio.Event()
        outcome: list[msgspec.Struct | Exception | None] = []
        unsent: Exception | None = None

        async def work() -> None:
            try:
                outcome.append(await run_sync(self._worked, hung_up, limiter=self._limiter))
            except Exception as error:
                outcome.append(error)
            ended.set()

        async def listen(everything: CancelScope) -> None:
            try:
                while (await receive())["type"] != "http.disconnect":
                    pass
                outcome.append(None)
                everything.cancel()
            finally:
                # Likewise where the server gives the request up: what is cancelled waits for the thread.
                hung_up.set()

        async with anyio.create_task_group() as group:
            group.start_soon(work)
            group.start_soon(listen, group.cancel_scope)
            try:
                while not ended.is_set():
                    with anyio.move_on_after(self._every_s):
                        await ended.wait()
                    if not ended.is_set():
                        progress = {"progress": {"done": self._work.done, "total": self._work.total}}
                        await self._say(send, progress, more=True)
            except Exception as error:
                unsent = error
            group.cancel_scope.cancel()
        if unsent is not None:
            # As it is, not as one of a group.
            raise unsent
        return outcome[0]

    def _worked(self, hung_up: threading.Event) -> msgspec.Struct | None:
        for _ in self._work.steps():
            if hung_up.is_set():
                return None
        return self._work.result()

    async def _say(self, send: Send, line: object, *, more: bool) -> None:
        if not self._begun:
            self._begun = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = msgspec.json.encode(line) + b"\n"
        await send({"type": "http.response.body", "body": body, "more_body": more})
