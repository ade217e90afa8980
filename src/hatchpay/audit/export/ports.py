"""What an export reads, what is remembered of it, and what it asks of storage for both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import msgspec

from hatchpay.audit.ports import HistoryFilter, Kept

__all__ = ["Delivery", "ExportView", "Exports", "Format", "Source", "State", "Stride"]

Format = Literal["csv", "jsonl", "parquet", "ocsf"]
State = Literal["running", "finished", "cut"]


class Stride(msgspec.Struct, frozen=True):
    """Records, oldest first, and the sequence number up to which there are no others. `kept` may be empty."""

    kept: list[Kept]
    reached: int


class Source(Protocol):
    """The ledger, for walking through it. Raises AuditUnavailable."""

    def newest(self, tenant_id: str) -> int:
        """The sequence number of this tenant's newest record; 0 where there is none."""
        ...

    def walk(self, wanted: HistoryFilter, after: int, upto: int) -> Iterator[Stride]:
        """All records that `wanted` names behind `after` and up to `upto`, a bounded number at a time.

        Nothing is held open between two strides. `wanted.after` and `wanted.before` do not count.
        """
        ...


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An export that is about to deliver its first record, of the sequence number `first_seq`.

    It delivers none behind `upto`. `wanted` is what was asked for.
    """

    id: str
    request_id: str
    principal_id: str
    format: Format
    wanted: HistoryFilter
    after: int
    upto: int
    first_seq: int
    started_us: int


class ExportView(msgspec.Struct, frozen=True, kw_only=True):
    """An export that has delivered at least one record.

    `conditions` are those of the call. It delivered `records` of them, the last with the sequence number `last_seq`, as
    far as is known at `updated_at`. One that is `running` may deliver more, up to `upto`; one whose process was killed
    stays so. `cut`: it ended before it was whole.
    """

    id: str
    request_id: str
    principal_id: str
    format: Format
    conditions: dict[str, str]
    business_unit_ids: tuple[str, ...] | None
    state: State
    records: int
    after: int
    upto: int
    first_seq: int
    last_seq: int
    started_at: str
    updated_at: str


class Exports(Protocol):
    """What has been exported, by whom. Raises AuditUnavailable `exports_unavailable`."""

    def begin(self, delivery: Delivery) -> None:
        """Durable before anything is delivered. One that goes on, with the id of an earlier one, is that one again."""
        ...

    def note(self, export_id: str, last_seq: int, records: int, state: State) -> None:
        """How far it has come by now, and whether it ends there."""
        ...

    def page(self, tenant_id: str, limit: int, before: str | None = None) -> list[ExportView]:
        """The newest first; those that are older than the export `before`."""
        ...

    def covering(self, tenant_id: str, seqs: Sequence[int]) -> list[ExportView]:
        """Every export that may have delivered one of these records, the newest first.

        None that did is missing. One that did not may be there where what it was asked for is not kept, or the record
        is no longer there to be compared.
        """
        ...
