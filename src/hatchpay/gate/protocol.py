"""uvicorn's HTTP protocol, with what its parser refuses sent through the gate: recorded, and answered as a problem.

It leans on the shape of uvicorn's HttpToolsProtocol; `tests/http/test_parser.py` breaks where that shape changes.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from hatchpay.errors import HatchPayError, MalformedRequest
from hatchpay.gate.body import Receive
from hatchpay.gate.exchange import Send
from hatchpay.gate.limits import MAX_HEADERS, headers_too_large
from hatchpay.gate.request import Scope

__all__ = ["RefuseHead", "audited_protocol"]

RefuseHead = Callable[[HatchPayError, Scope, Receive, Send], Awaitable[None]]


def audited_protocol(refuse: RefuseHead, patience_s: float) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn's `http` option. `refuse` answers what never became a request.

    A head must arrive within `patience_s` seconds, and a body must not pause for longer.
    """

    class AuditedProtocol(_AuditedProtocol):
        refuse_head = staticmethod(refuse)
        patience = patience_s

    return AuditedProtocol


class _AuditedProtocol(HttpToolsProtocol):
    """A connection is looked at now and then, and given up where its client keeps it waiting for too long."""

    refuse_head: RefuseHead
    patience: float
    _next_look: asyncio.TimerHandle | None = None
    _heard_at = 0.0
    _head_since = 0.0
    _unfinished_head = 0
    _without_progress = 0
    _in_head = True
    _given_up = False
    _begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heard_at = self.loop.time()
        self._next_look = self.loop.call_later(self.patience / 2, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._given_up:
            return
        self._unset_keepalive_if_required()
        self._heard_at = self.loop.time()
        if self._in_head:
            if not self._unfinished_head:
                self._head_since = self._heard_at
            self._unfinished_head += len(data)
        else:
            self._without_progress += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # What follows is of another protocol, which is not spoken here; the request itself gets its answer.
            self._given_up = True
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self._give_up(MalformedRequest("this is not a well-formed HTTP request", code="malformed_http"))
        else:
            if (self._unfinished_head if self._in_head else self._without_progress) > MAX_HEADERS:
                self._give_up(headers_too_large())

    def on_message_begin(self) -> None:
        self._in_head = self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        named = False
        for name, value in self.headers:
            if name == b"host":
                named = True
            elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
                # The parser would refuse it too, but only once an answer to the head is under way.
                raise MalformedRequest("a body is chunked or not encoded", code="malformed_http")
        if not named and self.parser.get_http_version() == "1.1":
            raise MalformedRequest("a request names its host", code="malformed_http")
        super().on_headers_complete()
        self._in_head = False
        # Trailers go where nobody looks: they must not become headers of a request that was decided without them.
        self.headers = []
        if not self.url.startswith(b"/") or b"#" in self.url:
            # An authority or a fragment, which the parser drops, is for the gate to see and refuse.
            self.scope["raw_path"] = self.url

    def on_body(self, body: bytes) -> None:
        self._without_progress = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True
        self._unfinished_head = self._without_progress = 0

    def _look(self) -> None:
        self._next_look = self.loop.call_later(self.patience / 2, self._look)
        now = self.loop.time()
        if self._given_up or self.transport.is_closing():
            return
        if not self._in_head:
            if now - self._heard_at <= self.patience or self.flow.read_paused:
                return
            if self.cycle.response_complete:
                # Answered, and the rest of its body never came.
                self.transport.close()
            elif self.cycle.more_body:
                self._give_up(_too_slow())
        elif self._unfinished_head and now - self._head_since > self.patience:
            self._give_up(_too_slow())
        elif not self._begun and now - self._heard_at > self.patience:
            self.transport.close()

    def _give_up(self, refusal: HatchPayError) -> None:
        """Nothing more is read from this connection. A head is refused; a broken body ends its request."""
        self._given_up = True
        self.flow.pause_reading()
        if self._in_head and self._unfinished_head > MAX_HEADERS:
            refusal = headers_too_large()
        if not self._in_head:
            self.transport.close()
            return
        cycle = self._refusal_cycle()
        app: Any = functools.partial(self.refuse_head, refusal)
        previous = self.cycle
        self.cycle = cycle
        if previous is None or previous.response_complete:
            self._start_asgi_task(cycle, app)
        else:
            self.pipeline.appendleft((cycle, app))

    def _refusal_cycle(self) -> RequestResponseCycle:
        """A cycle for as much of the request as had been read."""
        if not self._begun:
            self.on_message_begin()
        raw_path, _, query = self.url.partition(b"?")
        scope: Any = {
            **self.scope,
            "method": self._method(),
            "path": "",
            "raw_path": raw_path,
            "query_string": query,
            "headers": list(self.headers),
        }
        return RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )

    def _method(self) -> str:
        """The parser has one to tell only once it has come to the target; before, it tells of its first by default."""
        return self.parser.get_method().decode("ascii", "replace") if self.url else "INVALID"


def _too_slow() -> MalformedRequest:
    return MalformedRequest("the request did not arrive in time", code="request_timeout", status=408)
