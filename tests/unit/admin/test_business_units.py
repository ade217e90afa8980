"""Business units, and keys that are limited to some."""

from __future__ import annotations

import pytest
from tests.support.directory import World

from hatchpay.admin.views import Actor, KeyChanges
from hatchpay.errors import Conflict, InvalidInput, NotFound
from hatchpay.ids import new_id


def test_a_unit_has_a_name_and_a_time_zone(world: World, admin: Actor) -> None:
    unit = world.units.create(admin, "Zürich", "Europe/Zurich")

    assert (unit.name, unit.timezone_name) == ("Zürich", "Europe/Zurich")
    assert world.units.get(admin, unit.id) == unit


def test_units_are_listed_newest_first(world: World, admin: Actor) -> None:
    made = [world.units.create(admin, f"unit {number}", "UTC") for number in range(3)]

    first = world.units.list(admin, 2)
    second = world.units.list(admin, 2, first.next_cursor)

    assert [*first.data, *second.data] == made[::-1]


@pytest.mark.parametrize("zone", ["europe/zurich", "Zurich", "", "../../etc/passwd", "Europe/Zurich\0"])
def test_a_time_zone_is_spelt_as_iana_spells_it(world: World, admin: Actor, zone: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        world.units.create(admin, "unit", zone)
    assert caught.value.field == "timezone_name"
    assert world.units.list(admin).data == ()


def test_a_name_is_given_once_per_tenant(world: World, admin: Actor, stranger: Actor) -> None:
    world.units.create(admin, "unit", "UTC")

    with pytest.raises(Conflict) as caught:
        world.units.create(admin, "unit", "UTC")
    assert (caught.value.code, caught.value.field) == ("already_exists", "name")
    world.units.create(stranger, "unit", "UTC")


def test_another_tenants_unit_does_not_exist(world: World, admin: Actor, stranger: Actor) -> None:
    unit = world.units.create(admin, "unit", "UTC")

    for unit_id in (unit.id, new_id()):
        with pytest.raises(NotFound):
            world.units.get(stranger, unit_id)
    with pytest.raises(InvalidInput):
        world.units.get(admin, "unit")
    assert world.units.list(stranger).data == ()


def test_a_key_is_limited_to_known_units_of_its_own_tenant(world: World, admin: Actor, stranger: Actor) -> None:
    unit = world.units.create(admin, "unit", "UTC").id
    foreign = world.units.create(stranger, "unit", "UTC").id
    key = world.key(admin, business_unit_ids=(unit,))

    for unit_ids, code in (
        ((), "invalid_field"),
        ((unit, unit), "duplicate_business_unit"),
        ((unit, foreign), "unknown_business_unit"),
        ((new_id(),), "unknown_business_unit"),
        (("unit",), "invalid_uuid"),
    ):
        with pytest.raises(InvalidInput) as caught:
            world.key(admin, business_unit_ids=unit_ids)
        assert (caught.value.code, caught.value.field) == (code, "business_unit_ids")
        with pytest.raises(InvalidInput):
            world.keys.update(admin, key.view.id, KeyChanges(business_unit_ids=unit_ids))

    assert world.keys.get(admin, key.view.id).business_unit_ids == (unit,)
