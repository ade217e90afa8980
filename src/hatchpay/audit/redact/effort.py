"""A bound on the work that a hostile input can cause, counted in operations and never in time."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["UNBOUNDED", "Effort", "Exhausted"]


class Exhausted(Exception):
    """The input would cost more work than it may; what is left of it is dropped."""


class Effort:
    """Work that may still be done, in units of about a microsecond.

    Only what is read decides what is spent, not how it arrived, so the same input always ends the same way.
    """

    __slots__ = ("_left",)

    def __init__(self, units: float) -> None:
        self._left = units

    def earn(self, units: float) -> None:
        self._left += units

    def spend(self, units: float) -> None:
        self._left -= units
        if self._left < 0:
            raise Exhausted


UNBOUNDED: Final = Effort(math.inf)
