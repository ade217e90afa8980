"""Verifying whole trails: whatever somebody does to the ledger or to the log is found, and named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.trail import NOW, TENANT, Trail

from hatchpay.audit.record import Completion, Record
from hatchpay.audit.verifying import Flaw, Holds

COUNT = 600


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sealed")
    trail = Trail(folder)
    for start in range(0, COUNT, 100):
        trail.write(100, status=200 + start // 100)
        trail.seal()
    trail.change()
    trail.seal()
    trail.close()
    return folder


@pytest.fixture
def trail(sealed: Path, tmp_path: Path) -> Iterator[Trail]:
    folder = tmp_path / "copy"
    shutil.copytree(sealed, folder)
    made = Trail(folder, create=False)
    yield made
    made.close()


def test_what_nobody_touched_is_whole(trail: Trail) -> None:
    outcome = trail.outcome(deep=True)
    assert isinstance(outcome, Holds)
    assert (outcome.size, outcome.unsealed, outcome.tenant_id) == (COUNT + 1, 0, TENANT)


def test_what_came_since_is_not_sealed_yet_and_no_flaw(trail: Trail) -> None:
    trail.write(5)
    outcome = trail.outcome()
    assert isinstance(outcome, Holds)
    assert outcome.unsealed == 5


def request_id(trail: Trail, seq: int) -> str:
    db = sqlite3.connect(trail.path)
    (found,) = db.execute("SELECT request_id FROM records WHERE seq = ?", (seq,)).fetchone()
    db.close()
    return str(found)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET status = 500 WHERE seq = 400",
        "UPDATE records SET path = '/other' WHERE seq = 400",
        "UPDATE records SET client_ip = '192.0.2.8' WHERE seq = 400",
        "UPDATE records SET started_us = started_us + 1 WHERE seq = 400",
        "UPDATE records SET record = (SELECT record FROM records WHERE seq = 3) WHERE seq = 400",
        "UPDATE records SET record = x'00' WHERE seq = 400",
        "UPDATE records SET encrypted = (SELECT encrypted FROM records WHERE seq = 3) WHERE seq = 400",
        "UPDATE records SET encrypted = substr(encrypted, 1, 40) || x'00' || substr(encrypted, 42) WHERE seq = 400",
        "UPDATE records SET slot = 'x' WHERE seq = 400",
        "UPDATE records SET method = CAST(x'ff' AS TEXT) WHERE seq = 400",
        "UPDATE records SET slot = (SELECT slot FROM records WHERE seq = 3) WHERE seq = 400",
        "UPDATE records SET commitments = (SELECT commitments FROM records WHERE seq = 3) WHERE seq = 400",
    ],
)
def test_a_record_that_was_altered_is_named(trail: Trail, statement: str) -> None:
    trail.sql(statement)
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert (flaw.kind, flaw.leaf_index, flaw.seq) == ("altered", 399, 400)
    assert flaw.request_id == request_id(trail, 400)


def test_only_the_first_is_named(trail: Trail) -> None:
    trail.sql("UPDATE records SET status = 500 WHERE seq IN (300, 200, 500)")
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert flaw.seq == 200


def test_a_change_that_was_altered_is_named(trail: Trail) -> None:
    trail.sql("UPDATE changes SET request_id = 'another'")
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert (flaw.kind, flaw.leaf_index) == ("altered", COUNT)


@pytest.mark.parametrize("seq", [1, 300, COUNT])
def test_a_record_that_was_removed_is_named(trail: Trail, seq: int) -> None:
    trail.sql("DELETE FROM records WHERE seq = ?", (seq,))
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert (flaw.kind, flaw.leaf_index, flaw.seq) == ("removed", seq - 1, seq)


def test_a_record_that_was_inserted_is_named(trail: Trail) -> None:
    trail.sql("UPDATE records SET seq = seq + 1 WHERE seq = 600")
    trail.sql("DELETE FROM records WHERE seq = 601")
    trail.ledger.write([Completion(Record("forged", TENANT, "GET", "/", NOW))])
    trail.sql("UPDATE records SET seq = 600 WHERE request_id = 'forged'")
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert (flaw.kind, flaw.request_id) == ("altered", "forged")


def test_a_record_between_others_that_has_no_leaf_is_named(trail: Trail) -> None:
    trail.sql("UPDATE records SET seq = -seq WHERE seq = 1")
    trail.sql("UPDATE records SET seq = 0 WHERE seq = -1")
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert (flaw.kind, flaw.seq) == ("inserted", 0)


def test_records_that_changed_places_are_named(trail: Trail) -> None:
    trail.sql("UPDATE records SET seq = -1 WHERE seq = 50")
    trail.sql("UPDATE records SET seq = 50 WHERE seq = 51")
    trail.sql("UPDATE records SET seq = 51 WHERE seq = -1")
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert (flaw.kind, flaw.seq) == ("altered", 50)


def test_parts_that_are_gone_without_an_erasure_are_named(trail: Trail) -> None:
    trail.sql("UPDATE records SET encrypted = NULL, slot = NULL, path = NULL, client_ip = NULL WHERE seq = 77")
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert (flaw.kind, flaw.seq) == ("erased_without_trace", 77)


def flip(file: Path, at: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "name",
    ["tile/0/000", "tile/0/002.p/89", "tile/1/000.p/2", "tile/entries/001", "tile/entries/002.p/89", "checkpoint"],
)
@pytest.mark.parametrize(
    "harm", [flip, Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-9])], ids=["bit", "gone", "cut"]
)
def test_a_file_of_the_log_that_was_harmed_is_found(trail: Trail, name: str, harm: Callable[[Path], object]) -> None:
    harm(trail.root / TENANT / name)
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert flaw.kind == "damaged"


def test_a_tail_that_was_cut_off_is_found_by_whoever_holds_a_checkpoint(sealed: Path, tmp_path: Path) -> None:
    """The whole directory is brought back from an older copy, keys and all: nothing in it contradicts itself."""
    older, newer = tmp_path / "older", tmp_path / "newer"
    shutil.copytree(sealed, older)
    shutil.copytree(sealed, newer)
    trail = Trail(newer, create=False)
    trail.write(10)
    trail.seal()
    held = trail.checkpoint()
    trail.close()
    rolled_back = Trail(older, create=False)
    assert isinstance(rolled_back.outcome(), Holds)
    flaw = rolled_back.outcome(held=(held,))
    assert isinstance(flaw, Flaw)
    assert flaw.kind == "cut_off"
    rolled_back.write(10)
    rolled_back.seal()
    rewritten = rolled_back.outcome(held=(held,))
    assert isinstance(rewritten, Flaw)
    assert rewritten.kind == "rewritten"
    rolled_back.close()


def test_only_what_began_since_is_compared_where_that_is_asked_for(trail: Trail) -> None:
    trail.sql("UPDATE records SET status = 500 WHERE seq = 3")
    assert isinstance(trail.outcome(), Flaw)
    assert isinstance(trail.outcome(from_us=NOW + 50), Holds)


def test_a_tenant_whose_log_is_gone_altogether_is_found(trail: Trail) -> None:
    with sqlite3.connect(trail.folder / "seals.db") as db:
        db.execute("DELETE FROM logs")
    db.close()
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert (flaw.kind, flaw.seq) == ("inserted", 1)


def test_keys_that_the_log_never_had_do_not_do(trail: Trail) -> None:
    other = f"log.example/{TENANT}+00000000+AQ=="
    with pytest.raises(Exception, match="key"):
        trail.outcome(keys=(other,))
