"""Peppers in use, and what becomes of keys when one goes."""

from __future__ import annotations

import pytest
from tests.support.directory import HOUR, World

from hatchpay.admin.views import Actor, Onboarded
from hatchpay.errors import Conflict, Forbidden
from hatchpay.ids import PLATFORM_TENANT_ID
from hatchpay.tokens.digest import Peppers


def test_retiring_a_pepper_disables_the_keys_that_still_need_it(world: World, admin: Actor, demo: Onboarded) -> None:
    stale = world.key(admin)
    rotated = world.key(admin)
    world.peppers = Peppers(2, {1: b"\x01" * 32, 2: b"\x02" * 32})
    world.keys.rehash(demo.api_key.view.id, demo.api_key.key, 1)
    world.keys.rotate(admin, rotated.view.id, 3600)
    assert world.pepper_admin.in_use() == {1: 2, 2: 2}
    before = len(world.changes())

    assert world.pepper_admin.retire(world.local(), 1) == (stale.view.id,)

    assert world.keys.get(admin, stale.view.id).status == "disabled"
    assert world.keys.get(admin, rotated.view.id).status == "enabled"
    assert world.keys.get(admin, rotated.view.id).previous_secrets == ()
    events = [(change.event, change.tenant_id) for change in world.changes()[before:]]
    assert events == [
        ("api-key.keys.disabled", demo.tenant.id),
        ("platform.peppers.retired", PLATFORM_TENANT_ID),
    ]


def test_only_working_secrets_are_counted(world: World, admin: Actor) -> None:
    deleted, rotated = world.key(admin), world.key(admin)
    world.keys.delete(admin, deleted.view.id)
    world.keys.rotate(admin, rotated.view.id, 3600)
    assert world.pepper_admin.in_use() == {1: 3}

    world.clock.now += HOUR

    assert world.pepper_admin.in_use() == {1: 2}


def test_the_current_pepper_is_not_retired(world: World, demo: Onboarded) -> None:
    with pytest.raises(Conflict) as caught:
        world.pepper_admin.retire(world.local(), 1)
    assert caught.value.code == "pepper_current"


def test_peppers_are_for_somebody_at_the_machine_who_acts_for_the_platform(
    world: World, demo: Onboarded, admin: Actor
) -> None:
    operator = world.actor(world.tenants.operator_key(world.local()), PLATFORM_TENANT_ID)
    before = world.changes()

    for actor in (admin, operator, world.local(demo.tenant.id)):
        with pytest.raises(Forbidden):
            world.pepper_admin.retire(actor, 7)
        with pytest.raises(Forbidden):
            world.pepper_admin.announce(actor)

    assert world.changes() == before
