"""What the gate reads off an ASGI scope, in one pass over the headers."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

from hatchpay.errors import MalformedRequest
from hatchpay.gate.limits import (
    MAX_HEADERS,
    check_length,
    check_path,
    check_transfer,
    check_version,
    headers_too_large,
)

__all__ = ["RequestHead", "Scope"]

Scope = MutableMapping[str, Any]

_NONE: Final[list[bytes]] = []
_WATCHED: Final = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"transfer-encoding",
        b"upgrade",
        b"x-api-key",
        b"x-forwarded-for",
        b"x-request-id",
    )
)


class RequestHead:
    """A request before its body. Building it never fails; `check` says what is wrong with it."""

    __slots__ = (
        "declared_length",
        "headers",
        "http_version",
        "method",
        "path",
        "peer",
        "query",
        "raw_path",
        "size",
        "watched",
    )

    def __init__(self, scope: Scope) -> None:
        self.method: str = scope.get("method", "GET")
        self.http_version: str = scope.get("http_version", "1.1")
        self.raw_path: bytes = scope.get("raw_path") or b""
        self.path: str = scope.get("path", "")
        self.query: bytes = scope.get("query_string") or b""
        headers = scope["headers"]
        self.headers: list[tuple[bytes, bytes]] = headers if type(headers) is list else list(headers)
        client = scope.get("client")
        self.peer: str | None = client[0] if client else None
        self.declared_length: int | None = None
        self.watched: dict[bytes, list[bytes]] = {}
        size = len(self.raw_path) + len(self.query)
        for name, value in self.headers:
            size += len(name) + len(value) + 4
            if name in _WATCHED:
                if name in self.watched:
                    self.watched[name].append(value)
                else:
                    self.watched[name] = [value]
        self.size = size

    def values(self, name: bytes) -> list[bytes]:
        return self.watched.get(name, _NONE)

    @property
    def content_type(self) -> str:
        """The body's media type; empty where it is not said, said twice, or hidden by a content encoding."""
        values = self.values(b"content-type")
        coded = any(value.strip().lower() != b"identity" for value in self.values(b"content-encoding"))
        return values[0].decode("latin-1") if len(values) == 1 and not coded else ""

    @property
    def has_body(self) -> bool:
        return bool(self.declared_length) or b"transfer-encoding" in self.watched

    def check(self) -> None:
        """Raises MalformedRequest where the head is too large or ambiguous. Sets `declared_length`."""
        if self.size > MAX_HEADERS:
            raise headers_too_large()
        if not self.raw_path:
            raise MalformedRequest("the server gives no raw path to decide on", code="raw_path_missing")
        check_path(self.raw_path, self.path)
        check_version(self.http_version)
        if len(self.watched.get(b"host", _NONE)) > 1:
            raise MalformedRequest("the Host header stands twice", code="duplicate_header", field="Host")
        if b"content-length" in self.watched or b"transfer-encoding" in self.watched:
            chunked = b"transfer-encoding" in self.watched
            check_transfer(self.values(b"transfer-encoding"), self.http_version)
            self.declared_length = check_length(self.values(b"content-length"), chunked)
        if b"upgrade" in self.watched and any(b"websocket" in value.lower() for value in self.values(b"upgrade")):
            raise MalformedRequest("WebSockets are not listed", code="websocket_not_allowed", status=403)
