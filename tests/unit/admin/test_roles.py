"""Roles, built-in and custom."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.directory import SERVED, World

from hatchpay.access.permission import PLATFORM_PERMISSIONS, Permission
from hatchpay.admin.views import Actor, Onboarded, RoleDraft
from hatchpay.errors import Conflict, Forbidden, InvalidInput, NotFound
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.principal import RateLimit
from hatchpay.ids import new_id


def test_a_tenant_starts_with_the_built_in_roles_in_their_order(world: World, admin: Actor) -> None:
    found = world.roles.list(admin).data

    assert [(role.name, role.builtin) for role in found] == [("admin", True), ("viewer", True), ("gl", True)]
    catalogue = {permission.name for permission in world.permissions.list(admin, 200).data}
    assert set(found[0].permissions) == catalogue
    assert set(found[1].permissions) < set(found[2].permissions) < catalogue


def test_built_in_roles_follow_the_catalogue(world: World, admin: Actor) -> None:
    added = Permission(name="shop.orders.cancel", description="Cancel orders")

    world.directory.sync_permissions([*SERVED, added])

    holders = [role.name for role in world.roles.list(admin).data if added.name in role.permissions]
    assert holders == ["admin", "gl"]


def test_a_custom_role_keeps_what_it_is_given(world: World, admin: Actor) -> None:
    draft = RoleDraft(name="Buyer", description="Buys", permissions=("shop.orders.read", "shop.orders.create"))

    role = world.roles.create(admin, draft)

    assert (role.name, role.description, role.builtin) == ("Buyer", "Buys", False)
    assert role.permissions == ("shop.orders.create", "shop.orders.read")
    assert world.roles.get(admin, role.id) == role


def test_an_update_replaces_the_whole_role(world: World, admin: Actor) -> None:
    role = world.role(admin, "Buyer", "shop.orders.read")

    updated = world.roles.update(admin, role.id, RoleDraft(name="Seller"))

    assert (updated.id, updated.name, updated.permissions) == (role.id, "Seller", ())
    assert world.roles.get(admin, role.id) == updated


def test_a_deleted_role_is_gone(world: World, admin: Actor) -> None:
    role = world.role(admin, "Buyer", "shop.orders.read")

    world.roles.delete(admin, role.id)

    with pytest.raises(NotFound):
        world.roles.get(admin, role.id)
    assert world.role(admin, "Buyer").name == "Buyer"


def test_a_role_in_use_is_not_deleted_before_its_keys_have_let_go_of_it(world: World, admin: Actor) -> None:
    role = world.role(admin, "Buyer")
    key = world.key(admin, role.id)

    with pytest.raises(Conflict) as caught:
        world.roles.delete(admin, role.id)
    assert caught.value.code == "role_in_use"

    world.keys.delete(admin, key.view.id)
    world.roles.delete(admin, role.id)


@pytest.mark.parametrize("name", ["admin", "viewer", "gl"])
def test_built_in_roles_can_be_neither_changed_nor_deleted(world: World, admin: Actor, name: str) -> None:
    role_id = world.role_id(admin, name)
    before = (world.roles.get(admin, role_id), world.changes())

    calls: list[Callable[[], object]] = [
        lambda: world.roles.update(admin, role_id, RoleDraft(name="mine")),
        lambda: world.roles.delete(admin, role_id),
    ]
    for call in calls:
        with pytest.raises(Conflict) as caught:
            call()
        assert caught.value.code == "builtin_role"

    assert (world.roles.get(admin, role_id), world.changes()) == before


@pytest.mark.parametrize("name", ["Buyer", "admin", "Admin", " ADMIN ", "GL"])
def test_names_are_unique_in_a_tenant_and_no_lookalikes_of_built_in_ones(world: World, admin: Actor, name: str) -> None:
    world.role(admin, "Buyer")
    other = world.role(admin, "Other")

    calls: list[Callable[[], object]] = [
        lambda: world.roles.create(admin, RoleDraft(name=name)),
        lambda: world.roles.update(admin, other.id, RoleDraft(name=name)),
    ]
    for call in calls:
        with pytest.raises(Conflict) as caught:
            call()
        assert (caught.value.code, caught.value.field) == ("already_exists", "name")
    assert world.roles.get(admin, other.id) == other


def test_two_tenants_may_use_the_same_name(world: World, admin: Actor, stranger: Actor) -> None:
    assert world.role(admin, "Buyer").id != world.role(stranger, "Buyer").id


@pytest.mark.parametrize(
    ("permissions", "code"),
    [
        (("shop.orders.fly",), "unknown_permission"),
        (("nonsense",), "unknown_permission"),
        ((PLATFORM_PERMISSIONS[0].name,), "unknown_permission"),
        (("shop.orders.read", "shop.orders.read"), "duplicate_permission"),
    ],
)
def test_a_role_holds_known_permissions_once(
    world: World, admin: Actor, permissions: tuple[str, ...], code: str
) -> None:
    before = world.changes()

    with pytest.raises(InvalidInput) as caught:
        world.role(admin, "Buyer", *permissions)

    assert (caught.value.code, caught.value.field) == (code, "permissions")
    assert world.changes() == before


def test_not_even_the_platform_gives_platform_permissions_to_a_custom_role(world: World) -> None:
    with pytest.raises(InvalidInput):
        world.role(world.local(), "second operator", PLATFORM_PERMISSIONS[0].name)
    with pytest.raises(Conflict):
        world.role(world.local(), "operator")


def by_id(world: World, actor: Actor, role_id: str) -> list[Callable[[], object]]:
    return [
        lambda: world.roles.get(actor, role_id),
        lambda: world.roles.update(actor, role_id, RoleDraft(name="mine")),
        lambda: world.roles.delete(actor, role_id),
    ]


def test_another_tenants_role_does_not_exist(world: World, admin: Actor, stranger: Actor) -> None:
    role = world.role(admin, "Buyer")

    for call in [*by_id(world, stranger, role.id), *by_id(world, stranger, new_id())]:
        with pytest.raises(NotFound):
            call()

    assert world.roles.get(admin, role.id) == role
    assert role.id not in [found.id for found in world.roles.list(stranger).data]


def test_an_id_that_is_no_uuid_names_its_field(world: World, admin: Actor) -> None:
    for call in by_id(world, admin, "viewer"):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert (caught.value.code, caught.value.field) == ("invalid_uuid", "role_id")


def test_the_operators_role_is_seen_by_no_tenant(world: World, demo: Onboarded, admin: Actor) -> None:
    operator = world.tenants.operator_key(world.local())
    role_id = operator.view.roles[0].id

    with pytest.raises(NotFound):
        world.roles.get(admin, role_id)
    with pytest.raises(InvalidInput):
        world.keys.set_roles(admin, demo.api_key.view.id, (role_id,))


def test_roles_come_page_by_page(world: World, admin: Actor) -> None:
    names = ["admin", "viewer", "gl", *(world.role(admin, f"role {number}").name for number in range(3))]

    seen, cursor = [], None
    while True:
        found = world.roles.list(admin, 4, cursor)
        seen += [role.name for role in found.data]
        cursor = found.next_cursor
        if cursor is None:
            break

    assert seen == names


def test_renaming_a_role_keeps_what_it_holds(world: World, admin: Actor) -> None:
    role = world.role(admin, "Buyer", "shop.orders.read")

    world.roles.update(admin, role.id, RoleDraft(name="Shopper", permissions=role.permissions))

    assert world.roles.get(admin, role.id).permissions == ("shop.orders.read",)


def test_a_caller_of_chosen_units_takes_no_role_from_users_who_hold_it_by_name(world: World, admin: Actor) -> None:
    unit = world.units.create(admin, "Zurich", "Europe/Zurich").id
    role = world.role(admin, "Buyer", "shop.orders.read")
    me = world.caller(world.key(admin, world.role_id(admin, "admin"), business_unit_ids=(unit,)).key)
    drafts = [
        RoleDraft(name="Buyer"),
        RoleDraft(name="Shopper", permissions=role.permissions),
        RoleDraft(name="Buyer", permissions=role.permissions, rate_limits=(RateLimit(1, 60),)),
    ]
    world.trust(admin, world.issuer("https://no-roles.test"), claims=ClaimsMapping(roles=None))
    assert world.roles.update(me, role.id, RoleDraft(name="Buyer", description="Buys")).permissions == ()
    role = world.roles.update(admin, role.id, RoleDraft(name="Buyer", permissions=role.permissions))
    world.trust(admin, world.issuer())
    calls: list[Callable[[], object]] = [lambda draft=draft: world.roles.update(me, role.id, draft) for draft in drafts]  # type: ignore[misc]
    for call in [*calls, lambda: world.roles.delete(me, role.id)]:
        with pytest.raises(Forbidden) as caught:
            call()
        assert caught.value.code == "grant_exceeds_caller"
    assert world.roles.get(admin, role.id) == role
    world.roles.delete(admin, role.id)
