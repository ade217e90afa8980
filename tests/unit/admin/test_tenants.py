"""Onboarding, and the platform operator's key."""

from __future__ import annotations

import pytest
from tests.support.directory import World

from hatchpay.admin.tenants import OPERATOR_PERMISSIONS
from hatchpay.admin.views import Actor, KeyChanges, Onboarded
from hatchpay.errors import Conflict, Forbidden, InvalidInput, NotFound
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.tokens.apikey import encode_id


@pytest.fixture
def operator(world: World) -> Actor:
    return world.actor(world.tenants.operator_key(world.local()), PLATFORM_TENANT_ID)


def test_onboarding_gives_a_tenant_its_roles_and_its_first_admin_key(world: World, operator: Actor) -> None:
    onboarded = world.tenants.onboard(operator, "Demo")

    view = onboarded.api_key.view
    assert (view.name, view.description) == ("Tenant API key", "Default tenant API key")
    assert (view.environment, view.status, view.expires_at) == ("live", "enabled", None)
    assert [role.name for role in view.roles] == ["admin"]
    assert onboarded.api_key.key.startswith("hp_live_")
    assert world.tenants.find("Demo") == world.tenants.find(onboarded.tenant.id) == onboarded.tenant
    with world.directory.read() as directory:
        assert directory.administrators(onboarded.tenant.id) == 1


def test_the_first_key_works_with_all_of_the_tenants_permissions(world: World, demo: Onboarded) -> None:
    world.snapshots.refresh()

    principal = world.snapshots.current.keys[encode_id(demo.api_key.view.id)].principal
    assert principal.tenant_id == demo.tenant.id
    assert set(principal.grants) == {permission.name for permission in world.snapshots.catalogue}
    assert not any(name.startswith("platform.") for name in principal.grants)


@pytest.mark.parametrize("name", ["Demo", "platform"])
def test_a_tenants_name_is_given_once_and_a_refusal_leaves_nothing(world: World, demo: Onboarded, name: str) -> None:
    before = (world.changes(), world.tenants.list(world.local()).data)

    with pytest.raises(Conflict) as caught:
        world.onboard(name)

    assert (caught.value.code, caught.value.field) == ("already_exists", "name")
    assert (world.changes(), world.tenants.list(world.local()).data) == before


def test_a_bad_name_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput) as caught:
        world.onboard("")
    assert caught.value.field == "name"


def test_no_tenant_onboards_or_lists_tenants(world: World, demo: Onboarded, admin: Actor) -> None:
    for call in (
        lambda: world.tenants.onboard(admin, "Mine"),
        lambda: world.tenants.onboard(world.local(demo.tenant.id), "Mine"),
        lambda: world.tenants.list(admin),
        lambda: world.tenants.operator_key(admin),
        lambda: world.tenants.operator_key(world.local(demo.tenant.id)),
    ):
        with pytest.raises(Forbidden):
            call()
    with pytest.raises(NotFound):
        world.tenants.find("Mine")


def test_tenants_are_listed_newest_first_without_the_platform(world: World, operator: Actor) -> None:
    names = [world.tenants.onboard(operator, f"Tenant {number}").tenant.name for number in range(3)]

    first = world.tenants.list(operator, 2)
    second = world.tenants.list(operator, 2, first.next_cursor)

    assert [tenant.name for tenant in (*first.data, *second.data)] == names[::-1]
    assert second.next_cursor is None


def test_the_platform_is_found_by_name_and_an_unknown_tenant_is_not(world: World) -> None:
    assert world.tenants.find("platform").id == PLATFORM_TENANT_ID
    for unknown in ("nobody", new_id(), ""):
        with pytest.raises(NotFound):
            world.tenants.find(unknown)


def test_the_operators_key_holds_what_the_platform_needs_and_no_more(world: World, operator: Actor) -> None:
    world.snapshots.refresh()

    principal = world.snapshots.current.keys[encode_id(operator.principal.id)].principal
    assert principal.roles == ("operator",)
    assert set(principal.grants) == OPERATOR_PERMISSIONS
    assert set(principal.grants.values()) == {"role:operator"}


def test_the_operators_key_is_made_once(world: World, operator: Actor) -> None:
    with pytest.raises(Conflict) as caught:
        world.tenants.operator_key(world.local())
    assert caught.value.code == "operator_exists"


def test_a_lost_operators_key_is_replaced_and_stops(world: World, operator: Actor) -> None:
    replaced = world.tenants.operator_key(world.local(), replace=True)

    world.snapshots.refresh()
    old = world.snapshots.current.keys[encode_id(operator.principal.id)]
    new = world.snapshots.current.keys[encode_id(replaced.view.id)]
    assert (old.state, new.state) == ("deleted", "enabled")
    assert world.last_change().event == "platform.operator_key.created"


def test_a_disabled_operators_key_still_counts_as_made(world: World, operator: Actor) -> None:
    world.keys.update(world.local(), operator.principal.id, KeyChanges(status="disabled"))

    with pytest.raises(Conflict):
        world.tenants.operator_key(world.local())


def test_the_operators_key_makes_no_other_and_reaches_into_no_tenant(
    world: World, operator: Actor, demo: Onboarded
) -> None:
    with pytest.raises(Forbidden):
        world.tenants.operator_key(operator, replace=True)
    with pytest.raises(NotFound):
        world.keys.get(operator, demo.api_key.view.id)
