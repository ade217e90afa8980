"""Redaction of JSON as it streams through, without building the document or recursing into it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from hatchpay.audit.redact.fields import replacement
from hatchpay.audit.redact.gate import is_plain_json
from hatchpay.audit.redact.json_tokens import (
    BRACKET,
    HEAD,
    INCOMPLETE,
    KEY_OF_CONTAINER,
    LAST_UNIT,
    MARKS,
    PLAIN_SCALAR,
    PUNCTUATION,
    REST_OF_STRING,
    RUN,
    STRING,
    STRING_BODY,
    UNIT,
)
from hatchpay.audit.redact.names import MARKERS, Kind, kind_of
from hatchpay.audit.redact.running import TOO_LONG, RunningText
from hatchpay.audit.redact.text import FAILED, redact_text

__all__ = ["JsonStream"]

_LONGEST_STRING: Final = 65_536
_LONGEST_UNIT: Final = 4 * _LONGEST_STRING
_LONGEST_REMEMBERED: Final = 64
_COLON: Final = ord(":")
_QUOTE: Final = ord('"')
_OPENING: Final = b"[{"


class JsonStream:
    """Redacts JSON that arrives in pieces; from the first thing that is not JSON, the rest counts as text."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._pending: Kind | None = None
        self._after_long = False
        self._depth = 0
        self._in_string = False
        self._dirty_until = 0
        self._text: RunningText | None = None

    def run(self, data: bytes, final: bool) -> bytes:
        """Redact as much of `data` as can be and return the rest, to be handed in again with what follows."""
        position = 0
        self._dirty_until = 0
        while self._text is None:
            if self._in_string:
                position, stop = self._skip_string(data, position)
            elif self._depth:
                position, stop = self._skip_container(data, position)
            else:
                position, stop = self._step(data, position, final)
            if stop:
                return data[position:]
        return self._text.run(data[position:], final)

    def _step(self, data: bytes, position: int, final: bool) -> tuple[int, bool]:
        """One run, or the tokens of one that is not clean; the second value is True where bytes are missing."""
        if position >= self._dirty_until and self._pending is None and not self._after_long:
            run = RUN.match(data, position)
            if run is not None:
                if run.end() - position <= _LONGEST_STRING and _clean(run[0]):
                    self._write(run[0])
                    return run.end(), False
                self._dirty_until = run.end()
        end = max(position + 1, self._dirty_until)
        while position < end and not self._depth and not self._in_string:
            before = position
            position = self._token(data, position, final)
            if self._text is not None:
                break
            if position == before and not self._in_string:
                return position, True
        return position, False

    def _token(self, data: bytes, position: int, final: bool) -> int:
        if self._pending is None and not self._after_long:
            marks = MARKS.match(data, position)
            if marks is not None:
                self._write(marks[0])
                position = marks.end()
        else:
            mark = PUNCTUATION.match(data, position)
            if mark is not None and mark.end() > position:
                return self._mark(mark[0], mark.end())
        if position >= len(data):
            return position
        if self._after_long and data[position] == _COLON:
            self._after_long = False
            self._pending = "redacted"
            self._write(b":")
            return position + 1
        return self._unit(data, position, final)

    def _mark(self, mark: bytes, end: int) -> int:
        last = mark[-1:]
        if last in b"[{]},":
            self._after_long = False
            if self._pending is not None and last in _OPENING:
                self._write(mark[:-1] + _encode(MARKERS[self._pending]))
                self._depth = 1
                self._pending = None
                return end
            self._pending = None
        self._write(mark)
        return end

    def _unit(self, data: bytes, position: int, final: bool) -> int:
        unit = (LAST_UNIT if final else UNIT).match(data, position)
        if unit is not None and unit.end() - position <= _LONGEST_STRING:
            self._write(self._redact_unit(unit[1], unit[2], unit[3]))
            return unit.end()
        end = self._long_string(data, position)
        if end is not None:
            return end
        key = KEY_OF_CONTAINER.match(data, position)
        seen = unit or key
        length = (len(data) if seen is None else seen.end()) - position
        if length <= _LONGEST_UNIT:
            if unit is not None:
                self._write(self._redact_unit(unit[1], unit[2], unit[3]))
                return unit.end()
            if key is not None:
                return self._open_member(key[1], key[2], key.end())
            if not final and INCOMPLETE.match(data, position) is not None:
                return position
        self._text = RunningText(self._write)
        return position

    def _open_member(self, raw_key: bytes, colon: bytes, end: int) -> int:
        shown, kind = _redact_key(raw_key)
        if kind is None:
            self._write(shown + colon)
            return end
        self._write(shown + colon + _encode(MARKERS[kind]))
        self._depth = 1
        return end + 1

    def _redact_unit(self, raw_key: bytes | None, colon: bytes | None, value: bytes) -> bytes:
        if raw_key is None or colon is None:
            if self._pending is None:
                return _redact_scalar(value)
            kind, self._pending = self._pending, None
            return _encode(MARKERS[kind])
        shown, kind_named = _redact_key(raw_key)
        if kind_named is None:
            return shown + colon + _redact_scalar(value)
        return shown + colon + _encode(_replace(kind_named, value))

    def _long_string(self, data: bytes, position: int) -> int | None:
        """Drop a string too long to hold, whether it is a key or a value; None if there is none here."""
        head = HEAD.match(data, position)
        start = head.end() if head is not None else position
        if head is not None and head[1] is not None and len(head[1]) > _LONGEST_STRING:
            head, start = None, position
        if start >= len(data) or data[start] != _QUOTE or start - position > _LONGEST_UNIT:
            return None
        string = STRING.match(data, start)
        if (string.end() if string is not None else len(data)) - start <= _LONGEST_STRING:
            return None
        if head is not None and head[1] is not None:
            shown, kind = _redact_key(head[1])
            self._write(shown + head[2] + _encode(MARKERS[kind] if kind else TOO_LONG))
        else:
            self._write(_encode(MARKERS[self._pending] if self._pending else TOO_LONG))
            self._after_long = True
        self._pending = None
        self._in_string = True
        return start + 1

    def _skip_string(self, data: bytes, position: int) -> tuple[int, bool]:
        whole = REST_OF_STRING.match(data, position)
        if whole is not None:
            self._in_string = False
            return whole.end(), False
        body = STRING_BODY.match(data, position)
        return (body.end() if body is not None else position), True

    def _skip_container(self, data: bytes, position: int) -> tuple[int, bool]:
        for found in BRACKET.finditer(data, position):
            if found[1]:
                self._depth += 1
            elif found[2]:
                self._depth -= 1
                if not self._depth:
                    return found.end(), False
            elif found.end() - found.start() == 1:
                self._in_string = True
                return found.end(), False
        return len(data), True


