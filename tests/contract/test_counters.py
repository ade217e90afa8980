"""What every counter of rate limits must do: count exactly, whoever else counts, and whatever becomes of them."""

from __future__ import annotations

import fcntl
import os
import secrets
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


def bucket(requests: int, window_s: int = MONTH, key: str = "key", tenant: str = "tenant") -> Bucket:
    (made,) = buckets_of_key(tenant, key, (RateLimit(requests, window_s),), ())
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
    buckets = buckets_of_key("tenant", "key", (), roles)
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
fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 2048, 0))
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


def test_a_holder_is_asked_ten_times_and_not_waited_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    counters = make()
    spend(counters, bucket(5))
    asked = list[int]()

    def held(fd: int, command: int, wanted: bytes) -> object:
        asked.append(command)
        raise BlockingIOError

    with monkeypatch.context() as busy:
        busy.setattr(fcntl, "fcntl", held)
        assert counters.spend([bucket(5)], NOW) is None
    # Which asks without waiting; the pauses between such calls are the event loop's.
    assert asked == [fcntl.F_OFD_SETLK] * 10
    assert remaining(spend(counters, bucket(5))) == [3]


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


def filled(counters: Counters, now: int = NOW, tenant: str = "tenant") -> tuple[int, Bucket]:
    """Counts one caller of the tenant after the other, each a microsecond later, until there is no room for one.

    How many were counted, and the first that was not. All of them are full again after five seconds.
    """
    for number in count():
        one = bucket(2, 10, key=f"filling {number}", tenant=tenant)
        try:
            spend(counters, one, now=now + number)
        except Unavailable as refusal:
            assert refusal.code == "rate_limits_unavailable"
            return number, one
    raise AssertionError


def test_a_counter_for_which_there_is_no_room_is_a_failure_and_others_go_on(make: Make) -> None:
    counters = make()
    number, lacking = filled(counters)
    with pytest.raises(Unavailable):
        spend(counters, lacking, now=NOW + number)
    last = bucket(2, 10, key=f"filling {number - 1}")
    assert remaining(spend(counters, last, now=NOW + number)) == [0]


def test_a_tenant_of_which_few_are_busy_has_room(make: Make) -> None:
    number, _ = filled(make())
    assert number > 2000


def test_a_tenant_that_fills_its_room_is_refused_there_only(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it has its issuers make up. With a known salt, by which none of these tenants share their room."""
    monkeypatch.setattr(secrets, "token_bytes", bytes)
    counters = make()
    refused = 0
    # Twice as many as there are slots for one tenant.
    for number in range(2 * 8192):
        try:
            spend(counters, bucket(1, MAX_WINDOW_S, key=str(number), tenant="loud"))
        except Unavailable:
            refused += 1
    assert refused >= 8192
    with pytest.raises(Unavailable):
        spend(counters, bucket(5, tenant="loud"))
    others = [bucket(5, tenant=f"quiet {number}") for number in range(50)]
    assert [remaining(spend(counters, one)) for one in others] == [[4]] * 50


def test_a_bucket_that_is_full_again_makes_room(make: Make) -> None:
    counters = make()
    number, lacking = filled(counters)
    # The first is full again five seconds after its only request, the others up to `number` microseconds later.
    with pytest.raises(Unavailable):
        spend(counters, lacking, now=NOW + 5 * SECOND)
    assert remaining(spend(counters, lacking, now=NOW + 5 * SECOND + number)) == [1]


def limits_of_roles(number: int) -> list[LimitSource]:
    """`number` limits, soon full again."""
    return [LimitSource(f"role:{n}", str(n), (RateLimit(1000, 1),)) for n in range(number)]


def test_two_new_buckets_of_one_request_get_two_places(make: Make) -> None:
    """More than there are sets for a tenant, so that at least two are of the same set."""
    counters = make()
    buckets = buckets_of_key("tenant", "key", (), limits_of_roles(300))
    assert remaining(spend(counters, *buckets)) == [999] * 300
    assert remaining(spend(counters, *buckets)) == [998] * 300


def test_a_new_bucket_does_not_get_the_place_of_another_of_the_same_request(make: Make) -> None:
    """Not even where that one is full again, and its place would be free for others."""
    counters, roles, quota = make(), limits_of_roles(100), (RateLimit(3, MONTH),)
    for number in range(30):
        of_roles = buckets_of_key("tenant", f"key {number}", (), roles)
        spend(counters, *of_roles, now=NOW + number * 10 * SECOND)
        both = buckets_of_key("tenant", f"key {number}", quota, roles)
        assert allowed(counters, *both, times=6, now=NOW + (number * 10 + 5) * SECOND) == 3


def test_a_clock_that_is_set_back_gives_nothing_away_and_blocks_nobody_for_long(make: Make) -> None:
    counters, one = make(), bucket(60, 60)
    assert allowed(counters, one, times=60) == 60
    earlier = NOW - 86_400 * SECOND
    assert allowed(counters, one, times=5, now=earlier) == 0
    assert spend(counters, one, now=earlier).levels[0].next_us == SECOND
    assert allowed(counters, one, times=5, now=earlier + 3 * SECOND) == 3
    assert allowed(counters, one, times=61, now=earlier + 63 * SECOND) == 60


def test_a_clock_that_was_ahead_for_a_moment_blocks_nobody_for_longer_than_the_window(make: Make) -> None:
    counters, short, long = make(), bucket(10, 60), bucket(1000, MONTH)
    assert remaining(spend(counters, short, long, now=NOW + 3600 * SECOND)) == [9, 999]
    refused = spend(counters, short, long)
    assert refused.lacking == (0,)
    # The month's limit, a token in 2,592 seconds, owes no more than it can: 2,592 + 3,600 seconds, and that stays.
    assert remaining(refused) == [0, 997]
    assert remaining(spend(counters, short, long, now=NOW + 6 * SECOND)) == [0, 996]
    assert remaining(spend(counters, short, now=NOW + 66 * SECOND)) == [9]


def test_what_a_clock_far_ahead_has_left_behind_uses_up_no_room(make: Make) -> None:
    counters = make()
    _, lacking = filled(counters, now=NOW + 400 * 86_400 * SECOND)
    assert remaining(spend(counters, lacking)) == [1]


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
            # Where its bucket is kept; all the rest are holes.
            file.seek(os.lseek(file.fileno(), 4096, os.SEEK_DATA))
            file.write(bytes(range(256)) * 16)
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
