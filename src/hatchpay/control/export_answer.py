"""An export as an answer: sent part by part, as fast as its client takes it.

Between two parts nothing is held but the export's place in the ledger. A client that has gone, or takes nothing for two
minutes, ends it; so does a caller who has lost the right to it. An answer that was cut off never looks whole: its last
chunk is missing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

import anyio
from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Response
from starlette.types import Receive, Scope, Send

from hatchpay.audit.export.run import Export, Part
from hatchpay.control.caller import HEAD_KEY
from hatchpay.control.problems import last_words
from hatchpay.errors import HatchPayError, RateLimited, Unavailable

__all__ = ["ExportAnswer", "ExportSlots"]

_SUFFIXES: Final = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet", "ocsf": "ocsf.jsonl"}
_PER_TENANT: Final = 2
_IN_ALL: Final = 16
_THREADS: Final = 4
_PATIENCE_S: Final = 120
_DEMAND_EVERY_S: Final = 5.0


class ExportSlots:
    """How many exports may run at a time, of one tenant and in all, and in how many threads they are worked on."""

    def __init__(self, per_tenant: int = _PER_TENANT, in_all: int = _IN_ALL) -> None:
        self._per_tenant = per_tenant
        self._in_all = in_all
        self._running: Counter[str] = Counter()
        self._turn = threading.Lock()
        self.limiter: Final = CapacityLimiter(_THREADS)

    @contextmanager
    def taken(self, tenant_id: str) -> Iterator[None]:
        """Raises RateLimited `too_many_exports`."""
        with self._turn:
            if self._running[tenant_id] >= self._per_tenant or self._running.total() >= self._in_all:
                raise RateLimited(
                    "too many exports are running already; come back when one has ended",
                    code="too_many_exports",
                    retry_after_s=5,
                )
            self._running[tenant_id] += 1
        try:
            yield
        finally:
            with self._turn:
                self._running[tenant_id] -= 1
                if not self._running[tenant_id]:
                    del self._running[tenant_id]


class ExportAnswer(Response):
    """`demand` raises once the caller has lost the right to this export. Times are in seconds."""

    def __init__(
        self,
        export: Export,
        slots: ExportSlots,
        demand: Callable[[], None],
        *,
        patience_s: float = _PATIENCE_S,
        demand_every_s: float = _DEMAND_EVERY_S,
    ) -> None:
        name = f"hatchpay-audit-{export.upto}.{_SUFFIXES[export.order.format]}"
        headers = {
            "Content-Disposition": f'attachment; filename="{name}"',
            "HatchPay-Export-Id": export.id,
            "HatchPay-Export-After": str(export.after),
            "HatchPay-Export-Upto": str(export.upto),
        }
        super().__init__(headers=headers, media_type=export.media_type)
        del self.headers["content-length"]
        # Starlette would say which charset, of text; the format says it by itself.
        self.headers["content-type"] = export.media_type
        self._export = export
        self._slots = slots
        self._demand = demand
        self._patience_s = patience_s
        self._demand_every_s = demand_every_s
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get(HEAD_KEY):
            await self._say(send, b"", more=False)
            return
        with self._slots.taken(self._export.order.wanted.tenant_id):
            failure = await self._sent(receive, send)
        if failure is not None:
            if self._begun and isinstance(failure, HatchPayError):
                # To the record: too late for the answer, which is cut off.
                last_words(failure, scope)
            raise failure

    async def _sent(self, receive: Receive, send: Send) -> Exception | None:
        """Sends the export to its end, or as far as it comes; returns what has stopped it, if its client has not."""
        failure: Exception | None = None
        parts = self._export.parts()

        async def listen(everything: CancelScope) -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            everything.cancel()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(listen, group.cancel_scope)
                try:
                    await self._send_all(parts, send)
                except Exception as error:
                    # As it is, not as one of a group.
                    failure = error
                group.cancel_scope.cancel()
        finally:
            with CancelScope(shield=True):
                await run_sync(parts.close)
        return failure

    async def _send_all(self, parts: Generator[Part, None, None], send: Send) -> None:
        demanded = monotonic()
        while (part := await run_sync(next, parts, None, limiter=self._slots.limiter)) is not None:
            if monotonic() - demanded >= self._demand_every_s:
                await run_sync(self._demand, limiter=self._slots.limiter)
                demanded = monotonic()
            if part.data:
                await self._say(send, part.data, more=True)
        await self._say(send, b"", more=False)

    async def _say(self, send: Send, data: bytes, *, more: bool) -> None:
        try:
            with anyio.fail_after(self._patience_s):
                if not self._begun:
                    self._begun = True
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            raise Unavailable("the client has taken nothing for too long", code="client_too_slow") from None
