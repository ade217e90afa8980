"""Receivers of streams, on free loopback ports: an HTTP server and a syslog server, well behaved or not."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

__all__ = ["Authority", "HttpSink", "Received", "SyslogSink", "http_sink", "syslog_sink"]

RESET = struct.pack("ii", 1, 0)


class Authority:
    """A certificate authority of its own; `pem` is its certificate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        builder = self._builder(self._name, self._key.public_key())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(usage, True)
        self.pem = builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM).decode()

    def server_context(self, *names: str) -> ssl.SSLContext:
        """For a server that is known by these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        known = [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
        builder = self._builder(x509.Name([]), key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName(known), True)
        certificate = builder.sign(self._key, SHA256())
        file = self._folder / f"{'-'.join(names)}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _builder(self, subject: x509.Name, public: Any) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HttpSink:
    """`answer` gives status, headers and body for each request; None hangs up in the middle of the answer, and "hang"
    says nothing for as long as the sink is there.
    """

    port: int
    scheme: str = "http"
    answer: Callable[[Received], tuple[int, dict[str, str], bytes] | str | None] = lambda _: (200, {}, b"{}")
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/in?a=b"


@contextmanager
def http_sink(context: ssl.SSLContext | None = None) -> Iterator[HttpSink]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            sink.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            one = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            sink.received.append(one)
            answer = sink.answer(one)
            if answer == "hang":
                sink.over.wait()
            if not isinstance(answer, tuple):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le" if answer is None else b"")
                self.close_connection = True
                return
            status, headers, content = answer
            self.send_response(status)
            for name, value in {"content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            return

    server = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    sink = HttpSink(server.server_address[1], "http" if context is None else "https")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield sink
    finally:
        sink.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class SyslogSink:
    """`streams` has the bytes of each connection that was read to its end. `behaviour` is `read`; `hang`, which reads
    nothing; or `crash`, which reads a little and leaves the rest.
    """

    port: int
    behaviour: str = "read"
    streams: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self.port}"


@contextmanager
def syslog_sink(context: ssl.SSLContext) -> Iterator[SyslogSink]:
    listener = socket.create_server(("127.0.0.1", 0))
    sink = SyslogSink(listener.getsockname()[1])

    def serve(raw: socket.socket) -> None:
        with raw:
            try:
                with context.wrap_socket(raw, server_side=True) as secure:
                    if sink.behaviour == "hang":
                        sink.over.wait()
                        return
                    if sink.behaviour == "crash":
                        secure.recv(10)
                        secure.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        return
                    data = b""
                    while part := secure.recv(65_536):
                        data += part
                    sink.streams.append(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(raw,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield sink
    finally:
        sink.over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
