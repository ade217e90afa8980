"""Redaction of a block of whole JSON elements: value by value where it is not clean."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from hatchpay.audit.redact.cards import LONGEST, is_card, mask, mask_cards
from hatchpay.audit.redact.effort import Effort, Exhausted
from hatchpay.audit.redact.fields import replacement
from hatchpay.audit.redact.gate import is_plain, is_plain_json
from hatchpay.audit.redact.json_tokens import BRACKET, ITEM, PLAIN_SCALAR, STRING, STRING_OR_KEY
from hatchpay.audit.redact.names import MARKERS, Kind, all_harmless, is_telling, kind_of
from hatchpay.audit.redact.text import FAILED, redact_text

__all__ = ["closing", "encode", "is_clean", "redact_items", "redact_key", "redact_scalar", "redact_value"]

_QUOTE: Final = ord('"')
# Names of secrets that are common enough to be remembered always, and so cost little.
_USUAL: Final = frozenset({"cvv", "cvc", "pin", "pan", "password", "token", "access_token", "secret", "card_number"})
_LONGEST_REMEMBERED: Final = 64
_DIGITS: Final = re.compile(rb"\"?([0-9][0-9 \-]{10,21}[0-9])\"?")


def is_clean(block: bytes) -> bool:
    """Whether nothing in `block` needs redaction, and none of its strings needs more than JSON's own decoding."""
    try:
        return is_plain_json(block.decode("utf-8")) or (b"\\" in block and _is_clean_decoded(block))
    except (UnicodeDecodeError, msgspec.DecodeError):
        return False


def _is_clean_decoded(block: bytes) -> bool:
    found: list[tuple[bytes, bytes]] = STRING_OR_KEY.findall(block)
    keys = [string for string, colon in found if colon]
    if b"\\" in b"".join(keys):
        return False
    texts = msgspec.json.decode(b"[" + b",".join([string for string, _ in found]) + b"]", type=list[str])
    numbers = STRING.sub(b'""', block).decode("ascii")
    # No detector looks beyond a line's end into a string that would be clean alone.
    return (
        is_plain("\n".join(texts))
        and mask_cards(numbers) == numbers
        and all_harmless([key[1:-1].decode("utf-8") for key in keys])
    )


def redact_items(block: bytes, effort: Effort) -> tuple[bytes, int, bool]:
    """`block` redacted, how much of it, and whether it ends where a container begins that stays out."""
    out: list[bytes] = []
    done = 0
    effort.spend(5)
    position = 0
    while (item := ITEM.match(block, position)) is not None:
        key, plain, value, opening = item.groups()
        shown, kind, cost = (key, None, 1.5) if key is None else _key(key, effort)
        effort.spend(cost)
        if shown is not None and shown != key:
            out += block[done : item.start(1)], shown
            done = item.end(1)
        position = item.end()
        if kind is not None:
            start = item.start(item.lastindex or 0)
            out += block[done:start], encode(MARKERS[kind] if opening else redact_value(kind, plain or value, effort))
            if opening is not None:
                closed = closing(block, position, len(block))
                if closed is None:
                    return b"".join(out), position, True
                position = closed
            done = position
        elif value is not None:
            redacted = redact_scalar(value, effort)
            if redacted != value:
                out += block[done : item.start(3)], redacted
                done = position
    out.append(block[done:])
    return b"".join(out), len(block), False


def closing(data: bytes, position: int, end: int) -> int | None:
    """Where the container that was opened before `position` has closed, if it does before `end`."""
    depth = 1
    for found in BRACKET.finditer(data, position, end):
        if found[1]:
            depth += 1
        elif found[2]:
            depth -= 1
            if not depth:
                return found.end()
    return None


def encode(text: str) -> bytes:
    return msgspec.json.encode(text)


def redact_scalar(raw: bytes, effort: Effort) -> bytes:
    """A string or number as JSON, redacted."""
    if PLAIN_SCALAR.fullmatch(raw) is not None:
        return raw
    digits = _DIGITS.fullmatch(raw)
    effort.spend(3 if digits is not None else 4)
    try:
        if digits is not None:
            number = digits[1].decode("ascii")
            if number.isdigit() and len(number) <= LONGEST:
                return encode(mask(number)) if is_card(number) else raw
            masked = mask_cards(number, effort)
            return raw if masked == number else encode(mask_cards(masked, effort))
        text = _text_of(raw)
        redacted = redact_text(text, effort)
        return raw if redacted == text else encode(redacted)
    except Exhausted:
        raise
    except Exception:  # what cannot be redacted is dropped, never kept and never raised
        return encode(FAILED)


def redact_key(raw: bytes, effort: Effort) -> tuple[bytes, Kind | None]:
    """A key as JSON, redacted, and what becomes of the value under it."""
    shown, kind, cost = _key(raw, effort)
    effort.spend(cost)
    return shown, kind


def _key(raw: bytes, effort: Effort) -> tuple[bytes, Kind | None, float]:
    return _remembered_key(raw) if len(raw) <= _LONGEST_REMEMBERED else _redacted_key(raw, effort)


def _redacted_key(raw: bytes, effort: Effort | None = None) -> tuple[bytes, Kind | None, float]:
    try:
        text = _text_of(raw)
        # The cost is what it is if not remembered: it must be the same for the same key, remembered or not.
        if is_plain(text):
            unusual = b"\\" in raw or (is_telling(text) and text.lower() not in _USUAL)
            return raw, kind_of(text), 8 if unusual else 2
        return redact_scalar(raw, effort or Effort(1_000)), kind_of(text), 25 + len(raw) / 2
    except Exception as error:
        if effort is not None and isinstance(error, Exhausted):
            raise
        return encode(FAILED), "redacted", 20 + len(raw)


_remembered_key = lru_cache(maxsize=2048)(_redacted_key)


def redact_value(kind: Kind, raw: bytes, effort: Effort) -> str:
    """What stands for a scalar under a name of this kind."""
    try:
        return replacement(kind, _text_of(raw), effort)
    except Exhausted:
        raise
    except Exception:
        return MARKERS[kind]


def _text_of(raw: bytes) -> str:
    if raw[0] != _QUOTE:
        return raw.decode("ascii")
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw[1:-1].decode("utf-8", "backslashreplace")
