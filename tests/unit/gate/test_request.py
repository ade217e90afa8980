"""What is read off an ASGI scope, and which heads are refused."""

from __future__ import annotations

from typing import Any

import pytest

from hatchpay.errors import MalformedRequest
from hatchpay.gate.request import RequestHead


def head(*headers: tuple[bytes, bytes], **scope: Any) -> RequestHead:
    whole = {
        "method": "GET",
        "http_version": "1.1",
        "path": "/things",
        "raw_path": b"/things",
        "query_string": b"",
        "client": ("203.0.113.9", 4711),
        "headers": list(headers),
        **scope,
    }
    return RequestHead({name: value for name, value in whole.items() if value is not Ellipsis})


def refusal(*headers: tuple[bytes, bytes], **scope: Any) -> tuple[str, int] | None:
    try:
        head(*headers, **scope).check()
    except MalformedRequest as error:
        return error.code, error.status
    return None


def test_a_head_is_what_the_server_has_read() -> None:
    read = head((b"x-api-key", b"k"), (b"accept", b"*/*"), method="POST", query_string=b"a=1")
    assert (read.method, read.path, read.raw_path, read.query) == ("POST", "/things", b"/things", b"a=1")
    assert read.peer == "203.0.113.9"
    assert read.headers == [(b"x-api-key", b"k"), (b"accept", b"*/*")]
    assert read.values(b"x-api-key") == [b"k"]


def test_every_value_of_a_repeated_header_is_kept_in_order() -> None:
    assert head((b"x-api-key", b"1"), (b"authorization", b"2"), (b"x-api-key", b"3")).values(b"x-api-key") == [
        b"1",
        b"3",
    ]


def test_a_header_that_is_not_there_has_no_values() -> None:
    assert head().values(b"x-api-key") == []


@pytest.mark.parametrize("client", [None, ...])
def test_a_server_may_not_know_its_peer(client: object) -> None:
    assert head(client=client).peer is None


def test_the_barest_scope_can_be_read_and_is_refused() -> None:
    with pytest.raises(MalformedRequest):
        RequestHead({"headers": []}).check()


def test_a_plain_request_passes() -> None:
    assert refusal((b"host", b"api.test")) is None


@pytest.mark.parametrize("raw_path", [None, b"", ...])
def test_without_a_raw_path_nothing_is_decided(raw_path: object) -> None:
    assert refusal(raw_path=raw_path) == ("raw_path_missing", 400)


@pytest.mark.parametrize(
    ("headers", "scope", "expected"),
    [
        ([], {"raw_path": b"/a/../things"}, ("path_not_canonical", 400)),
        ([], {"path": "/other"}, ("path_not_canonical", 400)),
        ([], {"http_version": "0.9"}, ("unknown_http_version", 400)),
        ([(b"host", b"a"), (b"host", b"a")], {}, ("duplicate_header", 400)),
        ([(b"content-length", b"1"), (b"content-length", b"1")], {}, ("conflicting_content_length", 400)),
        ([(b"content-length", b"1"), (b"transfer-encoding", b"chunked")], {}, ("conflicting_content_length", 400)),
        ([(b"content-length", b"16777217")], {}, ("body_too_large", 413)),
        ([(b"transfer-encoding", b"gzip")], {}, ("unknown_transfer_encoding", 400)),
        ([(b"upgrade", b"websocket")], {}, ("websocket_not_allowed", 403)),
        ([(b"upgrade", b"h2c"), (b"upgrade", b"WebSocket")], {}, ("websocket_not_allowed", 403)),
        ([(b"upgrade", b"h2c")], {}, None),
        ([(b"transfer-encoding", b"chunked")], {}, None),
    ],
)
def test_an_ambiguous_head_is_refused(
    headers: list[tuple[bytes, bytes]], scope: dict[str, Any], expected: tuple[str, int] | None
) -> None:
    assert refusal(*headers, **scope) == expected


def test_a_head_of_64_kib_passes_and_one_byte_more_does_not() -> None:
    # The path's 7 bytes, the query's 10, and for each header its name, its value and 4 for colon, blank and line end.
    room = 64 * 1024 - len("/things") - 10 - len("x") - 4
    assert refusal((b"x", b"v" * room), query_string=b"q" * 10) is None
    assert refusal((b"x", b"v" * (room + 1)), query_string=b"q" * 10) == ("headers_too_large", 431)
    assert refusal((b"x", b"v" * room), query_string=b"q" * 11) == ("headers_too_large", 431)


def test_many_small_headers_are_as_large_as_few_large_ones() -> None:
    assert refusal(*[(b"x", b"")] * (64 * 1024 // 5 + 1)) == ("headers_too_large", 431)


@pytest.mark.parametrize(
    ("headers", "length", "has_body"),
    [
        ([], None, False),
        ([(b"content-length", b"0")], 0, False),
        ([(b"content-length", b"5")], 5, True),
        ([(b"transfer-encoding", b"chunked")], None, True),
    ],
)
def test_the_head_says_whether_a_body_follows(
    headers: list[tuple[bytes, bytes]], length: int | None, has_body: bool
) -> None:
    read = head(*headers)
    read.check()
    assert (read.declared_length, read.has_body) == (length, has_body)


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [
        ([], ""),
        ([(b"content-type", b"application/json")], "application/json"),
        ([(b"content-type", b"application/json"), (b"content-encoding", b"Identity")], "application/json"),
        ([(b"content-type", b"application/json"), (b"content-encoding", b"gzip")], ""),
        ([(b"content-type", b"application/json"), (b"content-type", b"text/plain")], ""),
    ],
)
def test_the_media_type_is_known_where_it_is_said_once_and_plainly(
    headers: list[tuple[bytes, bytes]], content_type: str
) -> None:
    assert head(*headers).content_type == content_type
