"""What becomes of API keys."""

from __future__ import annotations

import msgspec
import pytest
from tests.support.directory import HOUR, START, World

from hatchpay.admin.secrets import MAX_SECRETS
from hatchpay.admin.views import Actor, KeyChanges, NewKey, Onboarded
from hatchpay.audit.ports import KeyUsage
from hatchpay.clock import format_time
from hatchpay.errors import AuditUnavailable, Conflict, InvalidInput, NotFound
from hatchpay.identity.authenticator import ApiKeyAuthenticator, Authenticated, Invalid, Outcome
from hatchpay.ids import new_id
from hatchpay.tokens import apikey
from hatchpay.tokens.digest import Peppers


def present(world: World, text: str) -> Outcome:
    """What the gate says of a key, right after a change."""
    world.snapshots.refresh()
    return ApiKeyAuthenticator(lambda: world.snapshots.current, world.clock, world.keys.rehash).authenticate(text)


def test_a_new_key_is_known_by_its_text_and_may_do_nothing(world: World, admin: Actor) -> None:
    created = world.keys.create(admin, NewKey(name="Tenant API key", description="Default tenant API key"))

    outcome = present(world, created.key)
    assert isinstance(outcome, Authenticated)
    assert outcome.principal.id == created.view.id
    assert outcome.principal.tenant_id == admin.principal.tenant_id
    assert not outcome.principal.grants
    assert created.view.roles == ()
    assert created.view.status == "enabled"


def test_the_view_shows_enough_to_find_a_key_and_not_enough_to_call_with_it(world: World, admin: Actor) -> None:
    created = world.keys.create(admin, NewKey(name="k", environment="test"))

    assert created.key.startswith(created.view.prefix)
    assert created.view.prefix == f"hp_test_{apikey.encode_id(created.view.id)}"
    assert created.key.endswith(created.view.last_four)
    shown = msgspec.json.encode(world.keys.get(admin, created.view.id)).decode()
    assert created.key[30:63] not in shown


def test_the_text_of_a_key_is_in_no_repr_no_event_and_no_file(world: World, admin: Actor) -> None:
    created = world.keys.create(admin, NewKey(name="k"))
    rotated = world.keys.rotate(admin, created.view.id, 60)

    files = b"".join(path.read_bytes() for path in world.directory.path.parent.iterdir())
    for text in (created.key, rotated.key):
        assert text[30:63] not in repr(created) + repr(rotated)
        assert text[30:63].encode() not in files


def test_all_that_is_given_is_kept(world: World, admin: Actor) -> None:
    unit = world.units.create(admin, "Zürich", "Europe/Zurich")
    wanted = NewKey(
        name="Kasse 1",
        description="Till",
        environment="test",
        owner="ops@example.com",
        expires_at_us=START + HOUR,
        business_unit_ids=(unit.id,),
        allowed_cidrs=("192.0.2.0/24", "2001:DB8::/32", "198.51.100.7"),
        metadata={"team": "tills"},
    )

    view = world.keys.get(admin, world.keys.create(admin, wanted).view.id)

    assert (view.name, view.description, view.environment, view.owner) == (
        "Kasse 1",
        "Till",
        "test",
        "ops@example.com",
    )
    assert view.expires_at == format_time(START + HOUR)
    assert view.business_unit_ids == (unit.id,)
    assert view.allowed_cidrs == ("192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32")
    assert view.metadata == {"team": "tills"}
    assert view.created_at == view.updated_at == format_time(START)


def test_keys_are_listed_newest_first_page_by_page(world: World, admin: Actor, demo: Onboarded) -> None:
    made = [world.keys.create(admin, NewKey(name=f"key {number}")).view.id for number in range(4)]
    expected = [*reversed(made), demo.api_key.view.id]

    seen, cursor = [], None
    while True:
        found = world.keys.list(admin, 2, cursor)
        seen += [view.id for view in found.data]
        cursor = found.next_cursor
        if cursor is None:
            break

    assert seen == expected


