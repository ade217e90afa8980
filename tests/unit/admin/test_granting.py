"""Nobody grants what they do not hold, and taking away is free."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from tests.support.directory import HOUR, START, World

from hatchpay.access.permission import CONTROL_PERMISSIONS
from hatchpay.admin.views import Actor, KeyChanges, RoleDraft
from hatchpay.errors import Forbidden

ACCESS = tuple(
    permission.name for permission in CONTROL_PERMISSIONS if permission.administrative or permission.read_only
)
"""All that managing keys and roles needs; nothing of the served API."""


@pytest.fixture
def manager(world: World, admin: Actor) -> Actor:
    """A caller who may manage keys and roles, and nothing else."""
    role = world.role(admin, "manager", *ACCESS)
    return world.actor(world.key(admin, role.id), admin.principal.tenant_id)


def limited(world: World, admin: Actor, **limits: object) -> Actor:
    """An admin within limits."""
    key = world.key(admin, world.role_id(admin, "admin"), **limits)
    return world.actor(key, admin.principal.tenant_id)


def refused(call: Callable[[], object], world: World) -> Forbidden:
    """The refusal of `call`, which has changed nothing."""
    before = world.changes()
    with pytest.raises(Forbidden) as caught:
        call()
    assert caught.value.code == "grant_exceeds_caller"
    assert world.changes() == before
    return caught.value


def test_a_key_cannot_be_made_beyond_the_limits_of_its_maker(world: World, admin: Actor) -> None:
    unit = world.units.create(admin, "Zurich", "Europe/Zurich").id
    other = world.units.create(admin, "Bern", "Europe/Zurich").id
    cases: list[tuple[dict[str, object], dict[str, object], dict[str, object]]] = [
        ({"environment": "test"}, {"environment": "live"}, {"environment": "test"}),
        ({"expires_at_us": START + 2}, {"expires_at_us": START + 3}, {"expires_at_us": START + 2}),
        ({"expires_at_us": START + 2}, {}, {"expires_at_us": START + 1}),
        (
            {"business_unit_ids": (unit,)},
            {"business_unit_ids": (unit, other)},
            {"business_unit_ids": (unit,)},
        ),
        ({"business_unit_ids": (unit,)}, {}, {"business_unit_ids": (unit,)}),
        (
            {"allowed_cidrs": ("192.0.2.0/24",)},
            {"allowed_cidrs": ("192.0.0.0/16",)},
            {"allowed_cidrs": ("192.0.2.9",)},
        ),
        ({"allowed_cidrs": ("192.0.2.0/24",)}, {}, {"allowed_cidrs": ("192.0.2.0/24",)}),
    ]
    for own, beyond, within in cases:
        caller = limited(world, admin, **own)
        refused(partial(world.key, caller, **beyond), world)
        assert world.key(caller, **within).view.status == "enabled"


def test_a_role_that_holds_more_than_the_caller_cannot_be_attached(world: World, admin: Actor, manager: Actor) -> None:
    target = world.key(manager)

    error = refused(lambda: world.keys.set_roles(manager, target.view.id, (world.role_id(admin, "viewer"),)), world)

    assert error.permission == "shop.orders.read"
    assert world.keys.get(admin, target.view.id).roles == ()


def test_a_caller_cannot_attach_a_greater_role_to_itself(world: World, admin: Actor, manager: Actor) -> None:
    assert manager.principal.key_id is not None
    refused(
        lambda: world.keys.set_roles(manager, manager.principal.key_id or "", (world.role_id(admin, "admin"),)),
        world,
    )


def test_a_caller_may_attach_what_it_holds(world: World, admin: Actor, manager: Actor) -> None:
    role = world.role(manager, "key reader", "api-key.keys.read")
    target = world.key(manager)

    assert world.keys.set_roles(manager, target.view.id, (role.id,)).roles[0].name == "key reader"


def test_a_lesser_role_cannot_be_attached_to_a_key_that_holds_more(world: World, admin: Actor, manager: Actor) -> None:
    viewer = world.role_id(admin, "viewer")
    strong = world.key(admin, viewer)
    role = world.role(manager, "key reader", "api-key.keys.read")

    refused(lambda: world.keys.set_roles(manager, strong.view.id, (viewer, role.id)), world)


def test_a_role_cannot_be_attached_to_a_key_with_wider_limits(world: World, admin: Actor) -> None:
    wide = world.key(admin)
    caller = limited(world, admin, allowed_cidrs=("192.0.2.0/24",))

    refused(lambda: world.keys.set_roles(caller, wide.view.id, (world.role_id(admin, "viewer"),)), world)


def test_roles_may_be_detached_from_a_key_that_holds_more(world: World, admin: Actor, manager: Actor) -> None:
    viewer, general_ledger = world.role_id(admin, "viewer"), world.role_id(admin, "gl")
    strong = world.key(admin, viewer, general_ledger)

    assert [role.name for role in world.keys.set_roles(manager, strong.view.id, (viewer,)).roles] == ["viewer"]
    assert world.keys.set_roles(manager, strong.view.id, ()).roles == ()


def test_a_key_that_holds_more_cannot_be_rotated(world: World, admin: Actor, manager: Actor) -> None:
    strong = world.key(admin, world.role_id(admin, "viewer"))

    refused(lambda: world.keys.rotate(manager, strong.view.id), world)
    tester, wide = limited(world, admin, environment="test"), world.key(admin)
    refused(lambda: world.keys.rotate(tester, wide.view.id), world)


def test_a_key_that_holds_more_may_be_disabled_but_not_enabled(world: World, admin: Actor, manager: Actor) -> None:
    strong = world.key(admin, world.role_id(admin, "viewer"))

    assert world.keys.update(manager, strong.view.id, KeyChanges(status="disabled")).status == "disabled"
    refused(lambda: world.keys.update(manager, strong.view.id, KeyChanges(status="enabled")), world)


def test_a_key_that_holds_more_may_be_deleted_or_have_its_grace_ended(
    world: World, admin: Actor, manager: Actor
) -> None:
    strong = world.key(admin, world.role_id(admin, "viewer"))
    world.keys.rotate(admin, strong.view.id, 3600)

    assert world.keys.end_grace(manager, strong.view.id).previous_secrets == ()
    world.keys.delete(manager, strong.view.id)


def test_no_limit_of_a_key_that_holds_more_can_be_loosened(world: World, admin: Actor, manager: Actor) -> None:
    unit = world.units.create(admin, "Zurich", "Europe/Zurich").id
    other = world.units.create(admin, "Bern", "Europe/Zurich").id
    strong = world.key(
        admin,
        world.role_id(admin, "viewer"),
        expires_at_us=START + HOUR,
        business_unit_ids=(unit,),
        allowed_cidrs=("192.0.2.0/24",),
    )

    for wider in (
        KeyChanges(expires_at_us=START + HOUR + 1),
        KeyChanges(expires_at_us=None),
        KeyChanges(business_unit_ids=(unit, other)),
        KeyChanges(business_unit_ids=None),
        KeyChanges(allowed_cidrs=("192.0.2.0/24", "192.0.3.0/24")),
        KeyChanges(allowed_cidrs=None),
        KeyChanges(allowed_cidrs=None, expires_at_us=START + 1, status="disabled"),
    ):
        refused(partial(world.keys.update, manager, strong.view.id, wider), world)


def test_a_key_that_holds_more_may_be_renamed_and_tightened(world: World, admin: Actor, manager: Actor) -> None:
    strong = world.key(admin, world.role_id(admin, "viewer"), expires_at_us=START + HOUR)

    view = world.keys.update(
        manager,
        strong.view.id,
        KeyChanges(name="renamed", expires_at_us=START + 1, allowed_cidrs=("192.0.2.0/24",)),
    )

    assert (view.name, view.allowed_cidrs) == ("renamed", ("192.0.2.0/24",))


def test_a_role_cannot_be_made_with_permissions_that_the_caller_lacks(world: World, manager: Actor) -> None:
    draft = RoleDraft(name="buyer", permissions=("access.roles.read", "shop.orders.create"))

    assert refused(lambda: world.roles.create(manager, draft), world).permission == "shop.orders.create"


def test_a_role_cannot_gain_permissions_that_the_caller_lacks(world: World, admin: Actor, manager: Actor) -> None:
    role = world.role(manager, "reader", "access.roles.read")
    draft = RoleDraft(name="reader", permissions=("access.roles.read", "shop.orders.read"))

    refused(lambda: world.roles.update(manager, role.id, draft), world)
    assert world.roles.get(admin, role.id) == role


def test_a_role_that_holds_more_than_the_caller_cannot_gain_anything(
    world: World, admin: Actor, manager: Actor
) -> None:
    role = world.role(admin, "buyer", "shop.orders.create")
    draft = RoleDraft(name="buyer", permissions=("shop.orders.create", "access.roles.read"))

    refused(lambda: world.roles.update(manager, role.id, draft), world)


@pytest.mark.parametrize("enabled", [True, False])
def test_a_role_in_use_by_a_key_that_holds_more_cannot_gain_anything(
    world: World, admin: Actor, manager: Actor, enabled: bool
) -> None:
    role = world.role(manager, "reader", "access.roles.read")
    strong = world.key(admin, role.id, world.role_id(admin, "viewer"))
    if not enabled:
        world.keys.update(admin, strong.view.id, KeyChanges(status="disabled"))
    draft = RoleDraft(name="reader", permissions=("access.roles.read", "api-key.keys.read"))

    refused(lambda: world.roles.update(manager, role.id, draft), world)

    world.keys.set_roles(admin, strong.view.id, ())
    assert world.roles.update(manager, role.id, draft).permissions == draft.permissions


def test_a_role_in_use_by_a_key_with_wider_limits_cannot_gain_anything(world: World, admin: Actor) -> None:
    caller = limited(world, admin, environment="test")
    role = world.role(admin, "reader", "access.roles.read")
    world.key(admin, role.id)
    draft = RoleDraft(name="reader", permissions=("access.roles.read", "api-key.keys.read"))

    refused(lambda: world.roles.update(caller, role.id, draft), world)


def test_a_role_that_holds_more_may_lose_permissions_or_be_renamed(world: World, admin: Actor, manager: Actor) -> None:
    role = world.role(admin, "buyer", "shop.orders.create", "shop.orders.read")
    world.key(admin, role.id)

    renamed = world.roles.update(manager, role.id, RoleDraft(name="shopper", permissions=role.permissions))
    reduced = world.roles.update(manager, role.id, RoleDraft(name="shopper", permissions=("shop.orders.read",)))

    assert renamed.name == "shopper"
    assert reduced.permissions == ("shop.orders.read",)


def test_what_a_caller_has_lost_since_it_was_let_in_it_cannot_use(world: World, admin: Actor) -> None:
    second = limited(world, admin)
    assert second.principal.key_id is not None
    viewer = world.role_id(admin, "viewer")
    target = world.key(admin)
    world.keys.set_roles(admin, second.principal.key_id, (world.role(admin, "manager", *ACCESS).id,))

    refused(lambda: world.keys.set_roles(second, target.view.id, (viewer,)), world)
