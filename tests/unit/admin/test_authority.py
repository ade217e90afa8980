"""A caller's authority is what the directory says at the moment of the change, not what the gate saw."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.directory import HOUR, START, World

from hatchpay.admin.views import Actor, KeyChanges, NewKey, Onboarded, RoleDraft
from hatchpay.errors import Forbidden, HatchPayError, NotFound, Unauthenticated
from hatchpay.ids import new_id

Call = Callable[[World, Actor, str, str], object]
CALLS: dict[str, Call] = {
    "api-key.keys.create": lambda world, actor, key, role: world.keys.create(actor, NewKey(name="k")),
    "api-key.keys.update": lambda world, actor, key, role: world.keys.update(actor, key, KeyChanges(name="k")),
    "api-key.keys.delete": lambda world, actor, key, role: world.keys.delete(actor, key),
    "api-key.key-roles.update": lambda world, actor, key, role: world.keys.set_roles(actor, key, ()),
    "api-key.keys.rotate": lambda world, actor, key, role: world.keys.rotate(actor, key),
    "access.roles.create": lambda world, actor, key, role: world.roles.create(actor, RoleDraft(name="r")),
    "access.roles.update": lambda world, actor, key, role: world.roles.update(actor, role, RoleDraft(name="r")),
    "access.roles.delete": lambda world, actor, key, role: world.roles.delete(actor, role),
    "business-unit.business-units.create": lambda world, actor, key, role: world.units.create(actor, "u", "UTC"),
}


@pytest.mark.parametrize("permission", CALLS)
def test_every_change_needs_its_own_permission(world: World, admin: Actor, permission: str) -> None:
    key, role = world.key(admin), world.role(admin, "role")
    everything = {found.name for found in world.permissions.list(admin, 200).data}
    lesser = world.role(admin, "all but one", *sorted(everything - {permission}))
    caller = world.actor(world.key(admin, lesser.id), admin.principal.tenant_id)
    before = world.changes()

    with pytest.raises(Forbidden) as caught:
        CALLS[permission](world, caller, key.view.id, role.id)

    assert (caught.value.code, caught.value.permission) == ("permission_missing", permission)
    assert world.changes() == before


def disable(world: World, admin: Actor, key_id: str) -> None:
    world.keys.update(admin, key_id, KeyChanges(status="disabled"))


def delete(world: World, admin: Actor, key_id: str) -> None:
    world.keys.delete(admin, key_id)


def expire(world: World, admin: Actor, key_id: str) -> None:
    world.keys.update(admin, key_id, KeyChanges(expires_at_us=START + HOUR))
    world.clock.now = START + HOUR


@pytest.mark.parametrize("end", [disable, delete, expire])
def test_a_key_that_has_ended_since_it_was_let_in_changes_nothing(
    world: World, admin: Actor, end: Callable[[World, Actor, str], None]
) -> None:
    key = world.key(admin, world.role_id(admin, "admin"))
    caller = world.actor(key, admin.principal.tenant_id)
    end(world, admin, key.view.id)
    before = world.changes()

    with pytest.raises(Unauthenticated):
        world.keys.create(caller, NewKey(name="too late"))

    assert world.changes() == before


def test_a_key_counts_only_in_its_own_tenant(world: World, demo: Onboarded, stranger: Actor) -> None:
    with pytest.raises(Unauthenticated):
        world.keys.create(world.actor(demo.api_key, stranger.principal.tenant_id), NewKey(name="k"))


def test_somebody_at_the_machine_may_do_all_of_the_tenants(world: World, demo: Onboarded, admin: Actor) -> None:
    local = world.local(demo.tenant.id)

    key = world.key(local, world.role_id(admin, "admin"))

    assert local.principal.id == "local:1000"
    assert world.keys.get(admin, key.view.id).roles[0].name == "admin"
    assert {change.actor for change in world.changes() if change.subject_id == key.view.id} == {"local:1000"}
    assert not any(name.startswith("platform.") for name in local.principal.grants)


def test_a_tenant_that_does_not_exist_has_nobody_at_the_machine(world: World) -> None:
    with pytest.raises(NotFound):
        world.keys.create(world.local(new_id()), NewKey(name="k"))


def test_a_refusal_tells_nothing_of_other_tenants(world: World, admin: Actor, stranger: Actor) -> None:
    key = world.key(admin)
    texts = set()
    for key_id in (key.view.id, new_id()):
        with pytest.raises(HatchPayError) as caught:
            world.keys.get(stranger, key_id)
        texts.add((caught.value.code, caught.value.detail))
    assert len(texts) == 1