def test_a_list_shows_what_reading_one_key_shows(world: World, admin: Actor) -> None:
    key = world.key(admin, world.role_id(admin, "viewer"), world.role_id(admin, "gl"))
    world.usage.uses[key.view.id] = [KeyUsage(1, START, "192.0.2.1")]

    assert world.keys.list(admin).data[0] == world.keys.get(admin, key.view.id)


def test_the_last_use_is_that_of_whichever_secret_was_used_last(world: World, admin: Actor) -> None:
    key = world.key(admin)
    world.keys.rotate(admin, key.view.id, 3600)
    world.usage.uses[key.view.id] = [
        KeyUsage(1, START + 2, "192.0.2.1"),
        KeyUsage(2, START + 1, "192.0.2.2"),
    ]

    view = world.keys.get(admin, key.view.id)

    assert (view.last_used_at, view.last_used_ip) == (format_time(START + 2), "192.0.2.1")
    (previous,) = view.previous_secrets
    assert (previous.last_used_at, previous.last_used_ip) == (format_time(START + 2), "192.0.2.1")
    assert previous.last_four == key.key[-4:]
    assert previous.expires_at == format_time(START + HOUR)


def test_a_key_past_its_expiry_is_shown_as_expired_unless_it_is_disabled(world: World, admin: Actor) -> None:
    key = world.key(admin, expires_at_us=START + HOUR)
    world.clock.now += HOUR

    assert world.keys.get(admin, key.view.id).status == "expired"
    assert world.keys.update(admin, key.view.id, KeyChanges(status="disabled")).status == "disabled"


def test_changes_touch_only_what_they_name(world: World, admin: Actor) -> None:
    key = world.key(admin, owner="somebody", metadata={"a": "b"}, allowed_cidrs=("192.0.2.0/24",))
    world.clock.now += 1

    view = world.keys.update(admin, key.view.id, KeyChanges(name="renamed"))

    assert view == msgspec.structs.replace(key.view, name="renamed", updated_at=format_time(START + 1))
    lifted = world.keys.update(admin, key.view.id, KeyChanges(owner=None, allowed_cidrs=None))
    assert (lifted.owner, lifted.allowed_cidrs, lifted.metadata) == (None, None, {"a": "b"})


def test_a_change_that_changes_nothing_leaves_no_event(world: World, admin: Actor) -> None:
    key = world.key(admin, world.role_id(admin, "viewer"))
    before = world.changes()

    world.keys.update(admin, key.view.id, KeyChanges(name=key.view.name, status="enabled"))
    world.keys.set_roles(admin, key.view.id, (key.view.roles[0].id,))
    world.keys.end_grace(admin, key.view.id)

    assert world.changes() == before


def test_a_disabled_key_is_refused_until_it_is_enabled(world: World, admin: Actor) -> None:
    key = world.key(admin)

    world.keys.update(admin, key.view.id, KeyChanges(status="disabled"))
    refused = present(world, key.key)
    world.keys.update(admin, key.view.id, KeyChanges(status="enabled"))

    assert isinstance(refused, Invalid)
    assert refused.reason == "key_disabled"
    assert isinstance(present(world, key.key), Authenticated)


def test_a_deleted_key_is_gone_for_its_tenant_and_still_attributed_to_it(world: World, admin: Actor) -> None:
    key = world.key(admin, world.role_id(admin, "viewer"))

    world.keys.delete(admin, key.view.id)

    refused = present(world, key.key)
    assert isinstance(refused, Invalid)
    assert refused.reason == "key_deleted"
    assert refused.claimed is not None
    assert refused.claimed.tenant_id == admin.principal.tenant_id
    assert refused.claimed.roles == ()
    with pytest.raises(NotFound):
        world.keys.get(admin, key.view.id)
    assert key.view.id not in [view.id for view in world.keys.list(admin).data]


