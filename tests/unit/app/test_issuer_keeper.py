"""Fetching issuers' keys beside the requests: who waits for it, and whom it must not hold up."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tests.support.directory import KEEP_S, SECOND, World, fresh_directory
from tests.support.issuer import serving_issuer

from hatchpay.admin.issuer_keys import IssuerKeyRefresh
from hatchpay.admin.issuers import Issuers
from hatchpay.admin.token_views import NewIssuer
from hatchpay.app import issuer_keeper
from hatchpay.app.issuer_keeper import IssuerKeeper
from hatchpay.errors import DirectoryUnavailable
from hatchpay.identity.authenticator import Authenticated, Unsettled
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.ports import Trust
from hatchpay.identity.tokens import TokenAuthenticator
from hatchpay.ids import new_id
from hatchpay.store.guarded_http import GuardedHttp
from hatchpay.store.issuer_documents import IssuerDocuments


class FakeRefresh(IssuerKeyRefresh):
    """Notes what is fetched; a fetch of `slow` waits for `gate`, one of `failing` raises."""

    def __init__(self) -> None:
        self.fetched: list[tuple[str, bool]] = []
        self.due_now: list[str] = []
        self.slow: set[str] = set()
        self.failing: dict[str, BaseException] = {}
        self.gate = threading.Event()

    def due(self, trust: Trust) -> list[str]:
        found, self.due_now = self.due_now, []
        return found

    def refresh(self, issuer_id: str, *, asked: bool = False) -> bool:
        self.fetched.append((issuer_id, asked))
        if issuer_id in self.slow:
            self.gate.wait(30)
        if issuer_id in self.failing:
            raise self.failing[issuer_id]
        return True


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def refresh() -> Iterator[FakeRefresh]:
    refresh = FakeRefresh()
    yield refresh
    refresh.gate.set()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(issuer_keeper, "monotonic", clock)
    return clock


def run(
    refresh: IssuerKeyRefresh,
    steps: Callable[[IssuerKeeper], Awaitable[None]],
    trust: Callable[[], Trust] = Trust,
    take_over: Callable[[], object] = lambda: None,
) -> None:
    """`steps` with a keeper that is stopped afterwards; all within ten seconds."""

    async def all_steps() -> None:
        keeper = IssuerKeeper(refresh, trust, take_over)
        try:
            await steps(keeper)
        finally:
            await keeper.stop()

    asyncio.run(asyncio.wait_for(all_steps(), 10))


async def settled(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_whoever_wants_keys_waits_until_they_are_fetched_and_in_force(refresh: FakeRefresh, clock: Clock) -> None:
    told: list[str] = []

    async def steps(keeper: IssuerKeeper) -> None:
        wait = keeper.want("a")
        assert wait is not None
        await wait()
        assert refresh.fetched == [("a", True)]
        assert told == ["in force"]

    run(refresh, steps, take_over=lambda: told.append("in force"))


def test_once_they_were_fetched_nobody_waits_again_for_a_minute(refresh: FakeRefresh, clock: Clock) -> None:
    async def steps(keeper: IssuerKeeper) -> None:
        wait = keeper.want("a")
        assert wait is not None
        await wait()
        await settled(lambda: not keeper._fetching)
        clock.now += 59.9
        assert keeper.want("a") is None
        clock.now += 0.1
        again = keeper.want("a")
        assert again is not None
        await again()
        assert refresh.fetched == [("a", True), ("a", True)]

    run(refresh, steps)


def test_a_failure_does_not_let_anybody_ask_sooner(refresh: FakeRefresh, clock: Clock) -> None:
    refresh.failing["a"] = DirectoryUnavailable("away")

    async def steps(keeper: IssuerKeeper) -> None:
        wait = keeper.want("a")
        assert wait is not None
        await wait()
        await settled(lambda: not keeper._fetching)
        assert keeper.want("a") is None

    run(refresh, steps)


def test_many_who_want_the_same_keys_share_one_fetch(refresh: FakeRefresh, clock: Clock) -> None:
    refresh.slow.add("a")

    async def steps(keeper: IssuerKeeper) -> None:
        waits = [keeper.want("a") for _ in range(100)]
        waiting = [asyncio.ensure_future(wait()) for wait in waits if wait is not None]
        assert len(waiting) == 100
        await settled(lambda: bool(refresh.fetched))
        assert not any(one.done() for one in waiting)
        refresh.gate.set()
        await asyncio.gather(*waiting)
        assert refresh.fetched == [("a", True)]

    run(refresh, steps)


def test_a_fetch_that_was_under_way_already_is_waited_for(refresh: FakeRefresh, clock: Clock) -> None:
    """It began because it was due: asking for another one beside it would bring nothing."""
    refresh.slow.add("a")
    refresh.due_now = ["a"]

    async def steps(keeper: IssuerKeeper) -> None:
        keeper.start()
        await settled(lambda: bool(refresh.fetched))
        wait = keeper.want("a")
        assert wait is not None
        refresh.gate.set()
        await wait()
        assert refresh.fetched == [("a", False)]

    run(refresh, steps)


def test_one_who_gives_up_takes_nothing_from_the_others(refresh: FakeRefresh, clock: Clock) -> None:
    """A client that has gone away cancels its own wait, not the fetch."""
    refresh.slow.add("a")

    async def steps(keeper: IssuerKeeper) -> None:
        waits = [keeper.want("a") for _ in range(2)]
        gone, staying = [asyncio.ensure_future(wait()) for wait in waits if wait is not None]
        await settled(lambda: bool(refresh.fetched))
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert not staying.done()
        refresh.gate.set()
        await staying

    run(refresh, steps)


def test_a_slow_fetch_ends_the_wait_and_holds_up_no_other_issuer(
    refresh: FakeRefresh, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keeper, "_WAIT_AT_MOST_S", 0.05)
    refresh.slow.add("slow")

    async def steps(keeper: IssuerKeeper) -> None:
        slow, other = keeper.want("slow"), keeper.want("other")
        assert slow is not None
        assert other is not None
        await other()
        await slow()
        assert ("slow", True) in refresh.fetched
        assert set(keeper._fetching) == {"slow"}

    run(refresh, steps)


@pytest.mark.parametrize(
    ("error", "named"),
    [(DirectoryUnavailable("secret text"), "directory_unavailable"), (ValueError("secret text"), "ValueError")],
)
def test_a_fetch_that_fails_ends_the_wait_and_is_logged_by_its_code_alone(
    refresh: FakeRefresh, clock: Clock, caplog: pytest.LogCaptureFixture, error: Exception, named: str
) -> None:
    refresh.failing["a"] = error

    async def steps(keeper: IssuerKeeper) -> None:
        wait, other = keeper.want("a"), keeper.want("other")
        assert wait is not None
        assert other is not None
        await asyncio.gather(wait(), other())

    with caplog.at_level(logging.ERROR, "hatchpay.issuers"):
        run(refresh, steps)

    assert [record.getMessage() for record in caplog.records] == [
        f"the keys of the issuer a could not be renewed: {named}"
    ]
    assert "secret text" not in caplog.text


def test_what_cannot_be_taken_over_ends_the_wait_as_well(refresh: FakeRefresh, clock: Clock) -> None:
    def fail() -> None:
        raise DirectoryUnavailable("away")

    async def steps(keeper: IssuerKeeper) -> None:
        wait = keeper.want("a")
        assert wait is not None
        await wait()

    run(refresh, steps, take_over=fail)


def test_what_is_due_is_fetched_without_anybody_asking(
    refresh: FakeRefresh, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keeper, "_LOOK_EVERY_S", 0.001)
    refresh.due_now = ["a", "b"]
    refresh.failing["a"] = ValueError("x")

    async def steps(keeper: IssuerKeeper) -> None:
        keeper.start()
        await settled(lambda: len(refresh.fetched) == 2)
        # A failure does not end the looking.
        refresh.due_now = ["c"]
        await settled(lambda: len(refresh.fetched) == 3)
        assert sorted(refresh.fetched) == [("a", False), ("b", False), ("c", False)]

    run(refresh, steps)


def test_what_is_due_while_its_fetch_is_under_way_is_not_fetched_twice(
    refresh: FakeRefresh, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keeper, "_LOOK_EVERY_S", 0.001)
    refresh.slow.add("a")
    refresh.due_now = ["a"]

    async def steps(keeper: IssuerKeeper) -> None:
        keeper.start()
        await settled(lambda: bool(refresh.fetched))
        refresh.due_now = ["a", "b"]
        await settled(lambda: len(refresh.fetched) == 2)
        assert [issuer_id for issuer_id, _ in refresh.fetched] == ["a", "b"]

    run(refresh, steps)


def test_whoever_stops_waits_for_no_fetch(refresh: FakeRefresh, clock: Clock) -> None:
    refresh.slow |= {"a", "b"}
    refresh.due_now = ["b"]

    async def steps(keeper: IssuerKeeper) -> None:
        keeper.start()
        wait = keeper.want("a")
        assert wait is not None
        waiting = asyncio.ensure_future(wait())
        await settled(lambda: len(refresh.fetched) == 2)
        started = time.monotonic()
        await keeper.stop()
        assert time.monotonic() - started < 2
        await waiting

    run(refresh, steps)


def test_stopping_twice_or_before_the_start_is_nothing(refresh: FakeRefresh, clock: Clock) -> None:
    async def steps(keeper: IssuerKeeper) -> None:
        await keeper.stop()
        await keeper.stop()

    run(refresh, steps)


def test_what_was_asked_of_issuers_that_are_gone_is_forgotten(
    refresh: FakeRefresh, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keeper, "_LOOK_EVERY_S", 0.001)

    async def steps(keeper: IssuerKeeper) -> None:
        wait = keeper.want("gone")
        assert wait is not None
        await wait()
        keeper.start()
        await settled(lambda: not keeper._asked)

    run(refresh, steps)


def test_a_token_under_a_new_key_is_let_in_after_one_fetch_from_a_real_issuer() -> None:
    world = World(fresh_directory())
    world.begin_tokens()
    admin = world.admin(world.onboard("Demo"))
    documents = IssuerDocuments(GuardedHttp(insecure=True))
    issuers = Issuers(world.directory, world.clock, new_id, documents.keys, frozenset, insecure=True)
    with serving_issuer(["EdDSA"], now=lambda: world.clock.now / SECOND) as issuer:
        issuers.create(
            admin,
            NewIssuer(
                issuer=issuer.url,
                audience=issuer.audience,
                jwks_url=None,
                algorithms=("EdDSA",),
                ceiling=(),
                claims=ClaimsMapping(),
            ),
        )
        world.snapshots.refresh()
        issuer.rotate()
        token, forged = issuer.token(), issuer.token(header={"kid": "nobody's"})

        async def steps(keeper: IssuerKeeper) -> None:
            authenticator = TokenAuthenticator(lambda: world.snapshots.current, world.clock, keeper.want, keep_s=KEEP_S)
            outcomes = [authenticator.authenticate(text) for text in [token] * 5 + [forged] * 5]
            assert all(isinstance(outcome, Unsettled) for outcome in outcomes)
            await asyncio.gather(*(outcome.wait() for outcome in outcomes if isinstance(outcome, Unsettled)))
            assert isinstance(authenticator.authenticate(token), Authenticated)
            assert not isinstance(authenticator.authenticate(forged), Authenticated | Unsettled)

        run(
            IssuerKeyRefresh(world.directory, world.clock, documents.keys),
            steps,
            lambda: world.snapshots.current.trust,
            world.snapshots.refresh,
        )
        assert issuer.fetches == 2
    world.close()
