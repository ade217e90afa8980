"""An export is on record before it delivers, ends where it was to end, and can be taken up again anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.support.exported import TENANT, kept

from hatchpay.audit.export.ports import Delivery, ExportView, Format, State, Stride
from hatchpay.audit.export.run import Export, Exporter, Order, Part
from hatchpay.audit.ports import HistoryFilter
from hatchpay.errors import AuditUnavailable


class Numbers:
    """Records 1 to `newest`, three at a time."""

    def __init__(self, newest: int) -> None:
        self.last = newest

    def newest(self, tenant_id: str) -> int:
        assert tenant_id == TENANT
        return self.last

    def walk(self, wanted: HistoryFilter, after: int, upto: int) -> Iterator[Stride]:
        numbers = range(after + 1, min(upto, self.last) + 1)
        for start in range(0, len(numbers), 3):
            part = numbers[start : start + 3]
            yield Stride([kept(seq=number) for number in part], part[-1])
        yield Stride([], upto)


class Memory:
    """What is remembered, in order."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.out_of_order = False

    def begin(self, delivery: Delivery) -> None:
        if self.out_of_order:
            raise AuditUnavailable("gone", code="exports_unavailable")
        self.said.append(("begin", delivery.id, delivery.first_seq, delivery.upto))

    def note(self, export_id: str, last_seq: int, records: int, state: State) -> None:
        self.said.append((state, export_id, last_seq, records))

    def page(self, tenant_id: str, limit: int, before: str | None = None) -> list[ExportView]:
        raise NotImplementedError

    def covering(self, tenant_id: str, seqs: Sequence[int]) -> list[ExportView]:
        raise NotImplementedError


class Desk:
    def __init__(self, newest: int = 10) -> None:
        self.source = Numbers(newest)
        self.memory = Memory()
        self.now = 0
        self._exporter = Exporter(self.source, self.memory, lambda: self.now, lambda: "fresh", "1.2.3")

    def begin(self, wanted: Format = "jsonl", **more: Any) -> Export:
        everything = HistoryFilter(tenant_id=TENANT)
        return self._exporter.begin(
            Order(wanted=everything, format=wanted, request_id="request", principal_id="somebody", **more)
        )


def seqs(parts: Sequence[Part]) -> list[int]:
    return [json.loads(line)["seq"] for part in parts for line in part.data.splitlines()]


def test_it_ends_at_what_was_the_newest_when_it_began() -> None:
    desk = Desk(5)
    export = desk.begin()
    desk.source.last = 9
    assert export.upto == 5
    assert seqs(list(export.parts())) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("after", "upto", "told", "found"),
    [
        (0, 4, 4, [1, 2, 3, 4]),
        (4, 6, 6, [5, 6]),
        (8, 99, 10, [9, 10]),
        (10, None, 10, []),
        # A retention has taken the end away: what is told never goes back.
        (12, None, 12, []),
        (7, 3, 7, []),
    ],
)
def test_it_holds_what_is_behind_the_one_and_up_to_the_other(
    after: int, upto: int | None, told: int, found: list[int]
) -> None:
    export = Desk(10).begin(after=after, upto=upto)
    assert (export.after, export.upto) == (after, told)
    assert seqs(list(export.parts())) == found


@pytest.mark.parametrize("wanted", ["csv", "jsonl", "ocsf"])
def test_cut_anywhere_and_taken_up_again_it_is_the_same_to_the_byte(wanted: Format) -> None:
    desk = Desk(10)
    whole = b"".join(part.data for part in desk.begin(wanted).parts())
    for taken in range(1, 6):
        export = desk.begin(wanted)
        parts = export.parts()
        first = [next(parts) for _ in range(taken)]
        parts.close()
        last = first[-1]
        rest = desk.begin(wanted, after=last.seq, upto=export.upto, header=False, records=last.records)
        assert b"".join(part.data for part in (*first, *rest.parts())) == whole


def test_it_is_on_record_before_anything_is_handed_out() -> None:
    desk = Desk(5)
    parts = desk.begin("csv").parts()
    assert next(parts).records == 0
    assert desk.memory.said == []
    assert next(parts).records == 3
    assert desk.memory.said == [("begin", "fresh", 1, 5)]
    assert [part.records for part in parts] == [5, 5]
    assert desk.memory.said[1:] == [("finished", "fresh", 5, 5)]


def test_what_cannot_be_remembered_is_not_handed_out() -> None:
    desk = Desk(5)
    desk.memory.out_of_order = True
    with pytest.raises(AuditUnavailable):
        list(desk.begin().parts())


def test_without_a_record_there_is_nothing_to_remember() -> None:
    desk = Desk(0)
    assert b"".join(part.data for part in desk.begin("csv").parts()).count(b"\r\n") == 1
    assert desk.memory.said == []


def test_it_tells_how_far_it_is_once_a_second() -> None:
    desk = Desk(15)
    parts = desk.begin().parts()
    for _ in range(5):
        next(parts)
        desk.now += 400_000
    assert desk.memory.said[1:] == [("running", "fresh", 12, 12)]


def test_one_that_is_given_up_says_how_far_it_came() -> None:
    desk = Desk(15)
    parts = desk.begin().parts()
    next(parts)
    next(parts)
    parts.close()
    assert desk.memory.said[1:] == [("cut", "fresh", 6, 6)]


def test_one_that_goes_on_keeps_its_name_and_counts_on() -> None:
    desk = Desk(5)
    export = desk.begin(id="earlier", after=3, records=3)
    assert export.id == "earlier"
    list(export.parts())
    assert desk.memory.said == [("begin", "earlier", 4, 5), ("finished", "earlier", 5, 5)]


def test_a_parquet_file_says_where_the_next_begins() -> None:
    parts = list(Desk(5).begin("parquet").parts())
    assert parts[0].data == b"PAR1" and parts[-1].data.endswith(b"PAR1")
    assert (parts[-1].seq, parts[-1].records) == (5, 5)
