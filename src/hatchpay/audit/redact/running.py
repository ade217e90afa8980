"""Redaction of text and forms as they stream through, cut at places that only the content decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hatchpay.audit.redact.effort import Effort, Exhausted
from hatchpay.audit.redact.fields import replacement
from hatchpay.audit.redact.gate import is_disguised, is_plain, is_quiet
from hatchpay.audit.redact.names import all_harmless, kind_of
from hatchpay.audit.redact.shapes import PEM_BEGIN, PEM_END
from hatchpay.audit.redact.text import FAILED, redact_text
from hatchpay.audit.redact.views import views

__all__ = ["EARNED", "TOO_LONG", "RunningText"]

EARNED: Final = 0.25
"""The effort that each byte may cost."""

TOO_LONG: Final = "[dropped, too long]"

_SEGMENT: Final = 65_536
_NEAR_THE_END: Final = _SEGMENT - 16_384
# In order of preference; none stands inside a card number or between a name and its value.
_TEXT_CUTS: Final = (
    re.compile(rb"[^0-9:=\s+\-][ \t\r]*\n(?=[^\s0-9+\-])"),
    re.compile(rb"[>;,}](?=[^0-9\s+\-])"),
    re.compile(rb"[a-z][.,]? (?=[A-Za-z]{2,}[ .,])"),
)
_TEXT_RESUME: Final = re.compile(rb"[\s;,>&}]")
_FORM_RESUME: Final = re.compile(rb"&")
# Too short and too plain for any detector.
_PLAIN_PAIR: Final = re.compile(r"[a-z]{1,10}=[A-Za-z0-9]{0,11}")
_FORM_NAME: Final = re.compile(r"^([^=\n]*+)=", re.MULTILINE)
_TOGETHER: Final = 32
_PEM_BEGIN: Final = re.compile(PEM_BEGIN, re.IGNORECASE)
_PEM_END: Final = re.compile(PEM_END, re.IGNORECASE)


class RunningText:
    """Redacts text that arrives in pieces; the pieces' boundaries never change the result."""

    def __init__(self, write: Callable[[bytes], None], effort: Effort, *, form: bool = False) -> None:
        self._write = write
        self._effort = effort
        self._form = form
        self._resume = _FORM_RESUME if form else _TEXT_RESUME
        self._dropping = False
        self._in_pem = False

    def run(self, data: bytes, final: bool) -> bytes:
        """Redact as much of `data` as can be and return the rest, to be handed in again with what follows."""
        position = 0
        while True:
            if self._dropping:
                found = self._resume.search(data, position)
                if found is None:
                    return b""
                position = found.start()
                self._dropping = False
            if len(data) - position <= _SEGMENT:
                if not final:
                    return data[position:]
                self._segment(data[position:])
                return b""
            window = data[position : position + _SEGMENT]
            cut = self._cut(window)
            if cut == 0:
                # Nowhere to cut safely: a blob rather than text.
                self._write(TOO_LONG.encode())
                self._dropping = True
                cut = _SEGMENT
            else:
                self._segment(window[:cut])
            position += cut

    def _cut(self, window: bytes) -> int:
        if self._form:
            return window.rfind(b"&") + 1
        for pattern in _TEXT_CUTS:
            last = 0
            for found in pattern.finditer(window, _NEAR_THE_END):
                last = found.end()
            if last:
                return last
        return 0

    def _segment(self, raw: bytes) -> None:
        if not raw:
            return
        self._effort.earn(EARNED * len(raw))
        try:
            text = raw.decode("utf-8", "backslashreplace")
            redacted = _redact_form(text, self._effort) if self._form else self._redact_prose(text)
        except Exhausted:
            raise
        except Exception:  # what cannot be redacted is dropped, never kept and never raised
            redacted = FAILED
        self._write(redacted.encode("utf-8", "replace"))

    def _redact_prose(self, text: str) -> str:
        if self._in_pem:
            end = _PEM_END.search(text)
            if end is None:
                return ""
            text = text[end.end() :]
        begun = [found.end() for found in _PEM_BEGIN.finditer(text)]
        self._in_pem = bool(begun) and _PEM_END.search(text, begun[-1]) is None
        return redact_text(text, self._effort)


def _redact_form(text: str, effort: Effort) -> str:
    pairs = text.split("&")
    out: list[str] = []
    for start in range(0, len(pairs), _TOGETHER):
        some = pairs[start : start + _TOGETHER]
        effort.spend(4)
        out += some if _all_plain(some, effort) else [_redact_pair(pair, effort) for pair in some]
    redacted = "&".join(out)
    # An HTML entity begins with "&" too, and was cut to pieces.
    return redact_text(redacted, effort) if "&#" in redacted else redacted


def _all_plain(pairs: list[str], effort: Effort) -> bool:
    """Whether none of these has anything to redact, as they stand or once decoded."""
    # No detector looks beyond a line's end into a pair that would be clean alone.
    text = "\n".join(pairs)
    disguised = is_disguised(text)
    if disguised:
        effort.spend(2 * len(pairs))
    if not all_harmless(_FORM_NAME.findall(text)):
        return False
    if not disguised:
        return is_quiet(text)
    decoded = next(views(text, effort), text)
    return is_quiet(text) and is_plain(decoded) and all_harmless(_FORM_NAME.findall(decoded))


def _redact_pair(pair: str, effort: Effort) -> str:
    name, equals, value = pair.partition("=")
    effort.spend(2)
    if not equals:
        return redact_text(pair, effort)
    effort.spend(len(name) / 10)
    kind = kind_of(name.replace("+", " "))
    if kind is None and _PLAIN_PAIR.fullmatch(pair) is not None:
        return pair
    effort.spend(3)
    shown = redact_text(name, effort)
    if kind is not None:
        return f"{shown}={replacement(kind, value, effort)}"
    redacted = redact_text(value, effort)
    whole = f"{shown}={redacted}"
    # The pair as a whole may show what neither half does, as track data around its "=".
    return redact_text(whole, effort) if redacted == value else whole
