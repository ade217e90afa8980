"""Keeping the keys of trusted issuers fresh: when, by whom, and what a failure changes."""

from __future__ import annotations

import logging
import threading

import pytest
from tests.support.directory import SECOND, START, UnsyncedDirectory, World
from tests.support.issuer import FakeIssuer

from hatchpay.access.directory import IssuerKeys, IssuerRow
from hatchpay.admin.issuer_keys import IssuerKeyRefresh
from hatchpay.admin.token_views import IssuerChanges
from hatchpay.admin.views import Actor
from hatchpay.ids import new_id


@pytest.fixture
def issuer(world: World) -> FakeIssuer:
    return world.issuer()


@pytest.fixture
def issuer_id(world: World, admin: Actor, issuer: FakeIssuer) -> str:
    """Trusted since START, when its keys were fetched; nobody has been asked since."""
    found = world.trust(admin, issuer, "shop.orders.read").id
    world.internet.asked.clear()
    return found


def at(world: World, seconds: float) -> None:
    world.clock.now = START + int(seconds * SECOND)


def due(world: World) -> list[str]:
    world.snapshots.refresh()
    return world.issuer_keys.due(world.snapshots.current.trust)


def row(world: World, issuer_id: str) -> IssuerRow:
    with world.directory.read() as view:
        (found,) = view.load_issuers([issuer_id])
    return found


def keys(world: World, issuer_id: str) -> IssuerKeys:
    return row(world, issuer_id).keys


class TestWhenItIsDue:
    def test_five_minutes_after_the_last_fetch(self, world: World, issuer_id: str) -> None:
        at(world, 299.999999)
        assert due(world) == []
        at(world, 300)
        assert due(world) == [issuer_id]
        assert world.issuer_keys.refresh(issuer_id)
        assert due(world) == []
        at(world, 600)
        assert due(world) == [issuer_id]

    def test_a_minute_after_a_failure(self, world: World, issuer_id: str) -> None:
        at(world, 300)
        world.internet.failing = "fetch_status"
        world.issuer_keys.refresh(issuer_id)
        at(world, 359)
        assert due(world) == []
        at(world, 360)
        assert due(world) == [issuer_id]

    def test_at_once_where_there_never_were_any(self, world: World, issuer_id: str) -> None:
        with world.directory.transaction() as transaction:
            transaction.save_issuer_keys(issuer_id, IssuerKeys())
        assert due(world) == [issuer_id]

    def test_a_minute_after_somebody_was_killed_with_a_fetch_under_way(self, world: World, issuer_id: str) -> None:
        at(world, 300)
        with world.directory.transaction() as transaction:
            claimed = IssuerKeys(document=b"{}", fetched_us=START, tried_us=world.clock.now)
            transaction.save_issuer_keys(issuer_id, claimed)
        assert due(world) == []
        at(world, 360)
        assert due(world) == [issuer_id]

    def test_never_while_the_issuer_is_disabled(self, world: World, admin: Actor, issuer_id: str) -> None:
        world.issuers.update(admin, issuer_id, IssuerChanges(status="disabled"))
        at(world, 10_000)
        assert due(world) == []
        assert not world.issuer_keys.refresh(issuer_id)
        assert not world.issuer_keys.refresh(issuer_id, asked=True)
        assert world.internet.asked == []

    def test_never_once_the_issuer_is_gone(self, world: World, admin: Actor, issuer_id: str) -> None:
        world.issuers.delete(admin, issuer_id)
        for gone in (issuer_id, new_id()):
            assert not world.issuer_keys.refresh(gone)
        assert world.internet.asked == []


