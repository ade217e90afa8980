"""The gate: the outermost ASGI layer. Everything that reaches the application has passed through an Exchange."""

from __future__ import annotations

from hatchpay.errors import HatchPayError, MalformedRequest, SettingsError
from hatchpay.gate.body import Receive
from hatchpay.gate.exchange import Application, Exchange, Parts, Send
from hatchpay.gate.problems import Message
from hatchpay.gate.request import Scope

__all__ = ["Gate", "refuse_outer_layers"]

_KEPT_EXTENSIONS = frozenset({"tls"})
# The frameworks' own layers, which answer nothing by themselves while no body limit is set.
_HARMLESS = frozenset(
    {
        "starlette.middleware.errors.ServerErrorMiddleware",
        "fastapi.telemetry._asgi.ExceptionTelemetryMiddleware",
        "fastapi._body_limit.AppBodyLimitMiddleware",
    }
)


class Gate:
    """Callable as an ASGI application; `lifespan` is passed through untouched.

    Requests of control routes go to `control`, all others to `app`.
    """

    def __init__(self, app: Application, parts: Parts, control: Application | None = None) -> None:
        self._app = app
        self._control = control or app
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        own = dict(scope)
        # Messages of extensions (sendfile, push, trailers) would leave the server past the record.
        if own.get("extensions"):
            own["extensions"] = {name: own["extensions"][name] for name in _KEPT_EXTENSIONS & own["extensions"].keys()}
        if kind == "websocket":
            await self._refuse_websocket(own, receive, send)
            return
        if kind != "http":
            raise SettingsError(f"HatchPay does not know the scope type {kind!r} and lets nothing through")
        exchange = Exchange(self._parts, own, receive, send)
        await exchange.run(self._control if exchange.is_control else self._app)

    async def refuse(self, refusal: HatchPayError, scope: Scope, receive: Receive, send: Send) -> None:
        """Record and answer what the server itself could not make a request of."""
        await Exchange(self._parts, scope, receive, send, refusal).run(self._app)

    async def _refuse_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["method"] = "GET"

        async def close(message: Message) -> None:
            # A close before the handshake is what makes a server answer 403.
            if message["type"] == "http.response.start":
                await send({"type": "websocket.close", "code": 1008, "reason": ""})

        refusal = MalformedRequest("WebSockets are not listed", code="websocket_not_allowed", status=403)
        await Exchange(self._parts, scope, receive, close, refusal).run(self._app)


def refuse_outer_layers(scope: Scope, layer: object) -> None:
    """Raises SettingsError where a Starlette application has put `layer` inside anything but its own error layer.

    What lies outside the gate sees requests, and answers them, without permission or record.
    """
    outer = scope.get("app")
    if outer is None:
        return
    if getattr(outer, "max_body_size", None) is not None:
        raise SettingsError("the application's own max_body_size refuses unrecorded requests; leave it to HatchPay")
    around = getattr(outer, "middleware_stack", None)
    while around is not layer:
        if f"{type(around).__module__}.{type(around).__name__}" not in _HARMLESS:
            raise SettingsError("HatchPayMiddleware must be the outermost middleware: add it last with add_middleware")
        around = getattr(around, "app", None)
