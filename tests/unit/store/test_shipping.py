"""Shipping to real receivers, well behaved or not: nothing is lost, nobody waits for anybody else."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest
from tests.support.directory import HOUR, SECOND
from tests.support.rfc5424 import frames, parse
from tests.support.sinks import Authority, HttpSink, Received, http_sink, syslog_sink
from tests.support.streams import StreamWorld

from hatchpay.audit.stream.pace import Pace

QUICK = Pace(first_s=0.02, most_s=0.05, tick_s=0.01)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[StreamWorld]:
    world = StreamWorld(tmp_path)
    yield world
    world.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def ids(sink: HttpSink) -> list[str]:
    """Of the records that an HTTP collector, or a webhook's receiver, has been sent, in that order."""
    return [
        line.get("data", line)["request_id"]
        for request in sink.received
        for line in map(json.loads, request.body.splitlines())
    ]


def eventually(holds: Callable[[], bool], patience_s: float = 10.0) -> None:
    until = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until, "it never came to this"
        time.sleep(0.01)


class TestDelivery:
    def test_a_collector_gets_every_record_once_in_order_with_the_streams_headers(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            row = world.stream("http", sink.url, headers={"Authorization": "Bearer x"})
            wanted = world.write(1200)
            world.shipper().step()
        assert ids(sink) == wanted
        assert all(request.headers["authorization"] == "Bearer x" for request in sink.received)
        assert {request.headers["content-type"] for request in sink.received} == {"application/x-ndjson"}
        assert {request.path for request in sink.received} == {"/in?a=b"}
        # Bounded in size, and on one connection.
        assert len(sink.received) >= 3 and max(len(request.body) for request in sink.received) < 300_000
        assert sink.connections == 1
        state = world.state(row)
        assert (state.cursor, state.delivered, state.failures, state.last_error) == (1200, 1200, 0, None)

    def test_it_goes_on_where_it_was(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            world.stream("http", sink.url)
            first = world.write(3)
            world.shipper().step()
            second = world.write(3)
            world.shipper().step()
        assert ids(sink) == first + second

    def test_where_the_states_are_lost_it_begins_again_where_it_was_made(self, world: StreamWorld) -> None:
        world.write(2)
        with http_sink() as sink:
            world.stream("http", sink.url, start_seq=2)
            wanted = world.write(3)
            world.shipper().step()
            world.states.close()
            for file in world.folder.glob("streams.db*"):
                file.unlink()
            world.shipper().step()
        assert ids(sink) == wanted * 2

    def test_a_stream_carries_its_tenants_units_and_types_and_nothing_else(self, world: StreamWorld) -> None:
        other = world.world.onboard("Other").tenant.id
        with http_sink() as everything, http_sink() as unit, http_sink() as types, http_sink() as others:
            world.stream("http", everything.url)
            world.stream("http", unit.url, business_unit_ids=("u1",))
            world.stream("http", types.url, event_types=("api-key.keys.created",))
            world.stream("http", others.url, tenant_id=other)
            plain = world.write(1)
            inside = world.write(1, business_unit_id="u1")
            outside = world.write(1, business_unit_id="u2")
            strange = world.write(1, tenant_id=other, business_unit_id="u1")
            changing = world.write(1)
            world.change(changing[0], "api-key.keys.created")
            world.shipper().step()
        assert ids(everything) == plain + inside + outside + changing
        assert ids(unit) == inside
        assert ids(types) == changing
        assert ids(others) == strange

    def test_syslog_frames_arrive_whole_over_tls_that_was_verified(
        self, world: StreamWorld, authority: Authority
    ) -> None:
        with syslog_sink(authority.server_context("127.0.0.1")) as sink:
            world.stream("syslog", sink.url, ca_pem=authority.pem)
            wanted = world.write(300)
            world.shipper().step()
            received = [parse(frame) for stream in sink.streams for frame in frames(stream)]
        assert [message.parameters["request_id"] for message in received] == wanted

    def test_a_webhook_gets_one_event_per_request_with_its_own_id(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            world.stream("webhook", sink.url)
            wanted = world.write(5)
            world.shipper().step()
        assert ids(sink) == wanted
        assert [request.headers["webhook-id"] for request in sink.received] == [f"msg_{one}" for one in wanted]
        assert sink.connections == 1

    def test_a_disabled_stream_sends_nothing_and_loses_nothing(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            row = world.stream("http", sink.url, enabled=False)
            wanted = world.write(2)
            world.shipper().step()
            assert sink.received == []
            with world.directory.transaction() as transaction:
                transaction.save_stream(msgspec.structs.replace(row, enabled=True))
            world.shipper().step()
        assert ids(sink) == wanted


class TestFailing:
    @pytest.mark.parametrize(
        ("answer", "code", "status"),
        [
            ((500, {}, b""), "stream_status", 500),
            ((404, {}, b""), "stream_status", 404),
            ((401, {}, b""), "stream_status", 401),
            ((429, {}, b""), "stream_rate_limited", 429),
            ((302, {"location": "http://127.0.0.1:1/"}, b""), "stream_redirected", 302),
            ("hang", "stream_too_slow", None),
            (None, "stream_answer_invalid", None),
            ("close", "stream_answer_invalid", None),
        ],
    )
    def test_a_failure_keeps_the_record_and_is_tried_again_when_it_is_due(
        self, world: StreamWorld, answer: object, code: str, status: int | None
    ) -> None:
        with http_sink() as sink:
            sink.answer = lambda _: answer  # type: ignore[assignment,return-value]
            row = world.stream("http", sink.url)
            wanted = world.write(2)
            world.shipper().step()
            failed = world.state(row)
            assert (failed.cursor, failed.failures, failed.last_error, failed.last_status) == (0, 1, code, status)
            assert failed.retry_us == world.clock.now + SECOND
            sink.answer = lambda _: (200, {}, b"")
            sent = len(sink.received)
            world.shipper().step()
            assert len(sink.received) == sent, "it was not due"
            world.clock.now += SECOND
            world.shipper().step()
        assert ids(sink)[-2:] == wanted
        state = world.state(row)
        assert (state.cursor, state.delivered, state.failures, state.retry_us) == (2, 2, 0, None)

    def test_the_receivers_retry_after_is_heeded(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            sink.answer = lambda _: (429, {"retry-after": "120"}, b"")
            row = world.stream("http", sink.url)
            world.write()
            world.shipper().step()
        assert world.state(row).retry_us == world.clock.now + 120 * SECOND

    def test_a_clock_that_was_set_back_keeps_no_stream_waiting(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            sink.answer = lambda _: (500, {}, b"")
            world.stream("http", sink.url)
            wanted = world.write()
            world.shipper().step()
            world.clock.now -= 2 * HOUR
            sink.answer = lambda _: (200, {}, b"")
            world.shipper().step()
        assert ids(sink) == wanted * 2

    def test_a_redirect_is_not_followed(self, world: StreamWorld) -> None:
        with http_sink() as inner, http_sink() as sink:
            sink.answer = lambda _: (307, {"location": inner.url}, b"")
            world.stream("http", sink.url)
            world.write()
            world.shipper().step()
        assert len(sink.received) == 1
        assert inner.connections == 0

    def test_a_connection_that_was_kept_and_closed_is_made_anew_at_once(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            sink.answer = lambda _: (200, {"connection": "close"}, b"")
            row = world.stream("webhook", sink.url)
            wanted = world.write(4)
            world.shipper().step()
        assert ids(sink) == wanted
        assert world.state(row).failed == 0

    def test_one_bad_record_is_found_in_a_batch_given_up_in_time_and_told_of(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            row = world.stream("http", sink.url)
            before, (bad,), after = world.write(20), world.write(1), world.write(20)
            taken: list[str] = []

            def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
                if bad.encode() in request.body:
                    return 400, {}, b""
                taken.extend(json.loads(line)["request_id"] for line in request.body.splitlines())
                return 200, {}, b""

            sink.answer = answer
            world.shipper().step()
            assert taken == before
            assert world.state(row).last_error == "stream_rejected"
            assert world.states.dead_letters() == {}
            shipper = world.shipper()
            for _ in range(20):
                world.clock.now += 64 * SECOND
                shipper.step()
        assert taken == before + after
        assert world.states.dead_letters() == {row.id: 1}
        state = world.state(row)
        assert (state.cursor, state.delivered) == (41, 40)

    def test_a_webhooks_rejected_event_blocks_the_next_ones_no_longer_than_documented(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            (bad,), after = world.write(1), world.write(2)
            sink.answer = lambda request: (400 if bad.encode() in request.body else 204, {}, b"")
            row = world.stream("webhook", sink.url)
            shipper, began = world.shipper(), world.clock.now
            while not world.states.dead_letters():
                shipper.step()
                world.clock.now = world.state(row).retry_us or world.clock.now
        assert [one for one in ids(sink) if one != bad] == after
        assert ids(sink).count(bad) == 8
        assert world.clock.now - began == 127 * SECOND

    def test_records_that_an_otlp_collector_did_not_take_are_counted_as_given_up(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            sink.answer = lambda _: (200, {}, b'{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"x"}}')
            row = world.stream("otlp", sink.url)
            world.write(5)
            world.shipper().step()
        state = world.state(row)
        assert (state.cursor, state.delivered, state.last_error) == (5, 3, "stream_partly_rejected")
        assert world.states.dead_letters() == {row.id: 2}

    def test_a_webhook_that_is_gone_is_handed_over_to_be_disabled(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            sink.answer = lambda _: (410, {}, b"")
            webhook, http = world.stream("webhook", sink.url), world.stream("http", sink.url)
            world.write(3)
            world.shipper().step()
        assert world.gone == [webhook.id]
        assert world.state(webhook).cursor == 0
        assert world.state(http).last_error == "stream_status"

    @pytest.mark.parametrize(("behaviour", "code"), [("hang", "stream_too_slow"), ("crash", "stream_unconfirmed")])
    def test_a_syslog_server_that_has_not_read_everything_has_got_nothing(
        self, world: StreamWorld, authority: Authority, behaviour: str, code: str
    ) -> None:
        with syslog_sink(authority.server_context("127.0.0.1")) as sink:
            sink.behaviour = behaviour
            row = world.stream("syslog", sink.url, ca_pem=authority.pem)
            wanted = world.write(3)
            world.shipper().step()
            assert (world.state(row).cursor, world.state(row).last_error) == (0, code)
            sink.behaviour = "read"
            world.clock.now += SECOND
            world.shipper().step()
            received = [parse(frame) for stream in sink.streams for frame in frames(stream)]
        assert [message.parameters["request_id"] for message in received] == wanted

    def test_secrets_that_cannot_be_opened_stop_the_stream_and_no_other(self, world: StreamWorld) -> None:
        with http_sink() as sink, http_sink() as well:
            row = world.stream("webhook", sink.url)
            secret = msgspec.structs.replace(row.secrets[0], sealed=b"\x01" + b"x" * 40)
            with world.directory.transaction() as transaction:
                transaction.save_stream(msgspec.structs.replace(row, secrets=(secret,)))
            world.stream("http", well.url)
            wanted = world.write(1)
            world.shipper().step()
        assert (sink.received, ids(well)) == ([], wanted)
        assert world.state(row).last_error == "sealed_unreadable"


class TestTls:
    @pytest.mark.parametrize("name", ["localhost", "127.0.0.2"])
    def test_a_certificate_for_another_name_is_refused(
        self, world: StreamWorld, authority: Authority, name: str
    ) -> None:
        with http_sink(authority.server_context(name)) as sink, syslog_sink(authority.server_context(name)) as log:
            rows = [
                world.stream("http", sink.url, ca_pem=authority.pem),
                world.stream("syslog", log.url, ca_pem=authority.pem),
            ]
            world.write()
            world.shipper().step()
            assert (sink.received, log.streams) == ([], [])
        assert {world.state(row).last_error for row in rows} == {"stream_tls_failed"}

    def test_an_authority_that_nobody_trusts_is_refused(self, world: StreamWorld, authority: Authority) -> None:
        with http_sink(authority.server_context("127.0.0.1")) as sink:
            row = world.stream("http", sink.url)
            world.write()
            world.shipper().step()
            assert sink.received == []
        assert world.state(row).last_error == "stream_tls_failed"

    def test_https_with_the_streams_own_authority_works(self, world: StreamWorld, authority: Authority) -> None:
        with http_sink(authority.server_context("127.0.0.1")) as sink:
            world.stream("http", sink.url, ca_pem=authority.pem)
            wanted = world.write(600)
            world.shipper().step()
        assert ids(sink) == wanted

    def test_a_server_without_tls_is_refused(self, world: StreamWorld, authority: Authority) -> None:
        with http_sink() as sink:
            row = world.stream("http", sink.url.replace("http:", "https:"), ca_pem=authority.pem)
            world.write()
            world.shipper().step()
        assert world.state(row).last_error in {"stream_tls_failed", "stream_unreachable", "stream_too_slow"}
        assert sink.received == []


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "192.168.1.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "0.0.0.0",
        ],
    )
    def test_a_name_that_leads_to_an_inner_address_is_never_connected_to(
        self, world: StreamWorld, authority: Authority, address: str
    ) -> None:
        """Also where it stood for a public one when the stream was made (DNS rebinding)."""
        world.resolve_to = [ip_address("93.184.216.34"), ip_address(address)]
        with http_sink(authority.server_context("logs.test")) as sink:
            row = world.stream("http", f"https://logs.test:{sink.port}/", ca_pem=authority.pem)
            world.write()
            world.shipper(insecure=False).step()
            assert sink.connections == 0
        assert world.state(row).last_error == "stream_destination_forbidden"

    @pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.1", "0x7f000001", "2130706433"])
    def test_nor_is_one_that_stands_in_the_url_itself(
        self, world: StreamWorld, authority: Authority, host: str
    ) -> None:
        with http_sink(authority.server_context("127.0.0.1")) as sink:
            row = world.stream("http", f"https://{host}:{sink.port}/", ca_pem=authority.pem)
            world.write()
            world.shipper(insecure=False).step()
            assert sink.connections == 0
        assert world.state(row).last_error in {"stream_destination_forbidden", "stream_unresolvable"}


class TestBesideEachOther:
    def test_a_sink_that_hangs_delays_nobody_and_gets_everything_later(self, world: StreamWorld) -> None:
        with http_sink() as hung, http_sink() as well:
            hung.answer = lambda _: "hang"
            rows = [world.stream("http", hung.url) for _ in range(15)]
            world.stream("http", well.url)
            stop, shipper = threading.Event(), world.shipper(QUICK, attempt_s=30.0)
            thread = threading.Thread(target=shipper.run, args=(stop,))
            thread.start()
            try:
                wanted = world.write(10)
                eventually(lambda: len(hung.received) == len(rows))
                eventually(lambda: ids(well) == wanted)
                wanted += world.write(10)
                eventually(lambda: ids(well) == wanted)
                assert len(hung.received) == len(rows)
                assert threading.active_count() < 45
            finally:
                began = time.monotonic()
                stop.set()
                thread.join(10)
            assert time.monotonic() - began < 2
            hung.answer = lambda _: (200, {}, b"")
            hung.received.clear()
            world.shipper().step()
        assert sorted(ids(hung)) == sorted(wanted * len(rows))

    def test_what_is_changed_counts_while_it_runs(self, world: StreamWorld) -> None:
        with http_sink() as old, http_sink() as new:
            row = world.stream("http", old.url)
            stop, shipper = threading.Event(), world.shipper(QUICK)
            thread = threading.Thread(target=shipper.run, args=(stop,))
            thread.start()
            try:
                first = world.write(2)
                eventually(lambda: ids(old) == first)
                with world.directory.transaction() as transaction:
                    transaction.save_stream(msgspec.structs.replace(row, destination_url=new.url))
                time.sleep(0.3)
                second = world.write(2)
                eventually(lambda: ids(new) == second)
                with world.directory.transaction() as transaction:
                    transaction.remove_stream(row)
                eventually(lambda: row.id not in world.states.load())
                world.write(2)
                time.sleep(0.1)
                assert ids(old) + ids(new) == first + second
            finally:
                stop.set()
                thread.join(10)

    def test_streams_of_tenants_without_news_keep_up_and_miss_nothing_later(self, world: StreamWorld) -> None:
        other = world.world.onboard("Other").tenant.id
        with http_sink() as busy, http_sink() as quiet:
            world.stream("http", busy.url)
            row = world.stream("http", quiet.url, tenant_id=other)
            stop, shipper = threading.Event(), world.shipper(QUICK)
            thread = threading.Thread(target=shipper.run, args=(stop,))
            thread.start()
            try:
                wanted: list[str] = []
                strange: list[str] = []
                for number in range(20):
                    wanted += world.write(7)
                    if number % 9 == 4:
                        strange += world.write(1, tenant_id=other)
                    time.sleep(0.01)
                wanted += world.write(1)
                eventually(lambda: ids(busy) == wanted and ids(quiet) == strange)
                eventually(lambda: world.state(row).cursor == world.feed.newest())
            finally:
                stop.set()
                thread.join(10)

    def test_what_cannot_be_read_is_tried_again_and_ends_nothing(
        self, world: StreamWorld, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.ERROR)
        with http_sink() as sink:
            world.stream("http", sink.url)
            away = world.folder / "away.db"
            (world.folder / "ledger.db").rename(away)
            stop, shipper = threading.Event(), world.shipper(QUICK)
            thread = threading.Thread(target=shipper.run, args=(stop,))
            thread.start()
            try:
                eventually(lambda: "audit_unavailable" in caplog.text)
                away.rename(world.folder / "ledger.db")
                wanted = world.write(2)
                eventually(lambda: ids(sink) == wanted)
            finally:
                stop.set()
                thread.join(10)

    def test_a_ledger_that_was_put_back_is_followed_from_its_end(self, world: StreamWorld) -> None:
        with http_sink() as sink:
            row = world.stream("http", sink.url, start_seq=100)
            world.write(3)
            world.shipper().step()
            assert world.state(row).cursor == 3
            wanted = world.write(2)
            world.shipper().step()
        assert ids(sink) == wanted
