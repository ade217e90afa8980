"""Secrets in running text known by the name before them: `password=…`, `"cvv": …`, `<pin>…</pin>`."""

from __future__ import annotations

import re
from typing import Final

from hatchpay.audit.redact.cards import is_card, mask
from hatchpay.audit.redact.names import MARKERS, Kind, kind_of
from hatchpay.audit.redact.views import views

__all__ = ["NAME_END", "SPOKEN", "redact_fields", "replacement"]

NAME_END: Final = "\"'=:{},<>&;()?!|#\n\r\t"
"""The marks that no name contains; a class body for `re`."""
_FIELD_NAME: Final = re.compile(rf"(?<![^{NAME_END}])([^{NAME_END}]++)[\"']?+\s*+[:=]")

_VALUE: Final = re.compile(
    r">?[\s]{0,16}(?:(?P<open>[\[{](?!re))"
    r"|\"(?P<double>(?:[^\"\\]|\\.)*+)|'(?P<single>(?:[^'\\]|\\.)*+)"
    r"|(?P<bare>(?:(?:bearer|basic|digest|negotiate|dpop)[ \t]+)?"
    r"(?:\[redacted(?: key| JWT| PEM)?\]|\[removed\]|[^\s,;&\"'<>(){}\[\]\\]|\\(?!\\*[\"'nrt]))+))",
    re.IGNORECASE | re.DOTALL,
)
_WHOLE_LINE: Final = re.compile(r"(?:cookie|authorization)\W*$", re.IGNORECASE)
_LINE: Final = re.compile(r"[^\r\n\"'<]*")
_BRACKET: Final = re.compile(r"\"(?:[^\"\\]|\\.)*+\"|([\[{])|([\]}])", re.DOTALL)
_TAG: Final = re.compile(r"<([A-Za-z_][\w:.\-]*+)[^<>]*+(?<!/)>")
SPOKEN: Final = re.compile(
    r"([cCpP](?<![A-Za-z].)(?:[vV][vVcC]2?|[iI][nN]))"
    r"((?i: code| number| no\.?| is)?[\s#\-]{1,3})[0-9]{3,12}(?![0-9])",
    re.DOTALL,
)
"""A code written after its name, without a colon."""

_MASKED: Final = re.compile(r"[0-9]{6}\*+[0-9]{4}")
_LAST_WORDS: Final = 3


def redact_fields(text: str) -> str:
    """Replace the values of sensitive names in text that is not parsed."""
    if "<" in text:
        text = _redact_tags(text)
    if "=" in text or ":" in text:
        text = _redact_assignments(text)
    return SPOKEN.sub(r"\1\2[removed]", text)


def replacement(kind: Kind, value: str | None) -> str:
    """What stands for `value` under a name of this kind; None is a value that is no scalar."""
    if kind == "card" and value is not None:
        if _MASKED.fullmatch(value):
            return value
        for view in (value, *views(value)):
            digits = re.sub(r"[ \-+]", "", view).removesuffix(".0")
            if digits.isascii() and is_card(digits):
                return mask(digits)
    return MARKERS[kind]


def _redact_assignments(text: str) -> str:
    out: list[str] = []
    done = 0
    position = 0
    while (match := _FIELD_NAME.search(text, position)) is not None:
        position = match.end()
        name = " ".join(match[1].split()[-_LAST_WORDS:])
        kind = kind_of(name)
        value = _VALUE.match(text, position) if kind is not None else None
        if kind is None or value is None:
            continue
        start, end = _extent(text, name, value)
        out += text[done:start], replacement(kind, None if value["open"] else text[start:end])
        done = position = end
    if not out:
        return text
    out.append(text[done:])
    return "".join(out)


def _extent(text: str, name: str, value: re.Match[str]) -> tuple[int, int]:
    if value["open"]:
        return value.start("open"), _closing(text, value.start("open"))
    group = next(key for key in ("double", "single", "bare") if value[key] is not None)
    start, end = value.span(group)
    if group == "bare" and _WHOLE_LINE.search(name):
        line = _LINE.match(text, start)
        end = max(end, line.end() if line else end)
    return start, end


def _closing(text: str, position: int) -> int:
    """The end of the container that opens at `position`, or of the text if it never closes."""
    depth = 0
    for match in _BRACKET.finditer(text, position):
        if match[1]:
            depth += 1
        elif match[2]:
            depth -= 1
            if depth <= 0:
                return match.end()
    return len(text)


def _redact_tags(text: str) -> str:
    out: list[str] = []
    done = 0
    position = 0
    while (match := _TAG.search(text, position)) is not None:
        position = match.end()
        kind = kind_of(match[1])
        if kind is None:
            continue
        end = text.find(f"</{match[1]}", position)
        end = len(text) if end < 0 else end
        content = text[position:end]
        if content.strip():
            out += text[done:position], replacement(kind, content.strip())
            done = position = end
    if not out:
        return text
    out.append(text[done:])
    return "".join(out)
