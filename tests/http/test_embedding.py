"""HatchPay as middleware in somebody else's server and framework."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route as StarletteRoute
from tests.support.server import hatchpay, onboard

from hatchpay import HatchPayMiddleware, Permission, Route
from hatchpay.errors import SettingsError

PERMISSION = Permission(name="shop.items.read", description="Read items", read_only=True)
OPTIONS: dict[str, Any] = {
    "permissions": [PERMISSION],
    "routes": [Route(method="GET", template="/items", permission="shop.items.read")],
}


async def items(request: Any) -> PlainTextResponse:
    return PlainTextResponse("items")


def starlette() -> Starlette:
    return Starlette(routes=[StarletteRoute("/items", items), StarletteRoute("/secret", items)])


class Lifespan:
    """Drives an ASGI application as a server does: startup, requests, shutdown."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.sent: list[dict[str, Any]] = []

    async def __aenter__(self) -> Lifespan:
        self.incoming: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.answered = asyncio.Event()

        async def send(message: dict[str, Any]) -> None:
            self.sent.append(message)
            self.answered.set()

        self.task = asyncio.create_task(self.app({"type": "lifespan", "state": {}}, self.incoming.get, send))
        await self._say("lifespan.startup")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.sent[-1]["type"] == "lifespan.startup.complete":
            await self._say("lifespan.shutdown")
        await asyncio.gather(self.task, return_exceptions=True)

    async def _say(self, what: str) -> None:
        self.answered.clear()
        await self.incoming.put({"type": what})
        await asyncio.wait_for(self.answered.wait(), 30)


def ask(app: Any, path: str, key: str | None) -> tuple[list[str], httpx.Response | None]:
    """What start-up and shutdown said, and the answer between them."""

    async def run() -> tuple[list[str], httpx.Response | None]:
        answer = None
        async with Lifespan(app) as lifespan:
            if lifespan.sent[-1]["type"] == "lifespan.startup.complete":
                transport = httpx.ASGITransport(app=app)
                async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                    answer = await client.get(path, headers={"X-API-Key": key} if key else {})
        return [message["type"] for message in lifespan.sent], answer

    return asyncio.run(run())


WELL = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("way", ["around", "starlette", "fastapi"])
def test_every_way_of_embedding_protects_and_records(tmp_path: Path, way: str) -> None:
    key = onboard(tmp_path)["api_key"]["key"]
    if way == "around":
        app: Any = HatchPayMiddleware(starlette(), data_dir=tmp_path, **OPTIONS)
    elif way == "starlette":
        app = starlette()
        app.add_middleware(GZipMiddleware)
        app.add_middleware(HatchPayMiddleware, data_dir=tmp_path, **OPTIONS)
    else:
        app = FastAPI()
        app.get("/items")(lambda: "items")
        app.add_middleware(HatchPayMiddleware, data_dir=tmp_path, **OPTIONS)
    said, answer = ask(app, "/items", key)
    assert said == WELL
    assert answer is not None
    assert (answer.status_code, answer.text.strip('"')) == (200, "items")
    recorded = json.loads(hatchpay(tmp_path, "audit", "history", "--json").stdout)["data"]
    assert answer.headers["HatchPay-Request-Id"] in {record["request_id"] for record in recorded}


def test_a_route_of_the_application_that_is_not_listed_is_closed(tmp_path: Path) -> None:
    key = onboard(tmp_path)["api_key"]["key"]
    _, answer = ask(HatchPayMiddleware(starlette(), data_dir=tmp_path, **OPTIONS), "/secret", key)
    assert answer is not None
    assert (answer.status_code, answer.json()["code"]) == (403, "route_not_listed")


def test_start_up_fails_where_another_middleware_lies_outside(tmp_path: Path) -> None:
    app = starlette()
    app.add_middleware(HatchPayMiddleware, data_dir=tmp_path, **OPTIONS)
    app.add_middleware(GZipMiddleware)
    said, answer = ask(app, "/items", None)
    assert (said, answer) == (["lifespan.startup.failed"], None)


def test_a_server_without_lifespan_events_is_protected_all_the_same(tmp_path: Path) -> None:
    key = onboard(tmp_path)["api_key"]["key"]
    app = HatchPayMiddleware(starlette(), data_dir=tmp_path, **OPTIONS)

    async def run() -> list[int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answers = [await client.get("/items", headers=headers) for headers in ({}, {"X-API-Key": key})]
        await app.aclose()
        return [answer.status_code for answer in answers]

    assert asyncio.run(run()) == [401, 200]


def test_a_scope_without_raw_path_is_refused(tmp_path: Path) -> None:
    key = onboard(tmp_path)["api_key"]["key"]
    app = HatchPayMiddleware(starlette(), data_dir=tmp_path, **OPTIONS)
    sent: list[dict[str, Any]] = []

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/items",
            "query_string": b"",
            "headers": [(b"x-api-key", key.encode())],
            "client": ("127.0.0.1", 1),
        }
        await app(scope, receive, send)
        await app.aclose()

    asyncio.run(run())
    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"])["code"] == "raw_path_missing"


@pytest.mark.parametrize(
    "routes",
    [
        [Route(method="GET", template="/items", permission="shop.items.delete")],
        [Route(method="GET", template="/items", permission="shop.items.read")] * 2,
    ],
)
def test_a_table_that_contradicts_itself_is_refused_at_once(tmp_path: Path, routes: list[Route]) -> None:
    with pytest.raises(SettingsError):
        HatchPayMiddleware(starlette(), data_dir=tmp_path, permissions=[PERMISSION], routes=routes)
