"""HTTP GET of an address that somebody else chose, without becoming their tool against inner networks (SSRF).

The way of a fetch: the URL is read strictly -> its host is resolved once -> every address must be public -> one
connection to an address that was checked, its certificate checked for the name -> status, size and form of the
answer -> at most three redirects within the same host and port, each from the start again.

What is checked is what the resolver gave and what is connected to, so a spelling of an address (decimal, octal, short)
or a name that answers differently the next time (DNS rebinding) gains nothing. All of a call's steps share one
deadline. No proxies, no cookies, no credentials; one connection per hop, closed after it.
"""

from __future__ import annotations

import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urljoin

import httpcore
import msgspec

from hatchpay.errors import FetchFailed
from hatchpay.store.public_addresses import Address, is_local, is_public

__all__ = ["GuardedHttp", "Resolve", "system_resolve"]

Resolve = Callable[[str], Sequence[Address]]
"""All addresses of a host, best first; scoped ones keep their scope. Raises OSError. May block, and is then left."""

_LABEL: Final = r"[a-z0-9_-]{1,63}"
_URL: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|{_LABEL}(?:\.{_LABEL})*\.?)(?::(?P<port>[1-9][0-9]{{0,4}}))?"
    r"(?P<path>/(?:[a-z0-9._~!$&'()*+,;=:@/-]|%[0-9a-f]{2})*)?"
    r"(?P<query>\?(?:[a-z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-f]{2})*)?",
    re.IGNORECASE | re.ASCII,
)
_LOCATION: Final = re.compile(rb"[!-\[\]-~]{1,2048}")
_LONGEST_URL: Final = 2_048
_LONGEST_HOST: Final = 254
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 3
_MOST_CONNECTS: Final = 4
_MOST_LOOKUPS: Final = 64
_FRAMING: Final = 512 * 1024
"""Bytes of heads, chunk sizes and trailers that a call takes off the wire at most, beside twice its body's limit."""


class _Url(msgspec.Struct, frozen=True):
    """A URL that was read. `host` is in lower case, without the brackets of an IPv6 literal."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def at(self, location: bytes) -> str:
        """The absolute URL of a redirect (RFC 9110, section 10.2.2). Raises ValueError."""
        return urljoin(f"{self.scheme}://{self.authority}{self.target}", location.decode("ascii"))


class _Answer(msgspec.Struct, frozen=True):
    """Status 200 with its body, 404, or a redirect with its `location`."""

    status: int
    body: bytes = b""
    location: bytes = b""


class _Budget:
    """What a call may still spend."""

    def __init__(self, clock: Callable[[], float], deadline_s: float, wire_bytes: int) -> None:
        self._clock = clock
        self._end = clock() + deadline_s
        self._bytes = wire_bytes

    def seconds(self) -> float:
        """Always above 0. Raises FetchFailed once nothing is left."""
        left = self._end - self._clock()
        if left <= 0:
            raise FetchFailed("the answer did not come in time", code="fetch_too_slow")
        return left

    def took(self, count: int) -> None:
        """Bytes came off the wire. Raises FetchFailed where they are too many."""
        self._bytes -= count
        if self._bytes < 0:
            raise FetchFailed("the answer's framing is too large", code="fetch_too_large")


class _Stream(httpcore.NetworkStream):
    """A stream whose every step ends with the budget. It tells nothing of its TLS: HTTP/1.1 is spoken in any case."""

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
    """Connects to one of the addresses that were checked, whatever host it is asked for."""

    def __init__(self, addresses: Sequence[Address], budget: _Budget) -> None:
        self._addresses = addresses[:_MOST_CONNECTS]
        self._budget = budget
        self._opened: list[httpcore.NetworkStream] = []

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """The first that accepts; each has its share of the time left."""
        *spares, last = self._addresses
        for tried, address in enumerate(spares):
            share = self._budget.seconds() / (len(self._addresses) - tried)
            try:
                return self._open(address, port, share)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._open(last, port, self._budget.seconds())

    def close(self) -> None:
        for stream in self._opened:
            stream.close()

    def _open(self, address: Address, port: int, timeout_s: float) -> httpcore.NetworkStream:
        stream = _Stream(
            httpcore.SyncBackend().connect_tcp(str(address), port, timeout_s, socket_options=()), self._budget
        )
        self._opened.append(stream)
        return stream


def system_resolve(host: str) -> list[Address]:
    """By the system's resolver. Raises OSError."""
    # As bytes, for the name is ASCII already and Python's IDNA codec would refuse some with an error of its own.
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    return [_address(family, entry) for family, _, _, _, entry in found]


