"""A tenant never loses its last administrator, by whatever call."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.directory import HOUR, START, World

from hatchpay.admin.views import Actor, KeyChanges, Onboarded
from hatchpay.errors import Conflict
from hatchpay.tokens.digest import Peppers

Removal = Callable[[World, Actor, str], object]


def unit(world: World, actor: Actor) -> str:
    found = world.units.list(actor).data
    return found[0].id if found else world.units.create(actor, "Zurich", "Europe/Zurich").id


REMOVALS: dict[str, Removal] = {
    "deleting it": lambda world, actor, key: world.keys.delete(actor, key),
    "disabling it": lambda world, actor, key: world.keys.update(actor, key, KeyChanges(status="disabled")),
    "detaching its role": lambda world, actor, key: world.keys.set_roles(actor, key, ()),
    "exchanging its role": lambda world, actor, key: world.keys.set_roles(actor, key, (world.role_id(actor, "gl"),)),
    "attaching its role for chosen units": lambda world, actor, key: world.keys.set_roles(
        actor, key, (world.role_id(actor, "admin"),), {world.role_id(actor, "admin"): (unit(world, actor),)}
    ),
    "letting it expire": lambda world, actor, key: world.keys.update(
        actor, key, KeyChanges(expires_at_us=START + HOUR)
    ),
    "restricting its networks": lambda world, actor, key: world.keys.update(
        actor, key, KeyChanges(allowed_cidrs=("192.0.2.0/24",))
    ),
    "restricting its units": lambda world, actor, key: world.keys.update(
        actor, key, KeyChanges(business_unit_ids=(unit(world, actor),))
    ),
}


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=REMOVALS)
def test_the_last_administrator_cannot_be_removed_by(
    world: World, demo: Onboarded, admin: Actor, removal: Removal
) -> None:
    unit(world, admin)
    key_id = demo.api_key.view.id
    before = (world.keys.get(admin, key_id), world.changes())

    with pytest.raises(Conflict) as caught:
        removal(world, admin, key_id)

    assert caught.value.code == "last_administrator"
    assert (world.keys.get(admin, key_id), world.changes()) == before


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=REMOVALS)
def test_one_of_two_administrators_can_be_removed_by(
    world: World, demo: Onboarded, admin: Actor, removal: Removal
) -> None:
    second = world.key(admin, world.role_id(admin, "admin"))

    removal(world, admin, second.view.id)

    with pytest.raises(Conflict):
        world.keys.delete(admin, demo.api_key.view.id)


@pytest.mark.parametrize(
    "limits",
    [
        {"environment": "test"},
        {"expires_at_us": START + HOUR},
        {"allowed_cidrs": ("0.0.0.0/0",)},
        {"business_unit_ids": ("the unit",)},
    ],
    ids=str,
)
def test_a_key_within_limits_is_no_administrator(
    world: World, demo: Onboarded, admin: Actor, limits: dict[str, object]
) -> None:
    if "business_unit_ids" in limits:
        limits = {"business_unit_ids": (unit(world, admin),)}
    world.key(admin, world.role_id(admin, "admin"), **limits)

    with pytest.raises(Conflict):
        world.keys.delete(admin, demo.api_key.view.id)


def test_neither_a_disabled_key_nor_a_custom_role_with_everything_makes_an_administrator(
    world: World, demo: Onboarded, admin: Actor
) -> None:
    disabled = world.key(admin, world.role_id(admin, "admin"))
    world.keys.update(admin, disabled.view.id, KeyChanges(status="disabled"))
    everything = [permission.name for permission in world.permissions.list(admin, 200).data]
    world.key(admin, world.role(admin, "everything", *everything).id)

    with pytest.raises(Conflict):
        world.keys.delete(admin, demo.api_key.view.id)


def test_another_tenants_administrator_does_not_count(
    world: World, demo: Onboarded, admin: Actor, stranger: Actor
) -> None:
    world.key(stranger, world.role_id(stranger, "admin"))

    with pytest.raises(Conflict):
        world.keys.delete(admin, demo.api_key.view.id)


def test_where_there_is_no_administrator_other_changes_still_pass(world: World, demo: Onboarded, admin: Actor) -> None:
    key = world.key(admin)
    # Nothing but damage to the file leads here.
    with world.directory.connection() as connection:
        connection.exec_driver_sql("DELETE FROM key_roles")
    local = world.local(demo.tenant.id)

    world.keys.update(local, key.view.id, KeyChanges(status="disabled"))
    world.keys.delete(local, demo.api_key.view.id)


def test_retiring_a_pepper_does_not_remove_it_either(world: World, demo: Onboarded, admin: Actor) -> None:
    world.peppers = Peppers(2, {1: b"\x01" * 32, 2: b"\x02" * 32})
    other = world.key(admin)
    before = world.changes()

    with pytest.raises(Conflict) as caught:
        world.pepper_admin.retire(world.local(), 1)

    assert caught.value.code == "last_administrator"
    assert world.changes() == before
    world.keys.rehash(demo.api_key.view.id, demo.api_key.key, 1)
    assert world.pepper_admin.retire(world.local(), 1) == ()
    assert world.keys.get(admin, other.view.id).status == "enabled"


def test_the_administrator_may_be_rotated_and_renamed(world: World, demo: Onboarded, admin: Actor) -> None:
    world.keys.rotate(admin, demo.api_key.view.id)
    world.keys.update(admin, demo.api_key.view.id, KeyChanges(name="renamed"))

    assert world.keys.get(admin, demo.api_key.view.id).name == "renamed"
