"""Two callers at once: whoever comes second is judged by what the first has left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from tests.support.directory import UnsyncedDirectory, World

from hatchpay.admin.versions import IfMatch
from hatchpay.admin.views import Actor, KeyChanges, NewKey, Onboarded, RoleDraft
from hatchpay.errors import Conflict, Forbidden, HatchPayError, Unauthenticated

ROUNDS = 8


def together(*calls: Callable[[], object]) -> list[HatchPayError | None]:
    """What each call raised, all started at the same moment."""
    barrier = threading.Barrier(len(calls))
    results: list[HatchPayError | None] = [None] * len(calls)

    def run(number: int) -> None:
        barrier.wait()
        try:
            calls[number]()
        except HatchPayError as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def beside(world: World) -> Iterator[World]:
    """The same directory, opened a second time, as another process would."""
    other = World(UnsyncedDirectory(world.directory.path))
    other.clock, other.usage = world.clock, world.usage
    yield other
    other.close()


def codes(results: list[HatchPayError | None]) -> list[str]:
    return sorted("done" if error is None else error.code for error in results)


@pytest.mark.parametrize("call", ["delete", "disable", "detach"])
def test_two_administrators_cannot_remove_each_other(
    world: World, beside: World, demo: Onboarded, admin: Actor, call: str
) -> None:
    role = world.role_id(admin, "admin")
    local = world.local(demo.tenant.id)
    calls: dict[str, Callable[[World, str], object]] = {
        "delete": lambda world, key: world.keys.delete(local, key),
        "disable": lambda world, key: world.keys.update(local, key, KeyChanges(status="disabled")),
        "detach": lambda world, key: world.keys.set_roles(local, key, ()),
    }
    last = demo.api_key.view.id
    for _ in range(ROUNDS):
        other = world.key(local, role).view.id

        results = together(partial(calls[call], world, last), partial(calls[call], beside, other))

        assert codes(results) == ["done", "last_administrator"]
        last = last if isinstance(results[0], Conflict) else other


def test_a_caller_that_is_disabled_meanwhile_either_was_first_or_changes_nothing(
    world: World, beside: World, admin: Actor
) -> None:
    for number in range(ROUNDS):
        key = world.key(admin, world.role_id(admin, "admin"))
        caller = world.actor(key, admin.principal.tenant_id)

        made, disabled = together(
            partial(world.keys.create, caller, NewKey(name=f"by {number}")),
            partial(beside.keys.update, admin, key.view.id, KeyChanges(status="disabled")),
        )

        assert disabled is None
        events = [change.event for change in world.changes()][-2:]
        if made is None:
            assert events == ["api-key.keys.created", "api-key.keys.disabled"]
        else:
            assert isinstance(made, Unauthenticated)
            assert events[-1] == "api-key.keys.disabled"


def test_a_role_does_not_grow_while_it_is_attached(world: World, beside: World, admin: Actor) -> None:
    """One may attach the role as it is, another may let it grow; a key never gets both by the weaker of them."""
    everything = [permission.name for permission in world.permissions.list(admin, 200).data]
    control = [name for name in everything if not name.startswith("shop.")]
    manager = world.actor(world.key(admin, world.role(admin, "manager", *control).id), admin.principal.tenant_id)
    for number in range(ROUNDS):
        role = world.role(manager, f"role {number}", "access.roles.read")
        key = world.key(manager)
        grown = RoleDraft(name=f"role {number}", permissions=("access.roles.read", "shop.orders.read"))

        attached, grew = together(
            partial(world.keys.set_roles, manager, key.view.id, (role.id,)),
            partial(beside.roles.update, admin, role.id, grown),
        )

        assert grew is None
        events = [change.event for change in world.changes()][-2:]
        if attached is None:
            assert events == ["api-key.keys.roles_set", "access.roles.updated"]
        else:
            assert isinstance(attached, Forbidden)


def test_a_role_is_never_deleted_from_under_a_key(world: World, beside: World, admin: Actor) -> None:
    for number in range(ROUNDS):
        role = world.role(admin, f"role {number}")
        key = world.key(admin)

        results = together(
            partial(world.keys.set_roles, admin, key.view.id, (role.id,)),
            partial(beside.roles.delete, admin, role.id),
        )

        assert codes(results) in (["done", "role_in_use"], ["done", "unknown_role"])


def test_a_name_is_given_once(world: World, beside: World, admin: Actor) -> None:
    for number in range(ROUNDS):
        draft = RoleDraft(name=f"role {number}")

        results = together(
            partial(world.roles.create, admin, draft),
            partial(beside.roles.create, admin, draft),
        )

        assert codes(results) == ["already_exists", "done"]


def test_there_is_one_operator_key(world: World, beside: World) -> None:
    local = world.local()

    assert codes(together(lambda: world.tenants.operator_key(local), lambda: beside.tenants.operator_key(local))) == [
        "done",
        "operator_exists",
    ]


def test_of_two_rotations_only_the_later_secret_stays(world: World, beside: World, admin: Actor) -> None:
    for _ in range(ROUNDS):
        key = world.key(admin).view.id

        results = together(
            partial(world.keys.rotate, admin, key),
            partial(beside.keys.rotate, admin, key),
        )

        assert codes(results) == ["done", "done"]
        with world.directory.read() as view:
            stored = view.key_of_any_tenant(key)
        assert stored is not None
        assert [secret.ends_us is None for secret in stored.secrets] == [True, False, False]


@pytest.mark.parametrize("what", ["key", "role"])
def test_of_two_who_have_read_the_same_version_one_writes_and_the_other_is_told(
    world: World, beside: World, admin: Actor, what: str
) -> None:
    key_id, role_id = world.key(admin).view.id, world.role(admin, "role").id
    for number in range(ROUNDS):
        world.clock.now += 1
        read = world.keys.get(admin, key_id) if what == "key" else world.roles.get(admin, role_id)
        expected = IfMatch(frozenset({read.etag}))

        def write(world: World, name: str, expected: IfMatch = expected) -> object:
            if what == "key":
                return world.keys.update(admin, key_id, KeyChanges(name=name), expected)
            return world.roles.update(admin, role_id, RoleDraft(name=name), expected)

        names = [f"first {number}", f"second {number}"]
        results = together(partial(write, world, names[0]), partial(write, beside, names[1]))

        assert codes(results) == ["done", "precondition_failed"]
        now = world.keys.get(admin, key_id) if what == "key" else world.roles.get(admin, role_id)
        assert now.name == names[results.index(None)]
