"""The text form of an API key, digit by digit."""

from __future__ import annotations

import binascii
import re
import string
from collections.abc import Callable

import pytest
from rich.pretty import pretty_repr

from hatchpay.errors import MalformedToken
from hatchpay.tokens.apikey import LENGTH, decode_id, encode_id, issue, parse

# RFC 9562, appendix A.6.
KEY_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def to_number(digits: str) -> int:
    """Base62 by the definition of a positional number."""
    return sum(DIGITS.index(digit) * 62**place for place, digit in enumerate(reversed(digits)))


def counting() -> Callable[[int], int]:
    """A source that gives 0, 1, 2, … in place of random numbers."""
    state = iter(range(1_000))
    return lambda below: next(state) % below


def crc32_by_the_definition(data: bytes) -> int:
    """CRC-32 (ISO-HDLC), bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0xEDB88320 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_the_reference_checksum_has_its_published_check_value() -> None:
    assert crc32_by_the_definition(b"123456789") == binascii.crc32(b"123456789") == 0xCBF43926


def test_the_parts_of_a_key_stand_where_the_format_says() -> None:
    text = issue(KEY_ID, "live", counting()).text
    assert text[:8] == "hp_live_"
    assert to_number(text[8:30]) == int(KEY_ID.replace("-", ""), 16)
    assert text[30:63] == DIGITS[:33]
    assert to_number(text[63:]) == crc32_by_the_definition(text[:63].encode())
    assert len(text) == LENGTH == 69


def test_a_test_key_says_so() -> None:
    key = issue(KEY_ID, "test", counting())
    assert key.text.startswith("hp_test_")
    assert (key.environment, parse(key.text).environment) == ("test", "test")


def test_a_key_is_one_word() -> None:
    assert re.fullmatch(r"\w+", issue(KEY_ID, "live").text, re.ASCII)


def test_every_digit_of_the_secret_is_drawn_from_all_62() -> None:
    asked: list[int] = []
    issue(KEY_ID, "live", lambda below: asked.append(below) or 0)
    assert asked == [62] * 33
    assert 62**33 >= 2**192


def test_two_keys_of_one_id_share_nothing_but_the_id() -> None:
    one, other = issue(KEY_ID, "live"), issue(KEY_ID, "live")
    assert one.locator == other.locator
    assert one.text[30:63] != other.text[30:63]


def test_a_parsed_key_knows_its_id_and_its_last_four() -> None:
    key = parse(issue(KEY_ID, "live", counting()).text)
    assert (key.id, key.last_four) == (KEY_ID, key.text[65:])


@pytest.mark.parametrize(
    ("key_id", "locator"),
    [
        ("00000000-0000-0000-0000-000000000000", "0" * 22),
        ("00000000-0000-0000-0000-00000000003d", "0" * 21 + "z"),
        ("00000000-0000-0000-0000-00000000003e", "0" * 20 + "10"),
    ],
)
def test_an_id_is_written_in_22_digits_most_significant_first(key_id: str, locator: str) -> None:
    assert encode_id(key_id) == locator
    assert decode_id(locator) == key_id


def test_an_id_of_more_than_128_bits_is_none() -> None:
    largest = encode_id("ffffffff-ffff-ffff-ffff-ffffffffffff")
    assert to_number(largest) == 2**128 - 1
    assert decode_id(largest) == "ffffffff-ffff-ffff-ffff-ffffffffffff"
    for locator in (largest[:-1] + "8", "z" * 22):
        assert to_number(locator) >= 2**128
        with pytest.raises(MalformedToken):
            decode_id(locator)


def test_what_is_no_uuid_gets_no_key() -> None:
    with pytest.raises(ValueError):
        issue("not-an-id", "live")


def _sealed(body: str) -> str:
    """`body` with the checksum that belongs to it."""
    value, digits = crc32_by_the_definition(body.encode()), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = DIGITS[digit] + digits
    return body + digits


def test_sealing_by_hand_gives_what_is_issued() -> None:
    text = issue(KEY_ID, "live", counting()).text
    assert _sealed(text[:63]) == text


GOOD = issue(KEY_ID, "live", counting()).text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hp_live_",
        GOOD[:-1],
        GOOD + "0",
        GOOD + "\n",
        " " + GOOD,
        GOOD + " ",
        GOOD.upper(),
        GOOD.swapcase(),
        "HP_live_" + GOOD[8:],
        "hp-live-" + GOOD[8:],
        _sealed("hp_prod_" + GOOD[8:63]),
        _sealed("hp_live_" + "z" * 22 + GOOD[30:63]),
        _sealed("hp_live_" + "7n42DGM5Tflk9n8mt7Fhc8" + GOOD[30:63]),
        _sealed(GOOD[:62]),
        _sealed(GOOD[:63] + "0"),
        _sealed(GOOD[:62] + "_"),
        GOOD[:62] + "é" + GOOD[63:],
        GOOD[:68] + "٣",
        "hp_test_" + GOOD[8:],
        GOOD[:63] + "zzzzzz",
    ],
)
def test_what_would_never_be_issued_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(MalformedToken) as caught:
        parse(text)
    assert caught.value.code == "credential_malformed"
    assert caught.value.__cause__ is None
    if text:
        assert text not in str(caught.value)


def test_the_largest_id_is_still_one() -> None:
    key = issue("ffffffff-ffff-ffff-ffff-ffffffffffff", "live", counting())
    assert parse(key.text) == key


@pytest.mark.parametrize("show", [repr, str, format, pretty_repr])
def test_no_text_of_a_key_shows_its_secret(show: Callable[[object], str]) -> None:
    key = issue(KEY_ID, "live")
    shown = show([key] if show is pretty_repr else key)
    assert key.locator in shown
    assert key.text[30:] not in shown
    assert key.text[30:63] not in shown
    assert key.last_four not in shown.replace(key.locator, "")
