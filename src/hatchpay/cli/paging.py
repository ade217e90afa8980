"""All pages of a list at once: a command prints the whole, and lets other commands cut it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from hatchpay.admin.views import Page

__all__ = ["everything"]

_LIMIT: Final = 200

Item = TypeVar("Item")


def everything(fetch: Callable[[int, str | None], Page[Item]]) -> list[Item]:
    """`fetch` takes a limit and a cursor."""
    items: list[Item] = []
    cursor: str | None = None
    while True:
        page = fetch(_LIMIT, cursor)
        items += page.data
        cursor = page.next_cursor
        if cursor is None:
            return items
