"""Redaction of JSON as it streams through, without building the document or recursing into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hatchpay.audit.redact.effort import Effort
from hatchpay.audit.redact.json_block import (
    closing,
    encode,
    is_clean,
    redact_items,
    redact_key,
    redact_scalar,
    redact_value,
)
from hatchpay.audit.redact.json_tokens import (
    BRACKET,
    HEAD,
    INCOMPLETE,
    KEY_OF_CONTAINER,
    LAST_UNIT,
    MARKS,
    ONE,
    PUNCTUATION,
    REST_OF_STRING,
    RUN,
    STRING,
    STRING_BODY,
    UNIT,
)
from hatchpay.audit.redact.names import MARKERS, Kind
from hatchpay.audit.redact.running import EARNED, TOO_LONG, RunningText

__all__ = ["JsonStream"]

_LONGEST_STRING: Final = 65_536
_LONGEST_UNIT: Final = 4 * _LONGEST_STRING
# Blocks are cut where only the content decides, so that how it arrived does not change what it costs.
_BLOCK: Final = 4_096
_PART: Final = 512
_COLON: Final = ord(":")
_QUOTE: Final = ord('"')
_OPENING: Final = b"[{"


class JsonStream:
    """Redacts JSON that arrives in pieces; from the first thing that is not JSON, the rest counts as text."""

    def __init__(self, write: Callable[[bytes], None], effort: Effort, *, doubted: bool = False) -> None:
        self._write = write
        self._effort = effort
        # All of it is small and known not to be clean: no need to ask again.
        self._doubted = doubted
        self._pending: Kind | None = None
        self._after_long = False
        self._depth = 0
        self._in_string = False
        self._text: RunningText | None = None

    def run(self, data: bytes, final: bool) -> bytes:
        """Redact as much of `data` as can be and return the rest, to be handed in again with what follows."""
        position = 0
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
        """One block or token; the second value is True where bytes are missing."""
        if not final and len(data) - position < _BLOCK:
            return position, True
        if self._pending is None and not self._after_long:
            run = RUN.match(data, position, position + _BLOCK)
            if run is not None:
                return self._block(data, position, run.end()), False
        before = position
        position = self._token(data, position, final)
        return position, position == before and not self._in_string and self._text is None

    def _block(self, data: bytes, position: int, end: int) -> int:
        if not self._doubted and end - position > _PART and is_clean(data[position:end]):
            self._effort.earn(EARNED * (end - position))
            self._write(data[position:end])
            return end
        while position < end:
            # What is suspicious may be a small part of it.
            part = RUN.match(data, position, min(position + _PART, end)) or ONE.match(data, position)
            elements = data[position : part.end()] if part is not None else data[position:end]
            self._effort.earn(EARNED * len(elements))
            if not self._doubted and is_clean(elements):
                self._write(elements)
                position += len(elements)
                continue
            redacted, length, opened = redact_items(elements, self._effort)
            self._write(redacted)
            position += length
            if opened:
                self._effort.earn(EARNED * (length - len(elements)))
                closed = closing(data, position, end)
                if closed is None:
                    self._depth = 1
                    break
                position = closed
        return position

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
                self._write(mark[:-1] + encode(MARKERS[self._pending]))
                self._depth = 1
                self._pending = None
                return end
            self._pending = None
        self._write(mark)
        return end

    def _unit(self, data: bytes, position: int, final: bool) -> int:
        unit = (LAST_UNIT if final else UNIT).match(data, position)
        if unit is not None and unit.end() - position <= _LONGEST_STRING:
            self._effort.earn(EARNED * (unit.end() - position))
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
        self._text = RunningText(self._write, self._effort)
        return position

    def _open_member(self, raw_key: bytes, colon: bytes, end: int) -> int:
        shown, kind = redact_key(raw_key, self._effort)
        if kind is None:
            self._write(shown + colon)
            return end
        self._write(shown + colon + encode(MARKERS[kind]))
        self._depth = 1
        return end + 1

    def _redact_unit(self, raw_key: bytes | None, colon: bytes | None, value: bytes) -> bytes:
        if raw_key is None or colon is None:
            if self._pending is None:
                return redact_scalar(value, self._effort)
            kind, self._pending = self._pending, None
            return encode(MARKERS[kind])
        shown, kind_named = redact_key(raw_key, self._effort)
        if kind_named is None:
            return shown + colon + redact_scalar(value, self._effort)
        return shown + colon + encode(redact_value(kind_named, value, self._effort))

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
            shown, kind = redact_key(head[1], self._effort)
            self._write(shown + head[2] + encode(MARKERS[kind] if kind else TOO_LONG))
        else:
            self._write(encode(MARKERS[self._pending] if self._pending else TOO_LONG))
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
