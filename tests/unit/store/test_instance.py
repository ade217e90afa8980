"""Who is alive: a lock that the kernel lets go of with the process that holds it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hatchpay.store.instance import InstanceLock, is_gone

_HOLD = """
import sys, time
from pathlib import Path
from hatchpay.store.instance import InstanceLock
lock = InstanceLock(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def holding(directory: Path, instance: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    arguments = [sys.executable, "-c", _HOLD, str(directory), instance]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_an_instance_that_never_was_is_gone(tmp_path: Path) -> None:
    assert is_gone(tmp_path, "a")
    assert is_gone(tmp_path / "absent", "a")


def test_an_instance_is_there_until_it_lets_go(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "instances", "a")
    assert not is_gone(tmp_path / "instances", "a")
    assert is_gone(tmp_path / "instances", "b")
    lock.release()
    assert is_gone(tmp_path / "instances", "a")
    assert list((tmp_path / "instances").iterdir()) == []


def test_letting_go_twice_is_letting_go_once(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path, "a")
    lock.release()
    lock.release()
    assert lock.fd == -1


def test_asking_does_not_take_the_lock(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path, "a")
    assert [is_gone(tmp_path, "a") for _ in range(3)] == [False, False, False]
    os.close(lock.fd)
    assert [is_gone(tmp_path, "a") for _ in range(3)] == [True, True, True]


def test_the_lock_is_for_its_owner_only(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path / "instances", "a")
    assert (tmp_path / "instances").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "instances" / "a.lock").stat().st_mode & 0o077 == 0
    lock.release()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_lets_go_of_its_lock_and_leaves_the_file(tmp_path: Path, how: signal.Signals) -> None:
    with holding(tmp_path, "a") as process:
        assert not is_gone(tmp_path, "a")
        process.send_signal(how)
        process.wait()
        assert is_gone(tmp_path, "a")
        assert (tmp_path / "a.lock").exists()


def test_a_child_that_has_inherited_the_lock_keeps_it(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path, "a")
    with subprocess.Popen(["sleep", "60"], pass_fds=[lock.fd]) as child:
        os.close(lock.fd)
        assert not is_gone(tmp_path, "a")
        child.kill()
        child.wait()
    assert is_gone(tmp_path, "a")


def test_a_child_that_was_not_given_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    lock = InstanceLock(tmp_path, "a")
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        os.close(lock.fd)
        assert is_gone(tmp_path, "a")
        child.kill()


def test_whoever_asks_at_the_moment_of_start_does_not_spoil_it(tmp_path: Path) -> None:
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            is_gone(tmp_path, "a")

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            lock = InstanceLock(tmp_path, "a")
            assert not is_gone(tmp_path, "a")
            assert os.path.samestat(os.fstat(lock.fd), (tmp_path / "a.lock").stat())
            lock.release()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_second_holder_waits_for_the_first_and_then_holds_a_lock_that_counts(tmp_path: Path) -> None:
    first = InstanceLock(tmp_path, "a")
    taken: list[InstanceLock] = []
    second = threading.Thread(target=lambda: taken.append(InstanceLock(tmp_path, "a")))
    second.start()
    second.join(0.05)
    assert taken == []
    first.release()
    second.join(5)
    assert not is_gone(tmp_path, "a")
    taken[0].release()
    assert is_gone(tmp_path, "a")
