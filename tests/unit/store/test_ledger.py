"""The ledger: each entry once, durable or refused, nobody else's records, and back by itself after an outage."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.support.vaults import vault_beside

from hatchpay.audit.ports import HistoryFilter, KeyUsage
from hatchpay.audit.record import Change, Completion, Intent, Record
from hatchpay.errors import AuditUnavailable
from hatchpay.store.instance import InstanceLock, is_gone
from hatchpay.store.ledger import Ledger, LedgerReader, create_ledger, reading

START = 1_790_000_000_000_000


def record(number: int, **fields: object) -> Record:
    values = {
        "request_id": f"request-{number:04}",
        "tenant_id": "tenant",
        "method": "POST",
        "url": f"/things/{number}",
        "started_us": START + number,
        "status": 201,
        "state": "completed",
        **fields,
    }
    return Record(**values)  # type: ignore[arg-type]


def change(number: int, request: int = 1, tenant_id: str = "tenant") -> Change:
    return Change(
        f"change-{number:04}",
        f"request-{request:04}",
        tenant_id,
        START + number,
        "actor",
        "api_key.created",
        "subject",
        b'{"n":%d}' % number,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path, "here", vault_beside(path), busy_timeout_s=0.05)
    create_ledger(path)
    yield ledger
    ledger.close()


@pytest.fixture
def reader(path: Path) -> LedgerReader:
    return LedgerReader(path, vault_beside(path))


def ask(reader: LedgerReader, limit: int = 100, **conditions: object) -> list[str]:
    """The numbers of the requests found, in the order of the answer."""
    wanted = HistoryFilter(**{"tenant_id": "tenant", **conditions})  # type: ignore[arg-type]
    return [str(shown["request_id"]).removeprefix("request-") for shown in reader.page(wanted, limit).records]


def done(*numbers: int) -> list[Completion]:
    return [Completion(record(number)) for number in numbers]


class TestMaking:
    def test_the_file_is_for_its_owner_only_and_written_ahead(self, ledger: Ledger, path: Path) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with sqlite3.connect(path) as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        db.close()

    def test_commits_wait_for_the_disk(self, ledger: Ledger) -> None:
        ledger.write(done(1))
        assert ledger._db is not None
        assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)

    def test_making_it_again_keeps_what_is_in_it(self, ledger: Ledger, path: Path, reader: LedgerReader) -> None:
        ledger.write(done(1))
        create_ledger(path)
        assert ask(reader) == ["0001"]

    def test_many_may_make_it_at_once(self, path: Path) -> None:
        failed: list[BaseException] = []

        def make(number: int) -> None:
            try:
                create_ledger(path)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=make, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []

    def test_a_ledger_of_a_newer_program_is_left_alone(self, ledger: Ledger, path: Path) -> None:
        ledger.close()
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
        with pytest.raises(AuditUnavailable, match="another version"):
            create_ledger(path)

    def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(self, path: Path) -> None:
        path.write_bytes(b"no database " * 100)
        with pytest.raises(AuditUnavailable):
            create_ledger(path)
        assert path.read_bytes() == b"no database " * 100

    def test_where_there_is_no_folder_there_is_no_ledger(self, tmp_path: Path) -> None:
        with pytest.raises(AuditUnavailable):
            create_ledger(tmp_path / "absent" / "ledger.db")


class TestWriting:
    def test_a_completion_is_a_record(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.write(done(1))
        assert ask(reader) == ["0001"]
        assert reader.last() == 1

    def test_what_is_shown_is_what_was_written(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.write(
            [
                Completion(
                    record(
                        1,
                        headers={"user-agent": "x"},
                        roles=("a", "b"),
                        body=b'{"amount":1.10}',
                        body_size=15,
                        decision="allow",
                        response_time_us=7,
                    )
                )
            ]
        )
        (shown,) = reader.page(HistoryFilter(tenant_id="tenant"), 10).records
        answered = msgspec.json.encode(shown)
        assert b'"body":{"amount":1.10}' in answered
        kept = msgspec.json.decode(answered)
        assert (kept["headers"], kept["roles"], kept["decision"]) == ({"user-agent": "x"}, ["a", "b"], "allow")
        assert kept["started_at"] == "2026-09-21T14:13:20.000001Z"
        assert (kept["status"], kept["state"], kept["response_time_us"], kept["changes"]) == (201, "completed", 7, [])

    def test_an_intent_is_no_record_yet(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.write([Intent(record(1))])
        assert ask(reader) == []
        assert reader.pending() == ["here"]

    @pytest.mark.parametrize("together", [True, False])
    def test_a_completion_takes_the_place_of_its_intent(
        self, ledger: Ledger, reader: LedgerReader, together: bool
    ) -> None:
        entries = [Intent(record(1, state="indeterminate")), Intent(record(2)), Completion(record(1))]
        for group in [entries] if together else [[entry] for entry in entries]:
            ledger.write(group)
        assert ask(reader) == ["0001"]
        assert reader.pending() == ["here"]

    def test_the_second_completion_of_a_request_changes_nothing(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.write(done(1))
        ledger.write([Completion(record(1, status=500)), *done(2)])
        assert [shown["status"] for shown in reader.page(HistoryFilter(tenant_id="tenant"), 10).records] == [201, 201]

    def test_the_same_intent_twice_is_one(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.write([Intent(record(1)), Intent(record(1))])
        ledger.write([Intent(record(1))])
        assert reader.pending() == ["here"]

    @pytest.mark.parametrize("together", [True, False])
    def test_an_intent_that_comes_after_its_completion_is_none(
        self, ledger: Ledger, reader: LedgerReader, together: bool
    ) -> None:
        entries = [Completion(record(1)), Intent(record(1))]
        for group in [entries] if together else [[entry] for entry in entries]:
            ledger.write(group)
        assert reader.pending() == []
        assert ask(reader) == ["0001"]

    def test_a_change_is_shown_with_the_request_that_made_it_once(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.write([change(2), change(1), change(1), *done(1, 2)])
        ledger.write([change(2), change(3, request=2)])
        shown = msgspec.json.decode(msgspec.json.encode(reader.page(HistoryFilter(tenant_id="tenant"), 10).records))
        assert [[made["id"] for made in row["changes"]] for row in shown] == [
            ["change-0003"],
            ["change-0001", "change-0002"],
        ]
        assert shown[1]["changes"][0] == {
            "id": "change-0001",
            "event": "api_key.created",
            "subject_id": "subject",
            "actor": "actor",
            "at": "2026-09-21T14:13:20.000001Z",
            "detail": {"n": 1},
        }

    def test_a_change_with_an_id_that_is_there_already_changes_nothing(
        self, ledger: Ledger, reader: LedgerReader
    ) -> None:
        ledger.write([change(1), *done(1)])
        ledger.write([msgspec.structs.replace(change(1), event="forged", detail=b"{}")])
        (shown,) = msgspec.json.decode(msgspec.json.encode(reader.page(HistoryFilter(tenant_id="tenant"), 10).records))
        assert [(made["event"], made["detail"]) for made in shown["changes"]] == [("api_key.created", {"n": 1})]

    def test_replaying_everything_in_any_order_of_groups_adds_nothing(
        self, ledger: Ledger, reader: LedgerReader
    ) -> None:
        entries = [entry for number in range(20) for entry in (Intent(record(number)), Completion(record(number)))]
        ledger.write(entries)
        before = ask(reader)
        shuffled = random.Random(1)
        for _ in range(3):
            shuffled.shuffle(entries)
            ledger.write(entries)
        assert ask(reader) == before
        assert reader.pending() == []
        assert reader.last() == 20

    def test_an_entry_that_cannot_be_stored_takes_its_whole_group_with_it(
        self, ledger: Ledger, reader: LedgerReader
    ) -> None:
        impossible = Completion(record(2, started_us=2**70))
        with pytest.raises(AuditUnavailable):
            ledger.write([*done(1), impossible, *done(3)])
        assert ask(reader) == []
        ledger.write(done(4))
        assert ask(reader) == ["0004"]

    def test_two_writers_take_turns(self, ledger: Ledger, path: Path, reader: LedgerReader) -> None:
        def write(first: int) -> None:
            own = Ledger(path, str(first), vault_beside(path), busy_timeout_s=10)
            for number in range(first, first + 20):
                own.write([Intent(record(number))])
                own.write(done(number))
            own.close()

        threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(ask(reader))) == 60
        assert reader.pending() == []


class TestRecovery:
    def test_the_intents_of_an_instance_that_is_gone_become_indeterminate_records(
        self, ledger: Ledger, path: Path, reader: LedgerReader
    ) -> None:
        lost = Ledger(path, "gone", vault_beside(path))
        lost.write([Intent(record(1, status=None, state="indeterminate")), Intent(record(2)), *done(2)])
        lost.close()
        assert ledger.recover(lambda instance: instance == "gone") == 1
        newest, _ = reader.page(HistoryFilter(tenant_id="tenant"), 10).records
        assert (newest["request_id"], newest["state"], newest["status"]) == ("request-0001", "indeterminate", None)
        assert reader.pending() == []
        assert ledger.recover(lambda _: True) == 0

    def test_the_intents_of_the_living_and_ones_own_are_left_alone(
        self, ledger: Ledger, path: Path, reader: LedgerReader
    ) -> None:
        for instance, number in (("alive", 1), ("here", 2), ("gone", 3)):
            own = Ledger(path, instance, vault_beside(path))
            own.write([Intent(record(number))])
            own.close()
        asked: list[str] = []

        def gone(instance: str) -> bool:
            asked.append(instance)
            return instance == "gone"

        assert ledger.recover(gone) == 1
        assert sorted(asked) == ["alive", "gone"]
        assert sorted(reader.pending()) == ["alive", "here"]
        assert ask(reader) == ["0003"]

    def test_a_completion_that_was_recovered_already_stays_as_it_is(self, ledger: Ledger, path: Path) -> None:
        lost = Ledger(path, "gone", vault_beside(path))
        lost.write([Intent(record(1, state="indeterminate"))])
        ledger.recover(lambda _: True)
        lost.write(done(1))
        lost.close()
        (shown,) = LedgerReader(path, vault_beside(path)).page(HistoryFilter(tenant_id="tenant"), 10).records
        assert shown["state"] == "indeterminate"

    def test_a_killed_process_is_recovered_and_a_running_one_is_not(
        self, ledger: Ledger, path: Path, reader: LedgerReader, tmp_path: Path
    ) -> None:
        instances = tmp_path / "instances"
        with _serving(path, instances, "killed", 1) as killed, _serving(path, instances, "running", 2) as running:
            try:
                assert ledger.recover(lambda instance: is_gone(instances, instance)) == 0
                killed.kill()
                killed.wait()
                assert ledger.recover(lambda instance: is_gone(instances, instance)) == 1
                assert ask(reader) == ["0001"]
                assert reader.pending() == ["running"]
            finally:
                killed.kill()
                running.kill()

    def test_two_that_recover_at_once_recover_each_request_once(
        self, ledger: Ledger, path: Path, reader: LedgerReader
    ) -> None:
        lost = Ledger(path, "gone", vault_beside(path))
        lost.write([Intent(record(number)) for number in range(50)])
        lost.close()

        def recover(name: str) -> None:
            own = Ledger(path, name, vault_beside(path), busy_timeout_s=10)
            own.recover(lambda instance: instance == "gone")
            own.close()

        threads = [threading.Thread(target=recover, args=(name,)) for name in ("one", "two", "three")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(ask(reader)) == [f"{number:04}" for number in range(50)]
        assert reader.pending() == []


_SERVE = """
import sys, time
from pathlib import Path
from hatchpay.audit.record import Intent, Record
from hatchpay.store.instance import InstanceLock
from hatchpay.store.ledger import Ledger
from hatchpay.store.vault import Vault
path, instances, instance, number = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
lock = InstanceLock(instances, instance)
record = Record(f"request-{number:04}", "tenant", "POST", "/x", number)
vault = Vault(path.parent / "payload.keys", lambda: bytes(32))
Ledger(path, instance, vault, busy_timeout_s=10).write([Intent(record)])
print("written", flush=True)
time.sleep(60)
"""


def _serving(path: Path, instances: Path, instance: str, number: int) -> subprocess.Popen[str]:
    """A process that has written an intent and still works on the request."""
    arguments = [sys.executable, "-c", _SERVE, str(path), str(instances), instance, str(number)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


class TestOutages:
    def test_a_ledger_that_was_moved_away_is_an_outage_until_it_is_back(
        self, ledger: Ledger, path: Path, reader: LedgerReader, tmp_path: Path
    ) -> None:
        ledger.write(done(1))
        away = tmp_path / "away"
        away.mkdir()
        files = [path, path.with_name("ledger.db-wal"), path.with_name("ledger.db-shm")]
        for file in files:
            file.rename(away / file.name)
        for _ in range(2):
            with pytest.raises(AuditUnavailable):
                ledger.write(done(2))
        for call in (reader.last, reader.pending, reader.check, lambda: ask(reader), lambda: reader.usage(["k"])):
            with pytest.raises(AuditUnavailable):
                call()
        with pytest.raises(AuditUnavailable):
            ledger.recover(lambda _: True)
        assert not path.exists()
        for file in files:
            if (away / file.name).exists():
                (away / file.name).rename(file)
        ledger.write(done(2))
        assert ask(reader) == ["0002", "0001"]

    def test_only_the_database_moved_away_is_an_outage_as_well(
        self, ledger: Ledger, path: Path, reader: LedgerReader
    ) -> None:
        ledger.write(done(1))
        path.rename(path.with_name("away.db"))
        with pytest.raises(AuditUnavailable):
            ledger.write(done(2))
        path.with_name("away.db").rename(path)
        ledger.write(done(2))
        assert ask(reader) == ["0002", "0001"]

    def test_recovery_meets_a_ledger_that_vanished_under_it(self, ledger: Ledger, path: Path) -> None:
        ledger.write(done(1))
        path.rename(path.with_name("away.db"))
        with pytest.raises(AuditUnavailable):
            ledger.recover(lambda _: True)

    def test_another_file_in_its_place_is_written_to_and_not_the_old_one(
        self, ledger: Ledger, path: Path, reader: LedgerReader, tmp_path: Path
    ) -> None:
        ledger.write(done(1))
        for file in sorted(tmp_path.glob("ledger.db*")):
            file.rename(tmp_path / file.name.replace("ledger", "old"))
        create_ledger(path)
        maker = Ledger(path, "maker", vault_beside(path))
        maker.write(done(2))
        # The first attempt may still meet the old file; it says so, and the next one starts afresh.
        with contextlib.suppress(AuditUnavailable):
            ledger.write(done(3))
        ledger.write(done(3))
        maker.write(done(4))
        maker.close()
        assert ask(reader) == ["0004", "0003", "0002"]
        assert ask(LedgerReader(tmp_path / "old.db", vault_beside(path))) == ["0001"]

    def test_a_vanished_ledger_is_never_begun_anew(self, ledger: Ledger, path: Path, tmp_path: Path) -> None:
        ledger.write(done(1))
        for file in tmp_path.glob("ledger.db*"):
            file.unlink()
        with pytest.raises(AuditUnavailable):
            ledger.write(done(2))
        assert not path.exists()

    def test_locked_by_another_it_is_an_outage_until_the_lock_is_gone(
        self, ledger: Ledger, path: Path, reader: LedgerReader
    ) -> None:
        ledger.write(done(1))
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                with pytest.raises(AuditUnavailable):
                    ledger.write(done(2))
            assert ask(reader) == ["0001"]
            other.execute("ROLLBACK")
        finally:
            other.close()
        ledger.write(done(2))
        assert ask(reader) == ["0002", "0001"]

    def test_a_full_disk_is_an_outage_that_leaves_nothing_half_written(
        self, ledger: Ledger, path: Path, reader: LedgerReader
    ) -> None:
        ledger.write(done(1))
        assert ledger._db is not None
        pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
        ledger._db.execute(f"PRAGMA max_page_count = {pages}")
        large = [Completion(record(number, url="/x" * 2_000)) for number in range(2, 20)]
        with pytest.raises(AuditUnavailable):
            ledger.write([*done(100), *large])
        assert ask(reader) == ["0001"]
        # The next write opens the file afresh, and with it whatever room there is by then.
        ledger.write([*done(100), *large])
        assert len(ask(reader)) == 20

    def test_a_damaged_file_is_an_outage_and_is_found(self, ledger: Ledger, path: Path, reader: LedgerReader) -> None:
        ledger.write([Completion(record(number, url="/x" * 500)) for number in range(50)])
        assert reader.check() == []
        ledger.close()
        damaged = bytearray(path.read_bytes())
        damaged[4096:] = b"\xa5" * (len(damaged) - 4096)
        path.write_bytes(damaged)
        with pytest.raises(AuditUnavailable):
            ledger.write(done(99))
        with pytest.raises(AuditUnavailable):
            ask(reader)
        try:
            found = reader.check()
        except AuditUnavailable:
            found = ["unreadable"]
        assert found

    def test_closing_twice_and_writing_again_is_no_mistake(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.close()
        ledger.close()
        ledger.write(done(1))
        assert ask(reader) == ["0001"]


class TestHistory:
    @pytest.fixture(autouse=True)
    def _records(self, ledger: Ledger) -> None:
        """Six records; each condition below picks some of them."""
        unit = {"business_unit_id": "unit-1"}
        ledger.write(
            [
                Completion(record(1, method="GET", route="/things/{id}", status=200, **unit)),
                Completion(record(2, url="/things/1?a=%5B1%5D", status=404, principal_id="p2", key_id="k2")),
                Completion(record(3, client_ip="203.0.113.9", response_time_us=1_000, business_unit_id="unit-2")),
                Completion(record(4, status=None, state="indeterminate", response_time_us=999)),
                Completion(record(5, status=499, principal_id="p5", key_id="k2", **unit)),
                Completion(record(6, status=500, response_time_us=2_000)),
                Completion(record(7, tenant_id="other", method="GET", key_id="k2", principal_id="p2", **unit)),
            ]
        )

    def test_the_newest_come_first(self, reader: LedgerReader) -> None:
        assert ask(reader) == ["0006", "0005", "0004", "0003", "0002", "0001"]

    @pytest.mark.parametrize(
        ("conditions", "found"),
        [
            ({"method": "GET"}, "1"),
            ({"method": "get"}, ""),
            ({"path": "/things/1"}, "21"),
            ({"path": "/things"}, ""),
            ({"path": "/things/%"}, ""),
            ({"route": "/things/{id}"}, "1"),
            ({"status": (404, 404)}, "2"),
            ({"status": (400, 499)}, "52"),
            ({"status": (0, 999)}, "65321"),
            ({"principal_id": "p2"}, "2"),
            ({"key_id": "k2"}, "52"),
            ({"business_unit_id": "unit-1"}, "51"),
            ({"request_id": "request-0003"}, "3"),
            ({"client_ip": "203.0.113.9"}, "3"),
            ({"min_us": 1_000}, "63"),
            ({"min_us": 999}, "643"),
            ({"from_us": START + 4}, "654"),
            ({"to_us": START + 4}, "321"),
            ({"from_us": START + 2, "to_us": START + 4}, "32"),
            ({"from_us": START + 4, "to_us": START + 4}, ""),
            ({"business_unit_ids": frozenset({"unit-1"})}, "51"),
            ({"business_unit_ids": frozenset({"unit-1", "unit-2"})}, "531"),
            ({"business_unit_ids": frozenset()}, ""),
            ({"business_unit_ids": frozenset({"unit-1"}), "business_unit_id": "unit-2"}, ""),
            ({"key_id": "k2", "status": (400, 403)}, ""),
            ({"key_id": "k2", "principal_id": "p5", "method": "POST"}, "5"),
            ({"method": "' OR 1=1 --"}, ""),
        ],
    )
    def test_every_condition_that_is_given_must_hold(
        self, reader: LedgerReader, conditions: dict[str, object], found: str
    ) -> None:
        assert "".join(number[-1] for number in ask(reader, **conditions)) == found

    def test_every_condition_of_the_filter_is_tried_here(self) -> None:
        tried = next(
            mark.args[1]
            for mark in TestHistory.test_every_condition_that_is_given_must_hold.pytestmark  # type: ignore[attr-defined]
            if mark.name == "parametrize"
        )
        names = {name for conditions, _ in tried for name in conditions}
        assert names | {"tenant_id", "before", "after"} == set(HistoryFilter.__struct_fields__)

    @pytest.mark.parametrize(
        "conditions",
        [{}, {"request_id": "request-0001"}, {"key_id": "k2"}, {"business_unit_id": "unit-1"}, {"principal_id": "p2"}],
    )
    def test_a_tenant_sees_its_own_records_only(self, reader: LedgerReader, conditions: dict[str, object]) -> None:
        assert set(ask(reader, tenant_id="other", **conditions)) <= {"0007"}
        assert "0007" not in ask(reader, **conditions)
        assert ask(reader, tenant_id="", **conditions) == []

    def test_a_cursor_leads_through_all_pages_though_new_records_arrive(
        self, ledger: Ledger, reader: LedgerReader
    ) -> None:
        seen: list[object] = []
        before = None
        for round_ in range(4):
            page = reader.page(HistoryFilter(tenant_id="tenant", before=before), 2)
            seen += [shown["request_id"] for shown in page.records]
            before = page.last
            ledger.write(done(100 + round_))
            if before is None:
                break
        assert seen == [f"request-{number:04}" for number in (6, 5, 4, 3, 2, 1)]
        assert before is None

    def test_a_last_page_that_is_not_full_has_no_cursor(self, reader: LedgerReader) -> None:
        assert reader.page(HistoryFilter(tenant_id="tenant"), 7).last is None
        assert reader.page(HistoryFilter(tenant_id="tenant", key_id="nobody"), 7).last is None

    def test_following_gives_what_came_after_oldest_first_and_where_to_go_on(
        self, ledger: Ledger, reader: LedgerReader
    ) -> None:
        start = reader.last()
        page = reader.page(HistoryFilter(tenant_id="tenant", after=start), 10)
        assert (page.records, page.last) == ([], None)
        ledger.write(done(8, 9, 10))
        page = reader.page(HistoryFilter(tenant_id="tenant", after=start), 2)
        assert [shown["request_id"] for shown in page.records] == ["request-0008", "request-0009"]
        page = reader.page(HistoryFilter(tenant_id="tenant", after=page.last), 2)
        assert [shown["request_id"] for shown in page.records] == ["request-0010"]
        assert page.last == reader.last()


class TestUsage:
    def used(self, number: int, started: int, ip: str, version: int = 1, key_id: str = "k") -> Completion:
        fields = {"started_us": started, "client_ip": ip, "key_id": key_id, "secret_version": version}
        return Completion(record(number, **fields))

    def test_the_latest_use_of_each_secret_is_known_newest_first(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.write([self.used(1, 10, "a"), self.used(2, 20, "b", version=2), self.used(3, 15, "c", key_id="l")])
        assert reader.usage(["k", "l", "m"]) == {
            "k": [KeyUsage(2, 20, "b"), KeyUsage(1, 10, "a")],
            "l": [KeyUsage(1, 15, "c")],
        }

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("order", [(10, 20, 30), (30, 20, 10), (20, 30, 10)])
    def test_the_newest_use_wins_in_whatever_order_the_requests_end(
        self, ledger: Ledger, reader: LedgerReader, order: tuple[int, ...], together: bool
    ) -> None:
        entries = [self.used(started, started, f"ip-{started}") for started in order]
        for group in [entries] if together else [[entry] for entry in entries]:
            ledger.write(group)
        assert reader.usage(["k"]) == {"k": [KeyUsage(1, 30, "ip-30")]}

    def test_a_request_that_proved_no_secret_is_no_use(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.write([Completion(record(1, claimed_key_id="k")), Completion(record(2, key_id="k"))])
        assert reader.usage(["k"]) == {}

    def test_a_request_whose_end_is_unknown_was_a_use(self, ledger: Ledger, path: Path, reader: LedgerReader) -> None:
        lost = Ledger(path, "gone", vault_beside(path))
        lost.write([Intent(self.used(1, 10, "a").record)])
        lost.close()
        assert reader.usage(["k"]) == {}
        ledger.recover(lambda _: True)
        assert reader.usage(["k"]) == {"k": [KeyUsage(1, 10, "a")]}

    def test_many_keys_may_be_asked_for_at_once(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.write([self.used(number, number, "a", key_id=f"k{number}") for number in range(1_201)])
        assert len(reader.usage([f"k{number}" for number in range(1_201)])) == 1_201
        assert reader.usage([]) == {}


class TestReading:
    def test_reading_changes_nothing_on_disk(self, ledger: Ledger, path: Path, reader: LedgerReader) -> None:
        ledger.write([*done(1, 2), change(1), Intent(record(3)), TestUsage().used(4, 1, "a")])
        before = [hashlib.sha256(file.read_bytes()).digest() for file in (path, path.with_name("ledger.db-wal"))]
        ask(reader)
        reader.last()
        reader.pending()
        reader.usage(["k"])
        reader.check()
        after = [hashlib.sha256(file.read_bytes()).digest() for file in (path, path.with_name("ledger.db-wal"))]
        assert after == before

    def test_the_readers_connection_cannot_write(self, ledger: Ledger, path: Path) -> None:
        with pytest.raises(AuditUnavailable), reading(path) as db:
            db.execute("DELETE FROM records")

    def test_reading_never_makes_a_ledger(self, path: Path, reader: LedgerReader) -> None:
        for call in (reader.last, reader.pending, reader.check, lambda: ask(reader), lambda: reader.usage(["k"])):
            with pytest.raises(AuditUnavailable):
                call()
        assert not path.exists()

    def test_a_reader_does_not_wait_for_a_writer_nor_see_what_is_not_committed(
        self, ledger: Ledger, path: Path, reader: LedgerReader
    ) -> None:
        ledger.write(done(1))
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            other.execute("DELETE FROM records")
            assert ask(reader) == ["0001"]
        finally:
            other.close()

    def test_any_thread_may_ask(self, ledger: Ledger, reader: LedgerReader) -> None:
        ledger.write(done(1))
        found: list[list[str]] = []
        threads = [threading.Thread(target=lambda: found.append(ask(reader))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [["0001"]] * 4

    def test_a_copy_of_all_files_can_be_read(self, ledger: Ledger, path: Path, tmp_path: Path) -> None:
        ledger.write(done(1))
        (tmp_path / "copy").mkdir()
        for file in tmp_path.glob("ledger.db*"):
            shutil.copy(file, tmp_path / "copy")
        assert ask(LedgerReader(tmp_path / "copy" / "ledger.db", vault_beside(tmp_path / "copy" / "ledger.db"))) == [
            "0001"
        ]


def test_the_lock_of_an_instance_is_what_recovery_asks_for(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "instances", "other")
    other = Ledger(path, "other", vault_beside(path))
    other.write([Intent(record(1))])
    other.close()
    assert ledger.recover(lambda instance: is_gone(tmp_path / "instances", instance)) == 0
    lock.release()
    assert ledger.recover(lambda instance: is_gone(tmp_path / "instances", instance)) == 1
