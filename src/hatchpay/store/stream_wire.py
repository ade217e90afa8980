"""One connection of a stream: TCP to an address that was checked, and TLS that is verified, in an event loop.

TLS is spoken through memory, so that the end of a connection can be told apart: an end that the other side's program
made after it had read everything, and one that its kernel made because it had not.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import httpcore

from hatchpay.errors import DeliveryFailed
from hatchpay.store.public_addresses import Address

__all__ = ["Wire", "connected", "tls_context"]

Answer = TypeVar("Answer")
_CHUNK: Final = 64 * 1024
_MOST_CONNECTS: Final = 4


class Wire(httpcore.AsyncNetworkStream):
    """Also a stream for httpcore: its errors are httpcore's. Time limits are the caller's, who cancels."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    async def secure(self, context: ssl.SSLContext, server_name: str) -> None:
        """Raises DeliveryFailed where the other side is not the one that was meant, or speaks no TLS."""
        try:
            self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)
            await self._pump(self._tls.do_handshake)
        except (ssl.SSLError, ValueError):
            with contextlib.suppress(OSError):
                await self._flush()
            raise DeliveryFailed("the receiver's TLS is not trusted, or none", code="stream_tls_failed") from None
        except OSError:
            raise DeliveryFailed("the connection was lost", code="stream_unreachable") from None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            if self._tls is None:
                return await self._loop.sock_recv(self._sock, max_bytes)
            tls = self._tls
            return await self._pump(lambda: tls.read(max_bytes))
        except ssl.SSLZeroReturnError:
            return b""
        except OSError as error:
            raise httpcore.ReadError(type(error).__name__) from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            for start in range(0, len(buffer), _CHUNK):
                part = buffer[start : start + _CHUNK]
                if self._tls is None:
                    await self._loop.sock_sendall(self._sock, part)
                else:
                    self._tls.write(part)
                    await self._flush()
        except OSError as error:
            raise httpcore.WriteError(type(error).__name__) from None

    async def finish(self) -> None:
        """Say that nothing follows, and wait until the other side has ended the connection in its turn.

        Its kernel ends it with a reset where its program has left anything unread, which raises DeliveryFailed.
        """
        try:
            if self._tls is not None:
                # The other side's answer is awaited below, together with its end.
                with contextlib.suppress(ssl.SSLError):
                    self._tls.unwrap()
                await self._flush()
            self._sock.shutdown(socket.SHUT_WR)
            while await self._loop.sock_recv(self._sock, _CHUNK):
                pass
        except OSError:
            raise DeliveryFailed("the connection was lost before all was read", code="stream_unconfirmed") from None

    def close(self) -> None:
        self._sock.close()

    async def aclose(self) -> None:
        self.close()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        await self.secure(ssl_context, server_hostname or "")
        return self

    async def _pump(self, step: Callable[[], Answer]) -> Answer:
        while True:
            try:
                answer = step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._loop.sock_recv(self._sock, _CHUNK)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
            else:
                await self._flush()
                return answer

    async def _flush(self) -> None:
        if self._out.pending:
            await self._loop.sock_sendall(self._sock, self._out.read())


async def connected(addresses: Sequence[Address], port: int, each_s: float) -> Wire:
    """To the first address that accepts within `each_s` seconds. Raises DeliveryFailed."""
    for address in addresses[:_MOST_CONNECTS]:
        sock = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(each_s):
                await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
            return Wire(sock)
        except OSError:
            # A time that has run out is one as well.
            sock.close()
        except BaseException:
            sock.close()
            raise
    raise DeliveryFailed("no connection to the receiver", code="stream_unreachable")


def tls_context(ca_pem: str | None) -> ssl.SSLContext:
    """Verifies certificate and name; by `ca_pem` alone where it is given. Raises ssl.SSLError, ValueError."""
    context = ssl.create_default_context(cadata=ca_pem)
    context.set_alpn_protocols(["http/1.1"])
    return context
