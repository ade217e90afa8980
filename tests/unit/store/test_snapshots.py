"""The directory in memory: what it holds, and how it follows changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import insert, select
from tests.support.directory import HOUR, SERVED, START, UnsyncedDirectory, World, fresh_directory

from hatchpay.access.directory import IssuerKeys
from hatchpay.access.permission import Permission
from hatchpay.access.rules import UnitEntry
from hatchpay.admin.token_views import IssuerChanges
from hatchpay.admin.views import Actor, KeyChanges, NewKey, Onboarded, RoleDraft, UnitChanges
from hatchpay.errors import DirectoryUnavailable
from hatchpay.identity.ports import KeyEntry, Snapshot
from hatchpay.ids import new_id
from hatchpay.store.directory_view import SqlView
from hatchpay.store.schema import api_keys, key_roles, key_secrets
from hatchpay.store.snapshots import DirectorySnapshots
from hatchpay.tokens.apikey import encode_id, parse
from hatchpay.tokens.digest import Peppers


@pytest.fixture
def world() -> Iterator[World]:
    world = World(fresh_directory())
    yield world
    world.close()


@pytest.fixture
def demo(world: World) -> Onboarded:
    return world.onboard("Demo")


@pytest.fixture
def admin(world: World, demo: Onboarded) -> Actor:
    return world.admin(demo)


def entry(world: World, key_id: str) -> KeyEntry:
    """The key as the snapshot has it after a refresh."""
    world.snapshots.refresh()
    return world.snapshots.current.keys[encode_id(key_id)]


def as_if_loaded_anew(world: World) -> Snapshot:
    return DirectorySnapshots(world.directory, lambda: world.peppers).current


def test_a_key_is_found_by_what_stands_in_its_text(world: World, demo: Onboarded) -> None:
    world.snapshots.refresh()

    found = world.snapshots.current.keys[parse(demo.api_key.key).locator]

    assert found.principal.id == found.principal.key_id == demo.api_key.view.id
    assert (found.principal.kind, found.principal.tenant_id) == ("api_key", demo.tenant.id)
    assert found.state == "enabled"
    assert world.peppers.verify(demo.api_key.key, found.secrets[0].digest, found.secrets[0].pepper_version)


def test_grants_name_the_role_that_gives_them(world: World, admin: Actor) -> None:
    custom = world.role(admin, "buyer", "shop.orders.create", "shop.orders.read")
    key = world.key(admin, custom.id, world.role_id(admin, "viewer"))

    principal = entry(world, key.view.id).principal

    assert principal.roles == ("buyer", "viewer")
    assert principal.grants["shop.orders.create"] == "role:buyer"
    assert principal.grants["shop.orders.read"] == "role:buyer"
    assert principal.grants["access.roles.read"] == "role:viewer"
    assert "shop.customers.read" not in principal.grants


def test_a_role_for_chosen_units_grants_there_what_no_other_grants_everywhere(world: World, admin: Actor) -> None:
    one, two = (world.units.create(admin, name, "UTC").id for name in ("one", "two"))
    read = "shop.orders.read"
    wide = world.role(admin, "wide", "shop.orders.create").id
    first = world.role(admin, "a buyer", "shop.orders.create", read).id
    second = world.role(admin, "b reader", read).id
    key, same = world.key(admin), world.key(admin)
    for created in (key, same):
        world.keys.set_roles(admin, created.view.id, (wide, second, first), {first: (one,), second: (two, one)})

    principal = entry(world, key.view.id).principal

    assert principal.roles == ("a buyer", "b reader", "wide")
    assert principal.grants == {"shop.orders.create": "role:wide"}
    assert principal.scoped == {read: {one: "role:a buyer", two: "role:b reader"}}
    assert entry(world, same.view.id).principal.scoped is principal.scoped
    with pytest.raises(TypeError):
        principal.scoped[read]["x"] = "y"  # type: ignore[index]


def test_keys_of_the_same_roles_share_grants_only_where_their_units_are_the_same(world: World, admin: Actor) -> None:
    one, two = (world.units.create(admin, name, "UTC").id for name in ("one", "two"))
    role = world.role(admin, "reader", "shop.orders.read").id
    held = [({role: (one,)}, {one}), ({role: (two,)}, {two}), ({role: (one, two)}, {one, two}), ({}, set())]
    keys = []
    for scopes, units in held:
        keys.append((world.key(admin).view.id, units))
        world.keys.set_roles(admin, keys[-1][0], (role,), scopes)

    world.snapshots.refresh()

    for key_id, units in keys:
        principal = world.snapshots.current.keys[encode_id(key_id)].principal
        assert principal.scoped.get("shop.orders.read", {}).keys() == units
        assert ("shop.orders.read" in principal.grants) is not bool(units)


def test_units_are_published_with_their_state_by_tenant(world: World, admin: Actor, demo: Onboarded) -> None:
    unit = world.units.create(admin, "unit", "Europe/Zurich").id
    for change, expected in (
        (UnitChanges(), UnitEntry(unit, "Europe/Zurich")),
        (UnitChanges(status="archived"), UnitEntry(unit, "Europe/Zurich", True)),
        (UnitChanges(status="active", timezone_name="UTC"), UnitEntry(unit, "UTC")),
    ):
        world.units.update(admin, unit, change)
        world.snapshots.refresh()
        assert world.snapshots.rules.units == {demo.tenant.id: {unit: expected}}


def test_a_refresh_without_a_change_keeps_the_very_snapshot(world: World, demo: Onboarded) -> None:
    assert world.snapshots.refresh()
    current = world.snapshots.current

    assert not world.snapshots.refresh()
    assert world.snapshots.current is current


def test_a_published_snapshot_never_changes(world: World, demo: Onboarded, admin: Actor) -> None:
    world.snapshots.refresh()
    old = world.snapshots.current
    count = len(old.keys)

    key = world.key(admin)
    world.keys.update(admin, key.view.id, KeyChanges(status="disabled"))

    assert entry(world, key.view.id).state == "disabled"
    assert len(old.keys) == count
    with pytest.raises(AttributeError):
        old.generation = 0  # type: ignore[misc]
    with pytest.raises(TypeError):
        next(iter(old.keys.values())).principal.grants["x"] = "y"  # type: ignore[index]


def test_every_kind_of_change_shows_as_if_all_were_loaded_anew(world: World, admin: Actor, demo: Onboarded) -> None:
    role = world.role(admin, "buyer", "shop.orders.read")
    key = world.key(admin, role.id)
    unit = world.units.create(admin, "unit", "UTC")
    steps: list[Callable[[], object]] = [
        lambda: world.key(admin),
        lambda: world.keys.update(
            admin,
            key.view.id,
            KeyChanges(
                expires_at_us=START + HOUR, business_unit_ids=(unit.id,), allowed_cidrs=("192.0.2.0/24",), name="new"
            ),
        ),
        lambda: world.roles.update(admin, role.id, RoleDraft(name="buyer", permissions=("shop.orders.create",))),
        lambda: world.roles.update(admin, role.id, RoleDraft(name="shopper", permissions=("shop.orders.create",))),
        lambda: world.keys.set_roles(admin, key.view.id, (world.role_id(admin, "gl"), role.id)),
        lambda: world.keys.set_roles(admin, key.view.id, (world.role_id(admin, "gl"), role.id), {role.id: (unit.id,)}),
        lambda: world.roles.update(admin, role.id, RoleDraft(name="shopper", permissions=("shop.customers.read",))),
        lambda: world.keys.rotate(admin, key.view.id, 60),
        lambda: world.keys.end_grace(admin, key.view.id),
        lambda: world.keys.update(admin, key.view.id, KeyChanges(status="disabled")),
        lambda: world.directory.sync_permissions(
            [*SERVED, Permission(name="shop.orders.cancel", description="Cancel")]
        ),
        lambda: world.keys.delete(admin, key.view.id),
        lambda: world.roles.delete(admin, role.id),
        lambda: world.onboard("Another"),
    ]
    for step in steps:
        step()
        assert world.snapshots.refresh()
        assert world.snapshots.current == as_if_loaded_anew(world)
    assert "shop.orders.cancel" in {permission.name for permission in world.snapshots.catalogue}


def test_several_changes_are_taken_over_at_once(world: World, admin: Actor) -> None:
    role = world.role(admin, "buyer")
    keys = [world.key(admin, role.id) for _ in range(3)]
    world.keys.delete(admin, keys[0].view.id)
    world.roles.update(admin, role.id, RoleDraft(name="shopper", permissions=("shop.orders.read",)))

    assert world.snapshots.refresh()

    assert world.snapshots.current == as_if_loaded_anew(world)
    assert entry(world, keys[1].view.id).principal.grants == {"shop.orders.read": "role:shopper"}


def test_only_the_keys_that_changed_are_compiled_again(world: World, admin: Actor) -> None:
    role = world.role(admin, "buyer")
    holder, other = world.key(admin, role.id), world.key(admin)
    before = (entry(world, holder.view.id), entry(world, other.view.id))

    world.roles.update(admin, role.id, RoleDraft(name="shopper"))

    assert entry(world, other.view.id) is before[1]
    assert entry(world, holder.view.id) is not before[0]


def test_a_deleted_key_stays_known_with_its_tenant_and_without_grants(world: World, admin: Actor) -> None:
    key = world.key(admin, world.role_id(admin, "viewer"))
    world.keys.delete(admin, key.view.id)

    found = entry(world, key.view.id)

    assert (found.state, found.principal.tenant_id) == ("deleted", admin.principal.tenant_id)
    assert not found.principal.grants
    assert as_if_loaded_anew(world).keys[encode_id(key.view.id)] == found


def test_the_peppers_are_read_again_only_when_they_are_said_to_have_changed(world: World, admin: Actor) -> None:
    world.snapshots.refresh()
    world.peppers = Peppers(2, {1: b"\x01" * 32, 2: b"\x02" * 32})
    world.units.create(admin, "a change of something else", "UTC")
    world.snapshots.refresh()
    assert world.snapshots.current.peppers.current == 1

    world.pepper_admin.announce(world.local())
    world.snapshots.refresh()

    assert world.snapshots.current.peppers.current == 2


def test_another_process_sees_a_change_at_its_next_refresh(world: World, admin: Actor) -> None:
    beside = UnsyncedDirectory(world.directory.path)
    snapshots = DirectorySnapshots(beside, lambda: world.peppers)

    key = world.keys.create(admin, NewKey(name="k"))

    assert encode_id(key.view.id) not in snapshots.current.keys
    assert snapshots.refresh()
    assert encode_id(key.view.id) in snapshots.current.keys
    beside.close()


def test_while_the_directory_is_away_the_last_snapshot_stays(world: World, demo: Onboarded) -> None:
    world.snapshots.refresh()
    current = world.snapshots.current
    path = world.directory.path
    path.rename(path.with_name("aside"))

    try:
        with pytest.raises(DirectoryUnavailable):
            world.snapshots.refresh()
        assert world.snapshots.current is current
    finally:
        path.with_name("aside").rename(path)
    assert not world.snapshots.refresh()


def test_a_refresh_that_fails_half_way_publishes_nothing_and_is_made_up_for(
    world: World, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.snapshots.refresh()
    current = world.snapshots.current
    role = world.role(admin, "buyer", "shop.orders.read")
    key = world.key(admin, role.id)

    def fail(*_: object) -> None:
        raise DirectoryUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(SqlView, "load_keys", fail)
        with pytest.raises(DirectoryUnavailable):
            world.snapshots.refresh()
    assert world.snapshots.current is current

    assert entry(world, key.view.id).principal.grants == {"shop.orders.read": "role:buyer"}


def test_many_threads_may_refresh_while_others_read(world: World, admin: Actor) -> None:
    stop = threading.Event()
    failures: list[BaseException] = []

    def refresh() -> None:
        try:
            while not stop.is_set():
                world.snapshots.refresh()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=refresh) for _ in range(3)]
    for thread in threads:
        thread.start()
    made = [world.keys.create(admin, NewKey(name="k")).view.id for _ in range(20)]
    stop.set()
    for thread in threads:
        thread.join()

    assert not failures
    world.snapshots.refresh()
    assert {encode_id(key_id) for key_id in made} <= set(world.snapshots.current.keys)
    assert world.snapshots.current == as_if_loaded_anew(world)


PARTS = ("urls", "own", "issuers", "revoked", "roles")


def test_what_concerns_tokens_is_taken_over_alone_and_nothing_else_is_compiled_again(
    world: World, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.begin_tokens()
    token_id, role = new_id(), world.role(admin, "buyer", "shop.orders.read")
    issuer = world.trust(admin, world.issuer(), "shop.orders.read")
    steps: list[tuple[str, Callable[[], object]]] = [
        ("own", lambda: world.signing_keys.rotate(world.local())),
        ("own", lambda: world.signing_keys.retire(world.local(), world.signing_keys.list()[0].kid)),
        ("issuers", lambda: world.trust(admin, world.issuer("https://other.test"), "shop.orders.read")),
        ("issuers", lambda: world.issuers.update(admin, issuer.id, IssuerChanges(status="disabled"))),
        ("issuers", lambda: saved_keys(world, issuer.id)),
        ("issuers", lambda: world.issuers.delete(admin, issuer.id)),
        ("revoked", lambda: revoked(world, admin, token_id)),
        ("urls", lambda: served(world, "https://moved.test")),
        ("roles", lambda: world.role(admin, "seller")),
        ("roles", lambda: world.roles.update(admin, role.id, RoleDraft(name="shopper"))),
        ("roles", lambda: world.roles.delete(admin, role.id)),
    ]
    world.snapshots.refresh()
    monkeypatch.setattr(DirectorySnapshots, "_load", lambda *_: pytest.fail("everything was loaded anew"))
    for part, step in steps:
        before = world.snapshots.current
        step()
        world.snapshots.refresh()
        after = world.snapshots.current
        assert getattr(after.trust, part) != getattr(before.trust, part)
        for other in PARTS:
            assert other == part or getattr(after.trust, other) is getattr(before.trust, other)
        assert after.keys is before.keys
    monkeypatch.undo()
    assert world.snapshots.current == as_if_loaded_anew(world)


def test_a_change_of_a_key_leaves_the_trust_as_it_is(world: World, admin: Actor) -> None:
    world.begin_tokens()
    world.trust(admin, world.issuer())
    trust = world.snapshots.current.trust

    key = world.key(admin, world.role_id(admin, "viewer"))
    entry(world, key.view.id)
    world.units.create(admin, "unit", "UTC")
    world.snapshots.refresh()

    assert world.snapshots.current.trust is trust


def test_several_changes_around_tokens_and_keys_are_taken_over_at_once(world: World, admin: Actor) -> None:
    world.begin_tokens()
    world.signing_keys.rotate(world.local())
    revoked(world, admin, new_id())
    served(world, "https://moved.test")
    world.key(admin, world.role(admin, "buyer", "shop.orders.read").id)
    world.internet.publish(world.issuer())
    world.trust(admin, world.issuer(), "shop.orders.read")

    world.snapshots.refresh()

    assert world.snapshots.current == as_if_loaded_anew(world)


def test_what_was_looked_up_in_an_older_trust_is_not_found_in_a_newer_one(world: World, admin: Actor) -> None:
    """The look-ups by name and by kid are made once per trust: they must not outlive it."""
    world.begin_tokens()
    before = world.snapshots.current.trust
    assert dict(before.by_name) == {}
    assert len(before.own_keys.keys) == 1

    view = world.trust(admin, world.issuer(), "shop.orders.read")
    world.signing_keys.rotate(world.local())
    world.snapshots.refresh()

    after = world.snapshots.current.trust
    assert [entry.id for entry in after.by_name["https://id.test"]] == [view.id]
    assert len(after.own_keys.keys) == 2


def test_a_new_permission_reaches_the_roles_that_users_hold_by_name(world: World, admin: Actor) -> None:
    world.begin_tokens()
    more = Permission(name="shop.orders.cancel", description="Cancel")

    world.directory.sync_permissions([*SERVED, more])
    world.snapshots.refresh()

    held = world.snapshots.current.trust.roles[admin.principal.tenant_id, "admin"]
    assert more.name in held
    assert world.snapshots.current == as_if_loaded_anew(world)


def served(world: World, url: str) -> None:
    with world.directory.transaction() as transaction:
        transaction.serve_url(url, world.clock())


def revoked(world: World, admin: Actor, token_id: str) -> None:
    with world.directory.transaction() as transaction:
        transaction.revoke_token(token_id, admin.principal.tenant_id, START + HOUR, START)


def saved_keys(world: World, issuer_id: str) -> None:
    with world.directory.transaction() as transaction:
        transaction.save_issuer_keys(issuer_id, IssuerKeys(document=world.issuer().document(), fetched_us=START))


def test_ten_thousand_keys_load_and_one_change_among_them_is_taken_over_quickly(world: World, admin: Actor) -> None:
    """The bounds are wide, for slow machines: measured 0.4 s, 2 ms and 20 µs."""
    pattern = world.key(admin, world.role_id(admin, "viewer"), allowed_cidrs=("192.0.2.0/24",))
    many(world, pattern.view.id, 10_000)

    started = time.perf_counter()
    snapshots = DirectorySnapshots(world.directory, lambda: world.peppers)
    loaded = time.perf_counter()
    world.keys.update(admin, pattern.view.id, KeyChanges(name="changed"))
    changed = time.perf_counter()
    assert snapshots.refresh()
    refreshed = time.perf_counter()
    for _ in range(100):
        snapshots.refresh()
    idle = (time.perf_counter() - refreshed) / 100

    assert len(snapshots.current.keys) == 10_002
    assert loaded - started < 5
    assert refreshed - changed < 0.1
    assert idle < 0.002


def many(world: World, key_id: str, count: int) -> None:
    """Copies of a key, its roles and its secrets, under new ids."""
    ids = [new_id() for _ in range(count)]
    with world.directory.transaction() as transaction:
        for table, column in ((api_keys, "id"), (key_roles, "key_id"), (key_secrets, "key_id")):
            row = transaction._connection.execute(select(table).where(table.c[column] == key_id)).one()
            transaction._connection.execute(insert(table), [{**row._mapping, column: one} for one in ids])


def test_a_pepper_that_nobody_announced_is_loaded_with_the_first_key_under_it(world: World, demo: Onboarded) -> None:
    world.snapshots.refresh()
    world.peppers = Peppers(2, {**world.peppers.keys, 2: b"\x02" * 32})
    created = world.key(world.admin(demo))
    world.snapshots.refresh()
    assert world.snapshots.current.peppers.current == 2
    entry = world.snapshots.current.keys[encode_id(created.view.id)]
    assert world.snapshots.current.peppers.verify(created.key, entry.secrets[0].digest, 2)
