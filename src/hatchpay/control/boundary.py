"""The control API's outer skin: nothing is served without the gate, and nothing leaves but in our shape."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hatchpay.control.caller import HEAD_KEY, caller_of
from hatchpay.control.problems import answer, internal_error
from hatchpay.errors import Unavailable

__all__ = ["Boundary"]

_NOT_STORED: Final = (b"cache-control", b"no-store")
_NOT_GUESSED: Final = (b"x-content-type-options", b"nosniff")


class Boundary:
    """ASGI middleware around everything but the framework's own error layer, which so never sees an error.

    That layer would answer in plain text, and hand the error on to the server's log with what it holds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        # A GET that answers without its body: the routes need not be listed twice.
        head = scope["method"] == "HEAD"

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = [*message.get("headers", ()), _NOT_GUESSED]
                if all(name.lower() != b"cache-control" for name, _ in headers):
                    headers.append(_NOT_STORED)
                message = {**message, "headers": headers}
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            caller_of(scope)
            await self._app({**scope, "method": "GET", HEAD_KEY: True} if head else scope, receive, guarded)
        except Unavailable as refusal:
            await answer(refusal, scope)(scope, receive, guarded)
        except Exception as error:
            if started:
                raise
            await internal_error(error, scope)(scope, receive, guarded)
