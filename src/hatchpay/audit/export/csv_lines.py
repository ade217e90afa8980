"""CSV by RFC 4180, in UTF-8, that no spreadsheet takes for formulas.

Text stands in quotation marks, numbers do not; nothing at all is null, `""` the empty text. Lines end with CR LF, and
each is one record: a line break within a text is shown as its symbol, so that nobody's text looks like a line of ours.

Much of a record was written by strangers, and a spreadsheet runs a cell that begins with `=`, `+`, `-` or `@`, as OWASP
describes under "CSV Injection". One that is told to split at semicolons or tabs finds such beginnings in the middle of
our cells, so these count as well, with whatever invisible stands before them, and the wide forms of the four. A text
gets an apostrophe in front of them, which makes it a text for good; in JSON the sign is written as an escape instead,
so that the value stays the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from hatchpay.audit.export.fields import FIELDS, Kind, flat_line
from hatchpay.audit.ports import Kept

__all__ = ["CsvLines", "harmless_json", "harmless_text"]

_encode: Final = msgspec.json.Encoder().encode

# ASCII, superscript, subscript, small, full-width, and the minus sign of typography.
_SIGNS: Final = "=+\\-@\u207a\u207b\u207c\u208a\u208b\u208c\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
# Where a spreadsheet may begin another cell or another line.
_BREAKS: Final = ";|\t\n\x0b\x0c\r\x85\u2028\u2029"
# White space, control characters, and what has no width or no ink; none of the breaks, so that a search stays linear.
_UNSEEN: Final = (
    "\x00-\x08\x0e-\x20\x7f-\x84\x86-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    "\u202a-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e01ef"
)
_PLAIN: Final = re.compile(rf"[0-9A-Za-z/][^{_BREAKS}]*\Z")
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\Z")
_TEXT: Final = re.compile(rf"^(?=[{_BREAKS}])|(?:^|(?<=[{_BREAKS}]))(?=[{_UNSEEN}\"]*[{_SIGNS}])")
_JSON: Final = re.compile(rf"((?:^[{_UNSEEN}]*\"|[{_BREAKS}])[{_UNSEEN}\"]*)([{_SIGNS}])")
# Between tokens only, where all white space is alike.
_SPACES: Final = str.maketrans("\t\n\r", "   ")
_SYMBOLS: Final = str.maketrans("\n\r", "\u240a\u240d")


class CsvLines:
    """`header` says whether the first line names the fields: a file that is continued has it already."""

    def __init__(self, *, header: bool = True) -> None:
        self._header = header

    @property
    def media_type(self) -> str:
        return f"text/csv; charset=utf-8; header={'present' if self._header else 'absent'}"

    def begin(self) -> bytes:
        return (",".join(FIELDS) + "\r\n").encode() if self._header else b""

    def add(self, kept: Sequence[Kept]) -> bytes:
        return "".join(map(_line, kept)).encode()

    def end(self) -> bytes:
        return b""


def harmless_text(text: str) -> str:
    """`text`, with an apostrophe wherever a spreadsheet could take what follows for a formula."""
    if _PLAIN.match(text) or _NUMBER.match(text):
        return text
    return _TEXT.sub("'", text.translate(_SYMBOLS))


def harmless_json(text: str) -> str:
    """`text`, which is JSON, with the same value and without the beginning of a formula."""
    return _JSON.sub(lambda found: f"{found[1]}\\u{ord(found[2]):04x}", text.translate(_SPACES))


def _line(kept: Kept) -> str:
    values = flat_line(kept)
    return ",".join(_cell(values[name], kind) for name, kind in FIELDS.items()) + "\r\n"


def _cell(value: object, kind: Kind) -> str:
    if value is None:
        return ""
    if kind == "number":
        return str(value)
    text = harmless_json(_encode(value).decode()) if kind == "json" else harmless_text(str(value))
    return '"' + text.replace('"', '""') + '"'