class GuardedHttp:
    """GET with guards, for any number of threads.

    `insecure` is for tests only: it permits plain HTTP, and private, loopback and link-local addresses. `deadline_s`
    bounds a whole call in seconds, `max_bytes` the body. `ssl_context` must check certificates and names.
    """

    def __init__(
        self,
        *,
        insecure: bool = False,
        resolve: Resolve = system_resolve,
        deadline_s: float = 5.0,
        max_bytes: int = 512 * 1024,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._insecure = insecure
        self._resolve = resolve
        self._deadline_s = deadline_s
        self._max_bytes = max_bytes
        self._ssl_context = ssl_context or ssl.create_default_context()
        self._clock = clock
        # A resolver that hangs cannot be ended, only left; this bounds how many threads hang with it.
        self._lookups = threading.BoundedSemaphore(_MOST_LOOKUPS)

    def get(self, url: str) -> bytes:
        """The body of the answer with status 200. Raises FetchFailed; its code says why."""
        body = self.find(url)
        if body is None:
            raise FetchFailed("the server answered with a status other than 200", code="fetch_status")
        return body

    def find(self, url: str) -> bytes | None:
        """As `get`, but None where the server answers 404."""
        budget = _Budget(self._clock, self._deadline_s, 2 * self._max_bytes + _FRAMING)
        target = self._permitted(_read_url(url))
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._ask(target, budget)
            if answer.status == 200:
                return answer.body
            if answer.status == 404:
                return None
            target = self._redirected(target, answer.location)
        raise FetchFailed("the server redirects too often", code="fetch_redirected")

    def _permitted(self, url: _Url | None) -> _Url:
        if url is None:
            raise FetchFailed("not an absolute https URL in plain ASCII", code="fetch_url_invalid")
        if url.scheme != "https" and not self._insecure:
            raise FetchFailed("plain HTTP is not allowed", code="fetch_insecure")
        return url

    def _redirected(self, url: _Url, location: bytes) -> _Url:
        try:
            target = _read_url(url.at(location)) if _LOCATION.fullmatch(location) else None
        except ValueError:
            target = None
        if target is None:
            raise FetchFailed("the server redirects without a usable Location", code="fetch_redirected")
        if url.scheme == "https" and target.scheme != "https":
            raise FetchFailed("the server redirects to plain HTTP", code="fetch_insecure")
        if (target.host, target.port) != (url.host, url.port):
            raise FetchFailed("the server redirects to another host or port", code="fetch_redirected")
        return self._permitted(target)

    def _ask(self, url: _Url, budget: _Budget) -> _Answer:
        """One hop."""
        backend = _Backend(self._addresses(url.host, budget), budget)
        try:
            return self._exchange(url, backend, budget)
        except httpcore.TimeoutException:
            raise FetchFailed("the server did not answer in time", code="fetch_too_slow") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            # h11's hint for a head that it refuses to gather any further.
            if getattr(error.__cause__, "error_status_hint", None) == 431:
                raise FetchFailed("the answer's head is too large", code="fetch_too_large") from None
            raise FetchFailed("no connection, or one that was lost or not trusted", code="fetch_unreachable") from None
        finally:
            backend.close()

    def _exchange(self, url: _Url, backend: _Backend, budget: _Budget) -> _Answer:
        host = url.host.encode("ascii")
        origin = httpcore.Origin(url.scheme.encode("ascii"), host, url.port)
        request = httpcore.Request(
            "GET",
            httpcore.URL(scheme=origin.scheme, host=host, port=url.port, target=url.target),
            headers=[
                ("Host", url.authority),
                ("User-Agent", "hatchpay"),
                ("Accept", "application/json"),
                ("Accept-Encoding", "identity"),
                ("Connection", "close"),
            ],
            # Neither SNI nor certificates have the dot that ends an absolute name (RFC 6066, section 3).
            extensions={"sni_hostname": url.host.removesuffix(".")},
        )
        connection = httpcore.HTTPConnection(origin, ssl_context=self._ssl_context, network_backend=backend)
        response = connection.handle_request(request)
        try:
            return self._answer(response, budget)
        finally:
            response.close()

    def _answer(self, response: httpcore.Response, budget: _Budget) -> _Answer:
        if response.status in _REDIRECTS:
            locations = _values(response, b"location")
            return _Answer(response.status, location=locations[0] if len(locations) == 1 else b"")
        if response.status == 404:
            return _Answer(404)
        if response.status != 200:
            raise FetchFailed("the server answered with a status other than 200", code="fetch_status")
        if any(value.lower() != b"identity" for value in _values(response, b"content-encoding")):
            raise FetchFailed("the answer is compressed, which hides its size", code="fetch_too_large")
        return _Answer(200, self._body(response, budget))

    def _body(self, response: httpcore.Response, budget: _Budget) -> bytes:
        # h11 has let at most 20 digits pass.
        if any(int(value) > self._max_bytes for value in _values(response, b"content-length")):
            raise FetchFailed("the answer is declared too large", code="fetch_too_large")
        body = bytearray()
        for part in response.iter_stream():
            body += part
            if len(body) > self._max_bytes:
                raise FetchFailed("the answer is too large", code="fetch_too_large")
            budget.seconds()
        return bytes(body)

    def _addresses(self, host: str, budget: _Budget) -> Sequence[Address]:
        addresses = self._looked_up(host, budget)
        if not addresses:
            raise FetchFailed("the host's name has no address", code="fetch_unreachable")
        if not all(is_public(address) or (self._insecure and is_local(address)) for address in addresses):
            raise FetchFailed("the host has an address that is not public", code="fetch_address_forbidden")
        return addresses

    def _looked_up(self, host: str, budget: _Budget) -> Sequence[Address]:
        """Empty where the resolver failed."""
        found: queue.SimpleQueue[Sequence[Address]] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                found.put(tuple(self._resolve(host)))
            except Exception:
                found.put(())
            finally:
                self._lookups.release()

        if not self._lookups.acquire(timeout=budget.seconds()):
            raise FetchFailed("too many names are being resolved", code="fetch_too_slow")
        try:
            threading.Thread(target=look_up, name="resolve", daemon=True).start()
        except RuntimeError:
            self._lookups.release()
            raise FetchFailed("the host's name cannot be resolved now", code="fetch_unreachable") from None
        try:
            return found.get(timeout=budget.seconds())
        except queue.Empty:
            raise FetchFailed("the host's name was not resolved in time", code="fetch_too_slow") from None


def _read_url(text: str) -> _Url | None:
    """None where it is not an absolute http or https URL of RFC 3986 without user info and fragment."""
    match = _URL.fullmatch(text) if len(text) <= _LONGEST_URL else None
    if match is None:
        return None
    scheme, host = match["scheme"].lower(), match["host"].lower()
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[scheme]
    if host.startswith("["):
        host = host[1:-1]
        try:
            IPv6Address(host)
        except AddressValueError:
            return None
    if port > 65_535 or len(host) > _LONGEST_HOST:
        return None
    return _Url(scheme, host, port, (match["path"] or "/") + (match["query"] or ""))


def _address(family: int, entry: tuple[object, ...]) -> Address:
    """From getaddrinfo's form, where an IPv6 scope is a number of its own."""
    if family == socket.AF_INET:
        return IPv4Address(entry[0])
    scope = entry[3]
    return IPv6Address(f"{entry[0]}%{scope}" if scope else str(entry[0]))


def _values(response: httpcore.Response, name: bytes) -> list[bytes]:
    """Of all headers of this name (in lower case)."""
    return [value for known, value in response.headers if known.lower() == name]
