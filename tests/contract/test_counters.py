"""What every counter of rate limits must do: count exactly, whoever else counts, and whatever becomes of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.support.server import ROOT

from hatchpay.access.rate_limit import MAX_WINDOW_S, Counters, Spent
from hatchpay.errors import Unavailable
from hatchpay.identity.buckets import LimitSource, buckets_of_key
from hatchpay.identity.principal import Bucket, RateLimit
from hatchpay.store.counters import FileCounters

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
MONTH = 30 * 24 * 3600

Make = Callable[[], FileCounters]


def _file(folder: Path) -> FileCounters:
    # A clock that is ahead of the last look each time: every call looks whether the file still is there.
    return FileCounters(folder / "limits", monotonic=count(1).__next__)


STORES: dict[str, Callable[[Path], FileCounters]] = {"file": _file}


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Opens the same counters once more."""
    opened: list[FileCounters] = []

    def make() -> FileCounters:
        opened.append(STORES[request.param](tmp_path))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def bucket(requests: int, window_s: int = MONTH, key: str = "key") -> Bucket:
    (made,) = buckets_of_key(key, (RateLimit(requests, window_s),), ())
    return made


def spend(counters: Counters, *buckets: Bucket, now: int = NOW) -> Spent:
    """Once nobody else is at it."""
    while (spent := counters.spend(buckets, now)) is None:
        pass
    return spent


def allowed(counters: Counters, *buckets: Bucket, times: int, now: int = NOW) -> int:
    return sum(not spend(counters, *buckets, now=now).lacking for _ in range(times))


def remaining(spent: Spent) -> list[int]:
    return [level.remaining for level in spent.levels]


def test_as_many_as_the_limit_says_and_not_one_more(make: Make) -> None:
    counters = make()
    assert allowed(counters, bucket(25), times=40) == 25
    assert spend(counters, bucket(25)).lacking == (0,)


def test_tokens_come_back_one_by_one(make: Make) -> None:
    counters, one = make(), bucket(60, 60)
    assert allowed(counters, one, times=61) == 60
    assert allowed(counters, one, times=5, now=NOW + 3 * SECOND) == 3
    assert allowed(counters, one, times=61, now=NOW + 1000 * SECOND) == 60


def test_each_key_and_each_limit_has_a_bucket_of_its_own(make: Make) -> None:
    counters = make()
    ones = [bucket(2, key="a"), bucket(2, key="b"), bucket(2, MONTH - 1, key="a")]
    assert [allowed(counters, one, times=3) for one in ones] == [2, 2, 2]


def test_a_request_is_counted_in_all_its_buckets_or_in_none(make: Make) -> None:
    counters, wide, narrow = make(), bucket(10, key="a"), bucket(3, key="b")
    assert [remaining(spend(counters, wide, narrow)) for _ in range(3)] == [[9, 2], [8, 1], [7, 0]]
    for _ in range(5):
        refused = spend(counters, wide, narrow)
        assert refused.lacking == (1,)
        assert remaining(refused) == [7, 0]
    assert remaining(spend(counters, wide)) == [6]


def test_all_the_buckets_of_a_caller_with_many_roles_count(make: Make) -> None:
    counters = make()
    roles = [LimitSource(f"role:{n}", str(n), tuple(RateLimit(5, s) for s in range(1, 6))) for n in range(40)]
    buckets = buckets_of_key("key", (), roles)
    assert len({one.id for one in buckets}) == 200
    assert [remaining(spend(counters, *buckets)) for _ in range(2)] == [[4] * 200, [3] * 200]


def test_whoever_else_has_opened_them_counts_the_same(make: Make) -> None:
    first, second = make(), make()
    assert [remaining(spend(one, bucket(9))) for one in (first, second, first, second)] == [[8], [7], [6], [5]]


def test_they_are_kept_beyond_the_end_of_a_process(make: Make) -> None:
    counters = make()
    assert allowed(counters, bucket(5), times=4) == 4
    counters.close()
    assert allowed(make(), bucket(5), times=4) == 1


def test_a_limit_that_was_changed_goes_on_with_the_same_share_used(make: Make) -> None:
    counters = make()
    assert allowed(counters, bucket(10), times=5) == 5
    assert remaining(spend(counters, bucket(100))) == [49]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns after every few instructions."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_threads_do_not_count_past_each_other(make: Make) -> None:
    counters, results = make(), list[int]()
    barrier = threading.Barrier(4)

    def run() -> None:
        barrier.wait()
        results.append(allowed(counters, bucket(250), times=100))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(results) == 250


