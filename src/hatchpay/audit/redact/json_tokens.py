"""The grammar of JSON as far as redaction needs it, for bytes that may be incomplete."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "BRACKET",
    "HEAD",
    "INCOMPLETE",
    "ITEM",
    "KEY_OF_CONTAINER",
    "LAST_UNIT",
    "MARKS",
    "ONE",
    "PLAIN_SCALAR",
    "PUNCTUATION",
    "REST_OF_STRING",
    "RUN",
    "STRING",
    "STRING_BODY",
    "STRING_OR_KEY",
    "UNIT",
]

_BODY: Final = rb"[^\"\\]*+(?:\\.[^\"\\]*+)*+"
_STRING: Final = rb"\"" + _BODY + rb"\""
_SCALAR: Final = rb"(?:" + _STRING + rb"|-?+(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null)"
_SPACE: Final = rb"[ \t\r\n]*+"
_KEY: Final = rb"(?:(" + _STRING + rb")(" + _SPACE + rb":" + _SPACE + rb"))"

STRING: Final = re.compile(_STRING, re.DOTALL)
STRING_BODY: Final = re.compile(_BODY, re.DOTALL)
REST_OF_STRING: Final = re.compile(_BODY + rb"\"", re.DOTALL)
MARKS: Final = re.compile(rb"[ \t\r\n\[\]{},]+")
PUNCTUATION: Final = re.compile(_SPACE + rb"[\[\]{},]?")
BRACKET: Final = re.compile(rb"\"(?:" + _BODY + rb"\")?+|([\[{])|([\]}])", re.DOTALL)

_PLAIN: Final = rb"[\-0-9.]{1,11}+|true|false|null|\"[A-Za-z0-9]{0,11}+\""
PLAIN_SCALAR: Final = re.compile(_PLAIN)
"""Too short and too plain for any detector."""

UNIT: Final = re.compile(_KEY + rb"?+(" + _SCALAR + rb")(?=" + _SPACE + rb"[,\]}])", re.DOTALL)
"""A scalar, with its key if it is a member, and whatever may follow a scalar in sight."""

LAST_UNIT: Final = re.compile(_KEY + rb"?+(" + _SCALAR + rb")(?=" + _SPACE + rb"(?:[,\]}]|\Z))", re.DOTALL)
"""The same where the body ends."""

HEAD: Final = re.compile(_KEY + rb"?+", re.DOTALL)
KEY_OF_CONTAINER: Final = re.compile(_KEY + rb"(?=[\[{])", re.DOTALL)

INCOMPLETE: Final = re.compile(
    rb"(?:" + _STRING + _SPACE + rb"(?::" + _SPACE + rb")?+)?+"
    rb"(?:\""
    + _BODY
    + rb"\\?+|"
    + _STRING
    + _SPACE
    + rb"|[\-+0-9.eE]*+"
    + _SPACE
    + rb"|[truefalsn]{1,5}"
    + _SPACE
    + rb")\Z",
    re.DOTALL,
)
"""What could become a unit once more bytes arrive; it may match too much, never too little."""

_ELEMENT: Final = (
    rb"(?:"
    + _KEY.replace(rb"((?", rb"(?:(?").replace(rb"(\"", rb"(?:\"")
    + rb"?+"
    + _SCALAR
    + rb"(?="
    + _SPACE
    + rb"[,\]}])|(?:"
    + _STRING
    + _SPACE
    + rb":"
    + _SPACE
    + rb")?+[\[{]|[,\]}])"
)
RUN: Final = re.compile(rb"(?:" + _SPACE + _ELEMENT + rb")++", re.DOTALL)
"""Many elements at once, to be let through if nothing in them is suspicious."""
ONE: Final = re.compile(_SPACE + _ELEMENT, re.DOTALL)

_END: Final = rb"(?=" + _SPACE + rb"(?:[,\]}]|\Z))"
_PLAIN_VALUE: Final = rb"(?:" + _PLAIN + rb")" + _END
ITEM: Final = re.compile(
    rb"(?:[ \t\r\n\[\]{},]++|"
    + _PLAIN_VALUE
    + rb")*+(?:("
    + _STRING
    + rb")"
    + _SPACE
    + rb":"
    + _SPACE
    + rb")?+(?:("
    + _PLAIN_VALUE
    + rb")|("
    + _SCALAR
    + rb")"
    + _END
    + rb"|([\[{]))",
    re.DOTALL,
)
"""In whole elements, the next that is more than marks and short plain values without a key."""

STRING_OR_KEY: Final = re.compile(rb"(" + _STRING + rb")(" + _SPACE + rb":)?+", re.DOTALL)
