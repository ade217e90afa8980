"""A policy that singles out callers is lifted by nobody who could not change it: not by a second key, nor by roles."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.directory import World

from hatchpay.admin.views import Actor, NewKey, RoleDraft
from hatchpay.errors import Forbidden

READ = "audit-log.history.read"
MANAGER = (
    "api-key.keys.create",
    "api-key.keys.read",
    "api-key.key-roles.update",
    "access.roles.create",
    "access.roles.update",
    READ,
)
NARROW = 'forbid(principal in Role::"{role}", action == Action::"' + READ + '", resource);'
BUT_ONE = 'forbid(principal, action == Action::"' + READ + '", resource) unless { principal in Role::"{role}" };'
ONE_KEY = 'forbid(principal == ApiKey::"{key}", action == Action::"' + READ + '", resource);'
NOBODY = 'forbid(principal, action == Action::"' + READ + '", resource);'
ELSEWHERE = 'forbid(principal in Role::"{role}", action == Action::"access.roles.read", resource);'


@pytest.fixture
def scene(world: World, admin: Actor) -> tuple[World, Actor, Actor, str]:
    """The world, its admin, a key that manages keys, and a role that it holds besides."""
    manager = world.role(admin, "Manager", *MANAGER)
    special = world.role(admin, "Special")
    key = world.key(admin, manager.id, special.id)
    return world, admin, world.actor(key, admin.principal.tenant_id), special.id


def second_key(world: World, caller: Actor) -> None:
    made = world.keys.create(caller, NewKey(name="Second"))
    roles = [role.id for role in world.keys.get(caller, caller.principal.id).roles if role.name == "Manager"]
    world.keys.set_roles(caller, made.view.id, tuple(roles))


def attempt(call: Callable[[], object]) -> str:
    try:
        call()
    except Forbidden as error:
        return error.code
    return "done"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (NARROW, "grant_exceeds_caller"),
        (BUT_ONE, "grant_exceeds_caller"),
        (ONE_KEY, "grant_exceeds_caller"),
        (NOBODY, "done"),
        (ELSEWHERE, "done"),
    ],
    ids=["in a role", "but a role", "one key", "everybody", "another permission"],
)
def test_what_it_concerns_is_handed_to_no_second_key(
    scene: tuple[World, Actor, Actor, str], text: str, outcome: str
) -> None:
    world, admin, caller, special = scene
    world.policies.create(admin, "Singling", text.replace("{role}", special).replace("{key}", caller.principal.id))
    assert attempt(lambda: second_key(world, caller)) == outcome
    assert attempt(lambda: second_key(world, admin_like(world, admin))) == "done"


def admin_like(world: World, admin: Actor) -> Actor:
    """Another who holds everything, and the role of the name that `second_key` hands on."""
    manager = next(role.id for role in world.roles.list(admin, 200).data if role.name == "Manager")
    everything = next(role.id for role in world.roles.list(admin, 200).data if role.name == "admin")
    return world.actor(world.key(admin, everything, manager), admin.principal.tenant_id)


@pytest.mark.parametrize("text", [NARROW, BUT_ONE], ids=["in a role", "but a role"])
def test_a_role_that_it_names_is_neither_left_nor_renamed_nor_taken(
    scene: tuple[World, Actor, Actor, str], text: str
) -> None:
    world, admin, caller, special = scene
    world.policies.create(admin, "Singling", text.replace("{role}", special))
    own = caller.principal.id
    manager = next(role.id for role in world.keys.get(admin, own).roles if role.name == "Manager")
    calls = [
        lambda: world.keys.set_roles(caller, own, (manager,)),
        lambda: world.roles.update(caller, special, RoleDraft(name="Renamed", permissions=())),
    ]
    assert [attempt(call) for call in calls] == ["grant_exceeds_caller"] * 2
    world.keys.set_roles(admin, own, (manager,))
    assert attempt(lambda: world.keys.set_roles(caller, own, (manager, special))) == "grant_exceeds_caller"
