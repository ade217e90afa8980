"""The register knows who was given a record, before it was given, and after everything that may happen."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.vaults import vault_beside

from hatchpay.audit.export.ports import Delivery
from hatchpay.audit.ports import HistoryFilter
from hatchpay.audit.record import Completion, Record
from hatchpay.errors import AuditUnavailable
from hatchpay.ids import new_id
from hatchpay.store.exports import ExportRegister
from hatchpay.store.feed import LedgerFeed
from hatchpay.store.ledger import Ledger, create_ledger


class Desk:
    """A register beside a ledger of ten records of the tenant `mine`, POST and GET in turn, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "exports.db"
        self.ledger_path = folder / "ledger.db"
        self.vault = vault_beside(self.ledger_path)
        create_ledger(self.ledger_path)
        ledger = Ledger(self.ledger_path, "test", self.vault)
        for number in range(1, 11):
            method = "POST" if number % 2 else "GET"
            ledger.write(
                [Completion(Record(new_id(), "mine", method, "/a", number, business_unit_id=f"u{number}", status=200))]
            )
        ledger.close()
        self.now = 1_000_000
        self.register = self.another()

    def another(self) -> ExportRegister:
        return ExportRegister(self.path, LedgerFeed(self.ledger_path, self.vault), lambda: self.now)

    def begin(
        self, first: int = 1, upto: int = 10, export_id: str | None = None, tenant: str = "mine", **given: Any
    ) -> str:
        delivery = Delivery(
            id=export_id or new_id(),
            request_id="request",
            principal_id="somebody",
            format="csv",
            wanted=HistoryFilter(tenant_id=tenant, **given),
            after=first - 1,
            upto=upto,
            first_seq=first,
            started_us=self.now,
        )
        self.register.begin(delivery)
        return delivery.id

    def covering(self, *seqs: int, tenant: str = "mine") -> set[str]:
        return {one.id for one in self.register.covering(tenant, seqs)}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_an_export_is_shown_as_it_was_asked_for_and_as_it_went(desk: Desk) -> None:
    export_id = desk.begin(first=2, method="POST", status=(400, 499), from_us=0, min_us=1500)
    desk.now += 2_000_000
    desk.register.note(export_id, 7, 3, "finished")
    (view,) = desk.another().page("mine", 10)
    assert (view.id, view.request_id, view.principal_id, view.format) == (export_id, "request", "somebody", "csv")
    assert view.conditions == {
        "method": "POST",
        "status": "4xx",
        "from": "1970-01-01T00:00:00.000000Z",
        "min_ms": "1.5",
    }
    assert (view.state, view.records, view.first_seq, view.last_seq) == ("finished", 3, 2, 7)
    assert (view.after, view.upto, view.business_unit_ids) == (1, 10, None)
    assert (view.started_at, view.updated_at) == ("1970-01-01T00:00:01.000000Z", "1970-01-01T00:00:03.000000Z")


def test_what_may_be_somebodys_personal_data_is_not_kept(desk: Desk) -> None:
    desk.begin(client_ip="203.0.113.77", path="/people/jane", principal_id="jane@example.com")
    (view,) = desk.register.page("mine", 10)
    assert view.conditions == dict.fromkeys(("client_ip", "path", "principal_id"), "[not kept]")
    stored = b"".join(file.read_bytes() for file in desk.path.parent.glob("exports.db*"))
    assert not any(text in stored for text in (b"203.0.113.77", b"jane"))


def test_the_newest_comes_first_page_by_page(desk: Desk) -> None:
    made = [desk.begin() for _ in range(5)]
    desk.begin(tenant="yours")
    first = desk.register.page("mine", 2)
    assert [one.id for one in first] == made[:2:-1]
    assert [one.id for one in desk.register.page("mine", 9, first[-1].id)] == made[2::-1]


