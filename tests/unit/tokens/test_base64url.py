"""Base64url without padding: one spelling for each sequence of bytes."""

from __future__ import annotations

import base64
import itertools
import string

import pytest

from hatchpay.errors import InvalidToken
from hatchpay.tokens.base64url import decode, encode

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def code_of(text: str) -> str:
    with pytest.raises(InvalidToken) as caught:
        decode(text)
    return caught.value.code


@pytest.mark.parametrize(
    ("data", "text"),
    [
        # RFC 4648 section 10, without its padding.
        (b"", ""),
        (b"f", "Zg"),
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg"),
        (b"fooba", "Zm9vYmE"),
        (b"foobar", "Zm9vYmFy"),
        # RFC 7515 appendix C.
        (bytes([3, 236, 255, 224, 193]), "A-z_4ME"),
    ],
)
def test_the_examples_of_the_rfcs_are_written_and_read(data: bytes, text: str) -> None:
    assert encode(data) == text
    assert decode(text) == data


def test_all_bytes_are_written_as_the_standard_library_writes_them() -> None:
    data = bytes(range(256)) * 3
    for length in range(len(data)):
        text = base64.urlsafe_b64encode(data[:length]).decode().rstrip("=")
        assert encode(data[:length]) == text
        assert decode(text) == data[:length]


def test_of_all_texts_of_two_and_three_characters_only_those_that_are_written_are_read() -> None:
    written = {encode(bytes([byte])) for byte in range(256)}
    for text in map("".join, itertools.product(ALPHABET, repeat=2)):
        if text in written:
            assert encode(decode(text)) == text
        else:
            assert code_of(text) == "token_base64_not_canonical"
    assert decode("AAE") == b"\0\x01"
    for last in "BCDFGH_-9":
        assert code_of("AA" + last) == "token_base64_not_canonical"


@pytest.mark.parametrize("text", ["A", "AAAAA", "Zm9vYmFyZ"])
def test_a_length_that_no_bytes_have_is_refused(text: str) -> None:
    assert code_of(text) == "token_base64_not_canonical"


@pytest.mark.parametrize("character", [*"+/= \n\r\t\0.,~", "\x7f", "é", "Ａ", "٣", "\ud800", "😀"])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_character_outside_the_alphabet_is_refused(character: str, place: int) -> None:
    text = "AAAA"[:place] + character + "AAAA"[place:]
    assert code_of(text) == "token_characters_invalid"


def test_padding_is_refused_even_where_it_would_be_right() -> None:
    assert code_of("Zg==") == "token_characters_invalid"
    assert code_of("Zm8=") == "token_characters_invalid"


def test_a_refusal_holds_nothing_of_the_text() -> None:
    with pytest.raises(InvalidToken) as caught:
        decode("c2VjcmV0-é")
    assert "c2VjcmV0" not in repr(caught.value)
    assert caught.value.__context__ is None
