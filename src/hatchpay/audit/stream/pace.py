"""How long a stream waits before its next try, and when it gives a record up."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

__all__ = ["Pace"]


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds: `first_s` doubles with every failure up to `most_s`, plus or minus up to half of it by chance; a
    receiver may ask for up to `longest_retry_after_s`. A record that is rejected alone is given up with the try number
    `tries`, once `patience_s` have passed since the first: eight tries take about two minutes.
    """

    first_s: float = 1.0
    most_s: float = 300.0
    longest_retry_after_s: float = 3600.0
    tries: int = 8
    patience_s: float = 60.0
    tick_s: float = 0.25

    @property
    def longest_s(self) -> float:
        """No delay is longer."""
        return max(self.most_s * 1.5, self.longest_retry_after_s)

    def delay_s(self, failures: int, retry_after_s: float | None, random: Callable[[], float]) -> float:
        """After `failures` in a row, from 1 on. `random` gives numbers from 0 to 1."""
        grown: float = min(self.first_s * 2.0 ** min(failures - 1, 30), self.most_s)
        asked = min(retry_after_s or 0.0, self.longest_retry_after_s)
        return max(grown * (0.5 + random()), asked)

    def gives_up(self, rejections: int, waited_s: float) -> bool:
        return rejections >= self.tries and waited_s >= self.patience_s