def _clean(run: bytes) -> bool:
    try:
        return is_plain_json(run.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _encode(text: str) -> bytes:
    return msgspec.json.encode(text)


def _text_of(raw: bytes) -> str:
    if raw[0] != _QUOTE:
        return raw.decode("ascii")
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw[1:-1].decode("utf-8", "backslashreplace")


def _redact_scalar(raw: bytes) -> bytes:
    if PLAIN_SCALAR.fullmatch(raw) is not None:
        return raw
    try:
        text = _text_of(raw)
        redacted = redact_text(text)
        return raw if redacted == text else _encode(redacted)
    except Exception:  # what cannot be redacted is dropped, never kept and never raised
        return _encode(FAILED)


def _redact_key(raw: bytes) -> tuple[bytes, Kind | None]:
    return _remembered_key(raw) if len(raw) <= _LONGEST_REMEMBERED else _redacted_key(raw)


def _redacted_key(raw: bytes) -> tuple[bytes, Kind | None]:
    try:
        return _redact_scalar(raw), kind_of(_text_of(raw))
    except Exception:
        return _encode(FAILED), "redacted"


_remembered_key = lru_cache(maxsize=2048)(_redacted_key)


def _replace(kind: Kind, raw: bytes) -> str:
    try:
        return replacement(kind, _text_of(raw))
    except Exception:
        return MARKERS[kind]
