"""A caller of chosen business units sees and changes what is of those, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.directory import World

from hatchpay.admin.views import Actor, KeyChanges, NewKey, RoleDraft
from hatchpay.errors import Forbidden, HatchPayError, NotFound
from hatchpay.ids import new_id
from hatchpay.tokens.apikey import encode_id


class Scene:
    """Units a and b; a manager of a who holds the role admin; a key of a, one of b and one of the whole tenant."""

    def __init__(self, world: World, admin: Actor) -> None:
        self.world = world
        self.a = world.units.create(admin, "A", "Europe/Berlin")
        self.b = world.units.create(admin, "B", "Europe/Berlin")
        self.of_a = world.keys.create(admin, NewKey(name="of a", business_unit_ids=(self.a.id,))).view
        self.of_b = world.keys.create(admin, NewKey(name="of b", business_unit_ids=(self.b.id,))).view
        self.of_all = world.keys.create(admin, NewKey(name="of all")).view
        (role,) = [role for role in world.roles.list(admin).data if role.name == "admin"]
        manager = world.keys.create(admin, NewKey(name="manager", business_unit_ids=(self.a.id,))).view
        world.keys.set_roles(admin, manager.id, (role.id,))
        world.snapshots.refresh()
        self.manager = Actor(world.snapshots.current.keys[encode_id(manager.id)].principal, new_id())


@pytest.fixture
def scene(world: World, admin: Actor) -> Scene:
    return Scene(world, admin)


def test_only_the_keys_and_units_of_the_caller_are_listed(scene: Scene) -> None:
    keys = scene.world.keys.list(scene.manager)
    assert [key.name for key in keys.data] == ["manager", "of a"]
    assert [unit.name for unit in scene.world.units.list(scene.manager).data] == ["A"]
    first = scene.world.keys.list(scene.manager, limit=1)
    assert first.next_cursor is not None
    assert [key.name for key in scene.world.keys.list(scene.manager, 1, first.next_cursor).data] == ["of a"]


def test_what_is_of_other_units_is_not_found(scene: Scene) -> None:
    for key in (scene.of_b, scene.of_all):
        with pytest.raises(NotFound):
            scene.world.keys.get(scene.manager, key.id)
    with pytest.raises(NotFound):
        scene.world.units.get(scene.manager, scene.b.id)
    assert scene.world.keys.get(scene.manager, scene.of_a.id).name == "of a"


CHANGES: list[Callable[[Scene, str], object]] = [
    lambda scene, key_id: scene.world.keys.update(scene.manager, key_id, KeyChanges(name="renamed")),
    lambda scene, key_id: scene.world.keys.update(scene.manager, key_id, KeyChanges(status="disabled")),
    lambda scene, key_id: scene.world.keys.set_roles(scene.manager, key_id, ()),
    lambda scene, key_id: scene.world.keys.rotate(scene.manager, key_id),
    lambda scene, key_id: scene.world.keys.end_grace(scene.manager, key_id),
    lambda scene, key_id: scene.world.keys.delete(scene.manager, key_id),
]


@pytest.mark.parametrize("change", CHANGES)
def test_keys_of_other_units_cannot_be_changed_and_own_ones_can(
    scene: Scene, admin: Actor, change: Callable[[Scene, str], object]
) -> None:
    for key in (scene.of_b, scene.of_all):
        with pytest.raises(Forbidden) as refused:
            change(scene, key.id)
        assert refused.value.code == "grant_exceeds_caller"
        assert scene.world.keys.get(admin, key.id) == key
    change(scene, scene.of_a.id)


def test_no_new_unit_and_no_role_of_others_is_made_or_narrowed(scene: Scene, admin: Actor) -> None:
    role = scene.world.roles.create(admin, RoleDraft(name="readers", permissions=("access.roles.read",)))
    scene.world.keys.set_roles(admin, scene.of_b.id, (role.id,))
    refused: list[Callable[[], object]] = [
        lambda: scene.world.units.create(scene.manager, "C", "Europe/Berlin"),
        lambda: scene.world.roles.update(scene.manager, role.id, RoleDraft(name="readers")),
    ]
    for call in refused:
        with pytest.raises(HatchPayError) as error:
            call()
        assert error.value.code == "grant_exceeds_caller"
    assert scene.world.roles.get(admin, role.id).permissions == ("access.roles.read",)
