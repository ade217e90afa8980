"""Business units, and keys that are limited to some."""

from __future__ import annotations

import msgspec
import pytest
from tests.support.directory import World

from hatchpay.admin.views import Actor, KeyChanges, UnitChanges
from hatchpay.errors import Conflict, Forbidden, HatchPayError, InvalidInput, NotFound
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


def test_a_unit_is_renamed_and_moved(world: World, admin: Actor) -> None:
    unit = world.units.create(admin, "Bern", "Europe/Zurich")
    world.clock.now += 1_000_000

    changed = world.units.update(admin, unit.id, UnitChanges(name="Berlin", timezone_name="Europe/Berlin"))

    assert (changed.name, changed.timezone_name, changed.status) == ("Berlin", "Europe/Berlin", "active")
    assert (changed.created_at, changed.updated_at > unit.updated_at) == (unit.created_at, True)
    assert world.units.get(admin, unit.id) == changed
    event = world.last_change()
    assert (event.event, event.subject_id) == ("business-unit.business-units.updated", unit.id)
    assert msgspec.json.decode(event.detail) == {
        "before": {"name": "Bern", "timezone_name": "Europe/Zurich"},
        "after": {"name": "Berlin", "timezone_name": "Europe/Berlin"},
    }


def test_a_unit_is_archived_and_brought_back(world: World, admin: Actor) -> None:
    unit = world.units.create(admin, "Bern", "UTC")

    archived = world.units.archive(admin, unit.id)
    first = world.last_change()
    again = world.units.archive(admin, unit.id)
    assert world.last_change() == first
    restored = world.units.update(admin, unit.id, UnitChanges(status="active"))

    assert (archived.status, again, restored.status) == ("archived", archived, "active")
    assert [change.event.rpartition(".")[2] for change in world.changes()[-3:]] == ["created", "archived", "restored"]
    assert msgspec.json.decode(first.detail) == {"before": {"status": "active"}, "after": {"status": "archived"}}


def test_a_patch_archives_as_well(world: World, admin: Actor) -> None:
    unit = world.units.create(admin, "Bern", "UTC")
    changed = world.units.update(admin, unit.id, UnitChanges(status="archived", name="Bern (closed)"))
    assert (changed.status, changed.name) == ("archived", "Bern (closed)")
    assert world.last_change().event == "business-unit.business-units.archived"


def test_to_say_the_same_again_changes_nothing(world: World, admin: Actor) -> None:
    unit = world.units.create(admin, "Bern", "UTC")
    before = world.changes()
    assert world.units.update(admin, unit.id, UnitChanges(name="Bern", status="active")) == unit
    assert world.changes() == before


@pytest.mark.parametrize(
    ("changes", "error", "field"),
    [
        (UnitChanges(name=""), InvalidInput, "name"),
        (UnitChanges(name="taken"), Conflict, "name"),
        (UnitChanges(timezone_name="Zurich"), InvalidInput, "timezone_name"),
    ],
)
def test_a_wrong_change_changes_nothing(
    world: World, admin: Actor, changes: UnitChanges, error: type[HatchPayError], field: str
) -> None:
    world.units.create(admin, "taken", "UTC")
    unit = world.units.create(admin, "Bern", "UTC")
    with pytest.raises(error) as caught:
        world.units.update(admin, unit.id, changes)
    assert caught.value.field == field
    assert world.units.get(admin, unit.id) == unit


def test_another_tenants_unit_is_not_changed(world: World, admin: Actor, stranger: Actor) -> None:
    unit = world.units.create(admin, "unit", "UTC")
    for unit_id in (unit.id, new_id()):
        with pytest.raises(NotFound):
            world.units.archive(stranger, unit_id)
    assert world.units.get(admin, unit.id) == unit


def test_a_caller_of_chosen_units_changes_those_and_learns_nothing_of_others(world: World, admin: Actor) -> None:
    mine, other = (world.units.create(admin, name, "UTC").id for name in ("mine", "other"))
    role = world.role(admin, "keeper", "business-unit.business-units.update").id
    limited, scoped = world.key(admin, role, business_unit_ids=(mine,)), world.key(admin)
    world.keys.set_roles(admin, scoped.view.id, (role,), {role: (mine,)})
    for caller in (world.caller(limited.key), world.caller(scoped.key)):
        for unit_id in (other, new_id()):
            for call in (
                lambda caller=caller, unit_id=unit_id: world.units.update(caller, unit_id, UnitChanges(name="x")),
                lambda caller=caller, unit_id=unit_id: world.units.archive(caller, unit_id),
            ):
                with pytest.raises(Forbidden) as caught:
                    call()
                assert caught.value.code == "grant_exceeds_caller"
        world.units.archive(caller, mine)
        world.units.update(caller, mine, UnitChanges(status="active"))
    assert world.units.get(admin, other).name == "other"


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
