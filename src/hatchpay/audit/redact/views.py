"""Decoded views of a text: what it says once percent, backslash, HTML and Unicode disguises are taken off."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

from hatchpay.audit.redact.effort import UNBOUNDED, Effort

__all__ = ["PLAIN_LETTERS", "views"]

PLAIN_LETTERS: Final = "À-žΑ-ӿ一-\u9fff"
"""Letters beyond ASCII that no normalisation turns into a digit or an ASCII letter; a class body for `re`."""

_ROUNDS: Final = 6
_DISGUISE: Final = re.compile(rf"[%\\&]|[^\t\n\r -~{PLAIN_LETTERS}]")
_DEEP_PERCENT: Final = re.compile(r"%(?:25)+(?=[0-9A-Fa-f]{2})")
# Track data begins with "%B" and a card number, which is no percent-encoded byte.
_TRACK_PERCENT: Final = re.compile(r"%(?=[Bb][0-9]{12,19}(?![0-9]))")
_DEEP_AMPERSAND: Final = re.compile(r"&(?:amp;)+")
# However many backslashes stand in a row, they are read once: more of them must not cost their square.
_ESCAPE: Final = re.compile(
    r"(?<!\\)(\\++)(?:u++(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{4}))|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})"
    r"|([0-7]{3})|([nrtbf])|([\"'/]))?+"
)
# `repr` of bytes writes UTF-8 byte by byte, JSON writes what is beyond the first plane as two surrogates.
_HEX: Final = "[0-9A-Fa-f]"
_BYTE: Final = rf"\\++x[89ABab]{_HEX}"
_UTF8_ESCAPES: Final = re.compile(
    rf"(?<!\\)\\++x(?:[CDcd]{_HEX}{_BYTE}|[Ee]{_HEX}(?:{_BYTE}){{2}}|[Ff]{_HEX}(?:{_BYTE}){{3}})"
)
_SURROGATES: Final = re.compile(rf"(?<!\\)\\++u([Dd][89ABab]{_HEX}{{2}})\\++u([Dd][C-Fc-f]{_HEX}{{2}})")
_CONTROL: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "", "f": " "}
_BEYOND_ASCII: Final = re.compile(r"[^\t\n\r -~]")
_KEPT_CODES: Final = frozenset({*b"\t\n\r", *range(0x20, 0x7F)})
_REMEMBERED: Final = 4096
_INVISIBLE: Final = frozenset({"Cf", "Mn", "Me", "Cc"})


def views(text: str, effort: Effort = UNBOUNDED) -> Iterator[str]:
    """Each further decoding of `text` in turn; nothing where there is nothing to decode."""
    for _ in range(_ROUNDS):
        if _DISGUISE.search(text) is None:
            return
        effort.spend(_cost(text))
        decoded = _decode(text)
        # One character may stand for many.
        effort.spend(max(0, len(decoded) - len(text)) / 20)
        if decoded == text:
            return
        yield decoded
        text = decoded


def _cost(text: str) -> float:
    marks = text.count("%") / 8 + text.count("\\") + 2 * text.count("&")
    return 4 + marks + len(text) / (40 if text.isascii() and text.isprintable() else 8)


def _decode(text: str) -> str:
    if "%" in text:
        # Any depth of double encoding falls in one step, so that the bound on rounds cannot be outrun by it.
        text = unquote(_TRACK_PERCENT.sub("%25", _DEEP_PERCENT.sub("%", text)), errors="replace")
    if "\\" in text:
        text = _UTF8_ESCAPES.sub(_from_utf8, text)
        text = _SURROGATES.sub(_from_surrogates, text)
        text = _ESCAPE.sub(_unescape, text)
    if "&" in text:
        text = html.unescape(_DEEP_AMPERSAND.sub("&", text))
    if not text.isascii() or _BEYOND_ASCII.search(text):
        text = unicodedata.normalize("NFKC", text).translate(_FOLDED)
    return text


def _from_utf8(match: re.Match[str]) -> str:
    try:
        return bytes.fromhex(match[0].replace("\\", "").replace("x", " ")).decode("utf-8")
    except ValueError:
        return match[0]


def _from_surrogates(match: re.Match[str]) -> str:
    return bytes.fromhex(match[1] + match[2]).decode("utf-16-be")


def _unescape(match: re.Match[str]) -> str:
    _, braced, four, eight, two, octal, control, literal = match.groups()
    if literal is not None:
        return str(literal)
    if control is not None:
        return _CONTROL[control]
    if match.end() == match.end(1):
        return "\\"
    code = int(octal, 8) if octal else int(braced or four or eight or two, 16)
    # Surrogates and values beyond Unicode cannot be written as UTF-8.
    return "\ufffd" if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF else chr(code)


def _fold(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category in _INVISIBLE:
        return ""
    if category == "Pd" or char == "\u2212":
        return "-"
    if category == "Zs":
        return " "
    return "\ufffd" if category == "Cs" else char


class _Folding(dict[int, str]):
    """What each character is folded to, as `str.translate` asks for it; it remembers a few thousand."""

    def __missing__(self, code: int) -> str:
        folded = chr(code) if code in _KEPT_CODES else _fold(chr(code))
        if len(self) < _REMEMBERED:
            self[code] = folded
        return folded


_FOLDED: Final = _Folding()
