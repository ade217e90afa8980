"""What every directory store must do, whatever database it stands on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.support.directory import SERVED, START

from hatchpay.access.directory import KeyRow, RoleRow, SecretRow, TenantRow, UnitRow
from hatchpay.access.permission import CONTROL_PERMISSIONS, PLATFORM_PERMISSIONS, Permission
from hatchpay.audit.record import Change
from hatchpay.errors import Conflict, DirectoryUnavailable, SettingsError
from hatchpay.identity.principal import RateLimit
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.directory_transaction import SqlTransaction

STORES: dict[str, Callable[[Path], SqlDirectory]] = {"sqlite": lambda folder: SqlDirectory(folder / "directory.db")}


@pytest.fixture(params=STORES)
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlDirectory]:
    directory = STORES[request.param](tmp_path)
    directory.sync_permissions(SERVED)
    yield directory
    directory.close()


def tenant(directory: SqlDirectory, name: str = "Demo") -> str:
    row = TenantRow(id=new_id(), name=name, created_us=START)
    with directory.transaction() as transaction:
        transaction.add_tenant(row)
    return row.id


def role(tenant_id: str, name: str, *permissions: str, builtin: bool = False) -> RoleRow:
    return RoleRow(
        id=new_id(),
        tenant_id=tenant_id,
        name=name,
        builtin=builtin,
        permissions=frozenset(permissions),
        created_us=START,
        updated_us=START,
    )


def secret(version: int, **changes: object) -> SecretRow:
    row = SecretRow(version=version, digest=bytes(32), pepper_version=1, last_four="abcd", created_us=START)
    return msgspec.structs.replace(row, **changes)


def key(tenant_id: str, *roles: RoleRow, **changes: object) -> KeyRow:
    row = KeyRow(
        id=new_id(),
        tenant_id=tenant_id,
        name="key",
        description="",
        environment="live",
        created_us=START,
        updated_us=START,
        role_ids=frozenset(held.id for held in roles),
        secrets=(secret(1),),
    )
    return msgspec.structs.replace(row, **changes)


def add(directory: SqlDirectory, *rows: KeyRow | RoleRow | UnitRow) -> None:
    with directory.transaction() as transaction:
        for row in rows:
            if isinstance(row, KeyRow):
                transaction.add_key(row)
            elif isinstance(row, RoleRow):
                transaction.add_role(row)
            else:
                transaction.add_unit(row)


def change(number: int = 0) -> Change:
    return Change(new_id(), new_id(), new_id(), START + number, "local:0", "some.thing.done", new_id(), b"{}")


def test_it_starts_with_the_platform_and_our_own_permissions(tmp_path: Path) -> None:
    for open_store in STORES.values():
        directory = open_store(tmp_path)
        with directory.read() as view:
            platform = view.tenant(PLATFORM_TENANT_ID)
            catalogue = view.catalogue()
        directory.close()
        assert platform is not None
        assert platform.name == "platform"
        assert {permission.name for permission in catalogue} == {found.name for found in CONTROL_PERMISSIONS}


def test_every_field_of_a_key_comes_back_as_it_went_in(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    held = role(tenant_id, "role")
    row = key(
        tenant_id,
        held,
        name="Schlüssel 🗝",
        description="d",
        environment="test",
        owner="o",
        enabled=False,
        expires_us=2**53,
        business_unit_ids=("b", "a"),
        allowed_cidrs=("192.0.2.0/24",),
        metadata={"k": "v\u2028"},
        secrets=(secret(2, digest=b"\xff" * 32), secret(1, ends_us=START + 1)),
    )
    add(directory, held, row)

    with directory.read() as view:
        assert view.key(tenant_id, row.id) == row
        assert view.key_of_any_tenant(row.id) == row


def test_saving_a_key_replaces_everything_of_it(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    first, second = role(tenant_id, "first"), role(tenant_id, "second")
    row = key(tenant_id, first, owner="somebody")
    add(directory, first, second, row)
    changed = msgspec.structs.replace(
        row, name="changed", owner=None, role_ids=frozenset({second.id}), secrets=(secret(2), secret(1, ends_us=1))
    )

    with directory.transaction() as transaction:
        transaction.save_key(changed)
        seen = transaction.key(tenant_id, row.id)

    with directory.read() as view:
        assert view.key(tenant_id, row.id) == seen == changed
        assert [found.id for found in view.keys_holding([second.id])] == [row.id]
        assert view.keys_holding([first.id]) == []


def test_a_deleted_key_is_seen_by_nobody(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    row = key(tenant_id, deleted_us=START)
    add(directory, row)

    with directory.read() as view:
        assert view.key(tenant_id, row.id) is None
        assert view.key_of_any_tenant(row.id) is None
        assert view.keys(tenant_id, 10, None) == []
        assert view.keys_under(1) == []
        assert view.secrets_per_pepper(START) == {}


def test_one_tenant_sees_nothing_of_another(directory: SqlDirectory) -> None:
    mine, theirs = tenant(directory, "mine"), tenant(directory, "theirs")
    held = role(theirs, "role")
    unit = UnitRow(id=new_id(), tenant_id=theirs, name="unit", timezone_name="UTC", created_us=START, updated_us=START)
    row = key(theirs, held)
    add(directory, held, unit, row)

    with directory.read() as view:
        assert view.key(mine, row.id) is None
        assert view.keys(mine, 10, None) == []
        assert view.role(mine, held.id) is None
        assert view.role_named(mine, "role") is None
        assert view.roles(mine, 10, None) == []
        assert view.roles_by_id(mine, [held.id]) == {}
        assert view.unit(mine, unit.id) is None
        assert view.units(mine, 10, None) == []
        assert view.known_units(mine, [unit.id]) == {}
        assert view.key(theirs, row.id) == row
        assert view.unit(theirs, unit.id) == unit
        assert view.known_units(theirs, [unit.id]) == {unit.id: unit}


def test_lists_continue_after_the_id_that_they_are_given(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    keys, roles = [key(tenant_id) for _ in range(5)], [role(tenant_id, f"role {number}") for number in range(5)]
    add(directory, *keys, *roles)

    with directory.read() as view:
        assert view.keys(tenant_id, 2, None) == [keys[4], keys[3]]
        assert view.keys(tenant_id, 2, keys[3].id) == [keys[2], keys[1]]
        assert view.roles(tenant_id, 2, None) == roles[:2]
        assert view.roles(tenant_id, 9, roles[1].id) == roles[2:]


def test_any_number_of_ids_can_be_asked_for(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    roles = [role(tenant_id, f"role {number}", "shop.orders.read") for number in range(1200)]
    add(directory, *roles)

    with directory.read() as view:
        found = view.roles_by_id(tenant_id, [row.id for row in roles])

    assert found == {row.id: row for row in roles}


@pytest.mark.parametrize(
    "limit",
    [
        {},
        {"enabled": False},
        {"environment": "test"},
        {"expires_us": START},
        {"business_unit_ids": ("a",)},
        {"allowed_cidrs": ("192.0.2.0/24",)},
        {"rate_limits": (RateLimit(1, 60),)},
        {"deleted_us": START},
    ],
    ids=str,
)
def test_an_administrator_is_a_live_enabled_key_without_limits(
    directory: SqlDirectory, limit: dict[str, object]
) -> None:
    tenant_id = tenant(directory)
    admin = role(tenant_id, "admin", builtin=True)
    add(directory, admin, key(tenant_id, admin, **limit))

    with directory.read() as view:
        assert view.administrators(tenant_id) == len(view.administrator_keys(tenant_id)) == (0 if limit else 1)


def test_only_the_built_in_role_admin_of_the_tenant_makes_an_administrator(directory: SqlDirectory) -> None:
    tenant_id, other = tenant(directory), tenant(directory, "other")
    custom, viewer = role(tenant_id, "admin"), role(tenant_id, "viewer", builtin=True)
    elsewhere = role(other, "admin", builtin=True)
    add(directory, custom, viewer, elsewhere, key(tenant_id, custom, viewer), key(other, elsewhere))

    with directory.read() as view:
        assert view.administrators(tenant_id) == 0
        assert view.administrators(other) == 1
        assert [found.tenant_id for found in view.administrator_keys(other)] == [other]


def test_built_in_roles_hold_what_the_catalogue_gives_them(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    rows = [role(tenant_id, name, builtin=True) for name in ("admin", "viewer", "gl")]
    add(directory, *rows)

    with directory.read() as view:
        held = {found.name: found.permissions for found in view.roles(tenant_id, 10, None)}

    assert held["admin"] == {permission.name for permission in (*CONTROL_PERMISSIONS, *SERVED)}
    assert "shop.orders.read" in held["viewer"]
    assert "shop.customers.read" not in held["gl"]
    assert held["gl"] - held["viewer"] == {"shop.orders.create"}


@pytest.mark.parametrize("kind", ["tenant", "role", "unit"])
def test_a_taken_name_is_a_conflict_and_undoes_the_transaction(directory: SqlDirectory, kind: str) -> None:
    tenant_id = tenant(directory)

    def insert(transaction: SqlTransaction) -> None:
        if kind == "tenant":
            transaction.add_tenant(TenantRow(id=new_id(), name="taken", created_us=START))
        elif kind == "role":
            transaction.add_role(role(tenant_id, "taken"))
        else:
            transaction.add_unit(
                UnitRow(
                    id=new_id(),
                    tenant_id=tenant_id,
                    name="taken",
                    timezone_name="UTC",
                    created_us=START,
                    updated_us=START,
                )
            )

    with directory.transaction() as transaction:
        insert(transaction)
    position = directory.position()

    with pytest.raises(Conflict) as caught, directory.transaction() as transaction:
        transaction.add_key(key(tenant_id))
        insert(transaction)

    assert (caught.value.code, caught.value.field) == ("already_exists", "name")
    assert directory.position() == position
    with directory.read() as view:
        assert view.keys(tenant_id, 10, None) == []


def test_a_role_takes_no_name_of_another(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    first, second = role(tenant_id, "first"), role(tenant_id, "second")
    add(directory, first, second)

    with pytest.raises(Conflict), directory.transaction() as transaction:
        transaction.save_role(msgspec.structs.replace(second, name="first"))


def test_a_transaction_that_raises_leaves_nothing(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    position = directory.position()

    with pytest.raises(ZeroDivisionError), directory.transaction() as transaction:
        transaction.add_key(key(tenant_id))
        transaction.record(change())
        raise ZeroDivisionError

    assert directory.position() == position
    assert directory.outbox() == []


def test_every_write_moves_the_feed_and_nothing_else_does(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    row, held = key(tenant_id), role(tenant_id, "role")
    unit = UnitRow(
        id=new_id(), tenant_id=tenant_id, name="unit", timezone_name="UTC", created_us=START, updated_us=START
    )
    writes: list[Callable[[SqlTransaction], object]] = [
        lambda transaction: transaction.add_tenant(TenantRow(id=new_id(), name="new", created_us=START)),
        lambda transaction: transaction.add_key(row),
        lambda transaction: transaction.save_key(row),
        lambda transaction: transaction.add_role(held),
        lambda transaction: transaction.save_role(held),
        lambda transaction: transaction.remove_role(held),
        lambda transaction: transaction.add_unit(unit),
        lambda transaction: transaction.announce_peppers(),
        lambda transaction: transaction.save_permission(SERVED[0], platform=False),
    ]
    for write in writes:
        position = directory.position()
        with directory.transaction() as transaction:
            write(transaction)
        assert directory.position() == position + 1

    position = directory.position()
    with directory.transaction() as transaction:
        transaction.record(change())
    with directory.read() as view:
        view.catalogue()
    assert directory.position() == position


def test_a_reader_keeps_the_state_that_it_began_with(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    with directory.read() as view:
        before = view.keys(tenant_id, 10, None)
        add(directory, key(tenant_id))
        assert view.keys(tenant_id, 10, None) == before

    with directory.read() as view:
        assert len(view.keys(tenant_id, 10, None)) == 1


def test_writers_take_turns_so_that_none_overwrites_another(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    row = key(tenant_id, metadata={"count": "0"})
    add(directory, row)

    def count() -> None:
        for _ in range(10):
            with directory.transaction() as transaction:
                found = transaction.key(tenant_id, row.id)
                assert found is not None
                number = int(found.metadata["count"]) + 1
                transaction.save_key(msgspec.structs.replace(found, metadata={"count": str(number)}))

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with directory.read() as view:
        found = view.key(tenant_id, row.id)
    assert found is not None
    assert found.metadata == {"count": "20"}


def test_the_outbox_gives_the_oldest_first_until_they_are_done(directory: SqlDirectory) -> None:
    changes = [change(number) for number in range(700)]
    with directory.transaction() as transaction:
        for one in changes:
            transaction.record(one)

    first = directory.outbox()
    assert first == changes[:500]
    directory.outbox_done([one.id for one in first])
    assert directory.outbox() == changes[500:]
    directory.outbox_done([one.id for one in changes])
    directory.outbox_done([])
    assert directory.outbox() == []


def test_secrets_are_counted_per_pepper_until_they_end(directory: SqlDirectory) -> None:
    tenant_id = tenant(directory)
    both = key(tenant_id, secrets=(secret(2, pepper_version=2), secret(1, ends_us=START + 1)))
    add(directory, both, key(tenant_id))

    with directory.read() as view:
        assert view.secrets_per_pepper(START) == {1: 2, 2: 1}
        assert view.secrets_per_pepper(START + 1) == {1: 1, 2: 1}
        assert view.keys_under(2) == [both]


def test_syncing_permissions_adds_and_changes_but_never_removes(directory: SqlDirectory) -> None:
    changed = Permission(name="shop.orders.read", description="Read all orders", read_only=True)

    directory.sync_permissions([changed])

    with directory.read() as view:
        found = {permission.name: permission for permission in view.catalogue()}
    assert found["shop.orders.read"] == changed
    assert found["shop.orders.create"] == SERVED[2]


def test_syncing_the_same_permissions_again_moves_nothing(directory: SqlDirectory) -> None:
    position = directory.position()

    directory.sync_permissions(SERVED)
    directory.sync_permissions([*CONTROL_PERMISSIONS, *SERVED])

    assert directory.position() == position


def test_platform_permissions_are_in_no_catalogue(directory: SqlDirectory) -> None:
    directory.sync_permissions([*PLATFORM_PERMISSIONS, *CONTROL_PERMISSIONS])

    with directory.read() as view:
        assert not {permission.name for permission in view.catalogue()} & {found.name for found in PLATFORM_PERMISSIONS}


@pytest.mark.parametrize("name", ["audit-log.history.read", "platform.tenants.create"])
def test_a_served_api_cannot_give_our_permissions_another_meaning(directory: SqlDirectory, name: str) -> None:
    with pytest.raises(SettingsError):
        directory.sync_permissions([Permission(name=name, description="harmless", read_only=True)])


def test_a_store_that_is_gone_is_an_outage_until_it_is_back(tmp_path: Path) -> None:
    directory = SqlDirectory(tmp_path / "directory.db")
    tenant_id = tenant(directory)
    aside = tmp_path / "aside"
    aside.mkdir()
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    for path in files:
        path.rename(aside / path.name)

    for call in (directory.position, directory.outbox, lambda: tenant(directory, "new"), lambda: add(directory)):
        with pytest.raises(DirectoryUnavailable):
            call()
    assert not (tmp_path / "directory.db").exists()

    for path in files:
        (aside / path.name).rename(path)
    with directory.read() as view:
        assert view.tenant(tenant_id) is not None
    tenant(directory, "new")
    directory.close()


def test_a_store_that_stays_locked_is_an_outage_and_recovers(tmp_path: Path) -> None:
    directory = SqlDirectory(tmp_path / "directory.db", busy_timeout_s=0.05)
    beside = SqlDirectory(tmp_path / "directory.db")

    with beside.transaction():
        with pytest.raises(DirectoryUnavailable):
            tenant(directory)
        with directory.read() as view:
            assert view.tenant(PLATFORM_TENANT_ID) is not None
    with directory.transaction(), pytest.raises(DirectoryUnavailable):
        tenant(directory)

    tenant(directory)
    directory.close()
    beside.close()


def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    path = tmp_path / "directory.db"
    path.write_bytes(b"not a database at all" * 500)

    with pytest.raises(DirectoryUnavailable):
        SqlDirectory(path)
    with pytest.raises(DirectoryUnavailable):
        SqlDirectory(tmp_path / "missing" / "directory.db")


def test_an_outage_tells_nothing_of_what_was_written(tmp_path: Path) -> None:
    directory = SqlDirectory(tmp_path / "directory.db")

    with pytest.raises(DirectoryUnavailable) as caught, directory.transaction() as transaction:
        transaction.add_key(key(new_id(), metadata={"canary": "canary-value"}))

    assert "canary" not in str(caught.value)
    assert "canary" not in str(caught.value.__cause__)
    directory.close()


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    directory = SqlDirectory(tmp_path / "directory.db")
    tenant(directory)

    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    directory.close()