class TestFetching:
    def test_new_keys_take_the_place_of_the_old_ones(self, world: World, issuer: FakeIssuer, issuer_id: str) -> None:
        issuer.rotate()
        at(world, 300)
        assert world.issuer_keys.refresh(issuer_id)
        assert keys(world, issuer_id) == IssuerKeys(
            document=issuer.document(), fetched_us=world.clock.now, tried_us=world.clock.now
        )
        assert world.internet.asked == [(issuer.url, None)]

    @pytest.mark.parametrize("code", ["fetch_unreachable", "fetch_too_slow", "fetch_status"])
    def test_a_failure_keeps_the_last_good_keys_and_notes_why(
        self, world: World, issuer_id: str, code: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        good = keys(world, issuer_id)
        world.internet.failing = code
        at(world, 300)
        with caplog.at_level(logging.WARNING, "hatchpay.issuers"):
            assert world.issuer_keys.refresh(issuer_id)
        assert keys(world, issuer_id) == IssuerKeys(
            document=good.document, fetched_us=START, tried_us=world.clock.now, failure=code
        )
        assert [record.getMessage() for record in caplog.records] == [
            f"the keys of the issuer {issuer_id} cannot be had: {code}"
        ]

    @pytest.mark.parametrize("document", [b"", b"<html>oops</html>", b"[]", b'{"keys": null}'])
    def test_something_else_than_keys_is_a_failure(
        self, world: World, issuer: FakeIssuer, issuer_id: str, document: bytes
    ) -> None:
        good = keys(world, issuer_id)
        world.internet.published[issuer.url] = document
        at(world, 300)
        world.issuer_keys.refresh(issuer_id)
        assert (keys(world, issuer_id).document, keys(world, issuer_id).failure) == (good.document, "jwks_invalid")

    def test_what_was_noted_is_forgotten_with_the_next_success(self, world: World, issuer_id: str) -> None:
        world.internet.failing = "fetch_status"
        at(world, 300)
        world.issuer_keys.refresh(issuer_id)
        world.internet.failing = None
        at(world, 360)
        world.issuer_keys.refresh(issuer_id)
        assert keys(world, issuer_id).failure is None
        assert keys(world, issuer_id).fetched_us == world.clock.now

    def test_all_else_of_the_issuer_stays_and_nothing_is_recorded(self, world: World, issuer_id: str) -> None:
        before, changes = row(world, issuer_id), world.changes()
        at(world, 300)
        world.issuer_keys.refresh(issuer_id)
        after = row(world, issuer_id)
        assert (after.updated_us, after.ceiling, after.enabled) == (before.updated_us, before.ceiling, before.enabled)
        assert world.changes() == changes

    def test_what_was_fetched_from_where_the_keys_are_no_longer_is_dropped(
        self, world: World, admin: Actor, issuer_id: str
    ) -> None:
        moved = world.issuer("https://id.test", "ES256")
        world.internet.published["https://moved.test/keys"] = moved

        def fetch(issuer: str, jwks_url: str | None) -> bytes:
            world.issuers.update(admin, issuer_id, IssuerChanges(jwks_url="https://moved.test/keys"))
            return world.issuer().document()

        at(world, 300)
        assert IssuerKeyRefresh(world.directory, world.clock, fetch).refresh(issuer_id)
        assert keys(world, issuer_id).document == moved.document()
        assert keys(world, issuer_id).failure is None

    def test_what_was_fetched_for_an_issuer_that_was_deleted_meanwhile_is_dropped(
        self, world: World, admin: Actor, issuer_id: str
    ) -> None:
        def fetch(issuer: str, jwks_url: str | None) -> bytes:
            world.issuers.delete(admin, issuer_id)
            return world.issuer().document()

        at(world, 300)
        assert IssuerKeyRefresh(world.directory, world.clock, fetch).refresh(issuer_id)
        with world.directory.read() as view:
            assert view.load_issuers(None) == []


class TestSeveralProcesses:
    def test_of_two_that_come_at_once_one_fetches(self, world: World, issuer: FakeIssuer, issuer_id: str) -> None:
        """Both have seen that it is due; the second comes while the first one's fetch is under way."""
        beside = UnsyncedDirectory(world.directory.path)
        second = IssuerKeyRefresh(beside, world.clock, world.internet)
        tried: list[bool] = []

        def fetch(url: str, jwks_url: str | None) -> bytes:
            tried.append(second.refresh(issuer_id))
            return world.internet(url, jwks_url)

        at(world, 300)
        assert IssuerKeyRefresh(world.directory, world.clock, fetch).refresh(issuer_id)
        tried.append(second.refresh(issuer_id))
        beside.close()

        assert tried == [False, False]
        assert world.internet.asked == [(issuer.url, None)]

    def test_of_many_threads_one_fetches(self, world: World, issuer_id: str) -> None:
        at(world, 300)
        tried: list[bool] = []
        gate = threading.Barrier(6)

        def come() -> None:
            gate.wait()
            tried.append(world.issuer_keys.refresh(issuer_id))

        threads = [threading.Thread(target=come) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(tried) == [False] * 5 + [True]
        assert len(world.internet.asked) == 1

    def test_unknown_kids_cause_a_fetch_a_minute_at_most(self, world: World, issuer_id: str) -> None:
        beside = UnsyncedDirectory(world.directory.path)
        processes = [world.issuer_keys, IssuerKeyRefresh(beside, world.clock, world.internet)]
        tried = []
        for seconds in (1, 2, 60, 61, 62, 120, 121):
            at(world, seconds)
            tried += [seconds for process in processes if process.refresh(issuer_id, asked=True)]
        beside.close()
        assert tried == [1, 61, 121]
        assert len(world.internet.asked) == 3

    def test_a_failure_does_not_let_them_ask_any_sooner(self, world: World, issuer_id: str) -> None:
        world.internet.failing = "fetch_status"
        at(world, 1)
        assert world.issuer_keys.refresh(issuer_id, asked=True)
        at(world, 60)
        assert not world.issuer_keys.refresh(issuer_id, asked=True)
        assert keys(world, issuer_id).failure == "fetch_status"

    def test_asking_needs_no_fetch_to_be_due_and_puts_the_next_one_off(self, world: World, issuer_id: str) -> None:
        at(world, 250)
        assert world.issuer_keys.refresh(issuer_id, asked=True)
        at(world, 300)
        assert due(world) == []
        at(world, 550)
        assert due(world) == [issuer_id]

    def test_one_issuers_question_is_not_anothers(self, world: World, admin: Actor, issuer_id: str) -> None:
        other = world.trust(admin, world.issuer("https://other.test")).id
        at(world, 1)
        assert world.issuer_keys.refresh(issuer_id, asked=True)
        assert world.issuer_keys.refresh(other, asked=True)

    def test_another_process_hears_of_the_new_keys(self, world: World, issuer: FakeIssuer, issuer_id: str) -> None:
        issuer.rotate()
        at(world, 300)
        world.issuer_keys.refresh(issuer_id)
        world.snapshots.refresh()
        found = world.snapshots.current.trust.issuers[issuer_id].keys
        assert found is not None
        assert [key.kid for key in found.keys] == ["EdDSA-2"]
