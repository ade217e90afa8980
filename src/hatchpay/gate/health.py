"""The administration port: liveness, readiness, metrics. Open to whoever reaches it, and so on loopback by default."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from hatchpay.errors import NotFound
from hatchpay.gate.body import Receive
from hatchpay.gate.exchange import Send
from hatchpay.gate.metrics import Metrics
from hatchpay.gate.problems import problem_messages
from hatchpay.gate.request import Scope
from hatchpay.ids import new_id

__all__ = ["HealthApp"]


class HealthApp:
    """`ready` gives what is not well, by name; empty means ready."""

    def __init__(self, metrics: Metrics, ready: Callable[[], list[str]]) -> None:
        self._metrics = metrics
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"] if scope["method"] in {"GET", "HEAD"} else ""
        if path == "/healthz":
            await _answer(send, 200, b'{"status":"ok"}')
        elif path == "/readyz":
            failing = self._ready()
            body = msgspec.json.encode({"status": "unavailable" if failing else "ok", "failing": failing})
            await _answer(send, 503 if failing else 200, body)
        elif path == "/metrics":
            await _answer(send, 200, self._metrics.exposition(), b"text/plain; version=0.0.4; charset=utf-8")
        else:
            for message in problem_messages(NotFound("there is /healthz, /readyz and /metrics"), new_id()):
                await send(message)


async def _answer(send: Send, status: int, body: bytes, content_type: bytes = b"application/json") -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
