"""Where streams keep how far they have come: whole or not at all, and shared by processes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hatchpay.audit.stream.ports import DeadLetter, StreamState
from hatchpay.errors import AuditUnavailable
from hatchpay.store.stream_states import SqlStreamStates

STATE = StreamState(
    cursor=7,
    delivered=6,
    failed=5,
    failures=4,
    last_success_us=3,
    last_error="stream_status",
    last_error_us=2,
    last_status=502,
    retry_us=1,
)


@pytest.fixture
def states(tmp_path: Path) -> Iterator[SqlStreamStates]:
    states = SqlStreamStates(tmp_path / "streams.db")
    yield states
    states.close()


def letter(stream_id: str = "a", first: int = 1, count: int = 1) -> DeadLetter:
    return DeadLetter(
        stream_id=stream_id, first_seq=first, last_seq=first, count=count, code="stream_rejected", at_us=9
    )


def test_what_was_saved_is_there_for_whoever_opens_it_next(states: SqlStreamStates, tmp_path: Path) -> None:
    assert (states.load(), states.dead_letters(), states.beat_us()) == ({}, {}, None)
    states.save({"a": STATE, "b": StreamState(cursor=1)}, [letter(count=3), letter(first=2)], 99)
    states.close()
    again = SqlStreamStates(tmp_path / "streams.db")
    assert again.load() == {"a": STATE, "b": StreamState(cursor=1)}
    assert again.dead_letters() == {"a": 4}
    assert again.beat_us() == 99
    again.close()
    assert (tmp_path / "streams.db").stat().st_mode & 0o777 == 0o600


def test_a_record_that_is_given_up_twice_counts_once(states: SqlStreamStates) -> None:
    states.save({}, [letter(), letter()], 0)
    states.save({}, [letter()], 0)
    assert states.dead_letters() == {"a": 1}


def test_streams_that_are_gone_are_forgotten(states: SqlStreamStates) -> None:
    states.save({"a": STATE, "b": STATE}, [letter("b"), letter("c")], 0)
    states.forget(["a"])
    assert (set(states.load()), states.dead_letters()) == ({"a"}, {})


def test_another_process_that_opens_and_closes_it_separates_nobody(states: SqlStreamStates, tmp_path: Path) -> None:
    """SQLite's locks belong to a process: whatever closes the file there takes them all away."""
    path = tmp_path / "streams.db"
    states.save({}, [], 1)
    second = SqlStreamStates(path)
    second.load()
    subprocess.run(
        [sys.executable, "-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM beat')", path],
        check=True,
    )
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("UPDATE beat SET at_us = 2")
    writer.close()
    assert (states.beat_us(), second.beat_us()) == (2, 2)
    second.close()


def test_a_file_that_was_lost_is_begun_anew(states: SqlStreamStates, tmp_path: Path) -> None:
    states.save({"a": STATE}, [], 0)
    for file in tmp_path.glob("streams.db*"):
        file.unlink()
    assert states.load() == {}
    states.save({"b": STATE}, [], 0)
    assert set(states.load()) == {"b"}


@pytest.mark.parametrize("harm", ["damaged", "newer", "directory"])
def test_what_cannot_be_used_is_said_so_and_is_used_again_once_it_can(
    states: SqlStreamStates, tmp_path: Path, harm: str
) -> None:
    path = tmp_path / "streams.db"
    if harm == "damaged":
        path.write_bytes(b"not a database " * 100)
    elif harm == "newer":
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 2")
        db.close()
    else:
        path.mkdir()
    for call in (states.load, states.dead_letters, states.beat_us, lambda: states.save({}, [], 0)):
        with pytest.raises(AuditUnavailable) as caught:
            call()
        assert caught.value.code == "streams_unavailable"
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    assert states.load() == {}