class TestCovering:
    def test_one_that_runs_may_deliver_all_that_it_was_to(self, desk: Desk) -> None:
        export_id = desk.begin(first=3, upto=8)
        desk.register.note(export_id, 4, 2, "running")
        assert [number for number in range(1, 11) if desk.covering(number)] == [3, 4, 5, 6, 7, 8]

    @pytest.mark.parametrize("state", ["finished", "cut"])
    def test_one_that_has_ended_has_delivered_up_to_its_last(self, desk: Desk, state: Any) -> None:
        export_id = desk.begin(first=3, upto=8)
        desk.register.note(export_id, 5, 3, state)
        assert [number for number in range(1, 11) if desk.covering(number)] == [3, 4, 5]

    def test_one_record_of_many_is_enough(self, desk: Desk) -> None:
        export_id = desk.begin(first=3, upto=3)
        assert desk.covering(1, 2, 3, 4) == {export_id}
        assert desk.covering(*range(1_000, 3_000), 3) == {export_id}
        assert desk.covering() == set()

    def test_a_condition_rules_out_what_did_not_meet_it(self, desk: Desk) -> None:
        posts = desk.begin(method="POST")
        unit = desk.begin(business_unit_ids=frozenset({"u3", "u4"}))
        early = desk.begin(to_us=4)
        assert desk.covering(3) == {posts, unit, early}
        assert desk.covering(4) == {unit}
        assert desk.covering(5) == {posts}
        assert desk.covering(4, 5) == {posts, unit}

    @pytest.mark.parametrize("name", ["client_ip", "path", "principal_id"])
    def test_a_condition_that_is_not_kept_rules_out_nothing(self, desk: Desk, name: str) -> None:
        export_id = desk.begin(**{name: "anything"})
        assert desk.covering(6) == {export_id}

    def test_a_record_that_is_gone_cannot_be_ruled_out(self, desk: Desk) -> None:
        export_id = desk.begin(method="POST")
        with closing(sqlite3.connect(desk.ledger_path, isolation_level=None)) as db:
            db.execute("DELETE FROM records WHERE seq = 4")
        assert desk.covering(4) == {export_id}

    def test_another_tenants_are_not_told(self, desk: Desk) -> None:
        desk.begin(tenant="yours")
        assert desk.covering(5) == set()


def test_one_that_goes_on_is_the_same_one_and_keeps_what_it_has_delivered(desk: Desk) -> None:
    export_id = desk.begin(first=1, upto=6)
    desk.register.note(export_id, 4, 4, "cut")
    desk.begin(first=5, upto=6, export_id=export_id)
    assert desk.covering(6) == {export_id}
    desk.register.note(export_id, 6, 6, "finished")
    (view,) = desk.register.page("mine", 10)
    assert (view.first_seq, view.last_seq, view.records, view.state) == (1, 6, 6, "finished")


def test_nobody_takes_over_another_tenants_export(desk: Desk) -> None:
    export_id = desk.begin()
    with pytest.raises(AuditUnavailable):
        desk.begin(export_id=export_id, tenant="yours")
    assert [one.id for one in desk.register.page("mine", 10)] == [export_id]


def test_where_nothing_was_exported_there_is_no_file_and_nothing_to_tell(desk: Desk) -> None:
    assert desk.register.page("mine", 10) == []
    assert desk.covering(1) == set()
    assert not desk.path.exists()


def test_the_file_is_for_its_owner_only(desk: Desk) -> None:
    desk.begin()
    assert desk.path.stat().st_mode & 0o777 == 0o600


def test_many_may_write_at_once(desk: Desk) -> None:
    made: list[str] = []
    desk.path.unlink(missing_ok=True)

    def work() -> None:
        for _ in range(5):
            export_id = desk.begin()
            desk.another().note(export_id, 3, 3, "finished")
            made.append(export_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.id for one in desk.register.page("mine", 99)} == set(made)
    assert len(made) == 20


def test_what_cannot_be_remembered_is_an_outage(desk: Desk) -> None:
    desk.path.write_bytes(b"no database at all, and longer than a header" * 50)
    with pytest.raises(AuditUnavailable) as caught:
        desk.begin()
    assert caught.value.code == "exports_unavailable"
