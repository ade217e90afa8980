"""JSON objects from strangers (RFC 8259), where everything that two readers could understand differently is refused.

Python's `json` keeps the last of two equal names, reads NaN and Infinity, makes infinity of 1e999 and recurses as deep
as the text tells it to. None of that happens here, and the cost stays linear in the length.
"""

from __future__ import annotations

import json
import math
import re
from typing import Final, NoReturn

from hatchpay.errors import InvalidToken

__all__ = ["MAX_DEPTH", "load_object"]

MAX_DEPTH: Final = 32
"""Objects and arrays inside one another, the outermost counted."""
_MAX_DIGITS: Final = 4_300
"""Python's own default limit, held to even where the interpreter's is lifted: reading digits costs their square."""
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""An unended string runs to the end of the text, so that no byte is looked at twice."""
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_UNREADABLE: Final = object()


def load_object(data: bytes) -> dict[str, object]:
    """The object that `data` holds in UTF-8.

    Raises InvalidToken: token_json_invalid (not UTF-8, a byte order mark, not JSON, a lone surrogate, an integer of
    more than 4,300 digits, something after the end), token_json_not_object, token_json_too_deep (more than 32 levels),
    token_duplicate_member (a name twice in one object, at any depth), token_number_not_finite (NaN, Infinity,
    -Infinity, or a number as large as 1e999, at any depth).
    """
    _refuse_depth(data)
    value = _read(data)
    if value is _UNREADABLE:
        raise InvalidToken("a part of the token is not valid JSON", code="token_json_invalid")
    if not isinstance(value, dict):
        raise InvalidToken("a part of the token is not a JSON object", code="token_json_not_object")
    return value


def _refuse_depth(data: bytes) -> None:
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidToken("a part of the token is nested too deep", code="token_json_too_deep")


def _read(data: bytes) -> object:
    """Whatever JSON holds, or `_UNREADABLE`: the errors of these decoders hold the text, so they stay here."""
    try:
        text = data.decode("utf-8")
        value: object = _DECODER.decode(text)
        if "\\u" in text:
            # Only an escape can bring a lone surrogate, and no encoder takes one.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except ValueError:
        return _UNREADABLE
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidToken("a part of the token names one member twice", code="token_duplicate_member")
    return members


def _integer(digits: str) -> int:
    if len(digits) - digits.startswith("-") > _MAX_DIGITS:
        raise ValueError("too many digits")
    return int(digits)


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        _refuse_number(text)
    return value


def _refuse_number(_: str) -> NoReturn:
    raise InvalidToken("a part of the token holds a number that is not finite", code="token_number_not_finite")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_refuse_number
)
