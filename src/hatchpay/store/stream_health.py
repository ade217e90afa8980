"""How streams go, for whoever does not ship them: from the states that the shipper stores, and the ledger itself.

Lag is read from the ledger, so that it grows even where nobody ships. It is an upper bound: what lies behind the cursor
may not be for the stream, which only the shipper finds out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hatchpay.audit.stream.ports import BacklogReader, StreamCondition, StreamHealth, StreamState
from hatchpay.audit.stream.row import StreamRow
from hatchpay.clock import Clock
from hatchpay.store.stream_states import SqlStreamStates

__all__ = ["MOST_COUNTED", "StreamHealths"]

MOST_COUNTED: Final = 100_000
"""A lag of so many records stands for that many or more."""

_BEAT_ENDS_US: Final = 15_000_000
_US: Final = 1_000_000


class StreamHealths:
    """Raises AuditUnavailable where states or ledger cannot be read."""

    def __init__(self, states: SqlStreamStates, ledger: BacklogReader, clock: Clock) -> None:
        self._states = states
        self._ledger = ledger
        self._clock = clock

    def __call__(self, rows: Sequence[StreamRow]) -> dict[str, StreamHealth]:
        if not rows:
            return {}
        states, letters, beat = self._states.load(), self._states.dead_letters(), self._states.beat_us()
        now = self._clock()
        ships = beat is not None and abs(now - beat) < _BEAT_ENDS_US
        return {row.id: self._health(row, states.get(row.id), letters.get(row.id, 0), ships, now) for row in rows}

    def _health(self, row: StreamRow, state: StreamState | None, letters: int, ships: bool, now: int) -> StreamHealth:
        state = StreamState(cursor=row.start_seq) if state is None else state
        waiting = self._ledger.backlog(state.cursor, row.tenant_id, row.business_unit_ids, MOST_COUNTED)
        lag_us = 0 if waiting.oldest_us is None else max(now - waiting.oldest_us, 0)
        condition: StreamCondition = "backing_off" if state.failures else "ok"
        return StreamHealth(
            state=condition if ships and row.enabled else "stopped",
            lag_records=waiting.records,
            lag_seconds=lag_us / _US,
            delivered=state.delivered,
            dead_letters=letters,
            failed=state.failed,
            last_success_us=state.last_success_us,
            last_error=state.last_error,
            last_error_us=state.last_error_us,
            last_status=state.last_status,
            retry_us=state.retry_us,
        )
