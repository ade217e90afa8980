"""Streams: what may be entered, who may make and change them, and what of their secrets is ever seen."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Sequence

import msgspec
import pytest
from tests.support.directory import HOUR, SECOND, World

from hatchpay.admin.stream_views import NewStream, StreamChanges
from hatchpay.admin.streams import MAX_STREAMS, StreamParts, Streams
from hatchpay.admin.versions import IfMatch
from hatchpay.admin.views import Actor, Onboarded
from hatchpay.audit.stream.ports import Message, Outcome, StreamHealth
from hatchpay.audit.stream.row import StreamRow, unseal_headers, unseal_secrets
from hatchpay.errors import (
    AuditUnavailable,
    Conflict,
    DeliveryFailed,
    Forbidden,
    HatchPayError,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    UnusableKey,
)
from hatchpay.ids import PLATFORM_TENANT_ID, new_id

KEK = b"\x07" * 32
STREAMS = tuple(f"audit-log.streams.{verb}" for verb in ("create", "read", "update", "delete"))
READ = "audit-log.history.read"
WEBHOOK = NewStream(name="Hook", kind="webhook", destination_url="https://hooks.example.com/a")
COLLECTOR = NewStream(
    name="Logs", kind="http", destination_url="https://logs.example.com/in", headers={"X-Key": "top-secret-value"}
)


class Outside:
    """What the use cases are given besides the directory."""

    def __init__(self) -> None:
        self.newest = 41
        self.asked: list[tuple[str, str]] = []
        self.forbidden: set[str] = set()
        self.sent: list[tuple[StreamRow, Message]] = []
        self.outcome: Outcome | HatchPayError = Outcome(kind="delivered", status=200)
        self.health: AuditUnavailable | None = None
        self.random = itertools.count(1)

    def parts(self) -> StreamParts:
        return StreamParts(
            newest=lambda: self.newest,
            healths=self.healths,
            check_host=self.check_host,
            send=self.send,
            kek=lambda: KEK,
            random=lambda count: next(self.random).to_bytes(count, "big"),
        )

    def healths(self, rows: Sequence[StreamRow]) -> dict[str, StreamHealth]:
        if self.health is not None:
            raise self.health
        return {row.id: StreamHealth(state="ok", lag_records=3, lag_seconds=1.5, dead_letters=2) for row in rows}

    def check_host(self, host: str, tenant_id: str) -> None:
        self.asked.append((host, tenant_id))
        if host in self.forbidden:
            raise DeliveryFailed("the host has an address that is not public", code="stream_destination_forbidden")

    def send(self, row: StreamRow, message: Message) -> Outcome:
        self.sent.append((row, message))
        if isinstance(self.outcome, HatchPayError):
            raise self.outcome
        return self.outcome


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def streams(world: World, outside: Outside) -> Streams:
    return Streams(world.directory, world.clock, new_id, outside.parts())


@pytest.fixture
def manager(world: World, admin: Actor) -> Actor:
    """May manage streams and read the record, and nothing else."""
    role = world.role(admin, "manager", *STREAMS, READ)
    return world.actor(world.key(admin, role.id), admin.principal.tenant_id)


def stored(world: World, actor: Actor, stream_id: str) -> StreamRow:
    with world.directory.read() as view:
        row = view.stream(actor.principal.tenant_id, stream_id)
    assert row is not None
    return row


def refusal(call: Callable[[], object], world: World) -> HatchPayError:
    """The error of `call`, which has changed nothing."""
    before, position = world.changes(), world.directory.position()
    with pytest.raises(HatchPayError) as caught:
        call()
    assert (world.changes(), world.directory.position()) == (before, position)
    return caught.value


def in_units(world: World, admin: Actor, *units: str, permissions: Sequence[str] = (*STREAMS, READ)) -> Actor:
    """A caller whose key works for these business units only."""
    role = world.role(admin, new_id(), *permissions)
    key = world.key(admin, role.id, business_unit_ids=units)
    world.snapshots.refresh()
    outcome = world.ask(key.key)
    return Actor(outcome.principal, new_id())  # type: ignore[union-attr]


def unit(world: World, admin: Actor, name: str) -> str:
    return world.units.create(admin, name, "Europe/Zurich").id


class TestCreating:
    def test_a_webhook_begins_behind_the_newest_record_and_shows_its_secret_once(
        self, world: World, admin: Actor, streams: Streams
    ) -> None:
        made = streams.create(admin, WEBHOOK)
        assert made.secret is not None and made.secret.startswith("whsec_")
        row = stored(world, admin, made.view.id)
        assert row.start_seq == 41
        secret = base64.b64decode(made.secret.removeprefix("whsec_"))
        assert len(secret) == 32
        assert unseal_secrets(row, KEK, world.clock()) == [secret]
        view = made.view
        assert (view.state, view.lag_records, view.lag_seconds, view.dead_letters) == ("ok", 3, 1.5, 2)
        assert made.secret not in repr(made)
        assert streams.get(admin, made.view.id) == made.view
        assert streams.list(admin).data == (made.view,)

    def test_headers_are_sealed_and_only_their_names_are_ever_shown(
        self, world: World, admin: Actor, streams: Streams
    ) -> None:
        made = streams.create(admin, COLLECTOR)
        assert (made.secret, made.view.header_names) == (None, ("X-Key",))
        row = stored(world, admin, made.view.id)
        assert unseal_headers(row, KEK, "https://logs.example.com:443") == {"X-Key": "top-secret-value"}
        everything = repr((made, COLLECTOR, row)) + msgspec.json.encode(made.view).decode()
        assert "top-secret-value" not in everything + str(world.changes())
        with world.directory.connection() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            assert "top-secret-value" not in "".join(driver.iterdump())

    def test_the_event_tells_what_it_carries_where(self, world: World, admin: Actor, streams: Streams) -> None:
        url = "https://logs.example.com/in?a=abcdefgh"
        streams.create(admin, msgspec.structs.replace(COLLECTOR, destination_url=url))
        change = world.changes()[-1]
        assert change.event == "audit-log.streams.created"
        after = json.loads(change.detail)["after"]
        assert after["destination_url"] == "https://logs.example.com/in?a=[dropped]"
        assert (after["kind"], after["header_names"], after["status"]) == ("http", ["X-Key"], "enabled")

    @pytest.mark.parametrize(
        ("changes", "code", "field"),
        [
            ({"name": " "}, "invalid_field", "name"),
            ({"destination_url": "http://logs.example.com/"}, "invalid_url", "destination_url"),
            ({"event_types": ()}, "invalid_field", "event_types"),
            ({"event_types": ("a.b",)}, "invalid_field", "event_types"),
            ({"event_types": ("a.b.c", "a.b.c")}, "duplicate_event_type", "event_types"),
            ({"headers": {"Host": "x"}}, "invalid_field", "headers"),
            ({"headers": {"content-LENGTH": "1"}}, "invalid_field", "headers"),
            ({"headers": {"X y": "1"}}, "invalid_field", "headers"),
            ({"headers": {"X": "a\r\nY: b"}}, "invalid_field", "headers"),
            ({"headers": {"X": "é"}}, "invalid_field", "headers"),
            ({"headers": {"X": " a"}}, "invalid_field", "headers"),
            ({"headers": {"X": "a", "x": "b"}}, "duplicate_header", "headers"),
            ({"headers": {f"X{number}": "a" for number in range(21)}}, "invalid_field", "headers"),
            ({"ca_pem": "nonsense"}, "invalid_field", "ca_pem"),
            ({"business_unit_ids": ()}, "invalid_field", "business_unit_ids"),
            ({"business_unit_ids": (PLATFORM_TENANT_ID,)}, "unknown_business_unit", "business_unit_ids"),
            ({"kind": "webhook"}, "invalid_field", "headers"),
            ({"kind": "syslog", "destination_url": "tls://a.example:1"}, "invalid_field", "headers"),
        ],
    )
    def test_bad_input_is_refused_by_its_field(
        self, world: World, admin: Actor, streams: Streams, changes: dict[str, object], code: str, field: str
    ) -> None:
        error = refusal(lambda: streams.create(admin, msgspec.structs.replace(COLLECTOR, **changes)), world)
        assert isinstance(error, InvalidInput)
        assert (error.code, error.field) == (code, field)

    def test_a_host_that_no_stream_may_connect_to_is_refused(
        self, world: World, admin: Actor, streams: Streams, outside: Outside
    ) -> None:
        outside.forbidden.add("logs.example.com")
        error = refusal(lambda: streams.create(admin, COLLECTOR), world)
        assert (error.code, error.field) == ("stream_destination_forbidden", "destination_url")
        assert outside.asked == [("logs.example.com", admin.principal.tenant_id)]

    def test_a_name_stands_once_in_a_tenant(
        self, world: World, admin: Actor, stranger: Actor, streams: Streams
    ) -> None:
        streams.create(admin, WEBHOOK)
        assert refusal(lambda: streams.create(admin, WEBHOOK), world).code == "already_exists"
        streams.create(stranger, WEBHOOK)

    def test_there_are_only_so_many(self, world: World, admin: Actor, streams: Streams) -> None:
        for number in range(MAX_STREAMS):
            streams.create(admin, msgspec.structs.replace(WEBHOOK, name=str(number)))
        error = refusal(lambda: streams.create(admin, WEBHOOK), world)
        assert (type(error), error.code) == (Conflict, "too_many_streams")

    def test_whoever_made_one_gets_its_secret_even_where_nothing_is_known_of_its_health(
        self, admin: Actor, streams: Streams, outside: Outside
    ) -> None:
        outside.health = AuditUnavailable("no", code="streams_unavailable")
        made = streams.create(admin, WEBHOOK)
        assert made.secret is not None
        assert (made.view.state, made.view.last_error) == ("stopped", "streams_unavailable")


class TestWhoMay:
    def test_making_one_takes_the_right_to_read_the_record(
        self, world: World, admin: Actor, streams: Streams, outside: Outside
    ) -> None:
        role = world.role(admin, "blind", *STREAMS)
        blind = world.actor(world.key(admin, role.id), admin.principal.tenant_id)
        error = refusal(lambda: streams.create(blind, WEBHOOK), world)
        assert (error.code, error.permission) == ("grant_exceeds_caller", READ)
        assert outside.asked == []

    def test_reading_the_record_alone_makes_none(self, world: World, admin: Actor, streams: Streams) -> None:
        role = world.role(admin, "reader", READ, "audit-log.streams.read")
        reader = world.actor(world.key(admin, role.id), admin.principal.tenant_id)
        error = refusal(lambda: streams.create(reader, WEBHOOK), world)
        assert (type(error), error.code) == (Forbidden, "permission_missing")

    @pytest.mark.parametrize(
        "limits",
        [{"expires_at_us": 1_800_000_000_000_000}, {"allowed_cidrs": ("192.0.2.0/24",)}, {"environment": "test"}],
    )
    def test_a_stream_would_outlive_the_limits_of_its_maker(
        self, world: World, admin: Actor, streams: Streams, limits: dict[str, object]
    ) -> None:
        role = world.role(admin, "manager", *STREAMS, READ)
        limited = world.actor(world.key(admin, role.id, **limits), admin.principal.tenant_id)
        assert refusal(lambda: streams.create(limited, WEBHOOK), world).code == "grant_exceeds_caller"

    def test_a_caller_of_chosen_units_streams_theirs_and_sees_no_others(
        self, world: World, admin: Actor, streams: Streams
    ) -> None:
        mine, other = unit(world, admin, "Mine"), unit(world, admin, "Other")
        caller = in_units(world, admin, mine)
        whole = streams.create(admin, WEBHOOK)
        theirs = streams.create(admin, msgspec.structs.replace(WEBHOOK, name="2", business_unit_ids=(other,)))
        for units in (None, (other,), (mine, other)):
            wanted = msgspec.structs.replace(WEBHOOK, name="3", business_unit_ids=units)
            assert refusal(lambda wanted=wanted: streams.create(caller, wanted), world).code == "grant_exceeds_caller"
        made = streams.create(caller, msgspec.structs.replace(WEBHOOK, name="4", business_unit_ids=(mine,)))
        assert [view.id for view in streams.list(caller).data] == [made.view.id]
        for hidden in (whole, theirs):
            with pytest.raises(NotFound):
                streams.get(caller, hidden.view.id)
            for call in (
                lambda one=hidden: streams.delete(caller, one.view.id),
                lambda one=hidden: streams.rotate_secret(caller, one.view.id, 0),
                lambda one=hidden: streams.test(caller, one.view.id),
                lambda one=hidden: streams.update(caller, one.view.id, StreamChanges(status="disabled")),
            ):
                assert isinstance(refusal(call, world), Forbidden | NotFound)
        widened = StreamChanges(business_unit_ids=(mine, other))
        assert refusal(lambda: streams.update(caller, made.view.id, widened), world).code == "grant_exceeds_caller"

    def test_another_tenant_finds_nothing(self, world: World, admin: Actor, stranger: Actor, streams: Streams) -> None:
        made = streams.create(admin, WEBHOOK).view.id
        assert streams.list(stranger).data == ()
        for call in (
            lambda: streams.get(stranger, made),
            lambda: streams.update(stranger, made, StreamChanges(name="x")),
            lambda: streams.delete(stranger, made),
            lambda: streams.rotate_secret(stranger, made, 0),
            lambda: streams.test(stranger, made),
        ):
            assert isinstance(refusal(call, world), NotFound)

    @pytest.mark.parametrize(
        "changes",
        [
            StreamChanges(destination_url="https://logs.example.com/other"),
            StreamChanges(event_types=None),
            StreamChanges(event_types=("a.b.c", "d.e.f")),
            StreamChanges(business_unit_ids=None),
            StreamChanges(headers={"X": "y"}),
            StreamChanges(ca_pem=None),
            StreamChanges(status="enabled"),
        ],
    )
    def test_what_hands_out_more_takes_the_right_to_read_the_record(
        self, world: World, admin: Actor, streams: Streams, changes: StreamChanges
    ) -> None:
        shop = unit(world, admin, "Shop")
        pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        wanted = msgspec.structs.replace(COLLECTOR, event_types=("a.b.c",), business_unit_ids=(shop,), ca_pem=pem)
        made = streams.create(admin, wanted).view.id
        streams.update(admin, made, StreamChanges(status="disabled"))
        role = world.role(admin, "blind", *STREAMS)
        blind = world.actor(world.key(admin, role.id), admin.principal.tenant_id)
        assert refusal(lambda: streams.update(blind, made, changes), world).code == "grant_exceeds_caller"

    def test_what_hands_out_less_does_not(self, world: World, admin: Actor, streams: Streams) -> None:
        shop = unit(world, admin, "Shop")
        made = streams.create(admin, COLLECTOR).view.id
        role = world.role(admin, "blind", *STREAMS)
        blind = world.actor(world.key(admin, role.id), admin.principal.tenant_id)
        changes = StreamChanges(name="New", event_types=("a.b.c",), business_unit_ids=(shop,), status="disabled")
        assert streams.update(blind, made, changes).status == "disabled"
        streams.delete(blind, made)


class TestChanging:
    def test_secret_headers_do_not_go_with_a_stream_to_another_receiver(
        self, world: World, admin: Actor, streams: Streams
    ) -> None:
        made = streams.create(admin, COLLECTOR).view.id
        for url in ("https://evil.example/", "https://logs.example.com:8443/in"):
            error = refusal(lambda url=url: streams.update(admin, made, StreamChanges(destination_url=url)), world)
            assert (error.code, error.field) == ("stream_headers_needed", "headers")
        streams.update(admin, made, StreamChanges(destination_url="https://logs.example.com/elsewhere"))
        moved = StreamChanges(destination_url="https://new.example/", headers={"X-New": "v"})
        assert streams.update(admin, made, moved).header_names == ("X-New",)
        assert unseal_headers(stored(world, admin, made), KEK, "https://new.example:443") == {"X-New": "v"}

    def test_another_destination_is_checked_as_the_first(
        self, world: World, admin: Actor, streams: Streams, outside: Outside
    ) -> None:
        made = streams.create(admin, WEBHOOK).view.id
        outside.forbidden.add("inner.example")
        moved = StreamChanges(destination_url="https://inner.example/")
        assert refusal(lambda: streams.update(admin, made, moved), world).code == "stream_destination_forbidden"

    def test_a_change_is_one_event_and_no_change_none(self, world: World, admin: Actor, streams: Streams) -> None:
        made = streams.create(admin, WEBHOOK).view
        count = len(world.changes())
        assert streams.update(admin, made.id, StreamChanges(name="Hook")).etag == made.etag
        assert len(world.changes()) == count
        changed = streams.update(admin, made.id, StreamChanges(name="Other"), IfMatch(frozenset({made.etag})))
        assert changed.etag != made.etag
        assert [one.event for one in world.changes()[count:]] == ["audit-log.streams.updated"]

    def test_a_stale_tag_changes_nothing(self, world: World, admin: Actor, streams: Streams) -> None:
        made = streams.create(admin, WEBHOOK).view
        stale = IfMatch(frozenset({made.etag}))
        streams.update(admin, made.id, StreamChanges(name="Other"))
        for call in (
            lambda: streams.update(admin, made.id, StreamChanges(name="x"), stale),
            lambda: streams.delete(admin, made.id, stale),
            lambda: streams.rotate_secret(admin, made.id, 0, stale),
        ):
            assert isinstance(refusal(call, world), PreconditionFailed)

    def test_a_deleted_stream_is_gone(self, world: World, admin: Actor, streams: Streams) -> None:
        made = streams.create(admin, WEBHOOK).view.id
        streams.delete(admin, made)
        assert streams.list(admin).data == ()
        assert world.changes()[-1].event == "audit-log.streams.deleted"

    def test_the_service_disables_what_is_gone_as_an_audited_change_and_a_person_enables_it_again(
        self, world: World, admin: Actor, streams: Streams
    ) -> None:
        made = streams.create(admin, WEBHOOK).view.id
        service = world.local(admin.principal.tenant_id)
        streams.gone(service, made)
        count = len(world.changes())
        streams.gone(service, made)
        streams.gone(service, new_id())
        assert len(world.changes()) == count
        change = world.changes()[-1]
        assert json.loads(change.detail)["after"] == {"status": "disabled", "disabled_reason": "stream_gone"}
        assert streams.get(admin, made).disabled_reason == "stream_gone"
        assert streams.update(admin, made, StreamChanges(status="enabled")).disabled_reason is None


class TestRotating:
    def test_the_old_secret_signs_beside_the_new_one_until_it_ends(
        self, world: World, admin: Actor, streams: Streams
    ) -> None:
        first = streams.create(admin, WEBHOOK)
        second = streams.rotate_secret(admin, first.view.id, 3600)
        secrets = [base64.b64decode(str(one.secret).removeprefix("whsec_")) for one in (second, first)]
        row = stored(world, admin, first.view.id)
        assert unseal_secrets(row, KEK, world.clock()) == secrets
        assert unseal_secrets(row, KEK, world.clock() + HOUR) == secrets[:1]
        assert [one.expires_at is None for one in second.view.secrets] == [True, False]
        assert second.view.etag != first.view.etag

    def test_without_an_overlap_the_old_one_ends_now_and_a_later_rotation_prolongs_none(
        self, world: World, admin: Actor, streams: Streams
    ) -> None:
        made = streams.create(admin, WEBHOOK).view.id
        streams.rotate_secret(admin, made, 10)
        streams.rotate_secret(admin, made, 3600)
        row = stored(world, admin, made)
        assert len(unseal_secrets(row, KEK, world.clock() + 10 * SECOND)) == 2
        streams.rotate_secret(admin, made, 0)
        assert len(unseal_secrets(stored(world, admin, made), KEK, world.clock())) == 1

    def test_too_many_that_still_sign_are_refused(self, world: World, admin: Actor, streams: Streams) -> None:
        made = streams.create(admin, WEBHOOK).view.id
        for _ in range(4):
            streams.rotate_secret(admin, made, 3600)
        assert refusal(lambda: streams.rotate_secret(admin, made, 3600), world).code == "too_many_secrets"

    @pytest.mark.parametrize("seconds", [-1, 2_592_001])
    def test_an_overlap_has_bounds(self, world: World, admin: Actor, streams: Streams, seconds: int) -> None:
        made = streams.create(admin, WEBHOOK).view.id
        assert refusal(lambda: streams.rotate_secret(admin, made, seconds), world).field == "overlap_seconds"

    def test_only_webhooks_have_one(self, world: World, admin: Actor, streams: Streams) -> None:
        made = streams.create(admin, COLLECTOR).view.id
        assert refusal(lambda: streams.rotate_secret(admin, made, 0), world).field == "kind"


class TestTesting:
    def test_one_event_that_says_what_it_is_is_sent(self, admin: Actor, streams: Streams, outside: Outside) -> None:
        made = streams.create(admin, WEBHOOK).view.id
        outcome = streams.test(admin, made)
        assert (outcome.delivered, outcome.status, outcome.code) == (True, 200, None)
        ((row, message),) = outside.sent
        assert row.id == made
        assert json.loads(message.payload)["type"] == "audit-log.streams.test"

    @pytest.mark.parametrize(
        ("outcome", "code"),
        [
            (Outcome(kind="failed", code="stream_tls_failed"), "stream_tls_failed"),
            (Outcome(kind="gone", code="stream_gone", status=410), "stream_gone"),
            (UnusableKey("x", code="sealed_unreadable"), "sealed_unreadable"),
        ],
    )
    def test_what_went_wrong_is_told(
        self, admin: Actor, streams: Streams, outside: Outside, outcome: Outcome | HatchPayError, code: str
    ) -> None:
        made = streams.create(admin, WEBHOOK).view.id
        outside.outcome = outcome
        told = streams.test(admin, made)
        assert (told.delivered, told.code) == (False, code)


def test_the_operator_has_streams_of_the_operators_log(world: World, demo: Onboarded, streams: Streams) -> None:
    operator = world.local(PLATFORM_TENANT_ID)
    made = streams.create(operator, WEBHOOK)
    assert streams.list(operator).data == (made.view,)
    assert streams.list(world.admin(demo)).data == ()
