"""Runs the fetching of issuers' keys beside the requests.

In threads of its own, one fetch at a time for each tenant, and what a request waits for apart from what is merely due:
so slow issuers hold up nobody but the tenant that trusts them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final

from hatchpay.admin.issuer_keys import ASK_AT_MOST_EVERY_S, IssuerKeyRefresh
from hatchpay.errors import HatchPayError
from hatchpay.identity.ports import Trust

__all__ = ["IssuerKeeper"]

_log: Final = logging.getLogger("hatchpay.issuers")
_LOOK_EVERY_S: Final = 1.0
_THREADS: Final = 4
_WAIT_AT_MOST_S: Final = 10.0


class IssuerKeeper:
    """`take_over` puts what was fetched into force in this process."""

    def __init__(self, refresh: IssuerKeyRefresh, trust: Callable[[], Trust], take_over: Callable[[], object]) -> None:
        self._refresh = refresh
        self._trust = trust
        self._take_over = take_over
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="hatchpay-issuers")
        self._asking = ThreadPoolExecutor(_THREADS, thread_name_prefix="hatchpay-issuers-asked")
        self._turns: dict[tuple[str, bool], asyncio.Lock] = {}
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, float] = {}
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        tasks = [*self._fetching.values(), *([self._looking] if self._looking is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # A fetch that is under way ends at its own deadline; nobody waits for what it brings.
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._asking.shutdown(wait=False, cancel_futures=True)

    def want(self, issuer_id: str) -> Callable[[], Awaitable[None]] | None:
        """For a token with an unknown `kid`: how to wait for its issuer's keys, or None where a fetch is not due."""
        task = self._fetching.get(issuer_id)
        if task is None:
            if monotonic() - self._asked.get(issuer_id, float("-inf")) < ASK_AT_MOST_EVERY_S:
                return None
            self._asked[issuer_id] = monotonic()
            task = self._begin(issuer_id, asked=True)
        started = task

        async def wait() -> None:
            await asyncio.wait([started], timeout=_WAIT_AT_MOST_S)

        return wait

    async def _look(self) -> None:
        while True:
            known = self._trust().issuers
            self._asked = {issuer_id: at for issuer_id, at in self._asked.items() if issuer_id in known}
            for issuer_id in self._refresh.due(self._trust()):
                if issuer_id not in self._fetching:
                    self._begin(issuer_id, asked=False)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _begin(self, issuer_id: str, *, asked: bool) -> asyncio.Task[None]:
        task = asyncio.create_task(self._fetch(issuer_id, asked))
        self._fetching[issuer_id] = task
        task.add_done_callback(lambda _: self._fetching.pop(issuer_id, None))
        return task

    async def _fetch(self, issuer_id: str, asked: bool) -> None:
        def fetch() -> None:
            self._refresh.refresh(issuer_id, asked=asked)
            self._take_over()

        entry = self._trust().issuers.get(issuer_id)
        turn = self._turns.setdefault((issuer_id if entry is None else entry.tenant_id, asked), asyncio.Lock())
        threads = self._asking if asked else self._threads
        try:
            async with turn:
                await asyncio.get_running_loop().run_in_executor(threads, fetch)
        except Exception as error:
            # Whatever it is, the next look tries again.
            named = error.code if isinstance(error, HatchPayError) else type(error).__name__
            _log.error("the keys of the issuer %s could not be renewed: %s", issuer_id, named)