HAMMER = """
import sys
from pathlib import Path
from hatchpay.store.counters import FileCounters
from tests.contract.test_counters import allowed, bucket
counters = FileCounters(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(allowed(counters, bucket(700), bucket(10_000, key="other"), times=250))
"""


def test_processes_do_not_count_past_each_other(tmp_path: Path) -> None:
    """Not even while they begin the file together."""
    path = tmp_path / "limits"
    runs = [running(HAMMER, path) for _ in range(4)]
    for run in runs:
        assert read(run) == "ready"
    for run in runs:
        tell(run)
    assert sum(int(read(run)) for run in runs) == 700
    for run in runs:
        assert ended(run) == 0
    counters = FileCounters(path)
    assert remaining(spend(counters, bucket(10_000, key="other"))) == [10_000 - 700 - 1]
    counters.close()
    assert [one.name for one in tmp_path.iterdir()] == ["limits"]


HOLDER = """
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 256, 0))
print("held", flush=True)
sys.stdin.readline()
"""


def test_nobody_waits_for_a_holder_and_a_killed_one_holds_nothing(make: Make, tmp_path: Path) -> None:
    counters = make()
    spend(counters, bucket(5))
    holder = running(HOLDER, tmp_path / "limits")
    assert read(holder) == "held"

    assert counters.spend([bucket(5)], NOW) is None

    holder.kill()
    holder.wait()
    assert remaining(spend(counters, bucket(5))) == [3]
    ended(holder)


FORK = """
import os, sys
from pathlib import Path
from hatchpay.store.counters import FileCounters
from tests.contract.test_counters import allowed, bucket
counters = FileCounters(Path(sys.argv[1]))
allowed(counters, bucket(150), times=1)
reader, writer = os.pipe()
child = os.fork()
mine = allowed(counters, bucket(150), times=120)
if child == 0:
    os.write(writer, str(mine).encode())
    os._exit(0)
os.waitpid(child, 0)
print(1 + mine + int(os.read(reader, 10)))
"""


def test_a_forked_process_counts_beside_its_parent(tmp_path: Path) -> None:
    run = running(FORK, tmp_path / "limits")
    assert read(run) == "150"
    assert ended(run) == 0


def in_one_set(number: int) -> Bucket:
    """Of one caller and in one set, which has 32 slots."""
    return Bucket(b"somebody" + (128 * number).to_bytes(8, "little"), "key", "key", RateLimit(2, 10))


def test_a_counter_for_which_there_is_no_room_is_a_failure_and_others_go_on(make: Make) -> None:
    counters = make()
    for number in range(32):
        spend(counters, in_one_set(number))
    with pytest.raises(Unavailable) as refusal:
        spend(counters, in_one_set(32))
    assert refusal.value.code == "rate_limits_unavailable"
    assert remaining(spend(counters, in_one_set(31))) == [0]
    assert remaining(spend(counters, bucket(5))) == [4]


def test_a_bucket_that_is_full_again_makes_room(make: Make) -> None:
    counters = make()
    for number in range(32):
        spend(counters, in_one_set(number), now=NOW + number)
    # The first one is full again five seconds after its only request.
    assert remaining(spend(counters, in_one_set(32), now=NOW + 5 * SECOND + 1)) == [1]
    with pytest.raises(Unavailable):
        spend(counters, in_one_set(33), now=NOW + 5 * SECOND + 1)


def test_two_new_buckets_of_one_request_get_two_places(make: Make) -> None:
    counters = make()
    two = in_one_set(0), in_one_set(1)
    assert remaining(spend(counters, *two)) == [1, 1]
    assert remaining(spend(counters, *two)) == [0, 0]


def test_a_clock_that_is_set_back_gives_nothing_away_and_blocks_nobody_for_long(make: Make) -> None:
    counters, one = make(), bucket(60, 60)
    assert allowed(counters, one, times=60) == 60
    earlier = NOW - 86_400 * SECOND
    assert allowed(counters, one, times=5, now=earlier) == 0
    assert spend(counters, one, now=earlier).levels[0].next_us == SECOND
    # Nothing was written down while it was refused, so the first that is let through starts the refilling.
    assert allowed(counters, bucket(60, 60, key="other"), times=61, now=earlier) == 60


def test_what_a_clock_far_ahead_has_left_behind_uses_up_no_room(make: Make) -> None:
    counters = make()
    ahead = NOW + 400 * 86_400 * SECOND
    for number in range(32):
        spend(counters, in_one_set(number), now=ahead)
    assert remaining(spend(counters, in_one_set(32))) == [1]


