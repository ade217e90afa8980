"""A fetch from real servers on loopback ports: what is fetched, and every way in which it is refused."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import itertools
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hatchpay.errors import FetchFailed
from hatchpay.store.guarded_http import GuardedHttp, system_resolve
from hatchpay.store.public_addresses import Address

LOOPBACK = ipaddress.ip_address("127.0.0.1")
NAME = "issuer.test"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
PATIENCE_S = 15
SOON_S = 0.3
SYSTEM = ssl.create_default_context()
"""What a fetcher would make for itself; reading the system's authorities takes a while."""

Handle = Callable[[socket.socket, bytes], None]


class Server:
    """Answers each connection in a thread of its own by `handle`, which gets the request's head.

    `accepted` counts connections, `heads` are the requests, `names` what TLS clients asked for.
    """

    def __init__(self, handle: Handle, context: ssl.SSLContext | None, *, read: bool = True) -> None:
        self.accepted = 0
        self.heads: list[bytes] = []
        self.names: list[str | None] = []
        self.ended = threading.Event()
        self._handle = handle
        self._context = context
        self._read = read
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def end(self) -> None:
        self.ended.set()
        # Wakes `accept`, which closing would not.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S).close()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.ended.is_set():
                connection.close()
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        with contextlib.suppress(OSError), connection:
            if self._context is None:
                self._answer(connection)
                return
            with self._context.wrap_socket(connection, server_side=True) as secure:
                self._answer(secure)

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while self._read and not head.endswith(b"\r\n\r\n"):
            received = connection.recv(1)
            if not received:
                return
            head += received
        self.heads.append(head)
        self._handle(connection, head)


class Resolver:
    """Gives the listed answers, one a call, the last one ever after."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    def __call__(self, host: str) -> list[Address]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ipaddress.ip_address(address) for address in answer]


class Authority:
    """A throwaway CA."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throwaway")])
        self._root = self._certificate(self._name, self._key.public_key(), x509.BasicConstraints(True, None), ())

    def trusted(self) -> ssl.SSLContext:
        pem = self._root.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def server(self, *names: x509.GeneralName) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        certificate = self._certificate(subject, key.public_key(), x509.BasicConstraints(False, None), names)
        path = self._folder / f"{certificate.serial_number}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _certificate(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        constraints: x509.BasicConstraints,
        names: Sequence[x509.GeneralName],
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(constraints, critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    servers: list[Server] = []

    def started(handle: Handle, context: ssl.SSLContext | None = None, *, read: bool = True) -> Server:
        servers.append(Server(handle, context, read=read))
        return servers[-1]

    yield started
    for server in servers:
        server.end()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def says(answer: bytes) -> Handle:
    return lambda connection, head: connection.sendall(answer)


def redirects_to(*locations: bytes) -> Handle:
    """The first request is redirected to the first location, and so on; the rest get the answer.

    `{port}` in a location stands for the server's own.
    """
    left = list(locations)

    def handle(connection: socket.socket, head: bytes) -> None:
        if not left:
            connection.sendall(OK)
            return
        location = left.pop(0).replace(b"{port}", b"%d" % connection.getsockname()[1])
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location)

    return handle


def is_silent(connection: socket.socket, head: bytes) -> None:
    """Until the client goes away."""
    connection.recv(1)


def local(**settings: object) -> GuardedHttp:
    """For plain HTTP on loopback."""
    return GuardedHttp(insecure=True, **{"resolve": Resolver(["127.0.0.1"]), "ssl_context": SYSTEM, **settings})  # type: ignore[arg-type]


def refusal(http: GuardedHttp, url: str) -> str:
    """The code that `get` raises, in an error that repeats neither URL nor host."""
    with pytest.raises(FetchFailed) as caught:
        http.get(url)
    error = caught.value
    assert error.status == 502
    assert error.__suppress_context__ or error.__context__ is None
    assert url not in str(error)
    assert NAME not in str(error)
    return error.code


# What is fetched


def test_a_document_is_fetched_over_tls_by_the_name_that_was_asked_for(start: Start, authority: Authority) -> None:
    context = authority.server(x509.DNSName(NAME))
    server = start(says(OK), context)
    context.sni_callback = lambda _, name, __: server.names.append(name)
    resolver = Resolver(["127.0.0.1"])
    http = local(resolve=resolver, ssl_context=authority.trusted())
    assert http.get(f"https://{NAME}:{server.port}/keys?version=2") == b"{}"
    assert server.names == [NAME]
    assert resolver.asked == [NAME]


