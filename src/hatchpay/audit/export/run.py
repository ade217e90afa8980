"""One export: a walk through the ledger, written down in a format, and remembered for whoever must know of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Final

import msgspec

from hatchpay.audit.export.encoder import Encoder, encoder_for
from hatchpay.audit.export.ports import Delivery, Exports, Format, Source, State
from hatchpay.audit.ports import HistoryFilter
from hatchpay.clock import Clock
from hatchpay.errors import AuditUnavailable
from hatchpay.ids import IdSource

__all__ = ["Export", "Exporter", "Order", "Part"]

_NOTE_EVERY_US: Final = 1_000_000


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be exported, and for whom.

    `after` and `upto` are sequence numbers: behind the one, up to the other, at most to the tenant's newest. `header`
    is for CSV. An export that goes on gives its `id` and how many `records` it has delivered before.
    """

    wanted: HistoryFilter
    format: Format
    request_id: str
    principal_id: str
    after: int = 0
    upto: int | None = None
    header: bool = True
    id: str | None = None
    records: int = 0


class Part(msgspec.Struct, frozen=True):
    """The next bytes of the file, maybe none. With them, everything up to `seq` was looked at, and `records` found."""

    data: bytes
    seq: int
    records: int


class Exporter:
    """`version` is HatchPay's."""

    def __init__(self, source: Source, exports: Exports, clock: Clock, new_id: IdSource, version: str) -> None:
        self._source = source
        self._exports = exports
        self._clock = clock
        self._new_id = new_id
        self._version = version

    def begin(self, order: Order) -> Export:
        """Where it ends is settled now: what is recorded from here on is not part of it. Raises AuditUnavailable."""
        newest = self._source.newest(order.wanted.tenant_id)
        upto = newest if order.upto is None else min(order.upto, newest)
        export_id = order.id or self._new_id()
        return Export(self._source, self._exports, self._clock, order, export_id, max(upto, order.after), self._version)


class Export:
    """Of the records behind `after` up to `upto`."""

    def __init__(
        self, source: Source, exports: Exports, clock: Clock, order: Order, export_id: str, upto: int, version: str
    ) -> None:
        self._source = source
        self._exports = exports
        self._clock = clock
        self._version = version
        self.order = order
        self.id = export_id
        self.after = order.after
        self.upto = upto
        self._encoder: Encoder = encoder_for(order.format, upto=upto, header=order.header, version=version)

    @property
    def media_type(self) -> str:
        return self._encoder.media_type

    def parts(self) -> Generator[Part, None, None]:
        """To be taken to their end, or closed. Each is handed out once what it holds is on record.

        Raises AuditUnavailable where the ledger cannot be read, or what is delivered cannot be remembered.
        """
        seq, records = self.after, self.order.records
        noted = _Notes(self._exports, self._clock, self.id)
        state: State = "cut"
        try:
            if begun := self._encoder.begin():
                yield Part(begun, seq, records)
            for stride in self._source.walk(self.order.wanted, self.after, self.upto):
                if stride.kept:
                    noted.begin(self._delivery, stride.kept[0].seq)
                    records += len(stride.kept)
                    noted.reached(stride.kept[-1].seq, records)
                seq = stride.reached
                yield Part(self._encoder.add(stride.kept), seq, records)
            if rest := self._encoder.end():
                yield Part(rest, seq, records)
            state = "finished"
        finally:
            noted.end(state)

    def _delivery(self, first_seq: int) -> Delivery:
        return Delivery(
            id=self.id,
            request_id=self.order.request_id,
            principal_id=self.order.principal_id,
            format=self.order.format,
            wanted=self.order.wanted,
            after=self.after,
            upto=self.upto,
            first_seq=first_seq,
            started_us=self._clock(),
        )


class _Notes:
    """What is remembered of a running export: that it delivers, before it does; then how far it is, now and then."""

    def __init__(self, exports: Exports, clock: Clock, export_id: str) -> None:
        self._exports = exports
        self._clock = clock
        self._id = export_id
        self._begun = False
        self._noted_us = 0
        self._last = (0, 0)

    def begin(self, delivery: Callable[[int], Delivery], first_seq: int) -> None:
        if not self._begun:
            self._exports.begin(delivery(first_seq))
            self._begun, self._noted_us = True, self._clock()

    def reached(self, seq: int, records: int) -> None:
        self._last = (seq, records)
        now = self._clock()
        if now - self._noted_us >= _NOTE_EVERY_US:
            self._exports.note(self._id, seq, records, "running")
            self._noted_us = now

    def end(self, state: State) -> None:
        if not self._begun:
            return
        # What was said at the beginning holds without it: that everything up to `upto` may have been delivered.
        with contextlib.suppress(AuditUnavailable):
            self._exports.note(self._id, *self._last, state)
