"""What is no well-formed request: refused, recorded with its reason, and without harm to the next one."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.raw import Answer, Connection, exchange, request
from tests.support.server import Server
from tests.support.tenancy import TRANSACTIONS, Operator, Tenant, problem_of

from hatchpay.ids import new_id

MAX_BODY = 16 * 1024 * 1024
COUNT = "/shop/count"
CHUNKED = ("Transfer-Encoding", "chunked")


@pytest.fixture(autouse=True)
def _answers_the_next_connection(server: Server, tenant: Tenant) -> Iterator[None]:
    """Whatever a test has sent, the next caller is served."""
    yield
    assert exchange(server.port, request("/roles", headers=[key_of(tenant)])).status == 200


def key_of(tenant: Tenant) -> tuple[str, str]:
    return ("X-API-Key", tenant.key.text)


def head(tenant: Tenant, *lines: str, target: str = COUNT, method: str = "POST", version: str = "HTTP/1.1") -> bytes:
    """A head as written, with the tenant's key in it."""
    all_lines = (f"{method} {target} {version}", "Host: hatchpay.test", f"X-API-Key: {tenant.key.text}", *lines)
    return "".join(f"{line}\r\n" for line in (*all_lines, "")).encode("latin-1")


def refused(answer: Answer | None, status: int, *codes: str) -> str:
    """The id of a refused request, after which the connection is not used any more."""
    assert answer is not None, "the server closed the connection without an answer"
    body = problem_of(answer)
    assert (body["status"], body["code"]) in {(status, code) for code in codes}
    assert answer.header("connection") == "close"
    return str(body["request_id"])


def recorded(log: Tenant | Operator, request_id: str, *reasons: str) -> dict[str, Any]:
    found = log.record(request_id)
    assert found is not None, "the refusal is not in the log where it belongs"
    assert found["reason"] in reasons
    assert (found["decision"], found["state"], found["principal_id"]) == ("deny", "refused", None)
    assert found["handler_us"] == 0
    return found


class TestPaths:
    """400 before routing: no path that two programs could read differently."""

    @pytest.mark.parametrize(
        "target",
        [
            "/roles/../permissions",
            "/..",
            "/roles/..",
            "/./roles",
            "/roles/.",
            "//roles",
            "/roles//",
            "/v1//api-key/keys",
            "/roles%2f..",
            "/roles%2Fx",
            "/roles/%2e%2e/permissions",
            "/roles/%2e",
            "/roles/.%2E/permissions",
            "/roles%5cx",
            "/roles\\x",
            "/roles;x=1",
            "/roles%3bx",
            "/roles/%00",
            "/roles/x%00.json",
            "/roles/%0d%0aX-Evil:1",
            "/r%6fles",
            "/roles/%252f",
            "/roles/%zz",
            "/roles/%",
            "/roles/%c0%af",
            "/roles/%ff",
            "/roles#x",
            "/roles?limit=5#x",
            "*",
            "http://hatchpay.test/roles",
            "http://evil.test/roles",
            "http://user:password@evil.test/roles",
        ],
    )
    def test_a_path_in_any_but_its_one_form_is_refused(self, server: Server, tenant: Tenant, target: str) -> None:
        answer = exchange(server.port, request(target, headers=[key_of(tenant)]))
        record = recorded(tenant, refused(answer, 400, "path_not_canonical"), "path_not_canonical")
        assert (record["claimed_key_id"], record["route"], record["method"]) == (tenant.key.id, None, "GET")
        assert "password" not in record["url"]

    def test_strangers_are_refused_for_the_path_too_and_before_anything_else(
        self, server: Server, operator: Operator
    ) -> None:
        answer = exchange(server.port, request("/openapi.json/../roles"))
        recorded(operator, refused(answer, 400, "path_not_canonical"), "path_not_canonical")

    @pytest.mark.parametrize(
        "target", ["roles", "?x", "", "/roles\x7f", "/roles\xe9", "/roles\x00", "/roles x", "evil.test:443", "/a\tb"]
    )
    def test_a_target_that_no_parser_takes_is_in_the_operators_log(
        self, server: Server, operator: Operator, target: str
    ) -> None:
        answer = exchange(server.port, request(target))
        recorded(operator, refused(answer, 400, "malformed_http"), "malformed_http")

    @pytest.mark.parametrize("target", ["/roles", "/roles?limit=5", "/roles?cursor=%2F..%00"])
    def test_an_ordinary_path_passes_whatever_its_query_holds(
        self, server: Server, tenant: Tenant, target: str
    ) -> None:
        answer = exchange(server.port, request(target, headers=[key_of(tenant)]))
        assert answer.status in {200, 400, 422}
        assert answer.header("connection") is None


