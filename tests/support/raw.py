"""HTTP by hand: bytes out, answers in, nothing normalised on the way."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

__all__ = ["Answer", "Connection", "exchange", "request"]

_PATIENCE_S = 15


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that stands at most once."""
        values = [value for known, value in self.headers if known == name.lower()]
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None

    @property
    def request_id(self) -> str:
        found = self.header("hatchpay-request-id")
        assert found is not None
        return found

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One TCP connection. What the server no longer reads is not sent, and is no error."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> bool:
        """False where the server has closed its side by now."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def end(self) -> None:
        """Nothing more will be sent; answers can still come."""
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self, method: str = "GET", *, interim: bool = False) -> Answer | None:
        """The next answer, or None where the server closes without one. `interim` ones (1xx) count where asked."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                assert not self._buffer, f"cut off within a head: {self._buffer!r}"
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        status = int(first.split(" ")[1])
        if status < 200 and not interim:
            return self.answer(method)
        body = b"" if method == "HEAD" or status < 200 or status in {204, 304} else self._body(dict(headers))
        return Answer(status, headers, body)

    def is_closed(self) -> bool:
        """Waits for the server to close; True where it has sent nothing more before that."""
        return not self._buffer and not self._more()

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return self._chunks()
        return self._exactly(int(headers["content-length"]))

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self._line(), 16):
            body += self._exactly(size)
            self._line()
        self._line()
        return body

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            assert self._more(), "cut off within a chunked body"
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            assert self._more(), "cut off within a body"
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _more(self) -> bool:
        try:
            received = self._socket.recv(1 << 16)
        except ConnectionResetError:
            return False
        self._buffer += received
        return bool(received)


def request(
    target: str | bytes, method: str = "GET", headers: Iterable[tuple[str, str]] = (), body: bytes = b""
) -> bytes:
    """A request as bytes; Host is there, Content-Length only where there is a body and no word about it."""
    given = list(headers)
    named = {name.lower() for name, _ in given}
    if "host" not in named:
        given.insert(0, ("Host", "hatchpay.test"))
    if body and not named & {"content-length", "transfer-encoding"}:
        given.append(("Content-Length", str(len(body))))
    raw = target if isinstance(target, bytes) else target.encode("latin-1")
    head = b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in given)
    return b"%s %s HTTP/1.1\r\n%s\r\n%s" % (method.encode(), raw, head, body)


def exchange(port: int, data: bytes, method: str = "GET") -> Answer:
    """One request on a connection of its own, and its answer."""
    with Connection(port) as connection:
        connection.send(data)
        found = connection.answer(method)
    assert found is not None, "the server closed the connection without an answer"
    return found
