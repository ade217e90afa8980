"""Pages and their cursors. A cursor is the last item's id, made opaque so that nobody builds one."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Final, TypeVar

from hatchpay.admin.views import Page
from hatchpay.errors import InvalidInput
from hatchpay.ids import is_uuid

__all__ = ["DEFAULT_LIMIT", "chosen", "every", "page"]

DEFAULT_LIMIT: Final = 50
_MAX_LIMIT: Final = 200
_AT_ONCE: Final = 500

Row = TypeVar("Row")
Item = TypeVar("Item")


def page(
    fetch: Callable[[int, str | None], Sequence[Row]],
    show: Callable[[Sequence[Row]], Sequence[Item]],
    key: Callable[[Row], str],
    limit: int,
    cursor: str | None,
    *,
    valid: Callable[[str], bool] = is_uuid,
) -> Page[Item]:
    """The page after `cursor`. `fetch(count, last)` reads up to `count` rows that follow `last` in the list's
    order.

    Raises InvalidInput for a limit outside 1..200 and for a cursor that no page has given.
    """
    if not 1 <= limit <= _MAX_LIMIT:
        raise InvalidInput(f"limit is 1 to {_MAX_LIMIT}", field="limit")
    last = None if cursor is None else _decode(cursor, valid)
    rows = fetch(limit + 1, last)
    following = _encode(key(rows[limit - 1])) if len(rows) > limit else None
    return Page(tuple(show(rows[:limit])), following)


def chosen(
    fetch: Callable[[int, str | None], Sequence[Row]], keep: Callable[[Row], bool], key: Callable[[Row], str]
) -> Callable[[int, str | None], Sequence[Row]]:
    """`fetch`, without the rows that are not kept: it reads on until it has enough of those that are."""

    def fetch_chosen(count: int, last: str | None) -> Sequence[Row]:
        kept: list[Row] = []
        while len(kept) < count and (rows := fetch(count, last)):
            kept += filter(keep, rows)
            last = key(rows[-1])
        return kept[:count]

    return fetch_chosen


def every(fetch: Callable[[int, str | None], Sequence[Row]], key: Callable[[Row], str]) -> Iterator[Row]:
    """All rows that `fetch` reads, some hundreds at a time."""
    last: str | None = None
    while rows := fetch(_AT_ONCE, last):
        yield from rows
        last = key(rows[-1])


def _encode(key: str) -> str:
    return urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def _decode(cursor: str, valid: Callable[[str], bool]) -> str:
    try:
        key = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        key = ""
    if not valid(key) or _encode(key) != cursor:
        raise InvalidInput(
            "not a cursor that a page has given",
            code="invalid_cursor",
            status=HTTPStatus.BAD_REQUEST,
            field="cursor",
        )
    return key