class TestFraming:
    """400: no body whose end two programs could see in different places."""

    @pytest.mark.parametrize(
        "lines",
        [
            ("Content-Length: 3", "Content-Length: 4"),
            ("Content-Length: 3", "Content-Length: 3"),
            ("Content-Length: 3, 3",),
            ("Content-Length: 3, 4",),
            ("Content-Length: -3",),
            ("Content-Length: +3",),
            ("Content-Length: 0x3",),
            ("Content-Length: 3.0",),
            ("Content-Length: 1 1",),
            ("Content-Length: ",),
            ("Content-Length: three",),
            ("Content-Length : 3",),
            ("Content-Length: 99999999999999999999999",),
            ("Content-Length: 3", "Transfer-Encoding: chunked"),
            ("Transfer-Encoding: chunked", "Content-Length: 3"),
            ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
            ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
            ("Transfer-Encoding: chunked, chunked",),
            ("Transfer-Encoding: gzip, chunked",),
            ("Transfer-Encoding : chunked",),
            ("Transfer-Encoding: \x0bchunked",),
            ("Transfer-Encoding: chunked;q=1",),
            ("Transfer-Encoding:\tchunked", "Content-Length: 3"),
            ("Transfer-Encoding: x", " chunked"),
            ("X: a\rTransfer-Encoding: chunked",),
            ("X: a\nTransfer-Encoding: chunked",),
            ("X: a\0b",),
            ("X Y: a",),
            (": a",),
            ("nonsense",),
            ("X: a", " folded"),
            ("Host: another.test",),
        ],
    )
    def test_an_ambiguous_head_is_refused(
        self, server: Server, operator: Operator, tenant: Tenant, lines: tuple[str, ...]
    ) -> None:
        with Connection(server.port) as connection:
            connection.send(head(tenant, *lines) + b"3\r\nabc\r\n0\r\n\r\n")
            codes = (
                "malformed_http",
                "conflicting_content_length",
                "unknown_transfer_encoding",
                "duplicate_header",
            )
            request_id = refused(connection.answer(), 400, *codes)
            assert connection.is_closed()
        record = tenant.record(request_id) or operator.record(request_id)
        assert record is not None
        assert (record["state"], record["status"], record["principal_id"]) == ("refused", 400, None)
        assert record["reason"] in codes

    @pytest.mark.parametrize("coding", ["gzip", "identity", "xchunked", "chunked, gzip"])
    def test_a_body_without_an_end_is_refused_or_cut_off_and_never_handled(
        self, server: Server, tenant: Tenant, coding: str
    ) -> None:
        path = f"/shop/items/{new_id()}/crash"
        with Connection(server.port) as connection:
            connection.send(head(tenant, f"Transfer-Encoding: {coding}", target=path) + b"3\r\nabc\r\n0\r\n\r\n")
            answer = connection.answer()
            assert answer is None or answer.status == 400
            assert connection.is_closed()
        record = the_one_record_of(tenant, path)
        assert (record["state"], record["decision"], record["handler_us"]) == ("refused", "deny", 0)

    @pytest.mark.parametrize(
        "chunks",
        [
            b"zz\r\nabc\r\n0\r\n\r\n",
            b"-1\r\nabc\r\n0\r\n\r\n",
            b"0x3\r\nabc\r\n0\r\n\r\n",
            b"+3\r\nabc\r\n0\r\n\r\n",
            b"3 \r\nabc\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabcdef\r\n0\r\n\r\n",
            b"3\nabc\n0\n\n",
            b"3\r\nabc0\r\n\r\n",
            b"\r\n\r\n",
        ],
    )
    def test_a_broken_chunk_ends_the_connection_and_its_request_is_on_record(
        self, server: Server, tenant: Tenant, chunks: bytes
    ) -> None:
        path = f"/shop/items/{new_id()}/crash"
        with Connection(server.port) as connection:
            connection.send(head(tenant, "Transfer-Encoding: chunked", target=path) + chunks)
            answer = connection.answer()
            assert answer is None or answer.status == 400
            assert connection.is_closed()
        record = the_one_record_of(tenant, path)
        assert record["state"] in {"disconnected", "refused"}
        assert record["status"] in {None, 400}

    def test_a_body_that_stops_half_way_is_on_record_as_disconnected(self, server: Server, tenant: Tenant) -> None:
        path = f"/shop/items/{new_id()}/crash"
        with Connection(server.port) as connection:
            connection.send(head(tenant, "Content-Length: 100", target=path) + b"only this")
        record = the_one_record_of(tenant, path)
        assert (record["state"], record["status"]) == ("disconnected", None)

    def test_a_chunked_body_is_read_as_a_whole(self, server: Server, tenant: Tenant) -> None:
        data = head(tenant, "Transfer-Encoding: chunked") + b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        answer = exchange(server.port, data)
        assert (answer.status, answer.json()) == (200, {"size": 5})

    def test_a_request_may_arrive_byte_by_byte(self, server: Server, tenant: Tenant) -> None:
        with Connection(server.port) as connection:
            for byte in head(tenant, "Content-Length: 3") + b"abc":
                connection.send(bytes((byte,)))
            answer = connection.answer()
        assert answer is not None and answer.json() == {"size": 3}


