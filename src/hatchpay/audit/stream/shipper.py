"""Ships every stream: finds out what has changed, lets each lane work, and stores how far they have come.

Memory is bounded by MAX_BYTES for each stream that is under way, threads by `_THREADS`: what reads files runs there, a
little at a time, and everything that waits for others' servers waits in the event loop. A cursor is stored after its
delivery was confirmed, so that whoever starts after a crash sends a little twice, and leaves out nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import random as chance
from typing import Final

from hatchpay.audit.ports import Feed, Kept
from hatchpay.audit.stream.batches import Batch, next_batch
from hatchpay.audit.stream.lane import Lane, LaneParts
from hatchpay.audit.stream.pace import Pace
from hatchpay.audit.stream.ports import CourierFor, StreamSource, StreamState, StreamStates
from hatchpay.audit.stream.row import StreamRow
from hatchpay.clock import Clock
from hatchpay.errors import HatchPayError

__all__ = ["Shipper"]

_log: Final = logging.getLogger("hatchpay.streams")
_THREADS: Final = 2
_LOOK_AT: Final = 256
_BEAT_US: Final = 1_000_000
_AGAIN_AFTER_S: Final = 1.0


class Shipper:
    """A record lies in the ledger for a tick before it is sent: a command's changes come there a moment after it.

    `gone` disables a stream whose receiver wants nothing any more. `random` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        feed: Feed,
        source: StreamSource,
        states: StreamStates,
        courier_for: CourierFor,
        gone: Callable[[StreamRow], None],
        clock: Clock,
        *,
        hostname: str = "-",
        pace: Pace = Pace(),  # noqa: B008
        random: Callable[[], float] = chance,
    ) -> None:
        self._feed = feed
        self._source = source
        self._states = states
        self._clock = clock
        self._hostname = hostname
        self._pace = pace
        self._parts = LaneParts(
            read=self._read,
            courier_for=courier_for,
            gone=gone,
            aside=self._aside,
            clock=clock,
            random=random,
            pace=pace,
        )
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._version: object = None
        self._loaded = False
        self._newest = 0
        self._settled = 0
        self._saved_us = 0
        self._threads: ThreadPoolExecutor | None = None

    def run(self, stop: threading.Event) -> None:
        """The body of a thread: ends within two seconds of `stop`, and raises nothing."""
        while not stop.is_set():
            try:
                asyncio.run(self._run(stop))
            except Exception as error:
                _log.error("shipping streams has failed: %s", _named(error))
                stop.wait(_AGAIN_AFTER_S)

    def step(self) -> None:
        """Send all that there is right now, as far as nothing fails. Raises AuditUnavailable, DirectoryUnavailable."""
        asyncio.run(self._step())

    async def _step(self) -> None:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="hatchpay-streams") as self._threads:
            try:
                await self._reload()
                self._newest = await self._look()
                await asyncio.gather(*[lane.work(self._newest) for lane in self._lanes.values()])
                await self._save()
            finally:
                await self._drop(list(self._lanes))

    async def _run(self, stop: threading.Event) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="hatchpay-streams")
        failing = False
        try:
            while not stop.is_set():
                try:
                    await self._tick()
                    failing = False
                except HatchPayError as error:
                    if not failing:
                        _log.error("streams wait: %s", error.code)
                    failing = True
                await asyncio.sleep(self._pace.tick_s)
        finally:
            await self._stop()

    async def _tick(self) -> None:
        # What was there a tick ago: by now, a record's changes are there as well.
        horizon, self._newest = self._newest, await self._look()
        await self._reload()
        await self._pass_by(horizon)
        now = self._clock()
        for stream_id, lane in self._lanes.items():
            task = self._tasks.get(stream_id)
            if (task is None or task.done()) and lane.due(now, horizon):
                self._tasks[stream_id] = asyncio.create_task(lane.work(horizon))
        await self._save()

    async def _pass_by(self, horizon: int) -> None:
        """Of the streams that were up to date, let those go on at once whose tenant has nothing new: one look for all
        of them costs less than one for each.
        """
        settled, self._settled = self._settled, horizon
        waiting = [lane for lane in self._lanes.values() if lane.row.enabled and lane.state.cursor == settled]
        if not waiting or horizon <= settled:
            return
        page: list[Kept] = []
        await self._aside(lambda: page.extend(self._feed.after(settled, _LOOK_AT)))
        if len(page) == _LOOK_AT and page[-1].seq < horizon:
            return
        tenants = {kept.record.tenant_id for kept in page}
        for lane in waiting:
            # It may have been under way, and have come further meanwhile.
            if lane.row.tenant_id not in tenants and lane.state.cursor == settled:
                lane.move(horizon)

    async def _look(self) -> int:
        found: list[int] = []
        await self._aside(lambda: found.append(self._feed.newest()))
        for lane in self._lanes.values():
            if lane.state.cursor > found[0]:
                _log.warning("the ledger has gone back; the stream %s goes on from its end", lane.row.id)
                lane.move(found[0])
        return found[0]

    async def _reload(self) -> None:
        """Take over what has changed about the streams."""
        loaded: list[tuple[object, list[StreamRow], dict[str, StreamState]]] = []

        def load() -> None:
            version = self._source.version()
            if not self._loaded or version != self._version:
                rows = self._source.streams()
                states = {} if self._loaded else self._states.load()
                self._states.forget([row.id for row in rows])
                loaded.append((version, rows, states))

        await self._aside(load)
        for version, rows, states in loaded:
            await self._take_over(rows, states)
            self._version, self._loaded = version, True

    async def _take_over(self, rows: list[StreamRow], states: dict[str, StreamState]) -> None:
        wanted = {row.id: row for row in rows}
        await self._drop([stream_id for stream_id, lane in self._lanes.items() if wanted.get(stream_id) != lane.row])
        for stream_id, row in wanted.items():
            old = self._lanes.get(stream_id)
            if old is None or old.row != row:
                state = old.state if old is not None else states.get(stream_id, StreamState(cursor=row.start_seq))
                self._lanes[stream_id] = Lane(row, state, self._parts)
                self._lanes[stream_id].forgive(old)
        self._lanes = {stream_id: lane for stream_id, lane in self._lanes.items() if stream_id in wanted}

    async def _drop(self, stream_ids: list[str]) -> None:
        """End what is under way for these."""
        tasks = [task for stream_id in stream_ids if (task := self._tasks.pop(stream_id, None)) is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream_id in stream_ids:
            self._lanes[stream_id].close()

    async def _save(self) -> None:
        now = self._clock()
        dirty = [lane for lane in self._lanes.values() if lane.dirty]
        if not dirty and abs(now - self._saved_us) < _BEAT_US:
            return
        states = {lane.row.id: lane.state for lane in dirty}
        letters = [letter for lane in dirty for letter in lane.letters]
        await self._aside(lambda: self._states.save(states, letters, now))
        self._saved_us = now
        for lane in dirty:
            lane.saved(states[lane.row.id], letters)

    async def _stop(self) -> None:
        await self._drop(list(self._lanes))
        with suppress(HatchPayError):
            await self._save()
            # Nobody ships any more.
            await self._aside(lambda: self._states.save({}, [], 0))
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _read(self, row: StreamRow, cursor: int, horizon: int, most: int) -> Batch:
        return next_batch(self._feed, row, cursor, horizon, most, self._hostname)

    async def _aside(self, call: Callable[[], object]) -> object:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _named(error: Exception) -> str:
    """An error of ours by its code, any other by its type: its text may hold anything."""
    return error.code if isinstance(error, HatchPayError) else type(error).__name__
