"""A witness over HTTP: C2SP tlog-witness. Both of its prefixes are the root.

    POST /add-checkpoint                        200 with the line of the cosignature; 400, 403, 404, 409, 413, 422, 503
    GET  /<SHA-256 of the origin>/checkpoint    200 with the checkpoint that was cosigned last; 404

Nothing in it is secret, and nobody has to be known: what counts is the log's signature.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import uvicorn

from hatchpay.clock import wall_us
from hatchpay.errors import HatchPayError, InvalidProof, SettingsError
from hatchpay.gate.body import Receive
from hatchpay.gate.exchange import Send
from hatchpay.gate.protocol import audited_protocol
from hatchpay.gate.request import Scope
from hatchpay.ledger.note import VerifierKey
from hatchpay.ledger.submission import MAX_SUBMISSION_BYTES
from hatchpay.store.witness_state import Outdated, Witness, open_witness

__all__ = ["WitnessApp", "serve_witness", "witness_vkey"]

_log: Final = logging.getLogger("hatchpay.witness")
_PATIENCE_S: Final = 10.0
_MOST_AT_ONCE: Final = 256
_TEXT: Final = "text/plain; charset=utf-8"
_SIZE: Final = "text/x.tlog.size"
_STATUS: Final = {
    "log_unknown": 404,
    "log_signature_missing": 403,
    "signature_invalid": 403,
    "consistency_invalid": 422,
    "empty_root_wrong": 422,
}
"""Of a refused submission, by the error's code; any other is 400."""


class WitnessApp:
    """A body must be there within `patience_s` seconds."""

    def __init__(self, witness: Witness, patience_s: float = _PATIENCE_S) -> None:
        self._witness = witness
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            status, body, kind = await self._answer(scope["method"], scope["path"], receive)
            await _send(send, status, body, kind, close=status in {400, 408, 413})

    async def refuse(self, error: HatchPayError, scope: Scope, receive: Receive, send: Send) -> None:
        """What is not HTTP."""
        await _send(send, error.status, error.code.encode() + b"\n", _TEXT, close=True)

    async def _answer(self, method: str, path: str, receive: Receive) -> tuple[int, bytes, str]:
        try:
            if path == "/add-checkpoint":
                return await self._add(receive) if method == "POST" else (405, b"method_not_allowed\n", _TEXT)
            prefix, _, last = path[1:].partition("/")
            if method != "GET" or last != "checkpoint":
                return 404, b"not_found\n", _TEXT
            found = await asyncio.to_thread(self._witness.latest, prefix)
            return (404, b"not_found\n", _TEXT) if found is None else (200, found, _TEXT)
        except HatchPayError as error:
            status = _STATUS.get(error.code, 400) if isinstance(error, InvalidProof) else error.status
            if status >= 500:
                _log.error("a checkpoint cannot be cosigned: %s", error.detail)
            return status, error.code.encode() + b"\n", _TEXT

    async def _add(self, receive: Receive) -> tuple[int, bytes, str]:
        try:
            async with asyncio.timeout(self._patience_s):
                body = await _body(receive)
        except TimeoutError:
            return 408, b"request_timeout\n", _TEXT
        if body is None:
            return 413, b"body_too_large\n", _TEXT
        # In a thread, to its end: it waits for the disk, and for other processes.
        added = await asyncio.to_thread(self._witness.add, body)
        return (409, b"%d\n" % added.size, _SIZE) if isinstance(added, Outdated) else (200, added, _TEXT)


def serve_witness(
    folder: Path, key_name: str, listen: str, vkeys: Sequence[str], announce: Callable[[str], None]
) -> None:
    """Until SIGTERM or SIGINT. `listen` is HOST:PORT, `vkeys` the keys of the logs. Raises SettingsError."""
    try:
        keys = [VerifierKey.parse(vkey) for vkey in vkeys]
    except InvalidProof as error:
        raise SettingsError(f"a log's key: {error.detail}", code="vkey_malformed") from None
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    app = WitnessApp(open_witness(folder, key_name, keys, wall_us))
    with contextlib.closing(_listening(listen)) as listener:
        announce(f"witness {key_name} on http://{listen.rpartition(':')[0]}:{listener.getsockname()[1]}")
        asyncio.run(_serve(app, listener))


def witness_vkey(folder: Path, key_name: str) -> str:
    """Makes the witness where there is none. Raises SettingsError."""
    return open_witness(folder, key_name, (), wall_us).vkey


class _Server(uvicorn.Server):
    """Leaves signals to the loop, where they end it in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(app: WitnessApp, listener: socket.socket) -> None:
    server = _Server(
        uvicorn.Config(
            app,
            http=audited_protocol(app.refuse, _PATIENCE_S),
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            limit_concurrency=_MOST_AT_ONCE,
            timeout_graceful_shutdown=5,
        )
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)
    await server.serve(sockets=[listener])


def _listening(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise SettingsError("--listen is HOST:PORT, such as 127.0.0.1:8500", code="listen_malformed")
    try:
        return socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(f"cannot listen there: {error.strerror}", code="listen_failed") from None


async def _body(receive: Receive) -> bytes | None:
    """None where it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MAX_SUBMISSION_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _send(send: Send, status: int, body: bytes, kind: str, *, close: bool) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
