"""One stream on its way: what is next, how it went, and when to try again. It waits for nobody and nobody for it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from hatchpay.audit.stream.batches import MAX_EVENTS, Batch
from hatchpay.audit.stream.pace import Pace
from hatchpay.audit.stream.ports import Courier, CourierFor, DeadLetter, Message, Outcome, StreamState
from hatchpay.audit.stream.row import StreamRow
from hatchpay.clock import Clock
from hatchpay.errors import HatchPayError

__all__ = ["Lane", "LaneParts"]

Answer = TypeVar("Answer")
_log: Final = logging.getLogger("hatchpay.streams")
_US: Final = 1_000_000


class LaneParts(msgspec.Struct, frozen=True, kw_only=True):
    """What all lanes share. `read` gives what is behind a cursor up to a horizon, of at most so many events; `gone`
    disables a stream whose receiver wants nothing any more; both block, and `aside` runs such calls off the loop.
    """

    read: Callable[[StreamRow, int, int, int], Batch]
    courier_for: CourierFor
    gone: Callable[[StreamRow], None]
    aside: Callable[[Callable[[], object]], Awaitable[object]]
    clock: Clock
    random: Callable[[], float]
    pace: Pace


class Lane:
    """`row` is fixed: a changed stream gets a new lane, with the state of the old one. `letters` are dead letters that
    nobody has stored yet; `dirty` says that `state` or they have changed.
    """

    def __init__(self, row: StreamRow, state: StreamState, parts: LaneParts) -> None:
        self.row = row
        self.state = state
        self.letters: list[DeadLetter] = []
        self.dirty = False
        self._parts = parts
        self._courier: Courier | None = None
        self._most = MAX_EVENTS
        self._rejections = 0
        self._rejected_since = 0

    def forgive(self, old: Lane | None) -> None:
        """Begin at once, and not when the stream as it was before would have tried again; keep its dead letters."""
        if old is not None:
            self.letters = old.letters
            self._set(retry_us=None, failures=0)

    def move(self, seq: int) -> None:
        """Everything up to there has been dealt with."""
        self._set(cursor=seq)

    def saved(self, state: StreamState, letters: Sequence[DeadLetter]) -> None:
        """These are stored; what has come since is not."""
        self.letters = [letter for letter in self.letters if letter not in letters]
        self.dirty = bool(self.letters) or self.state != state

    def due(self, now: int, horizon: int) -> bool:
        return self.row.enabled and horizon > self.state.cursor and self._may_try(now)

    async def work(self, horizon: int) -> None:
        """Send all that there is up to `horizon`, until something fails. Raises nothing but what cancels it."""
        try:
            while self.due(self._parts.clock(), horizon) and await self._round(horizon):
                pass
        except Exception as error:
            code = error.code if isinstance(error, HatchPayError) else "internal_error"
            if not isinstance(error, HatchPayError):
                _log.error("the stream %s has failed: %s", self.row.id, type(error).__name__)
            self._failed(Outcome(kind="failed", code=code))

    def close(self) -> None:
        courier, self._courier = self._courier, None
        if courier is not None:
            courier.close()

    def _may_try(self, now: int) -> bool:
        """Also where the time to wait for is further away than any is set: then the clock was set back."""
        retry = self.state.retry_us
        return retry is None or now >= retry or retry - now > self._parts.pace.longest_s * _US

    async def _round(self, horizon: int) -> bool:
        """Whether to go on at once."""
        cursor, most = self.state.cursor, self._most
        batch = await self._aside(lambda: self._parts.read(self.row, cursor, horizon, most))
        for message in batch.messages:
            if not await self._send(message):
                return False
            if self._most < most:
                # It was rejected as a whole, and is taken apart.
                return True
        self._through(batch.through)
        return batch.more

    async def _send(self, message: Message) -> bool:
        """Whether the stream goes on at once."""
        if self._courier is None:
            self._courier = await self._aside(lambda: self._parts.courier_for(self.row))
        outcome = await self._courier.deliver(message)
        match outcome.kind:
            case "delivered":
                self._delivered(message, outcome)
            case "rejected" if message.count > 1:
                self._most = max(message.count // 2, 1)
            case "rejected":
                return self._rejected(message, outcome)
            case "gone":
                self._failed(outcome)
                await self._aside(lambda: self._parts.gone(self.row))
                return False
            case _:
                self._failed(outcome)
                return False
        return True

    def _delivered(self, message: Message, outcome: Outcome) -> None:
        self._set(
            delivered=self.state.delivered + message.count - min(outcome.refused, message.count),
            failures=0,
            retry_us=None,
            last_success_us=self._parts.clock(),
            last_status=outcome.status,
        )
        if outcome.refused:
            self._give_up(message, min(outcome.refused, message.count), outcome.code or "")
        self._rejections = 0
        self._most = min(self._most * 2, MAX_EVENTS)
        self._through(message.last_seq)

    def _rejected(self, message: Message, outcome: Outcome) -> bool:
        now = self._parts.clock()
        self._rejected_since = self._rejected_since if self._rejections else now
        self._rejections += 1
        if not self._parts.pace.gives_up(self._rejections, (now - self._rejected_since) / _US):
            self._failed(outcome)
            return False
        self._rejections = 0
        self._set(failed=self.state.failed + 1, failures=0, retry_us=None)
        self._give_up(message, message.count, outcome.code or "")
        self._through(message.last_seq)
        return True

    def _give_up(self, message: Message, count: int, code: str) -> None:
        self.letters.append(
            DeadLetter(
                stream_id=self.row.id,
                first_seq=message.first_seq,
                last_seq=message.last_seq,
                count=count,
                code=code,
                at_us=self._parts.clock(),
            )
        )
        self._set(last_error=code, last_error_us=self._parts.clock())

    def _failed(self, outcome: Outcome) -> None:
        now, failures = self._parts.clock(), self.state.failures + 1
        delay = self._parts.pace.delay_s(failures, outcome.retry_after_s, self._parts.random)
        self._set(
            failed=self.state.failed + 1,
            failures=failures,
            retry_us=now + int(delay * _US),
            last_error=outcome.code,
            last_error_us=now,
            last_status=outcome.status,
        )
        self.close()

    def _through(self, seq: int) -> None:
        if seq > self.state.cursor:
            self._set(cursor=seq)

    def _set(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
        self.dirty = True

    async def _aside(self, call: Callable[[], Answer]) -> Answer:
        answer: list[Answer] = []
        await self._parts.aside(lambda: answer.append(call()))
        return answer[0]
