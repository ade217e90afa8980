"""Which paths pass, against a reference that takes the path apart byte by byte."""

from __future__ import annotations

import posixpath
import re
import string
from urllib.parse import quote, unquote, unquote_to_bytes

from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.errors import MalformedRequest
from hatchpay.gate.limits import check_path

UNRESERVED = (string.ascii_letters + string.digits + "-._~").encode()
HEX = string.hexdigits.encode()


def reference(raw: bytes) -> str | None:
    """The decoded path where `raw` is one that everybody decodes and splits alike, else None."""
    if raw[:1] != b"/" or any(byte <= 0x20 or byte >= 0x7F or byte in b";\\?#" for byte in raw):
        return None
    *inner, last = raw.split(b"/")[1:]
    if b"" in inner or any(segment in (b".", b"..") for segment in (*inner, last)):
        return None
    decoded, at = bytearray(), 0
    while at < len(raw):
        if raw[at] != 0x25:
            decoded.append(raw[at])
            at += 1
            continue
        digits = raw[at + 1 : at + 3]
        if len(digits) != 2 or any(digit not in HEX for digit in digits):
            return None
        byte = int(digits, 16)
        if byte in UNRESERVED or byte in b"/\\;" or byte < 0x20 or byte == 0x7F:
            return None
        decoded.append(byte)
        at += 3
    # Decoding once more must not change it.
    if re.search(rb"%[0-9A-Fa-f]{2}", decoded):
        return None
    try:
        return decoded.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return None


def passes(raw: bytes, path: str) -> bool:
    try:
        check_path(raw, path)
    except MalformedRequest:
        return False
    return True


pieces = st.one_of(
    st.sampled_from([b"/", b"/", b"/", b".", b"..", b"a", b"Z9", b"~", b"%", b"%25", b"2f", b"2e", b"%20", b"%c3%a9"]),
    st.sampled_from([b"%2f", b"%2F", b"%5c", b"%2e", b"%00", b"%3b", b"%c0", b"%af", b";", b"\\", b"?", b"#", b"\xc3"]),
    st.integers(0, 255).map(lambda byte: b"%%%02x" % byte),
    st.integers(0, 255).map(lambda byte: b"%%%02X" % byte),
    st.binary(min_size=1, max_size=1),
)
raw_paths = st.lists(pieces, max_size=8).map(lambda parts: b"/" + b"".join(parts)) | st.binary(max_size=6)

words = st.text(
    st.characters(exclude_characters="/\\;%", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8
).filter(lambda word: word not in (".", ".."))


@settings(max_examples=600, deadline=None)
@given(raw_paths)
def test_exactly_the_paths_that_everybody_reads_alike_pass(raw: bytes) -> None:
    expected = reference(raw)
    guess = unquote(raw.decode("latin-1")) if expected is None else expected
    assert passes(raw, guess) == (expected is not None)
    if expected is None:
        assert not passes(raw, unquote_to_bytes(raw).decode("utf-8", "replace"))


@settings(max_examples=300, deadline=None)
@given(raw_paths, st.text(max_size=5))
def test_with_any_other_decoded_path_nothing_passes(raw: bytes, other: str) -> None:
    for path in (other, "/" + other, (reference(raw) or "/") + other):
        assert passes(raw, path) == (path == reference(raw))


def test_every_byte_is_judged_as_the_reference_judges_it_plain_and_encoded_once_or_twice() -> None:
    for byte in range(256):
        for raw in (bytes([byte]), b"%%%02x" % byte, b"%%%02X" % byte, b"%%25%02x" % byte, b"%%%02x%%bf" % byte):
            for path in (b"/a" + raw, b"/a" + raw + b"b", b"/" + raw, b"/" + raw + b"/b"):
                expected = reference(path)
                assert passes(path, unquote(path.decode("latin-1")) if expected is None else expected) == (
                    expected is not None
                ), path


@settings(max_examples=200, deadline=None)
@given(st.lists(words, max_size=4), st.sampled_from(["", "/"]))
def test_what_is_written_as_rfc_3986_says_passes_and_keeps_its_segments(parts: list[str], end: str) -> None:
    path = "/" + "/".join(parts) + (end if parts else "")
    raw = quote(path, safe="/!$&'()*+,=:@").encode()
    assert passes(raw, path)
    assert [unquote(segment) for segment in raw.decode().split("/")] == path.split("/")
    assert posixpath.normpath(path) + (end if parts else "") == path
