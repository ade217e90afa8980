"""What every request must satisfy: one canonical path, one clear length, not too much of anything."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from hatchpay.errors import MalformedRequest
from hatchpay.gate.limits import (
    MAX_BODY,
    MAX_HEADERS,
    body_too_large,
    check_length,
    check_path,
    check_transfer,
    check_version,
    headers_too_large,
)


def test_the_limits_are_16_mib_and_64_kib() -> None:
    assert (MAX_BODY, MAX_HEADERS) == (16_777_216, 65_536)
    assert (body_too_large().status, body_too_large().code) == (413, "body_too_large")
    assert (headers_too_large().status, headers_too_large().code) == (431, "headers_too_large")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/v1/things", "/v1/things"),
        (b"/v1/things/", "/v1/things/"),
        (b"/v1/a-b_c.d~e/f:g@h", "/v1/a-b_c.d~e/f:g@h"),
        (b"/a!$&'()*+,=b", "/a!$&'()*+,=b"),
        (b"/a%20b", "/a b"),
        (b"/caf%C3%A9", "/café"),
        (b"/%F0%9F%8D%95", "/🍕"),
        (b"/100%25", "/100%"),
        (b"/100%25/x", "/100%/x"),
        (b"/%25zz", "/%zz"),
        (b"/a%3Fb%23c", "/a?b#c"),
        (b"/%7Bid%7D", "/{id}"),
        (b"/...", "/..."),
        (b"/.well-known/x", "/.well-known/x"),
        (b"/a..b/..c", "/a..b/..c"),
        (b"/%2a%2A*", "/***"),
    ],
)
def test_a_path_in_its_canonical_form_passes(raw: bytes, path: str) -> None:
    check_path(raw, path)


@pytest.mark.parametrize(
    "raw",
    [
        # the issue's own
        b"/a/../b",
        b"//",
        b"/a//b",
        b"/a%2fb",
        b"/a%2Fb",
        b"/a%5cb",
        b"/a%5Cb",
        b"/a;b",
        b"/a%00",
        # dot segments in every disguise
        b"/..",
        b"/.",
        b"/a/..",
        b"/a/.",
        b"/./a",
        b"/%2e%2e/a",
        b"/%2E./a",
        b"/.%2e/a",
        b"/a/%2e",
        b"/..;/a",
        b"/..%3b/a",
        b"/..%2fa",
        b"/..%5ca",
        b"/..\\a",
        # encoded twice
        b"/%252e%252e/a",
        b"/a%252fb",
        b"/a%255cb",
        b"/a%2500",
        b"/a%25252fb",
        # in other forms of UTF-8
        b"/a%c0%afb",
        b"/%c0%ae%c0%ae/a",
        b"/a%e0%80%afb",
        b"/a%ff",
        b"/a%ed%a0%80",
        b"/a%c3",
        # what some would cut off, rewrite or take for something else
        b"",
        b"a",
        b"*",
        b"http://host/a",
        b"\\a",
        b"/a\\b",
        b"/a%3bb",
        b"/a?b",
        b"/a#b",
        b"/a b",
        b"/a\tb",
        b"/a\r\nb",
        b"/a\x00",
        b"/a\x7f",
        b"/caf\xc3\xa9",
        b"/a\n",
        b"/a%0a",
        b"/a%0D%0A",
        b"/a%1f",
        b"/a%7f",
        # percent-encoding of what needs none, or that is none
        b"/%61",
        b"/%41",
        b"/%7A",
        b"/%5a",
        b"/%30",
        b"/%2d",
        b"/%5F",
        b"/%7e",
        b"/%",
        b"/%4",
        b"/%zz",
        b"/%u0041",
        b"/a%2",
    ],
)
def test_a_path_that_somebody_could_read_otherwise_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedRequest) as caught:
        check_path(raw, unquote(raw.decode("latin-1")))
    assert (caught.value.code, caught.value.status) == ("path_not_canonical", 400)


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/a", "/b"),
        (b"/a", "/a/"),
        (b"/a", "/A"),
        (b"/a", ""),
        (b"/a", "/root/a"),
        (b"/a%20b", "/a%20b"),
        (b"/a+b", "/a b"),
        (b"/100%25", "/100%25"),
        (b"/caf%C3%A9", "/caf\u00c3\u00a9"),
        (b"/caf%C3%A9", "/cafe\u0301"),
    ],
)
def test_a_path_that_was_rewritten_on_its_way_is_refused(raw: bytes, path: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        check_path(raw, path)
    assert caught.value.code == "path_not_canonical"


def test_a_refusal_does_not_repeat_the_path() -> None:
    with pytest.raises(MalformedRequest) as caught:
        check_path(b"/s3cret//", "/s3cret//")
    assert "s3cret" not in repr(caught.value)


@pytest.mark.parametrize(
    ("values", "chunked", "length"),
    [([], False, None), ([], True, None), ([b"0"], False, 0), ([b"16777216"], False, MAX_BODY), ([b"007"], False, 7)],
)
def test_a_clear_length_is_read(values: list[bytes], chunked: bool, length: int | None) -> None:
    assert check_length(values, chunked) == length


@pytest.mark.parametrize(
    ("values", "chunked"),
    [
        ([b"1", b"2"], False),
        ([b"1", b"1"], False),
        ([b"1, 1"], False),
        ([b"1"], True),
        ([b"0"], True),
        ([b""], False),
        ([b"-1"], False),
        ([b"+1"], False),
        ([b" 1"], False),
        ([b"0x10"], False),
        ([b"1.0"], False),
        ([b"1_0"], False),
        ([b"1\n"], False),
        ([b"\xb2"], False),
        ([b"\xd9\xa3"], False),
        ([b"1" * 20], False),
    ],
)
def test_a_length_that_somebody_could_read_otherwise_is_refused(values: list[bytes], chunked: bool) -> None:
    with pytest.raises(MalformedRequest) as caught:
        check_length(values, chunked)
    assert (caught.value.code, caught.value.status) == ("conflicting_content_length", 400)


@pytest.mark.parametrize("value", [b"16777217", b"9" * 19])
def test_a_body_that_is_declared_too_large_is_refused_before_it_is_read(value: bytes) -> None:
    with pytest.raises(MalformedRequest) as caught:
        check_length([value], chunked=False)
    assert (caught.value.code, caught.value.status) == ("body_too_large", 413)


@pytest.mark.parametrize("values", [[], [b"chunked"], [b"Chunked"], [b" chunked\t"]])
def test_a_body_may_come_in_chunks(values: list[bytes]) -> None:
    check_transfer(values, "1.1")


@pytest.mark.parametrize(
    ("values", "version"),
    [
        ([b"chunked", b"chunked"], "1.1"),
        ([b"chunked, chunked"], "1.1"),
        ([b"gzip, chunked"], "1.1"),
        ([b"chunked, identity"], "1.1"),
        ([b"identity"], "1.1"),
        ([b""], "1.1"),
        ([b"xchunked"], "1.1"),
        ([b"\x0bchunked"], "1.1"),
        ([b"\x0cchunked"], "1.1"),
        ([b"chunked;q=1"], "1.1"),
        ([b"chunked"], "1.0"),
        ([b"chunked"], "2"),
    ],
)
def test_any_other_transfer_coding_is_refused(values: list[bytes], version: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        check_transfer(values, version)
    assert (caught.value.code, caught.value.status) == ("unknown_transfer_encoding", 400)


def test_no_transfer_coding_is_needed_in_any_version() -> None:
    for version in ("1.0", "1.1", "2", "3"):
        check_transfer([], version)
        check_version(version)


@pytest.mark.parametrize("version", ["", "0.9", "1", "1.2", "2.0", "1.1 ", "HTTP/1.1"])
def test_a_version_that_nobody_speaks_is_refused(version: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        check_version(version)
    assert caught.value.code == "unknown_http_version"
