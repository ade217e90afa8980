"""Entity tags tell versions apart, and a change that expects another version changes nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import msgspec
import pytest
from tests.support.directory import SECOND, World

from hatchpay.admin.token_views import IssuerChanges
from hatchpay.admin.versions import IfMatch
from hatchpay.admin.views import Actor, KeyChanges, NewKey, RoleDraft, Versioned
from hatchpay.audit.ports import KeyUsage
from hatchpay.errors import Conflict, NotFound, PreconditionFailed
from hatchpay.ids import new_id
from hatchpay.tokens.digest import Peppers

ANY = IfMatch(None)
NEVER = IfMatch(frozenset())
OTHER = IfMatch(frozenset({"0" * 32}))


def of(view: Versioned) -> IfMatch:
    return IfMatch(frozenset({"another", view.etag}))


def test_a_tag_is_the_same_for_whoever_reads_and_after_each_start(world: World, admin: Actor) -> None:
    created = world.keys.create(admin, NewKey(name="some key", metadata={"b": "1", "a": "2"}))
    key_id = created.view.id

    first = world.keys.get(admin, key_id).etag

    assert re.fullmatch("[0-9a-f]{32}", first)
    assert created.view.etag == first == world.keys.get(world.local(admin.principal.tenant_id), key_id).etag
    assert world.keys.list(admin).data[0].etag == first


def test_every_process_gives_the_same_tag() -> None:
    program = (
        "from hatchpay.access.directory import RoleRow; from hatchpay.admin.versions import etag;"
        "names = frozenset(f'shop.thing-{n}.read' for n in range(50));"
        "print(etag(RoleRow(id='r', tenant_id='t', name='n', permissions=names, created_us=1, updated_us=1)))"
    )
    tags = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, text=True, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(tags) == 1


def test_a_change_changes_the_tag_even_where_it_is_taken_back(world: World, admin: Actor) -> None:
    key_id = world.key(admin).view.id
    seen = [world.keys.get(admin, key_id).etag]
    for changes in (KeyChanges(name="new"), KeyChanges(name="some key")):
        world.clock.now += SECOND
        seen.append(world.keys.update(admin, key_id, changes).etag)
        assert world.keys.get(admin, key_id).etag == seen[-1]
    world.clock.now += SECOND
    seen.append(world.keys.set_roles(admin, key_id, (world.role_id(admin, "viewer"),)).etag)
    seen.append(world.keys.rotate(admin, key_id, 60).view.etag)
    seen.append(world.keys.end_grace(admin, key_id).etag)
    assert len(set(seen)) == len(seen)


def test_use_and_a_new_pepper_leave_the_tag_as_it_is(world: World, admin: Actor) -> None:
    created = world.key(admin)
    before = created.view.etag

    world.usage.uses[created.view.id] = [KeyUsage(secret_version=1, used_us=world.clock.now, client_ip="192.0.2.1")]
    world.peppers = Peppers(2, {**world.peppers.keys, 2: b"\x02" * 32})
    world.keys.rehash(created.view.id, created.key, 1)

    after = world.keys.get(admin, created.view.id)
    assert after.last_used_ip == "192.0.2.1"
    assert after.etag == before


def test_fetching_an_issuers_keys_leaves_its_tag_as_it_is(world: World, admin: Actor) -> None:
    world.begin_tokens()
    issuer = world.issuer()
    before = world.trust(admin, issuer, "shop.orders.read")
    world.internet.failing = "fetch_timeout"
    world.clock.now += 24 * 3600 * SECOND
    world.issuer_keys.refresh(before.id)
    after = world.issuers.get(admin, before.id)
    assert after.keys_failure == "fetch_timeout"
    assert after.etag == before.etag


def test_a_tag_is_no_member_of_what_is_shown(world: World, admin: Actor) -> None:
    shown = msgspec.to_builtins(world.units.create(admin, "Zürich", "Europe/Zurich"))
    assert set(shown) == {"id", "name", "timezone_name", "status", "created_at", "updated_at"}


Call = Callable[[World, Actor, IfMatch | None], object]


def _ready(world: World, admin: Actor) -> tuple[Versioned, dict[str, Call]]:
    key = world.keys.rotate(admin, world.key(admin, world.role_id(admin, "viewer")).view.id, 60).view
    return key, {
        "update": lambda w, who, ex: w.keys.update(who, key.id, KeyChanges(name="new"), ex),
        "set_roles": lambda w, who, ex: w.keys.set_roles(who, key.id, (), expected=ex),
        "rotate": lambda w, who, ex: w.keys.rotate(who, key.id, 0, ex),
        "end_grace": lambda w, who, ex: w.keys.end_grace(who, key.id, ex),
        "delete": lambda w, who, ex: w.keys.delete(who, key.id, ex),
    }


def _role(world: World, admin: Actor) -> tuple[Versioned, dict[str, Call]]:
    role = world.role(admin, "old", "shop.orders.read")
    return role, {
        "update": lambda w, who, ex: w.roles.update(who, role.id, RoleDraft(name="new"), ex),
        "delete": lambda w, who, ex: w.roles.delete(who, role.id, ex),
    }


def _issuer(world: World, admin: Actor) -> tuple[Versioned, dict[str, Call]]:
    world.begin_tokens()
    issuer = world.trust(admin, world.issuer(), "shop.orders.read")
    moved = IssuerChanges(jwks_url="https://elsewhere.test/keys")
    return issuer, {
        "update": lambda w, who, ex: w.issuers.update(who, issuer.id, IssuerChanges(status="disabled"), ex),
        "move": lambda w, who, ex: w.issuers.update(who, issuer.id, moved, ex),
        "delete": lambda w, who, ex: w.issuers.delete(who, issuer.id, ex),
    }


MAKERS = {"key": _ready, "role": _role, "issuer": _issuer}
CASES = [
    *(("key", name) for name in ("update", "set_roles", "rotate", "end_grace", "delete")),
    *(("role", name) for name in ("update", "delete")),
    *(("issuer", name) for name in ("update", "delete")),
]


@pytest.mark.parametrize(("what", "call"), CASES)
def test_a_change_of_another_version_is_refused_and_changes_nothing(
    world: World, admin: Actor, what: str, call: str
) -> None:
    view, calls = MAKERS[what](world, admin)
    before = stored(world)
    for expected in (OTHER, NEVER):
        with pytest.raises(PreconditionFailed) as refusal:
            calls[call](world, admin, expected)
        assert (refusal.value.status, refusal.value.code) == (412, "precondition_failed")
    assert stored(world) == before

    calls[call](world, admin, of(view))
    assert stored(world) != before


@pytest.mark.parametrize(("what", "call"), CASES)
@pytest.mark.parametrize("expected", [None, ANY])
def test_whoever_expects_nothing_in_particular_changes_it_as_ever(
    world: World, admin: Actor, what: str, call: str, expected: IfMatch | None
) -> None:
    _, calls = MAKERS[what](world, admin)
    before = stored(world)
    calls[call](world, admin, expected)
    assert stored(world) != before


def test_nothing_is_fetched_for_a_change_of_another_version(world: World, admin: Actor) -> None:
    _, calls = _issuer(world, admin)
    asked = len(world.internet.asked)
    with pytest.raises(PreconditionFailed):
        calls["move"](world, admin, OTHER)
    assert len(world.internet.asked) == asked


def test_what_does_not_exist_or_must_not_change_is_refused_as_without_a_condition(world: World, admin: Actor) -> None:
    with pytest.raises(NotFound):
        world.keys.update(admin, new_id(), KeyChanges(name="new"), ANY)
    builtin = world.role_id(admin, "viewer")
    with pytest.raises(Conflict):
        world.roles.update(admin, builtin, RoleDraft(name="new"), of(world.roles.get(admin, builtin)))


def stored(world: World) -> list[str]:
    with world.directory.connection() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        return list(driver.iterdump())
