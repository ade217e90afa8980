"""The text form of an API key.

Frozen wire format, 69 characters, one word when double-clicked:

    hp_live_ | hp_test_     8   prefix with the environment
    id                     22   the key's UUID, base62, most significant digit first, zero-padded
    secret                 33   base62 digits, 196 random bits
    checksum                6   CRC-32 (ISO-HDLC) of the 63 characters before, base62, zero-padded

Base62 digits are 0-9 A-Z a-z. The checksum lets a scanner and the gate tell a mistyped or made-up key from a real
one without asking anybody; it proves nothing about who made it.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal
from zlib import crc32

import msgspec

from hatchpay.errors import MalformedToken

__all__ = ["LENGTH", "ApiKey", "Environment", "Randomness", "decode_id", "encode_id", "issue", "parse"]

Environment = Literal["live", "test"]
Randomness = Callable[[int], int]
"""Returns a uniform random integer below its argument, as `secrets.randbelow` does."""

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH: Final = 69
_VALUES: Final = {digit: value for value, digit in enumerate(ALPHABET)}
_FORM: Final = re.compile(r"hp_(live|test)_([0-9A-Za-z]{22})([0-9A-Za-z]{33})([0-9A-Za-z]{6})\Z")
_ID_END: Final = 30
_CHECKED: Final = 63
_LARGEST_LOCATOR: Final = "7n42DGM5Tflk9n8mt7Fhc7"
"""All 128 bits set; base62 texts of one length sort like their values."""


class ApiKey(msgspec.Struct, frozen=True, gc=False):
    """A well-formed key. `locator` is the id as it stands in the text; the directory's snapshot is indexed by it."""

    environment: Environment
    locator: str
    text: str

    def __repr__(self) -> str:
        return f"ApiKey({self.environment}, {self.locator}, …)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("environment", self.environment), ("locator", self.locator)]

    @property
    def id(self) -> str:
        return decode_id(self.locator)

    @property
    def last_four(self) -> str:
        return self.text[-4:]


def issue(key_id: str, environment: Environment, randbelow: Randomness = secrets.randbelow) -> ApiKey:
    """A new key for the UUID `key_id`, with 33 fresh base62 digits (196 bits)."""
    locator = encode_id(key_id)
    body = f"hp_{environment}_{locator}{''.join(ALPHABET[randbelow(62)] for _ in range(33))}"
    return ApiKey(environment, locator, body + _checksum(body))


def parse(text: str) -> ApiKey:
    """Accept exactly what `issue` emits. Raises MalformedToken, whose text holds nothing of the input."""
    match = _FORM.match(text)
    if match is None or match[2] > _LARGEST_LOCATOR:
        raise MalformedToken("not in the form of an API key")
    if _checksum(text[:_CHECKED]) != match[4]:
        raise MalformedToken("the API key's checksum does not fit; it is mistyped or cut off")
    environment: Environment = "live" if match[1] == "live" else "test"
    return ApiKey(environment, text[8:_ID_END], text)


@lru_cache(maxsize=16_384)
def encode_id(key_id: str) -> str:
    """A UUID's text to its 22 base62 digits. Raises ValueError."""
    return _encode(uuid.UUID(key_id).int, 22)


def decode_id(locator: str) -> str:
    """22 base62 digits to the UUID's text. Raises MalformedToken where they exceed 128 bits."""
    value = 0
    for digit in locator:
        value = value * 62 + _VALUES[digit]
    if value >> 128:
        raise MalformedToken("not the id of an API key")
    return str(uuid.UUID(int=value))


def _checksum(body: str) -> str:
    return _encode(crc32(body.encode("ascii")), 6)


def _encode(value: int, width: int) -> str:
    digits = []
    for _ in range(width):
        value, digit = divmod(value, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
