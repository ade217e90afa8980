"""Carries a stream's messages: HTTP requests on one connection that is kept, or syslog frames, confirmed by its end."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import httpcore
import msgspec

from hatchpay.audit.stream import ndjson, otlp, webhook
from hatchpay.audit.stream.destination import Destination
from hatchpay.audit.stream.ports import Message, Outcome
from hatchpay.audit.stream.row import StreamRow
from hatchpay.clock import Clock
from hatchpay.errors import DeliveryFailed
from hatchpay.store.stream_addresses import StreamAddresses
from hatchpay.store.stream_wire import Wire, connected

__all__ = ["HttpCourier", "SyslogCourier", "Trip"]

_KEEP_S: Final = 4.0
_MOST_ANSWER: Final = 64 * 1024
_REJECTS: Final = frozenset({400, 413, 422})
"""Of these, and no others, the message is the cause: anything else may be mended at the receiver."""

_TYPES: Final = {"otlp": otlp.CONTENT_TYPE, "http": ndjson.CONTENT_TYPE, "webhook": webhook.CONTENT_TYPE}
_DIGITS: Final = 9


class Trip(msgspec.Struct, frozen=True, kw_only=True):
    """How to get there. `attempt_s` bounds one try as a whole, `connect_s` the connecting to each address."""

    destination: Destination
    addresses: StreamAddresses
    context: ssl.SSLContext | None
    clock: Clock
    attempt_s: float = 15.0
    connect_s: float = 3.0

    async def wire(self, tenant_id: str) -> Wire:
        """Raises DeliveryFailed."""
        there = self.destination
        wire = await connected(await self.addresses.of(there.host, tenant_id), there.port, self.connect_s)
        if self.context is None:
            return wire
        try:
            await wire.secure(self.context, there.server_name)
        except BaseException:
            wire.close()
            raise
        return wire


class HttpCourier:
    """`secrets` gives those that sign a webhook now."""

    def __init__(
        self, row: StreamRow, trip: Trip, headers: Mapping[str, str], secrets: Callable[[], list[bytes]]
    ) -> None:
        self._row = row
        self._trip = trip
        self._headers = headers
        self._secrets = secrets
        self._wire: Wire | None = None
        self._connection: httpcore.AsyncHTTP11Connection | None = None
        self._used = 0.0

    async def deliver(self, message: Message) -> Outcome:
        try:
            async with asyncio.timeout(self._trip.attempt_s):
                return await self._delivered(message)
        except TimeoutError:
            self.close()
            return Outcome(kind="failed", code="stream_too_slow")
        except DeliveryFailed as error:
            self.close()
            return Outcome(kind="failed", code=error.code)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        wire, self._wire, self._connection = self._wire, None, None
        if wire is not None:
            wire.close()

    async def _delivered(self, message: Message) -> Outcome:
        kept = self._connection is not None and time.monotonic() - self._used < _KEEP_S
        if kept:
            try:
                return await self._asked(message)
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ConnectionNotAvailable):
                # The receiver may have closed what was kept, just now.
                pass
        self.close()
        self._wire = await self._trip.wire(self._row.tenant_id)
        there = self._trip.destination
        origin = httpcore.Origin(b"https" if there.tls else b"http", there.host.encode("ascii"), there.port)
        self._connection = httpcore.AsyncHTTP11Connection(origin, self._wire)
        try:
            return await self._asked(message)
        except httpcore.NetworkError:
            raise DeliveryFailed("the connection was lost", code="stream_unreachable") from None
        except httpcore.ProtocolError:
            raise DeliveryFailed("the receiver's answer is no HTTP/1.1", code="stream_answer_invalid") from None

    async def _asked(self, message: Message) -> Outcome:
        connection, there = self._connection, self._trip.destination
        if connection is None:
            raise DeliveryFailed("the connection was lost", code="stream_unreachable")
        url = httpcore.URL(
            scheme=b"https" if there.tls else b"http",
            host=there.host.encode("ascii"),
            port=there.port,
            target=there.target.encode("ascii"),
        )
        request = httpcore.Request("POST", url, headers=self._request_headers(message), content=message.payload)
        response = await connection.handle_async_request(request)
        try:
            answer = await self._body(response)
        finally:
            await response.aclose()
        self._used = time.monotonic()
        if not connection.is_available():
            self.close()
        return self._outcome(response, answer)

    def _request_headers(self, message: Message) -> list[tuple[str, str]]:
        headers = {
            "Host": self._trip.destination.authority,
            "User-Agent": "hatchpay",
            "Content-Type": _TYPES[self._row.kind],
            "Content-Length": str(len(message.payload)),
            "Accept-Encoding": "identity",
            **self._headers,
        }
        if self._row.kind == "webhook":
            now_s = self._trip.clock() // 1_000_000
            headers |= webhook.headers(message.id, now_s, message.payload, self._secrets())
        return list(headers.items())

    async def _body(self, response: httpcore.Response) -> bytes | None:
        """None where it is larger than any answer needs to be."""
        body = bytearray()
        async for part in response.aiter_stream():
            body += part
            if len(body) > _MOST_ANSWER:
                return None
        return bytes(body)

    def _outcome(self, response: httpcore.Response, answer: bytes | None) -> Outcome:
        status = response.status
        if 200 <= status < 300:
            refused = 0
            if self._row.kind == "otlp":
                if answer is None:
                    raise DeliveryFailed("the collector's answer is too large", code="stream_answer_invalid")
                refused = otlp.rejected(answer)
            code = "stream_partly_rejected" if refused else None
            return Outcome(kind="delivered", status=status, refused=refused, code=code)
        if status in _REJECTS:
            return Outcome(kind="rejected", status=status, code="stream_rejected")
        if status == 410 and self._row.kind == "webhook":
            return Outcome(kind="gone", status=status, code="stream_gone")
        if 300 <= status < 400:
            return Outcome(kind="failed", status=status, code="stream_redirected")
        return Outcome(
            kind="failed",
            status=status,
            code="stream_rate_limited" if status == 429 else "stream_status",
            retry_after_s=_retry_after(response, self._trip.clock()),
        )


class SyslogCourier:
    """A connection for each message: syslog has no acknowledgement, so its receiver's closing it is the only word."""

    def __init__(self, row: StreamRow, trip: Trip) -> None:
        self._row = row
        self._trip = trip

    async def deliver(self, message: Message) -> Outcome:
        try:
            async with asyncio.timeout(self._trip.attempt_s):
                wire = await self._trip.wire(self._row.tenant_id)
                try:
                    await wire.write(message.payload)
                    await wire.finish()
                finally:
                    wire.close()
        except TimeoutError:
            return Outcome(kind="failed", code="stream_too_slow")
        except httpcore.NetworkError:
            return Outcome(kind="failed", code="stream_unreachable")
        except DeliveryFailed as error:
            return Outcome(kind="failed", code=error.code)
        return Outcome(kind="delivered")

    def close(self) -> None:
        """Nothing is kept."""


def _retry_after(response: httpcore.Response, now_us: int) -> float | None:
    """RFC 9110, section 10.2.3: seconds, or a date. None for anything else."""
    values = [value for name, value in response.headers if name.lower() == b"retry-after"]
    text = values[0].decode("latin-1").strip() if len(values) == 1 else ""
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        return float(text)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return max(moment - now_us / 1e6, 0.0)
