"""The catalogue as tenants see it."""

from __future__ import annotations

from tests.support.directory import SERVED, World

from hatchpay.access.permission import CONTROL_PERMISSIONS, PLATFORM_PERMISSIONS
from hatchpay.admin.views import Actor


def test_a_tenant_sees_its_own_permissions_by_name_and_none_of_the_platforms(world: World, admin: Actor) -> None:
    names = [permission.name for permission in world.permissions.list(admin, 200).data]

    assert names == sorted(permission.name for permission in (*CONTROL_PERMISSIONS, *SERVED))
    assert not {permission.name for permission in PLATFORM_PERMISSIONS} & set(names)


def test_a_permission_tells_what_it_is(world: World, admin: Actor) -> None:
    found = {permission.name: permission for permission in world.permissions.list(admin, 200).data}

    read = found["shop.customers.read"]
    assert (read.service, read.description) == ("shop", "Read customers")
    assert (read.read_only, read.sensitive, read.administrative) == (True, True, False)
    assert found["access.roles.create"].administrative


def test_permissions_come_page_by_page(world: World, admin: Actor) -> None:
    seen, cursor = [], None
    while True:
        found = world.permissions.list(admin, 5, cursor)
        assert len(found.data) <= 5
        seen += [permission.name for permission in found.data]
        cursor = found.next_cursor
        if cursor is None:
            break

    assert seen == [permission.name for permission in world.permissions.list(admin, 200).data]
