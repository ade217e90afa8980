"""The sample payments API and, under /shop, what a test needs beside it: `routes` gives both route tables in one.

It fails loudly, names business units in every place, and reads bodies or leaves them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from examples.payments_api import app as payments

__all__ = ["app", "routes"]

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_ROUTES = """
[[permissions]]
name = "shop.stock.read"
description = "Look at the stock"
read_only = true

[[permissions]]
name = "shop.orders.create"
description = "Order"

[[routes]]
method = "GET"
path = "/shop/units/{unit_id}/stock"
permission = "shop.stock.read"
business_unit = "path:unit_id"

[[routes]]
method = "GET"
path = "/shop/stock"
permission = "shop.stock.read"
business_unit = "query:unit"

[[routes]]
method = "PUT"
path = "/shop/units/{unit_id}/orders"
permission = "shop.orders.create"
business_unit = ["path:unit_id", "body:business_unit_id"]

[[routes]]
method = "GET"
path = "/shop/prices"
permission = "shop.stock.read"

[[routes]]
method = "POST"
path = "/shop/count"
permission = "shop.orders.create"

[[routes]]
method = "POST"
path = "/shop/ignore"
permission = "shop.orders.create"

[[routes]]
method = "POST"
path = "/shop/crash"
permission = "shop.orders.create"

[[routes]]
method = "POST"
path = "/shop/items/{id}/crash"
permission = "shop.orders.create"
"""


def routes() -> str:
    sample = Path(__file__).parents[2] / "examples" / "payments_api" / "routes.toml"
    return sample.read_text("utf-8") + _ROUTES


async def app(scope: Any, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"].startswith("/shop/"):
        await _shop(scope, receive, send)
    else:
        await payments(scope, receive, send)


async def _shop(scope: Any, receive: Receive, send: Send) -> None:
    path = scope["path"]
    body = b"" if path == "/shop/ignore" else await _read(receive)
    if path.endswith("/crash"):
        # As careless as applications are: the error's text holds everything that was sent.
        raise ValueError(f"cannot work with {body!r} at {path}?{scope['query_string']!r} of {scope['headers']!r}")
    answer = f'{{"size": {len(body)}}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client has gone")
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body