def test_the_request_says_who_asks_for_what_and_nothing_else(start: Start) -> None:
    server = start(says(OK))
    local().get(f"http://{NAME}:{server.port}/a/b?c=d")
    assert server.heads == [
        f"GET /a/b?c=d HTTP/1.1\r\nHost: {NAME}:{server.port}\r\nUser-Agent: hatchpay\r\nAccept: application/json\r\n"
        "Accept-Encoding: identity\r\nConnection: close\r\n\r\n".encode()
    ]


@pytest.mark.parametrize(
    ("tail", "target"), [("", "/"), ("/", "/"), ("?a=b", "/?a=b"), ("/%2F/~x;y", "/%2F/~x;y"), ("/@a:b", "/@a:b")]
)
def test_the_target_is_sent_as_it_stands(start: Start, tail: str, target: str) -> None:
    server = start(says(OK))
    assert local().get(f"http://{NAME}:{server.port}{tail}") == b"{}"
    assert server.heads[0].startswith(f"GET {target} HTTP/1.1\r\n".encode())


def test_scheme_and_host_are_read_in_any_case(start: Start) -> None:
    server = start(says(OK))
    assert local().get(f"HTTP://ISSUER.Test:{server.port}/A") == b"{}"
    assert f"\r\nHost: {NAME}:{server.port}\r\n".encode() in server.heads[0]


def test_the_dot_that_ends_an_absolute_name_does_not_reach_tls(start: Start, authority: Authority) -> None:
    server = start(says(OK), authority.server(x509.DNSName(NAME)))
    assert local(ssl_context=authority.trusted()).get(f"https://{NAME}.:{server.port}/") == b"{}"


def test_a_certificate_for_an_address_serves_that_address(start: Start, authority: Authority) -> None:
    server = start(says(OK), authority.server(x509.IPAddress(LOOPBACK)))
    http = GuardedHttp(insecure=True, ssl_context=authority.trusted())
    assert http.get(f"https://127.0.0.1:{server.port}/") == b"{}"


def test_when_insecure_plain_http_on_loopback_works_by_the_systems_resolver(start: Start) -> None:
    server = start(says(OK))
    assert GuardedHttp(insecure=True).get(f"http://127.0.0.1:{server.port}/") == b"{}"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: Identity\r\n\r\nabc",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\n\r\nabc",
    ],
)
def test_every_framing_of_http_is_read(start: Start, answer: bytes) -> None:
    assert local().get(f"http://{NAME}:{start(says(answer)).port}/") == b"abc"


def test_each_call_has_a_connection_of_its_own_that_is_closed_after_it(start: Start) -> None:
    closed = threading.Semaphore(0)

    def handle(connection: socket.socket, head: bytes) -> None:
        connection.sendall(OK)
        if connection.recv(1) == b"":
            closed.release()

    server = start(handle)
    http = local()
    for _ in range(2):
        http.get(f"http://{NAME}:{server.port}/")
        assert closed.acquire(timeout=PATIENCE_S)
    assert server.accepted == 2