@pytest.mark.parametrize("call", ["update", "delete", "set_roles", "rotate", "end_grace"])
def test_a_deleted_key_cannot_be_changed(world: World, admin: Actor, call: str) -> None:
    key = world.key(admin)
    world.keys.delete(admin, key.view.id)

    with pytest.raises(NotFound):
        change(world, admin, key.view.id, call)


@pytest.mark.parametrize("call", ["get", "update", "delete", "set_roles", "rotate", "end_grace"])
def test_another_tenants_key_does_not_exist(world: World, admin: Actor, stranger: Actor, call: str) -> None:
    key = world.key(admin, world.role_id(admin, "viewer"))
    before = (world.keys.get(admin, key.view.id), world.changes())

    with pytest.raises(NotFound):
        change(world, stranger, key.view.id, call)

    assert (world.keys.get(admin, key.view.id), world.changes()) == before


@pytest.mark.parametrize("call", ["get", "update", "delete", "set_roles", "rotate", "end_grace"])
def test_an_id_that_is_no_uuid_names_its_field(world: World, admin: Actor, call: str) -> None:
    for key_id in ("nonsense", "\0", "\ud800", new_id().upper(), ""):
        with pytest.raises(InvalidInput) as caught:
            change(world, admin, key_id, call)
        assert (caught.value.code, caught.value.field) == ("invalid_uuid", "key_id")


def test_a_list_holds_no_other_tenants_keys(world: World, admin: Actor, stranger: Actor) -> None:
    mine = {view.id for view in world.keys.list(admin).data}
    theirs = {view.id for view in world.keys.list(stranger).data}

    assert len(mine) == len(theirs) == 1
    assert not mine & theirs


def test_setting_roles_replaces_the_set(world: World, admin: Actor) -> None:
    viewer, general_ledger = world.role_id(admin, "viewer"), world.role_id(admin, "gl")
    key = world.key(admin, viewer)

    view = world.keys.set_roles(admin, key.view.id, (general_ledger,))

    assert [role.name for role in view.roles] == ["gl"]
    assert [role.id for role in world.keys.get(admin, key.view.id).roles] == [general_ledger]
    assert world.keys.set_roles(admin, key.view.id, ()).roles == ()


def test_roles_that_are_unknown_doubled_foreign_or_malformed_change_nothing(
    world: World, admin: Actor, stranger: Actor
) -> None:
    viewer, foreign = world.role_id(admin, "viewer"), world.role_id(stranger, "viewer")
    key = world.key(admin, viewer)
    before = (world.keys.get(admin, key.view.id), world.changes())

    for role_ids, code in (
        ((viewer, new_id()), "unknown_role"),
        ((viewer, foreign), "unknown_role"),
        ((viewer, viewer), "duplicate_role"),
        ((viewer, "viewer"), "invalid_uuid"),
        (tuple(new_id() for _ in range(201)), "invalid_field"),
    ):
        with pytest.raises(InvalidInput) as caught:
            world.keys.set_roles(admin, key.view.id, role_ids)
        assert (caught.value.code, caught.value.field) == (code, "role_ids")

    assert (world.keys.get(admin, key.view.id), world.changes()) == before


def test_rotating_without_grace_ends_the_old_secret_at_once(world: World, admin: Actor) -> None:
    key = world.key(admin)

    rotated = world.keys.rotate(admin, key.view.id)

    assert rotated.key != key.key
    assert isinstance(present(world, rotated.key), Authenticated)
    refused = present(world, key.key)
    assert isinstance(refused, Invalid)
    assert refused.reason == "key_secret_ended"
    assert rotated.view.previous_secrets == ()


def test_with_grace_both_secrets_work_until_it_is_over(world: World, admin: Actor) -> None:
    key = world.key(admin)

    rotated = world.keys.rotate(admin, key.view.id, 3600)

    assert isinstance(present(world, key.key), Authenticated)
    world.clock.now += HOUR - 1
    assert isinstance(present(world, key.key), Authenticated)
    world.clock.now += 1
    assert isinstance(present(world, key.key), Invalid)
    assert isinstance(present(world, rotated.key), Authenticated)