class TestTrailers:
    """What follows a body is no part of the head that was judged."""

    def test_a_key_in_a_trailer_opens_nothing(self, server: Server, tenant: Tenant) -> None:
        with Connection(server.port) as connection:
            connection.send(request(COUNT, "POST", headers=[CHUNKED]))
            connection.send(f"3\r\nabc\r\n0\r\nX-API-Key: {tenant.key.text}\r\n\r\n".encode())
            answer = connection.answer()
        assert answer is not None and answer.status in {400, 401}

    def test_a_trailer_in_one_packet_with_its_head_opens_nothing_either(self, server: Server, tenant: Tenant) -> None:
        body = f"3\r\nabc\r\n0\r\nX-API-Key: {tenant.key.text}\r\n\r\n".encode()
        answer = exchange(server.port, request(COUNT, "POST", headers=[CHUNKED], body=body))
        assert answer.status in {400, 401}

    def test_trailers_have_an_end(self, server: Server, tenant: Tenant) -> None:
        with Connection(server.port) as connection:
            connection.send(head(tenant, "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n")
            sent = 0
            while sent < 8 * 1024 * 1024 and connection.send(b"X-Trailer: " + b"a" * 65_000 + b"\r\n"):
                sent += 65_013
            assert sent < 8 * 1024 * 1024, "the server reads trailers for ever"


class TestSizes:
    def test_a_declared_length_over_the_limit_is_refused_unread(self, server: Server, tenant: Tenant) -> None:
        for method, target in (("POST", COUNT), ("GET", "/roles"), ("POST", TRANSACTIONS)):
            data = head(tenant, f"Content-Length: {MAX_BODY + 1}", method=method, target=target)
            request_id = refused(exchange(server.port, data), 413, "body_too_large")
            record = recorded(tenant, request_id, "body_too_large")
            assert (record["claimed_key_id"], record["body"]) == (tenant.key.id, None)

    @pytest.mark.parametrize("target", [COUNT, TRANSACTIONS])
    @pytest.mark.parametrize("media", ["application/json", "application/octet-stream"])
    def test_a_chunked_body_is_refused_where_it_passes_the_limit(
        self, server: Server, tenant: Tenant, target: str, media: str
    ) -> None:
        piece = b'100000\r\n"' + b"a" * (0x100000 - 2) + b'"\r\n'
        with Connection(server.port) as connection:
            connection.send(head(tenant, "Transfer-Encoding: chunked", f"Content-Type: {media}", target=target))
            for _ in range(17):
                if not connection.send(piece):
                    break
            request_id = refused(connection.answer(), 413, "body_too_large")
        record = tenant.record(request_id)
        assert record is not None
        assert (record["reason"], record["decision"], record["state"]) == ("body_too_large", "deny", "refused")
        assert (record["status"], record["key_id"]) == (413, tenant.key.id)

    def test_a_body_of_the_limit_passes_declared_or_chunked(self, server: Server, tenant: Tenant) -> None:
        body = bytes(MAX_BODY)
        answer = exchange(server.port, head(tenant, f"Content-Length: {MAX_BODY}") + body)
        assert (answer.status, answer.json()) == (200, {"size": MAX_BODY})
        chunked = b"1000000\r\n" + body + b"\r\n0\r\n\r\n"
        answer = exchange(server.port, head(tenant, "Transfer-Encoding: chunked") + chunked)
        assert (answer.status, answer.json()) == (200, {"size": MAX_BODY})

    @pytest.mark.parametrize(
        "lines",
        [
            ["X-Long: " + "a" * 66_000],
            [f"X-{number}: a" for number in range(9_000)],
            [f"X-{number}: {'a' * 1_000}" for number in range(10_400)],
            ["X-API-Key-Not: " + "a" * 33_000, "X-Other: " + "b" * 33_000],
        ],
        ids=["one header", "many headers", "10 MiB of headers", "two headers"],
    )
    def test_a_head_over_the_limit_is_refused(self, server: Server, tenant: Tenant, lines: list[str]) -> None:
        answer = exchange(server.port, head(tenant, *lines, method="GET", target="/roles"))
        record = recorded(tenant, refused(answer, 431, "headers_too_large"), "headers_too_large")
        assert (record["url"], record["claimed_key_id"]) == ("/roles", tenant.key.id)

    def test_a_header_without_end_is_refused_while_it_comes(self, server: Server, operator: Operator) -> None:
        with Connection(server.port) as connection:
            connection.send(b"GET /roles HTTP/1.1\r\nHost: hatchpay.test\r\nX-Long: ")
            for _ in range(20):
                if not connection.send(b"a" * 4_096):
                    break
            recorded(operator, refused(connection.answer(), 431, "headers_too_large"), "headers_too_large")

    def test_a_target_over_the_limit_is_refused(self, server: Server, operator: Operator, tenant: Tenant) -> None:
        answer = exchange(server.port, request(f"/roles?{'a' * 70_000}", headers=[key_of(tenant)]))
        body = problem_of(answer)
        assert (body["status"], body["code"]) in {(400, "malformed_http"), (431, "headers_too_large")}
        record = tenant.record(body["request_id"]) or operator.record(body["request_id"])
        assert record is not None and record["reason"] == body["code"]
        assert len(record["url"]) < 100

    @pytest.mark.parametrize("piece", ["\\", "4-", "%25", "4111 ", "&amp;", "eyJ.", "//", "-----BEGIN "])
    def test_a_hostile_head_holds_nobody_up(self, server: Server, piece: str) -> None:
        """Redaction takes time that grows with the text alone, or a stranger could stop the service."""
        text = (piece * 60_000)[:60_000]
        began = time.monotonic()
        exchange(server.port, request(f"/{text.replace(' ', '+')}", headers=[("User-Agent", text)]))
        assert time.monotonic() - began < 4

    def test_a_head_below_the_limit_passes(self, server: Server, tenant: Tenant) -> None:
        answer = exchange(server.port, head(tenant, "X-Long: " + "a" * 64_000, method="GET", target="/roles"))
        assert answer.status == 200


class TestOtherProtocols:
    @pytest.mark.parametrize(
        "data",
        [
            b"hello there\r\n\r\n",
            b"FOO /roles HTTP/1.1\r\nHost: x\r\n\r\n",
            b"get /roles HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /roles HTTP/9.9\r\nHost: x\r\n\r\n",
            b"GET /roles HTTX/1.1\r\nHost: x\r\n\r\n",
            b"GET /roles HTTP/1.1\nHost: x\n\n",
            b"GET /roles\tHTTP/1.1\r\nHost: x\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
            b"\x00" * 100,
            b"\xff\xfe" * 50,
            b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n",
            b"RTSP/1.0 200 OK\r\n\r\n",
        ],
    )
    def test_what_is_no_http_is_refused_and_recorded(self, server: Server, operator: Operator, data: bytes) -> None:
        with Connection(server.port) as connection:
            connection.send(data)
            request_id = refused(connection.answer(), 400, "malformed_http")
            assert connection.is_closed()
        recorded(operator, request_id, "malformed_http")

    @pytest.mark.parametrize("version", ["", " HTTP/0.9", " HTTP/2.0"])
    def test_a_version_that_nobody_speaks_is_refused(
        self, server: Server, operator: Operator, tenant: Tenant, version: str
    ) -> None:
        key = f"X-API-Key: {tenant.key.text}\r\n" if version else ""
        answer = exchange(server.port, f"GET /roles{version}\r\n{key}\r\n".encode())
        request_id = refused(answer, 400, "unknown_http_version", "malformed_http")
        record = (tenant if key else operator).record(request_id)
        assert record is not None and record["reason"] in {"unknown_http_version", "malformed_http"}

    def test_http_1_0_is_served_once_per_connection(self, server: Server, tenant: Tenant) -> None:
        with Connection(server.port) as connection:
            connection.send(head(tenant, method="GET", target="/roles", version="HTTP/1.0"))
            answer = connection.answer()
            assert answer is not None and answer.status == 200
            assert connection.is_closed()

    def test_chunks_do_not_exist_in_http_1_0(self, server: Server, tenant: Tenant) -> None:
        data = head(tenant, "Transfer-Encoding: chunked", version="HTTP/1.0") + b"3\r\nabc\r\n0\r\n\r\n"
        request_id = refused(exchange(server.port, data), 400, "unknown_transfer_encoding")
        recorded(tenant, request_id, "unknown_transfer_encoding")

    def test_a_connection_that_says_nothing_harms_nobody(self, server: Server) -> None:
        for data in (b"", b"GET /ro", b"GET /roles HTTP/1.1\r\nHost: x\r\n", b"\r\n"):
            with Connection(server.port) as connection:
                connection.send(data)


class TestPipelines:
    def test_requests_in_one_packet_are_answered_in_order(self, server: Server, tenant: Tenant) -> None:
        targets = ["/roles", "/permissions", "/nothing/here", "/roles"]
        with Connection(server.port) as connection:
            connection.send(b"".join(request(target, headers=[key_of(tenant)]) for target in targets))
            answers = [connection.answer() for _ in targets]
        assert [answer.status for answer in answers if answer] == [200, 200, 403, 200]
        records = [tenant.record(answer.request_id) for answer in answers if answer]
        assert [record["url"] for record in records if record] == targets

    def test_a_bad_request_behind_a_good_one_is_refused_after_it(self, server: Server, tenant: Tenant) -> None:
        bad = head(tenant, "Content-Length: 3", "Content-Length: 4")
        after = request("/permissions", headers=[key_of(tenant)])
        with Connection(server.port) as connection:
            connection.send(request("/roles", headers=[key_of(tenant)]) + bad + after)
            first = connection.answer()
            assert first is not None and first.status == 200
            recorded(tenant, refused(connection.answer(), 400, "malformed_http"), "malformed_http")
            assert connection.is_closed()

    def test_a_refused_request_takes_what_follows_it_along(self, server: Server, tenant: Tenant) -> None:
        with Connection(server.port) as connection:
            connection.send(
                request("/roles/..", headers=[key_of(tenant)]) + request("/roles", headers=[key_of(tenant)])
            )
            refused(connection.answer(), 400, "path_not_canonical")
            assert connection.is_closed()

    def test_each_request_of_a_connection_proves_itself(self, server: Server, tenant: Tenant) -> None:
        with Connection(server.port) as connection:
            connection.send(request("/roles", headers=[key_of(tenant)]))
            first = connection.answer()
            connection.send(request("/roles"))
            second = connection.answer()
        assert first is not None and second is not None
        assert (first.status, second.status) == (200, 401)


class TestSmuggling:
    """A request inside another's body is never one."""

    @pytest.mark.parametrize(
        ("lines", "before"),
        [
            (("Content-Length: {size}", "Transfer-Encoding: chunked"), b"0\r\n\r\n"),
            (("Transfer-Encoding: chunked", "Content-Length: 5"), b"0\r\n\r\n"),
            (("Content-Length: 0", "Content-Length: {size}"), b""),
            (("Content-Length: {size}", "Content-Length: 0"), b""),
            (("Content-Length: 0, {size}",), b""),
            (("Transfer-Encoding: chunked", "Transfer-Encoding: x"), b"0\r\n\r\n"),
            (("Transfer-Encoding: x", "Transfer-Encoding: chunked"), b"0\r\n\r\n"),
            (("Transfer-Encoding:\x0bchunked", "Content-Length: {size}"), b"0\r\n\r\n"),
            (("Transfer-Encoding: chunked\x00", "Content-Length: {size}"), b"0\r\n\r\n"),
            (("X: y\rContent-Length: 0", "Content-Length: {size}"), b""),
            (("X: y\nTransfer-Encoding: chunked", "Content-Length: {size}"), b"0\r\n\r\n"),
            (("Content_Length: 0", "Content-Length: +{size}"), b""),
            (("Transfer-Encoding: gzip", "Content-Length: {size}"), b""),
        ],
    )
    def test_an_ambiguous_body_hides_no_request(
        self, server: Server, operator: Operator, tenant: Tenant, lines: tuple[str, ...], before: bytes
    ) -> None:
        path = f"/smuggled/{uuid.uuid4()}"
        hidden = before + request(path, headers=[key_of(tenant)])
        with Connection(server.port) as connection:
            connection.send(head(tenant, *(line.format(size=len(hidden)) for line in lines)) + hidden)
            answer = connection.answer()
            assert answer is None or answer.status == 400
            assert connection.is_closed()
        assert tenant.history(path=path) == []
        assert operator.history(path=path) == []

    def test_a_request_in_a_well_framed_body_is_just_a_body(self, server: Server, tenant: Tenant) -> None:
        hidden = request("/smuggled", headers=[key_of(tenant)])
        with Connection(server.port) as connection:
            connection.send(head(tenant, f"Content-Length: {len(hidden)}") + hidden)
            first = connection.answer()
            connection.send(head(tenant, "Transfer-Encoding: chunked"))
            connection.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden))
            second = connection.answer()
        assert first is not None and second is not None
        assert (first.json(), second.json()) == ({"size": len(hidden)}, {"size": len(hidden)})
        assert tenant.history(path="/smuggled") == []

    def test_a_refused_upload_is_not_read_as_the_next_request(self, server: Server, tenant: Tenant) -> None:
        hidden = request("/smuggled", headers=[key_of(tenant)])
        with Connection(server.port) as connection:
            connection.send(request(COUNT, "POST", headers=[("Content-Length", str(len(hidden)))]))
            answer = connection.answer()
            assert answer is not None and answer.status == 401
            connection.send(hidden)
            connection.send(request("/roles", headers=[key_of(tenant)]))
            following = connection.answer()
            assert following is None or following.status == 200
        assert tenant.history(path="/smuggled") == []

    def test_what_follows_an_upgrade_is_not_read(self, server: Server, tenant: Tenant) -> None:
        upgrade = [key_of(tenant), ("Connection", "Upgrade"), ("Upgrade", "h2c")]
        with Connection(server.port) as connection:
            connection.send(request("/roles", headers=upgrade) + request("/smuggled", headers=[key_of(tenant)]))
            answer = connection.answer()
            assert answer is not None and answer.status in {200, 400}
            assert connection.is_closed()
        assert tenant.history(path="/smuggled") == []


class TestContinue:
    def test_a_refused_upload_is_told_before_it_is_sent(self, server: Server) -> None:
        data = request(COUNT, "POST", headers=[("Content-Length", "5"), ("Expect", "100-continue")])
        with Connection(server.port) as connection:
            connection.send(data)
            answer = connection.answer(interim=True)
        assert answer is not None and answer.status == 401

    def test_a_welcome_upload_is_asked_for(self, server: Server, tenant: Tenant) -> None:
        with Connection(server.port) as connection:
            connection.send(head(tenant, "Content-Length: 5", "Expect: 100-continue"))
            interim = connection.answer(interim=True)
            assert interim is not None and interim.status == 100
            connection.send(b"hello")
            answer = connection.answer()
        assert answer is not None and answer.json() == {"size": 5}


def the_one_record_of(log: Tenant, path: str) -> dict[str, Any]:
    """Of a request that got no answer, whose record so may come a moment later."""
    found = log.await_history(path=path)
    assert len(found) == 1
    return found[0]
