"""Single members of a JSON object from a stranger, read so that no reader behind could find others under their names.

Nothing is decoded but the way to what is asked for: all else is only checked for its grammar, at a fraction of
the cost. Where a name stands twice in one object, decoders disagree about which one counts; where it stands there in
other letters, capital ones for example, about whether it counts (Go's and .NET's take it); and where it holds a NUL,
about where it ends. Then nothing is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from hatchpay.errors import MalformedRequest

__all__ = ["Members", "elements", "is_json", "member", "members", "scalar", "whole"]

Value = TypeVar("Value", str, bool)
Decoded = TypeVar("Decoded")

_MOST_MEMBERS: Final = 10_000
_JSON: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json *(?:;|\Z)", re.IGNORECASE)
_CHARSET: Final = re.compile(r"; *charset=(?:utf-8|\"utf-8\") *(?=;|\Z)", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")
_DISGUISED: Final = re.compile(rb"\\u(?:00[2-7]|017[fF]|212[aA])|\xc5\xbf|\xe2\x84\xaa")
"""What a plain name holds where it is not written in ASCII letters alone: an escape, or the long s or the Kelvin sign,
which are the same letters as s and k to whoever ignores the case."""


def is_json(content_type: str) -> bool:
    """Whether the body is declared as JSON, in UTF-8 if any encoding is said: others make other text of its bytes."""
    if not _JSON.match(content_type):
        return False
    return content_type.lower().count("charset") == len(_CHARSET.findall(content_type))


def whole(content_type: str, body: bytes) -> bytes:
    """`body`, which is to be one JSON object in UTF-8; the first look into it checks its grammar.

    Raises MalformedRequest where it is none, or not declared as one.
    """
    if not is_json(content_type) or not _is_object(body) or not _is_utf8(body):
        raise _unclear()
    return body


def member(document: bytes, name: str) -> bytes | None:
    """The member of an object in JSON, as it stands there; None where it has none, or is no object.

    Raises MalformedRequest where the name stands there twice, or in other letters, where any name there holds a control
    character, or the grammar is wrong.
    """
    if not _is_object(document):
        return None
    if not _is_plain(document, name):
        found = members(document, _MOST_MEMBERS)
        return None if found is None else found.once(name)
    plain = _decoded(document, dict[str, Raw])
    if _CONTROL.search("".join(plain)):
        raise _unclear()
    value = plain.get(name)
    return None if value is None else bytes(value)


class Members:
    """The members of one object, for whoever asks for several; `count` of them, of the same name too."""

    def __init__(self, named: Iterable[tuple[str, Raw]]) -> None:
        self._alike: dict[str, list[tuple[str, Raw]]] = {}
        self.count = 0
        for name, value in named:
            self.count += 1
            self._alike.setdefault(name.casefold(), []).append((name, value))

    def once(self, name: str) -> bytes | None:
        """As `member`."""
        found = self._alike.get(name.casefold(), [])
        if len(found) > 1 or (found and found[0][0] != name):
            raise _unclear()
        return bytes(found[0][1]) if found else None


def members(document: bytes, most: int) -> Members | None:
    """All members of an object in JSON; None where it is none.

    Raises MalformedRequest where they are more than `most`, a name holds a control character, or the grammar is wrong.
    """
    if not _is_object(document):
        return None
    count = 0

    def hook(_: type, value: str) -> _Name:
        nonlocal count
        count += 1
        if count > most or _CONTROL.search(value):
            raise ValueError("too many members to tell them apart, or a name that readers may cut short")
        return _Name(value)

    try:
        found = msgspec.json.decode(document, type=dict[_Name, Raw], dec_hook=hook)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _unclear() from None
    return Members((name.text, value) for name, value in found.items())


def elements(document: bytes, most: int) -> list[bytes] | None:
    """The elements of an array in JSON, as they stand there; None where it is none, or has more than `most`."""
    if not document.startswith(b"["):
        return None
    found = _decoded(document, list[Raw])
    return list(map(bytes, found)) if len(found) <= most else None


def scalar(document: bytes, kind: type[Value]) -> Value | None:
    """The value, where it is a `kind`."""
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.ValidationError:
        return None
    except (msgspec.MsgspecError, ValueError):
        raise _unclear() from None


class _Name:
    """A member's name that equals no other, so that a decoder keeps both of two that are the same."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def _is_object(document: bytes) -> bool:
    return document.lstrip(b" \t\r\n").startswith(b"{")


def _is_plain(document: bytes, name: str) -> bool:
    """Whether at most one place in all of `document` can be a member of this name, and only with this very name."""
    if not _PLAIN.fullmatch(name) or _DISGUISED.search(document):
        return False
    quoted = b'"%s"' % name.encode()
    return document.lower().count(quoted.lower()) == document.count(quoted) <= 1


def _decoded(document: bytes, kind: type[Decoded]) -> Decoded:
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _unclear() from None


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unclear() -> MalformedRequest:
    return MalformedRequest(
        "the body must be one JSON object in UTF-8, declared as application/json, which names no member twice",
        code="body_unclear",
    )
