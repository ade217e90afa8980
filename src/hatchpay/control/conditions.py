"""`If-Match` (RFC 9110, section 13.1.1): change it only if it still is what was read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import Depends, Request

from hatchpay.admin.versions import IfMatch
from hatchpay.errors import MalformedRequest

__all__ = ["Expected", "parse_if_match"]

_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# A recipient ignores empty elements (section 5.6.1); commas may stand within a tag.
_LIST: Final = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
_TAGS: Final = re.compile(_TAG)


def parse_if_match(values: Sequence[str]) -> IfMatch | None:
    """The header's values, one per line of the request, as one condition; None where there is no such header.

    Weak tags never match. Raises MalformedRequest (400) for what is neither `*` nor a list of entity tags.
    """
    if not values:
        return None
    text = ", ".join(values)
    if text.strip(" \t") == "*":
        return IfMatch(None)
    if _LIST.fullmatch(text) is None:
        raise MalformedRequest('If-Match is * or a list of entity tags such as "0123abcd"', code="invalid_if_match")
    return IfMatch(frozenset(tag[1:-1] for tag in _TAGS.findall(text) if not tag.startswith("W/")))


def _expected(request: Request) -> IfMatch | None:
    return parse_if_match(request.headers.getlist("if-match"))


Expected = Annotated[IfMatch | None, Depends(_expected)]
