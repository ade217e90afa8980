"""Secrets in running text known by the name before them: `password=…`, `"cvv": …`, `<pin>…</pin>`."""

from __future__ import annotations

import re
from itertools import chain
from typing import Final

from hatchpay.audit.redact.cards import is_card, mask
from hatchpay.audit.redact.effort import UNBOUNDED, Effort
from hatchpay.audit.redact.names import MARKERS, Kind, all_harmless, all_harmless_backward, is_telling, kind_of
from hatchpay.audit.redact.views import views

__all__ = ["SPOKEN", "names_backward", "redact_fields", "replacement"]

_NAME_END: Final = "\"'=:{},<>&;()?!|#\n\r\t"
"""The marks that no name contains; a class body for `re`."""
# Read backwards, a name follows its colon, and `re` can skip to the colons instead of trying every word.
_BACKWARD_NAME: Final = re.compile(rf"[:=]\s*+[\"']?+([^{_NAME_END}]++)")

_VALUE: Final = re.compile(
    r">?[\s]{0,16}(?:(?P<open>[\[{](?!re))"
    r"|\"(?P<double>(?:[^\"\\]|\\.)*+)|'(?P<single>(?:[^'\\]|\\.)*+)"
    r"|(?P<bare>(?:(?:bearer|basic|digest|negotiate|dpop)[ \t]+)?"
    r"(?:\[redacted(?: key| JWT| PEM)?\]|\[removed\]|[^\s,;&\"'<>(){}\[\]\\]|\\(?!\\*[\"'nrt]))+))",
    re.IGNORECASE | re.DOTALL,
)
_DONE: Final = re.compile(r"\s{0,16}+[\"']?\[re(?:dact|mov)ed\](?=[\s,;&\"'<>(){}\[\]]|\Z)")
"""A value that is replaced already."""
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


def redact_fields(text: str, effort: Effort = UNBOUNDED) -> str:
    """Replace the values of sensitive names in text that is not parsed."""
    if "<" in text:
        text = _redact_tags(text, effort)
    if "=" in text or ":" in text:
        text = _redact_assignments(text, effort)
    text, spoken = SPOKEN.subn(r"\1\2[removed]", text)
    effort.spend(spoken)
    return text


def replacement(kind: Kind, value: str | None, effort: Effort = UNBOUNDED) -> str:
    """What stands for `value` under a name of this kind; None is a value that is no scalar."""
    if kind == "card" and value is not None:
        if _MASKED.fullmatch(value):
            return value
        for view in chain((value,), views(value, effort)):
            digits = re.sub(r"[ \-+]", "", view).removesuffix(".0")
            if digits.isascii() and is_card(digits):
                return mask(digits)
    return MARKERS[kind]


def names_backward(text: str) -> list[str]:
    """Whatever stands before a colon or an equals sign, spelt backwards."""
    return _BACKWARD_NAME.findall(text[::-1])


def _redact_assignments(text: str, effort: Effort) -> str:
    names = names_backward(text)
    effort.spend(len(names) / 2)
    telling = {name: kind for name in set(names) if (kind := _kind_backward(name, effort)) is not None}
    if not telling:
        return text
    length = len(text)
    found = [match for match in _BACKWARD_NAME.finditer(text[::-1]) if match[1] in telling]
    out: list[str] = []
    done = 0
    for match in reversed(found):
        if length - match.end() < done:
            continue
        effort.spend(0.5)
        position = length - match.start()
        value = None if _DONE.match(text, position) is not None else _VALUE.match(text, position)
        if value is None:
            continue
        effort.spend(2)
        start, end = _extent(text, match[1][::-1], value)
        out += text[done:start], replacement(telling[match[1]], None if value["open"] else text[start:end], effort)
        done = end
    out.append(text[done:])
    return "".join(out)


def _kind_backward(name: str, effort: Effort) -> Kind | None:
    effort.spend(1 + len(name) / 50)
    if all_harmless_backward([name]):
        return None
    return _kind_of(" ".join(name[::-1].split()[-_LAST_WORDS:]), effort)


def _kind_of(name: str, effort: Effort) -> Kind | None:
    effort.spend(5 if is_telling(name) else 2)
    return kind_of(name)


def _extent(text: str, name: str, value: re.Match[str]) -> tuple[int, int]:
    if value["open"]:
        return value.start("open"), _closing(text, value.start("open"))
    start, end = value.span(value.lastgroup or 0)
    if value.lastgroup == "bare" and _WHOLE_LINE.search(name):
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


def _redact_tags(text: str, effort: Effort) -> str:
    names: list[str] = _TAG.findall(text)
    effort.spend(len(names))
    if all_harmless(names):
        return text
    telling = {name: kind for name in set(names) if (kind := _kind_of(name, effort)) is not None}
    if not telling:
        return text
    out: list[str] = []
    done = 0
    for match in _TAG.finditer(text):
        kind = telling.get(match[1])
        if kind is None or match.start() < done:
            continue
        effort.spend(4)
        position = match.end()
        end = text.find(f"</{match[1]}", position)
        end = len(text) if end < 0 else end
        content = text[position:end].strip()
        if content:
            out += text[done:position], replacement(kind, content, effort)
            done = end
    out.append(text[done:])
    return "".join(out)
