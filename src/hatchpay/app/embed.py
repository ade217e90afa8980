"""HatchPay inside a user's own ASGI service: one middleware, in process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from hatchpay.access import catalogue
from hatchpay.access.catalogue import Catalogue
from hatchpay.access.permission import Permission
from hatchpay.access.routes import Route
from hatchpay.app.files import read_catalogue
from hatchpay.app.runtime import Runtime
from hatchpay.errors import HatchPayError, SettingsError
from hatchpay.gate.body import Receive
from hatchpay.gate.exchange import Application, Send
from hatchpay.gate.middleware import Gate, refuse_outer_layers
from hatchpay.gate.problems import Message
from hatchpay.gate.request import Scope
from hatchpay.settings import Settings, load

__all__ = ["HatchPayMiddleware"]


class HatchPayMiddleware:
    """Protects `app`: `app = HatchPayMiddleware(app, routes="routes.toml")`.

    `routes` is a TOML file (see access.catalogue) or an iterable of Route, the latter with `permissions`.
    `data_dir` and every other setting come from `HATCHPAY_*` and the TOML file unless given here.
    Keys are made with the `hatchpay` command, or by a `hatchpay serve` on the same data directory.
    The server must give `raw_path` in its scopes, as uvicorn, hypercorn and granian do. What the server's own HTTP
    parser refuses never gets here and cannot be recorded; under `hatchpay serve` it is.
    Raises SettingsError at start-up where anything but the server's error layer lies outside.
    """

    def __init__(
        self,
        app: Application,
        *,
        routes: str | Path | Iterable[Route],
        permissions: Iterable[Permission] = (),
        data_dir: str | Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._app = app
        self._settings = settings or load({"data_dir": Path(data_dir) if data_dir is not None else None})[0]
        self._catalogue = _catalogue(routes, permissions)
        self._runtime: Runtime | None = None
        self._gate: Gate | None = None
        self._starting = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if self._gate is None:
            # A server without lifespan events: the first request starts what they would have started.
            await self._start(scope)
        assert self._gate is not None  # noqa: S101
        await self._gate(scope, receive, send)

    async def _start(self, scope: Scope) -> None:
        async with self._starting:
            if self._gate is None:
                refuse_outer_layers(scope, self)
                self._runtime = await asyncio.to_thread(Runtime, self._settings, self._catalogue)
                await self._runtime.start()
                self._gate = self._runtime.gate(self._app)

    async def aclose(self) -> None:
        """Stop what runs, after what is queued for the record is written. Servers with lifespan events need no call."""
        self._gate = None
        if self._runtime is not None:
            await self._runtime.stop()
            self._runtime = None

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start before the application does, stop after it has."""

        async def starting() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._start(scope)
                except HatchPayError as error:
                    # Said explicitly: a server may take an exception alone for "knows no lifespan", and serve on.
                    await send({"type": "lifespan.startup.failed", "message": error.detail})
                    raise
            return message

        async def stopping(message: Message) -> None:
            if message["type"] in {
                "lifespan.shutdown.complete",
                "lifespan.shutdown.failed",
                "lifespan.startup.failed",
            }:
                await self.aclose()
            await send(message)

        # A copy: the application marks its scope as its own, and whose it was before is what has to be judged.
        await self._app(dict(scope), starting, stopping)


def _catalogue(routes: str | Path | Iterable[Route], permissions: Iterable[Permission]) -> Catalogue:
    if isinstance(routes, str | Path):
        if tuple(permissions):
            raise SettingsError("permissions stand in the routes file; give them only beside a list of routes")
        return read_catalogue(Path(routes))
    return catalogue.build(permissions, routes)
