"""An ASGI application that does on request what applications do wrong, and leaves a trace of every run.

Each run of a handler appends a line to `runs` in the data directory, so that a test can tell whether it ran.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

__all__ = ["app", "runs"]

START = "http.response.start"
BODY = "http.response.body"


def _data_dir() -> Path:
    return Path(os.environ["HATCHPAY_DATA_DIR"])


def runs(data_dir: Path) -> list[str]:
    """The request ids whose handlers have run, in order."""
    file = data_dir / "runs"
    return file.read_text().split() if file.exists() else []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    descriptor = os.open(_data_dir() / "runs", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, (scope["hatchpay"].request_id + "\n").encode())
    os.close(descriptor)
    await HANDLERS[scope["path"].rpartition("/")[2]](scope, receive, send)


async def _start(send: Any, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": START, "status": status, "headers": [(b"content-type", b"text/plain"), *headers]})


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await _start(send, 200, (b"content-length", b"2"))
    await send({"type": BODY, "body": b"ok"})


async def limited(scope: Any, receive: Any, send: Any) -> None:
    """Tells of limits of its own."""
    own = ((b"RateLimit", b'"own";r=7'), (b"ratelimit-policy", b'"own";q=9'), (b"ratelimit-reset", b"1"))
    await _start(send, 200, (b"content-length", b"2"), *own)
    await send({"type": BODY, "body": b"ok"})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(size).encode()
    await _start(send, 200, (b"content-length", str(len(body)).encode()))
    await send({"type": BODY, "body": body})


async def stream(scope: Any, receive: Any, send: Any) -> None:
    await _start(send)
    for part in (b"one ", b"two ", b"three"):
        await send({"type": BODY, "body": part, "more_body": True})
    await send({"type": BODY, "body": b""})


async def measured(scope: Any, receive: Any, send: Any) -> None:
    """Reaches its Content-Length in a message that is not its last."""
    await _start(send, 200, (b"content-length", b"8"))
    await send({"type": BODY, "body": b"half", "more_body": True})
    await send({"type": BODY, "body": b"half", "more_body": True})
    await send({"type": BODY, "body": b""})


async def empty(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": START, "status": 204, "headers": []})
    await send({"type": BODY, "body": b""})


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("the card 4111111111111111 of " + scope["query_string"].decode())


async def breaks(scope: Any, receive: Any, send: Any) -> None:
    await _start(send)
    await send({"type": BODY, "body": b"begun", "more_body": True})
    raise ValueError("in the middle")


async def silent(scope: Any, receive: Any, send: Any) -> None:
    return


async def boasts(scope: Any, receive: Any, send: Any) -> None:
    await _start(send, 200, (b"content-length", b"3"))
    await send({"type": BODY, "body": b"more than three"})


class Panic(BaseException):
    """As extensions in other languages raise it."""


async def panics(scope: Any, receive: Any, send: Any) -> None:
    raise Panic


async def cancels(scope: Any, receive: Any, send: Any) -> None:
    raise asyncio.CancelledError


async def injects(scope: Any, receive: Any, send: Any) -> None:
    await _start(send, 302, (b"location", b"/x\r\nset-cookie: a=b"))
    await send({"type": BODY, "body": b""})


async def odd(scope: Any, receive: Any, send: Any) -> None:
    await _start(send, 799)
    await send({"type": BODY, "body": b""})


async def stints(scope: Any, receive: Any, send: Any) -> None:
    await _start(send, 200, (b"content-length", b"10"))
    await send({"type": BODY, "body": b"three"})


async def background(scope: Any, receive: Any, send: Any) -> None:
    """Goes on working after its answer, until the test lets it."""
    await plain(scope, receive, send)
    await _until("background-may-end")


async def waits(scope: Any, receive: Any, send: Any) -> None:
    await _until("handler-may-end")
    await plain(scope, receive, send)


async def forged(scope: Any, receive: Any, send: Any) -> None:
    await _start(send, 200, (b"content-length", b"2"), (b"HatchPay-Request-Id", b"forged"))
    await send({"type": BODY, "body": b"ok"})


async def extension(scope: Any, receive: Any, send: Any) -> None:
    names = ",".join(sorted(scope.get("extensions", {}))).encode()
    await _start(send, 200, (b"content-length", str(len(names)).encode()))
    await send({"type": BODY, "body": names})


async def _until(name: str) -> None:
    while not (_data_dir() / name).exists():
        await asyncio.sleep(0.01)


HANDLERS = {
    handler.__name__: handler
    for handler in (
        plain,
        limited,
        echo,
        stream,
        measured,
        empty,
        raises,
        breaks,
        silent,
        boasts,
        background,
        waits,
        forged,
        extension,
        panics,
        cancels,
        injects,
        odd,
        stints,
    )
}
