"""A request's body on its way in: limited, redacted for the record while it passes, read ahead where that is needed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from hatchpay.audit.redact import BodyRedactor, RedactedBody
from hatchpay.errors import HatchPayError
from hatchpay.gate.limits import MAX_BODY, body_too_large
from hatchpay.gate.problems import Message
from hatchpay.gate.request import RequestHead

__all__ = ["Intake", "Receive"]

Receive = Callable[[], Awaitable[Message]]

READ_AHEAD: Final = 64 * 1024
_LARGE_CHUNK: Final = 8 * 1024


class Intake:
    """`keeps` is whether the record gets anything of the body. `refusal` is set once the body has passed its limit;
    `disconnected` once the client has gone.

    A small body is read before its handler runs, so that the intent of a request with effects says what was asked.
    """

    __slots__ = (
        "_ahead",
        "_ended",
        "_fingerprint_key",
        "_head",
        "_receive",
        "_redactor",
        "disconnected",
        "keeps",
        "refusal",
        "size",
    )

    def __init__(self, receive: Receive, head: RequestHead, fingerprint_key: bytes) -> None:
        self._receive = receive
        self._head = head
        self._fingerprint_key = fingerprint_key
        self._redactor: BodyRedactor | None = None
        self._ahead: deque[Message] | None = None
        self._ended = False
        self.size = 0
        self.refusal: HatchPayError | None = None
        self.disconnected = False
        self.keeps = True

    @property
    def goes_on(self) -> bool:
        """Whether the body is within its limit, and the client still there."""
        return self.refusal is None and not self.disconnected

    async def receive(self) -> Message:
        """What the application is given in place of the server's `receive`."""
        if self._ahead:
            return self._ahead.popleft()
        return await self._next()

    async def read_ahead(self, *, whole: bool) -> None:
        """Fetch the body before the handler asks: all of it, or, where it is declared to be small, all of that. It may
        be asked for the whole once it was asked for less.
        """
        declared = self._head.declared_length
        if not self._head.has_body or (not whole and (declared is None or declared > READ_AHEAD)):
            return
        if self._ahead is None:
            self._ahead = deque()
        while not (self._ended or self.disconnected):
            message = await self._next()
            if self.refusal is not None:
                return
            self._ahead.append(message)

    def ahead(self) -> bytes:
        """What was read ahead."""
        return b"".join(message.get("body", b"") for message in self._ahead or ())

    def redacted(self, *, final: bool) -> RedactedBody | None:
        """The record's part; None where no body was read. Before the end only a body that is whole by now."""
        if self._redactor is None or not (final or self._ended):
            return None
        return self._redactor.finish()

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.disconnected = True
            return message
        chunk = message.get("body", b"")
        if not message.get("more_body", False):
            self._ended = True
        if chunk:
            self.size += len(chunk)
            if self.size > MAX_BODY:
                self.refusal = body_too_large()
                # To the application the client has gone: it must not act on a body that it saw the half of.
                return {"type": "http.disconnect"}
            if self.keeps:
                self._redact(chunk)
            if len(chunk) > _LARGE_CHUNK:
                # A large body is redacted at the expense of its own request, not of all others'.
                await asyncio.sleep(0)
        return message

    def _redact(self, chunk: bytes) -> None:
        if self._redactor is None:
            self._redactor = BodyRedactor(self._head.content_type, self._fingerprint_key)
        self._redactor.feed(chunk)