def test_a_second_rotation_never_prolongs_an_older_secret(world: World, admin: Actor) -> None:
    key = world.key(admin)
    world.keys.rotate(admin, key.view.id, 3600)

    world.keys.rotate(admin, key.view.id, 7200)

    ends = [secret.expires_at for secret in world.keys.get(admin, key.view.id).previous_secrets]
    assert ends == [format_time(START + 2 * HOUR), format_time(START + HOUR)]


def test_grace_can_be_ended_early(world: World, admin: Actor) -> None:
    key = world.key(admin)
    rotated = world.keys.rotate(admin, key.view.id, 3600)

    view = world.keys.end_grace(admin, key.view.id)

    assert view.previous_secrets == ()
    assert isinstance(present(world, key.key), Invalid)
    assert isinstance(present(world, rotated.key), Authenticated)


def test_a_key_keeps_few_secrets_and_drops_only_ended_ones(world: World, admin: Actor) -> None:
    key = world.key(admin)
    for _ in range(MAX_SECRETS - 1):
        world.keys.rotate(admin, key.view.id, 3600)

    with pytest.raises(Conflict) as caught:
        world.keys.rotate(admin, key.view.id, 3600)
    assert caught.value.code == "too_many_secrets"

    world.keys.rotate(admin, key.view.id)
    with world.directory.read() as view:
        stored = view.key_of_any_tenant(key.view.id)
    assert stored is not None
    assert len(stored.secrets) == MAX_SECRETS


def test_where_the_last_use_cannot_be_read_nothing_is_changed(
    world: World, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = world.key(admin)
    before = world.changes()

    def fail(_: list[str]) -> dict[str, list[KeyUsage]]:
        raise AuditUnavailable("the ledger is gone")

    monkeypatch.setattr(world.usage, "usage", fail)
    for call in ("update", "set_roles", "rotate", "end_grace"):
        with pytest.raises(AuditUnavailable):
            change(world, admin, key.view.id, call)

    assert world.changes() == before


def test_a_secret_comes_under_the_new_pepper_at_its_next_use(world: World, admin: Actor) -> None:
    key = world.key(admin)
    world.peppers = Peppers(2, {1: b"\x01" * 32, 2: b"\x02" * 32})
    world.pepper_admin.announce(world.local())
    events = world.changes()

    assert isinstance(present(world, key.key), Authenticated)

    world.peppers = Peppers(2, {2: b"\x02" * 32})
    world.pepper_admin.announce(world.local())
    assert isinstance(present(world, key.key), Authenticated)
    assert [change.event for change in world.changes()[len(events) :]] == ["platform.peppers.changed"]


def test_rehashing_needs_the_secret_itself(world: World, admin: Actor) -> None:
    key, other = world.key(admin), world.key(admin)
    world.peppers = Peppers(2, {1: b"\x01" * 32, 2: b"\x02" * 32})
    before = stored(world, key.view.id)

    world.keys.rehash(key.view.id, other.key, 1)
    world.keys.rehash(key.view.id, key.key, 2)
    world.keys.rehash(new_id(), key.key, 1)

    assert stored(world, key.view.id) == before


def stored(world: World, key_id: str) -> object:
    with world.directory.read() as view:
        return view.key_of_any_tenant(key_id)


def change(world: World, actor: Actor, key_id: str, call: str) -> None:
    match call:
        case "get":
            world.keys.get(actor, key_id)
        case "update":
            world.keys.update(actor, key_id, KeyChanges(name="changed"))
        case "delete":
            world.keys.delete(actor, key_id)
        case "set_roles":
            world.keys.set_roles(actor, key_id, ())
        case "rotate":
            world.keys.rotate(actor, key_id)
        case "end_grace":
            world.keys.end_grace(actor, key_id)