class TestTheFile:
    def test_it_is_for_its_owner_only_and_takes_no_room_before_it_is_used(self, tmp_path: Path) -> None:
        counters = _file(tmp_path)
        spend(counters, bucket(5))
        status = (tmp_path / "limits").stat()
        assert status.st_mode & 0o777 == 0o600
        assert status.st_blocks * 512 < 1_000_000

    @pytest.mark.parametrize("what", ["gone", "empty", "cut", "longer", "header", "salt", "zeros", "moved"])
    def test_where_it_is_gone_or_damaged_all_count_in_one_new_file(self, tmp_path: Path, what: str) -> None:
        path = tmp_path / "limits"
        first, second = _file(tmp_path), _file(tmp_path)
        assert allowed(first, bucket(5), times=3) == 3
        size = path.stat().st_size
        if what == "gone":
            path.unlink()
        elif what == "moved":
            path.rename(tmp_path / "elsewhere")
        elif what in {"empty", "cut", "longer"}:
            os.truncate(path, {"empty": 0, "cut": 5000, "longer": size + 1}[what])
        else:
            with path.open("r+b") as file:
                file.seek(10 if what == "salt" else 0)
                file.write(bytes(4096) if what == "zeros" else b"not ours")
        # Those who have read the header need it no more; whoever comes later must not count elsewhere.
        third = _file(tmp_path)
        counted = sum(allowed(one, bucket(5), times=5) for one in (third, first, second))
        assert counted == 5
        assert path.stat().st_size == size
        for one in (first, second, third):
            one.close()

    @pytest.mark.parametrize("what", ["empty", "cut", "longer"])
    def test_whoever_has_it_open_notices_that_it_is_cut_off(self, tmp_path: Path, what: str) -> None:
        counters = _file(tmp_path)
        assert allowed(counters, bucket(5), times=3) == 3
        size = (tmp_path / "limits").stat().st_size
        os.truncate(tmp_path / "limits", {"empty": 0, "cut": 5000, "longer": size + 1}[what])
        assert allowed(counters, bucket(5), times=6) == 5

    def test_a_cut_that_was_not_noticed_yet_is_a_failure(self, tmp_path: Path) -> None:
        counters = FileCounters(tmp_path / "limits", monotonic=lambda: 1.0)
        spend(counters, bucket(5))
        os.truncate(tmp_path / "limits", 5000)
        with pytest.raises(Unavailable):
            counters.spend([bucket(5)], NOW)

    def test_garbage_in_it_lets_nobody_have_more(self, tmp_path: Path) -> None:
        counters = _file(tmp_path)
        spend(counters, bucket(5))
        with (tmp_path / "limits").open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(4096)
            pattern = bytes(range(256)) * 256
            while file.tell() < size:
                file.write(pattern)
        assert allowed(counters, bucket(5), times=20) <= 5

    @pytest.mark.parametrize("what", ["directory", "symlink", "no folder"])
    def test_what_cannot_be_opened_is_a_failure(self, tmp_path: Path, what: str) -> None:
        path = tmp_path / "limits"
        if what == "directory":
            path.mkdir()
        elif what == "symlink":
            path.symlink_to(tmp_path / "elsewhere")
        counters = FileCounters(path if what != "no folder" else tmp_path / "none" / "limits")
        with pytest.raises(Unavailable) as refusal:
            counters.spend([bucket(5)], NOW)
        assert refusal.value.code == "rate_limits_unavailable"
        assert str(tmp_path) not in refusal.value.detail

    def test_a_full_disk_is_a_failure_and_passes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        counters = _file(tmp_path)
        spend(counters, bucket(5))
        with monkeypatch.context() as broken:
            broken.setattr(os, "pwrite", no_room)
            with pytest.raises(Unavailable):
                counters.spend([bucket(5)], NOW)
        assert remaining(spend(counters, bucket(5))) == [3]

    def test_a_limit_of_the_longest_window_can_be_kept(self, tmp_path: Path) -> None:
        counters = _file(tmp_path)
        assert allowed(counters, bucket(1, MAX_WINDOW_S), times=2) == 1


def no_room(*_: object) -> int:
    raise OSError(28, "No space left on device")


def running(program: str, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def read(run: subprocess.Popen[str]) -> str:
    assert run.stdout is not None
    return run.stdout.readline().strip()


def tell(run: subprocess.Popen[str]) -> None:
    assert run.stdin is not None
    run.stdin.write("\n")
    run.stdin.flush()


def ended(run: subprocess.Popen[str]) -> int:
    run.communicate()
    return run.returncode