def test_no_cookie_comes_back(start: Start) -> None:
    server = start(says(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n")))
    http = local()
    for _ in range(2):
        http.get(f"http://{NAME}:{server.port}/")
    assert all(b"cookie" not in head.lower() for head in server.heads)


def test_proxies_of_the_environment_are_ignored(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = start(says(OK)), start(says(OK))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
    assert local().get(f"http://{NAME}:{server.port}/") == b"{}"
    assert (proxy.accepted, server.accepted) == (0, 1)


def test_one_fetcher_serves_many_threads_at_once(start: Start, authority: Authority) -> None:
    def echo(connection: socket.socket, head: bytes) -> None:
        target = head.split(b" ")[1]
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target))

    server = start(echo, authority.server(x509.DNSName(NAME)))
    http = local(ssl_context=authority.trusted(), deadline_s=PATIENCE_S)
    found: dict[int, bytes] = {}

    def fetch(number: int) -> None:
        found[number] = http.get(f"https://{NAME}:{server.port}/{number}")

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert found == {number: b"/%d" % number for number in range(12)}


def test_find_tells_a_missing_document_from_all_other_failures(start: Start) -> None:
    missing = start(says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc"))
    assert local().find(f"http://{NAME}:{missing.port}/") is None
    gone = start(says(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(FetchFailed) as caught:
        local().find(f"http://{NAME}:{gone.port}/")
    assert caught.value.code == "fetch_status"


# fetch_url_invalid, fetch_insecure


@pytest.mark.parametrize(
    "url",
    [
        "",
        NAME,
        f"//{NAME}/",
        f"/{NAME}",
        f"https:{NAME}",
        f"https:/{NAME}",
        "https://",
        "https:///keys",
        "https://:443/",
        "https://?a",
        f"file:///{NAME}",
        f"ftp://{NAME}/",
        f"gopher://{NAME}/",
        f"ws://{NAME}/",
        "data:application/json,{}",
        f"https://user@{NAME}/",
        f"https://user:word@{NAME}/",
        f"https://@{NAME}/",
        f"https://{NAME}#",
        f"https://{NAME}/#fragment",
        f"https://{NAME}\\@other.test/",
        f"https:\\\\{NAME}\\",
        f"https://{NAME}/a\\b",
        f" https://{NAME}/",
        f"https://{NAME}/ ",
        f"https://{NAME}/a b",
        f"https://{NAME}/\t",
        f"https://{NAME}/\r\nHost: other.test",
        f"https://{NAME}/\n",
        f"https://{NAME}\n",
        f"https://{NAME}/\x00",
        f"https://{NAME}/\x7f",
        "https://bücher.test/",
        f"https://{NAME}/ü",
        f"https://{NAME}/\ud800",
        "https://127。0。0。1/",
        "https://①②⑦.0.0.1/",
        "https://iſſuer.test/",
        "https://\u212aey.test/",
        f"https://{NAME}:0/",
        f"https://{NAME}:/",
        f"https://{NAME}:65536/",
        f"https://{NAME}:99999999/",
        f"https://{NAME}:-1/",
        f"https://{NAME}:+443/",
        f"https://{NAME}:٤٤٣/",
        f"https://{NAME}:443:443/",
        f"https://{NAME}/%",
        f"https://{NAME}/%zz",
        f"https://{NAME}/<a>",
        "https://%69ssuer.test/",
        "https://./",
        "https://../",
        f"https://.{NAME}/",
        "https://issuer..test/",
        f"https://{NAME}../",
        f"https://{'a' * 64}.test/",
        f"https://{'a.' * 127}a/",
        "https://[::1/",
        "https://::1/",
        "https://[]/",
        "https://[127.0.0.1]/",
        "https://[1:2]/",
        "https://[fe80::1%eth0]/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.a]/",
        f"https://{NAME}/{'a' * 2_048}",
    ],
)
@pytest.mark.parametrize("insecure", [False, True])
def test_what_is_not_a_plain_absolute_url_is_refused_before_anything_is_resolved(url: str, insecure: bool) -> None:
    resolver = Resolver(["127.0.0.1"])
    with pytest.raises(FetchFailed) as caught:
        GuardedHttp(insecure=insecure, resolve=resolver, ssl_context=SYSTEM).get(url)
    assert caught.value.code == "fetch_url_invalid"
    assert resolver.asked == []


def test_a_url_of_2048_characters_is_still_fetched(start: Start) -> None:
    server = start(says(OK))
    base = f"http://{NAME}:{server.port}/"
    assert local().get(base + "a" * (2_048 - len(base))) == b"{}"
    assert refusal(local(), base + "a" * (2_049 - len(base))) == "fetch_url_invalid"


@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_plain_http_is_refused_before_anything_is_resolved(scheme: str) -> None:
    resolver = Resolver(["8.8.8.8"])
    assert refusal(GuardedHttp(resolve=resolver), f"{scheme}://{NAME}/") == "fetch_insecure"
    assert resolver.asked == []


# fetch_address_forbidden


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["8.8.8.8", "127.0.0.1"],
        ["8.8.8.8", "2001:4860:4860::8888", "10.0.0.1"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],
        ["fe80::1%1"],
    ],
)
def test_a_name_with_any_address_that_is_not_public_is_never_connected_to(start: Start, addresses: list[str]) -> None:
    server = start(says(OK))
    http = GuardedHttp(resolve=Resolver(addresses))
    assert refusal(http, f"https://{NAME}:{server.port}/") == "fetch_address_forbidden"
    assert server.accepted == 0


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0X7F.1",
        "127.1",
        "127.0.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00:ec2::254]",
    ],
)
def test_an_address_in_any_spelling_is_checked_as_what_it_means(start: Start, host: str) -> None:
    server = start(says(OK))
    assert refusal(GuardedHttp(), f"https://{host}:{server.port}/") == "fetch_address_forbidden"
    assert server.accepted == 0


