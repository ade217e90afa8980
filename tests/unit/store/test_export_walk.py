"""The walk gives every record that was asked for, once, in order, and holds nothing open between two strides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.vaults import vault_beside

from hatchpay.audit.ports import HistoryFilter
from hatchpay.audit.record import Change, Completion, Record
from hatchpay.errors import AuditUnavailable
from hatchpay.ids import new_id
from hatchpay.store import export_walk
from hatchpay.store.export_walk import LedgerWalk
from hatchpay.store.feed import LedgerFeed
from hatchpay.store.ledger import Ledger, LedgerReader, create_ledger


class Book:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.vault = vault_beside(path)
        create_ledger(path)
        self.ledger = Ledger(path, "test", self.vault)
        self.walk = LedgerWalk(path, LedgerFeed(path, self.vault))

    def write(self, count: int, tenant_id: str = "mine", **fields: Any) -> None:
        self.ledger.write(
            [
                Completion(
                    Record(
                        **(
                            {
                                "request_id": new_id(),
                                "tenant_id": tenant_id,
                                "method": "GET",
                                "url": "/a",
                                "started_us": 5,
                            }
                            | fields
                        )
                    )
                )
                for _ in range(count)
            ]
        )

    def found(self, wanted: HistoryFilter, after: int = 0, upto: int = 10**9) -> list[int]:
        return [kept.seq for stride in self.walk.walk(wanted, after, upto) for kept in stride.kept]


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Book:
    """With strides so short that a few records need many."""
    monkeypatch.setattr(export_walk, "_LOOKED_AT", 7)
    monkeypatch.setattr(export_walk, "_READ", 3)
    return Book(tmp_path / "ledger.db")


MINE = HistoryFilter(tenant_id="mine")


def test_every_record_of_the_tenant_comes_once_and_oldest_first(book: Book) -> None:
    for _ in range(6):
        book.write(4)
        book.write(3, "yours")
    mine = [number for number in range(1, 43) if (number - 1) % 7 < 4]
    assert book.found(MINE) == mine
    assert book.found(MINE, after=9, upto=22) == [number for number in mine if 9 < number <= 22]
    assert book.found(HistoryFilter(tenant_id="nobody")) == []


def test_conditions_narrow_it_as_they_narrow_the_history(book: Book) -> None:
    for number in range(30):
        book.write(
            1, method="POST" if number % 4 == 0 else "GET", status=200 + number, business_unit_id=f"u{number % 3}"
        )
    for fields in (
        {"method": "POST"},
        {"status": (205, 214)},
        {"business_unit_ids": frozenset({"u0", "u2"})},
        {"business_unit_ids": frozenset()},
        {"method": "POST", "business_unit_id": "u1"},
    ):
        wanted = HistoryFilter(tenant_id="mine", **fields)
        history = LedgerReader(book.path, book.vault).page(wanted, 100).records
        ids = [kept.record.request_id for stride in book.walk.walk(wanted, 0, 10**9) for kept in stride.kept]
        assert ids[::-1] == [record["request_id"] for record in history], fields


def test_a_stride_is_bounded_and_says_how_far_it_has_come(book: Book) -> None:
    book.write(20)
    strides = list(book.walk.walk(MINE, 0, 20))
    assert max(len(stride.kept) for stride in strides) == 3
    assert [stride.reached for stride in strides] == sorted(stride.reached for stride in strides)
    assert strides[-1].reached == 20


def test_a_stride_without_a_hit_comes_all_the_same(book: Book) -> None:
    book.write(20)
    strides = list(book.walk.walk(HistoryFilter(tenant_id="mine", method="POST"), 0, 20))
    assert [stride.reached for stride in strides] == [7, 14, 20]


def test_what_is_recorded_behind_its_end_is_no_part_of_it(book: Book) -> None:
    book.write(5)
    walk = book.walk.walk(MINE, 0, book.walk.newest("mine"))
    found = list(next(walk).kept)
    book.write(5)
    found += [kept for stride in walk for kept in stride.kept]
    assert [kept.seq for kept in found] == [1, 2, 3, 4, 5]


def test_between_two_strides_the_ledger_is_not_held(book: Book) -> None:
    book.write(20)
    walk = book.walk.walk(MINE, 0, 20)
    next(walk)
    book.ledger.close()
    held = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert [str(one) for one in held if str(one).startswith(str(book.path))] == []
    assert [kept.seq for stride in walk for kept in stride.kept][-1] == 20


def test_the_newest_is_that_of_the_tenant(book: Book) -> None:
    assert book.walk.newest("mine") == 0
    book.write(3)
    book.write(2, "yours")
    assert (book.walk.newest("mine"), book.walk.newest("yours")) == (3, 5)


def test_changes_stand_with_their_record(book: Book) -> None:
    book.write(2)
    book.write(1, request_id="with-changes")
    book.ledger.write([Change("c", "with-changes", "mine", 1, "me", "api-key.keys.created", "k", b'{"after":{}}')])
    changes = [len(kept.changes) for stride in book.walk.walk(MINE, 0, 9) for kept in stride.kept]
    assert changes == [0, 0, 1]


def test_a_ledger_that_is_gone_is_an_outage(book: Book) -> None:
    book.write(3)
    walk = book.walk.walk(MINE, 0, 3)
    book.ledger.close()
    book.path.unlink()
    with pytest.raises(AuditUnavailable):
        next(walk)
