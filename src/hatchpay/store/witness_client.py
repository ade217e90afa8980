"""Sends a checkpoint to a witness: C2SP tlog-witness, the call add-checkpoint.

A witness's URL comes from the operator's settings, so it may lead anywhere, and no redirect is followed. Every call has
one deadline; whoever answers slowly or without end is left.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable
from typing import Final

import httpcore
import msgspec

from hatchpay.errors import InvalidProof
from hatchpay.ledger.checkpoint import decimal
from hatchpay.ledger.note import Signature, signature_lines
from hatchpay.ledger.submission import Submission

__all__ = ["Behind", "Cosigned", "Failed", "Forked", "Outcome", "WitnessClient"]

_MOST_BYTES: Final = 64 * 1024
_MOST_WIRE_BYTES: Final = 256 * 1024
_HEADERS: Final = [("User-Agent", "hatchpay"), ("Accept-Encoding", "identity"), ("Connection", "close")]
_CODES: Final = {400: "request_refused", 403: "signature_refused", 404: "log_unknown"}


class Cosigned(msgspec.Struct, frozen=True):
    """What the witness has sent as cosignatures; they are still to be verified."""

    signatures: tuple[Signature, ...]


class Behind(msgspec.Struct, frozen=True):
    """The witness has cosigned a checkpoint of this size last."""

    size: int


class Forked(msgspec.Struct, frozen=True):
    """What the witness has cosigned before is not the beginning of this checkpoint's tree."""


class Failed(msgspec.Struct, frozen=True):
    """`code` is unreachable, too_slow, answer_malformed, status_unexpected, request_refused, signature_refused or
    log_unknown.
    """

    code: str


Outcome = Cosigned | Behind | Forked | Failed


class _Budget:
    """What a call may still spend. Raises httpcore.ReadTimeout where nothing is left."""

    def __init__(self, clock: Callable[[], float], deadline_s: float) -> None:
        self._clock = clock
        self._end = clock() + deadline_s
        self._bytes = _MOST_WIRE_BYTES

    def seconds(self) -> float:
        left = self._end - self._clock()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left

    def took(self, count: int) -> None:
        self._bytes -= count
        if self._bytes < 0:
            raise httpcore.ReadError


class _Stream(httpcore.NetworkStream):
    """A stream whose every step ends with the budget."""

    def __init__(self, stream: httpcore.NetworkStream, budget: _Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, self._budget.seconds())
        self._budget.took(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._budget.seconds())

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self._stream = self._stream.start_tls(ssl_context, server_hostname, self._budget.seconds())
        return self

    def close(self) -> None:
        self._stream.close()


class _Backend(httpcore.NetworkBackend):
    def __init__(self, budget: _Budget) -> None:
        self._budget = budget

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(httpcore.SyncBackend().connect_tcp(host, port, self._budget.seconds()), self._budget)


class WitnessClient:
    """For any number of threads. `deadline_s` bounds a call in seconds, but for the time that a name's resolution
    takes. `ssl_context` must check certificates and names.
    """

    def __init__(
        self,
        *,
        deadline_s: float = 10.0,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._deadline_s = deadline_s
        self._ssl_context = ssl_context or ssl.create_default_context()
        self._clock = clock

    def submit(self, url: str, submission: Submission) -> Outcome:
        """`url` is the witness's submission prefix. Raises nothing of the network's."""
        budget = _Budget(self._clock, self._deadline_s)
        try:
            with httpcore.ConnectionPool(ssl_context=self._ssl_context, network_backend=_Backend(budget)) as pool:
                target, content = url.rstrip("/") + "/add-checkpoint", submission.encode()
                with pool.stream("POST", target, headers=_HEADERS, content=content) as response:
                    return _outcome(response.status, _body(response), submission.old)
        except httpcore.TimeoutException:
            return Failed("too_slow")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError, ValueError):
            return Failed("unreachable")


def _body(response: httpcore.Response) -> bytes:
    body = bytearray()
    for part in response.iter_stream():
        body += part
        if len(body) > _MOST_BYTES:
            raise httpcore.ReadError
    return bytes(body)


def _outcome(status: int, body: bytes, old: int) -> Outcome:
    if status == 200:
        try:
            return Cosigned(signature_lines(body.decode()))
        except (InvalidProof, UnicodeDecodeError):
            return Failed("answer_malformed")
    if status == 409:
        text = body.decode("latin-1")
        size = decimal(text[:-1]) if text.endswith("\n") else None
        if size is None:
            return Failed("answer_malformed")
        # Before 2026 the specification had a witness answer so where two roots have one size.
        return Forked() if size == old else Behind(size)
    if status == 422:
        return Forked()
    return Failed(_CODES.get(status, "status_unexpected"))