@pytest.mark.parametrize("address", ["224.0.0.1", "0.0.0.0", "255.255.255.255", "100.64.0.1", "ff02::1", "fe80::1%1"])
def test_insecure_permits_only_private_loopback_and_link_local_addresses(address: str) -> None:
    assert refusal(local(resolve=Resolver(["127.0.0.1", address])), f"http://{NAME}/") == "fetch_address_forbidden"


def test_a_name_is_resolved_once_so_that_it_cannot_change_between_check_and_connection(start: Start) -> None:
    server = start(says(OK))
    resolver = Resolver(["127.0.0.1"], ["224.0.0.1"])
    assert local(resolve=resolver).get(f"http://{NAME}:{server.port}/") == b"{}"
    assert resolver.asked == [NAME]


def test_each_redirect_is_resolved_and_checked_again(start: Start) -> None:
    server = start(redirects_to(b"/next"))
    resolver = Resolver(["127.0.0.1"], ["224.0.0.1"])
    assert refusal(local(resolve=resolver), f"http://{NAME}:{server.port}/") == "fetch_address_forbidden"
    assert resolver.asked == [NAME, NAME]
    assert server.accepted == 1


def test_of_several_checked_addresses_the_first_that_accepts_is_used(start: Start) -> None:
    server = start(says(OK))
    http = local(resolve=Resolver(["127.0.0.2", "127.0.0.1", "127.0.0.1"]))
    assert http.get(f"http://{NAME}:{server.port}/") == b"{}"
    assert server.accepted == 1


def test_a_name_with_many_addresses_does_not_make_us_knock_at_all_of_them(start: Start) -> None:
    server = start(says(OK))
    http = local(resolve=Resolver(["127.0.0.2"] * 4 + ["127.0.0.1"]))
    assert refusal(http, f"http://{NAME}:{server.port}/") == "fetch_unreachable"
    assert server.accepted == 0


def test_the_systems_resolver_keeps_the_scope_of_an_address() -> None:
    loopback = next(index for index, name in socket.if_nameindex() if name == "lo")
    assert system_resolve("fe80::1%lo") == [ipaddress.IPv6Address(f"fe80::1%{loopback}")]
    assert system_resolve("::1") == [ipaddress.IPv6Address("::1")]


# fetch_unreachable


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def test_a_refused_connection_is_reported() -> None:
    assert refusal(local(), f"http://{NAME}:{unused_port()}/") == "fetch_unreachable"


@pytest.mark.parametrize("error", [socket.gaierror(-2, NAME), OSError(NAME), UnicodeError(NAME), RuntimeError(NAME)])
def test_a_resolver_that_fails_is_reported(error: Exception) -> None:
    def fail(host: str) -> list[Address]:
        raise error

    assert refusal(GuardedHttp(resolve=fail), f"https://{NAME}/") == "fetch_unreachable"


def test_a_name_without_addresses_is_reported() -> None:
    assert refusal(GuardedHttp(resolve=Resolver([])), f"https://{NAME}/") == "fetch_unreachable"


@pytest.mark.parametrize("name", ["xn--a", "-a-", "a_b", "a..b", "a" * 64])
def test_the_systems_resolver_is_asked_for_a_name_as_it_stands(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked: list[object] = []

    def getaddrinfo(host: bytes, *rest: object, **named: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert system_resolve(name) == [ipaddress.ip_address("192.0.2.1")]
    assert asked == [name.encode()]


def test_a_certificate_of_another_name_is_not_trusted(start: Start, authority: Authority) -> None:
    server = start(says(OK), authority.server(x509.DNSName("other.test"), x509.IPAddress(LOOPBACK)))
    assert refusal(local(ssl_context=authority.trusted()), f"https://{NAME}:{server.port}/") == "fetch_unreachable"
    assert server.heads == []


def test_a_certificate_of_an_unknown_authority_is_not_trusted_even_when_insecure(
    start: Start, authority: Authority
) -> None:
    server = start(says(OK), authority.server(x509.DNSName(NAME)))
    http = GuardedHttp(insecure=True, resolve=Resolver(["127.0.0.1"]))
    assert refusal(http, f"https://{NAME}:{server.port}/") == "fetch_unreachable"
    assert server.heads == []


def test_a_server_that_does_not_speak_tls_is_reported(start: Start, authority: Authority) -> None:
    server = start(says(OK), read=False)
    assert refusal(local(ssl_context=authority.trusted()), f"https://{NAME}:{server.port}/") == "fetch_unreachable"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"not http\r\n\r\n",
        b"\x00\xff\x16\x03\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    ],
)
def test_a_connection_that_is_lost_or_does_not_speak_http_is_reported(start: Start, answer: bytes) -> None:
    assert refusal(local(), f"http://{NAME}:{start(says(answer)).port}/") == "fetch_unreachable"


# fetch_too_slow


def drips(before: bytes, drop: bytes) -> Handle:
    """Something every 20 ms, until the client goes away."""

    def handle(connection: socket.socket, head: bytes) -> None:
        connection.sendall(before)
        connection.settimeout(0.02)
        while True:
            connection.sendall(drop)
            with contextlib.suppress(TimeoutError):
                if connection.recv(1) == b"":
                    return

    return handle


@pytest.mark.parametrize(
    "handle",
    [
        is_silent,
        drips(b"", b"H"),
        drips(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        drips(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x"),
        drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "status line", "headers", "body", "chunks", "trailers", "interim answers"],
)
@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_is_silent_or_drips_is_left_at_the_deadline(
    start: Start, authority: Authority, handle: Handle, tls: bool
) -> None:
    server = start(handle, authority.server(x509.DNSName(NAME)) if tls else None)
    http = local(deadline_s=SOON_S, ssl_context=authority.trusted())
    assert refusal(http, f"http{'s' * tls}://{NAME}:{server.port}/") == "fetch_too_slow"


@pytest.mark.parametrize("handle", [is_silent, drips(b"\x16\x03\x03\x40\x00", b"\x02")], ids=["silent", "drips"])
def test_a_tls_handshake_that_never_ends_is_left_at_the_deadline(
    start: Start, authority: Authority, handle: Handle
) -> None:
    def after_hello(connection: socket.socket, head: bytes) -> None:
        connection.recv(1 << 16)
        handle(connection, head)

    server = start(after_hello, read=False)
    http = local(deadline_s=SOON_S, ssl_context=authority.trusted())
    assert refusal(http, f"https://{NAME}:{server.port}/") == "fetch_too_slow"


def test_a_resolver_that_hangs_is_left_at_the_deadline() -> None:
    end = threading.Event()

    def hang(host: str) -> list[Address]:
        end.wait(PATIENCE_S)
        return []

    assert refusal(GuardedHttp(resolve=hang, deadline_s=SOON_S), f"https://{NAME}/") == "fetch_too_slow"
    end.set()


def test_resolvers_that_hang_hold_a_bounded_number_of_threads(start: Start) -> None:
    server = start(says(OK))
    end = threading.Event()
    hanging = threading.Semaphore(0)
    left = threading.Semaphore(0)

    def hang(host: str) -> list[Address]:
        if host == NAME:
            hanging.release()
            end.wait(PATIENCE_S)
            left.release()
        return [LOOPBACK]

    # With a clock that stands still, each step has the whole time for itself.
    http = local(resolve=hang, deadline_s=1.0, clock=lambda: 0.0)
    callers = [threading.Thread(target=refusal, args=(http, f"http://{NAME}/")) for _ in range(100)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENCE_S)
    assert all(hanging.acquire(timeout=PATIENCE_S) for _ in range(64))
    assert not hanging.acquire(blocking=False)
    assert refusal(http, f"http://other.test:{server.port}/") == "fetch_too_slow"
    end.set()
    assert all(left.acquire(timeout=PATIENCE_S) for _ in range(64))
    assert http.get(f"http://other.test:{server.port}/") == b"{}"


def test_all_redirects_share_one_deadline(start: Start) -> None:
    passed_s = [0.0]
    redirect = redirects_to(b"/1", b"/2", b"/3")

    def handle(connection: socket.socket, head: bytes) -> None:
        passed_s[0] += 2
        redirect(connection, head)

    server = start(handle)
    http = local(deadline_s=5, clock=lambda: passed_s[0])
    assert refusal(http, f"http://{NAME}:{server.port}/") == "fetch_too_slow"
    assert server.accepted == 3


def test_the_deadline_is_noticed_among_chunks_that_came_at_once(start: Start) -> None:
    server = start(says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\n\r\n" % (b"1\r\nx\r\n" * 1_000)))
    url = f"http://{NAME}:{server.port}/"
    ticks = itertools.count()
    assert refusal(local(deadline_s=5, clock=lambda: next(ticks) / 100), url) == "fetch_too_slow"
    assert local().get(url) == b"x" * 1_000


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wherever_the_deadline_passes_nothing_stays_open(
    start: Start, authority: Authority, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    server = start(says(OK), authority.server(x509.DNSName(NAME)) if scheme == "https" else None)
    opened: list[socket.socket] = []
    connect = socket.create_connection

    def recorded(address: tuple[str, int], *rest: object, **named: object) -> socket.socket:
        opened.append(connect(address, timeout=PATIENCE_S))
        return opened[-1]

    monkeypatch.setattr(socket, "create_connection", recorded)
    for step in range(1, 8):
        ticks = itertools.count()
        http = local(clock=lambda: 0.0 if next(ticks) < step else 100.0, ssl_context=authority.trusted())  # noqa: B023
        with pytest.raises(FetchFailed) as caught:
            http.get(f"{scheme}://{NAME}:{server.port}/")
        assert caught.value.code == "fetch_too_slow"
    assert opened
    assert all(connection.fileno() == -1 for connection in opened)
    monkeypatch.undo()


# fetch_too_large


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1_001,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1_001,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"64\r\n%s\r\n" % (b"x" * 100) * 11,
        b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 1_001,
    ],
)
def test_a_body_over_the_limit_is_refused_without_waiting_for_its_end(start: Start, answer: bytes) -> None:
    def handle(connection: socket.socket, head: bytes) -> None:
        connection.sendall(answer)
        connection.recv(1)

    http = local(max_bytes=1_000, deadline_s=PATIENCE_S)
    assert refusal(http, f"http://{NAME}:{start(handle).port}/") == "fetch_too_large"


def test_a_body_of_exactly_the_limit_is_fetched(start: Start) -> None:
    server = start(
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n%s\r\n0\r\n\r\n" % (b"x" * 1_000))
    )
    assert local(max_bytes=1_000).get(f"http://{NAME}:{server.port}/") == b"x" * 1_000


def test_the_limit_is_512_kib_unless_another_is_given(start: Start) -> None:
    fits = start(says(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 524_288))
    assert len(local(deadline_s=PATIENCE_S).get(f"http://{NAME}:{fits.port}/")) == 524_288
    large = start(says(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 524_289))
    assert refusal(local(deadline_s=PATIENCE_S), f"http://{NAME}:{large.port}/") == "fetch_too_large"


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"br", b"deflate", b"identity, gzip", b""])
def test_an_encoded_body_is_refused_for_its_size_is_unknown(start: Start, coding: bytes) -> None:
    server = start(says(OK.replace(b"\r\n\r\n", b"\r\nContent-Encoding: %s\r\n\r\n" % coding)))
    assert refusal(local(), f"http://{NAME}:{server.port}/") == "fetch_too_large"


def test_a_second_content_encoding_is_seen_too(start: Start) -> None:
    codings = b"\r\nContent-Encoding: identity\r\nContent-Encoding: gzip\r\n\r\n"
    server = start(says(OK.replace(b"\r\n\r\n", codings)))
    assert refusal(local(), f"http://{NAME}:{server.port}/") == "fetch_too_large"


def floods(before: bytes, drop: bytes) -> Handle:
    """As fast as the client takes it, until it goes away."""

    def handle(connection: socket.socket, head: bytes) -> None:
        connection.sendall(before)
        while True:
            connection.sendall(drop * 1_000)

    return handle


@pytest.mark.parametrize(
    "handle",
    [
        floods(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        floods(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
        floods(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
        floods(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: x\r\n"),
        floods(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;%s\r\nx\r\n" % (b"y" * 1_000)),
        floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["one header", "headers", "chunk size", "trailers", "chunk extensions", "interim answers"],
)
def test_endless_framing_is_refused_as_well(start: Start, handle: Handle) -> None:
    http = local(deadline_s=PATIENCE_S)
    assert refusal(http, f"http://{NAME}:{start(handle).port}/") == "fetch_too_large"


# fetch_redirected


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["/there?a=b", "there?a=b", "//{authority}/there?a=b", "http://{authority}/there?a=b"]
)
def test_a_redirect_within_the_host_is_followed_in_every_form(start: Start, status: int, location: str) -> None:
    def handle(connection: socket.socket, head: bytes) -> None:
        where = location.format(authority=f"Issuer.TEST:{server.port}")
        moved = f"HTTP/1.1 {status} Moved\r\nlocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()
        connection.sendall(OK if b"there" in head else moved)

    server = start(handle)
    assert local().get(f"http://{NAME}:{server.port}/here") == b"{}"
    assert [head.split(b" ")[1] for head in server.heads] == [b"/here", b"/there?a=b"]


def test_three_redirects_are_followed_and_a_fourth_is_not(start: Start) -> None:
    three = start(redirects_to(b"/1", b"/2", b"/3"))
    assert local().get(f"http://{NAME}:{three.port}/") == b"{}"
    four = start(redirects_to(b"/1", b"/2", b"/3", b"/4"))
    assert refusal(local(), f"http://{NAME}:{four.port}/") == "fetch_redirected"
    assert four.accepted == 4


def test_a_redirect_to_another_host_is_not_followed(start: Start) -> None:
    server = start(redirects_to(b"http://other.test:{port}/"))
    resolver = Resolver(["127.0.0.1"])
    assert refusal(local(resolve=resolver), f"http://{NAME}:{server.port}/") == "fetch_redirected"
    assert resolver.asked == [NAME]


def test_a_redirect_to_another_port_is_not_followed(start: Start) -> None:
    other = start(says(OK))
    server = start(redirects_to(b"http://issuer.test:%d/" % other.port))
    assert refusal(local(), f"http://{NAME}:{server.port}/") == "fetch_redirected"
    assert other.accepted == 0


@pytest.mark.parametrize(
    "location",
    [
        b"http://169.254.169.254/latest/meta-data/",
        b"//169.254.169.254/latest/meta-data/",
        b"https://issuer.test/",
        b"http://issuer.test/",
        b"http://issuer.test.:{port}/",
        b"http://issuer.test:{port}@other.test/",
        b"http://user@issuer.test:{port}/",
        b"http://issuer.test:{port}\\@other.test/",
        b"\\\\other.test/",
        b"/\\other.test/",
        b"file:///etc/passwd",
        b"http://issuer.test:{port}/#fragment",
        b"/#fragment",
        b"/a b",
        b"/\xc3\xbc",
        b"//[",
        b"http://[::1",
        b"",
        b"/" + b"a" * 2_048,
    ],
)
def test_a_redirect_elsewhere_or_nowhere_is_not_followed(start: Start, location: bytes) -> None:
    server = start(redirects_to(location))
    resolver = Resolver(["127.0.0.1"])
    assert refusal(local(resolve=resolver), f"http://{NAME}:{server.port}/") == "fetch_redirected"
    assert resolver.asked == [NAME]
    assert server.accepted == 1


@pytest.mark.parametrize("headers", [b"", b"Location: /a\r\nLocation: /a\r\n"])
def test_a_redirect_needs_exactly_one_location(start: Start, headers: bytes) -> None:
    server = start(says(b"HTTP/1.1 302 Found\r\n%sContent-Length: 0\r\n\r\n" % headers))
    assert refusal(local(), f"http://{NAME}:{server.port}/") == "fetch_redirected"
    assert server.accepted == 1


@pytest.mark.parametrize("host", [b"issuer.test", b"other.test", b"169.254.169.254"])
def test_a_redirect_from_https_to_http_is_insecure_even_when_that_is_allowed(
    start: Start, authority: Authority, host: bytes
) -> None:
    redirect = redirects_to(b"http://%s:{port}/" % host)
    server = start(redirect, authority.server(x509.DNSName(NAME)))
    assert refusal(local(ssl_context=authority.trusted()), f"https://{NAME}:{server.port}/") == "fetch_insecure"
    assert server.accepted == 1


# fetch_status


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 305, 400, 401, 403, 404, 429, 500, 503])
def test_any_other_status_than_200_is_refused(start: Start, status: int) -> None:
    server = start(says(b"HTTP/1.1 %d Any\r\nLocation: /a\r\n\r\n" % status))
    assert refusal(local(), f"http://{NAME}:{server.port}/") == "fetch_status"
