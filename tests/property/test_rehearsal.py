"""A rehearsal says what the change does when it is made: the directory is copied, the change made there for real by its
own use case, and every recorded request decided anew by a snapshot that was loaded from each.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings
from tests.support.directory import HOUR, MAPPING, START, UnsyncedDirectory, World, fresh_directory

from hatchpay.access.replay import Standing
from hatchpay.access.routes import Route, RouteTable, UnitSource
from hatchpay.admin.rehearsal_views import Change, KeyRoles, RehearsalView, RolePermissions
from hatchpay.admin.rehearse import Rehearsals
from hatchpay.admin.views import Actor, NewKey, RoleDraft
from hatchpay.audit.record import Record
from hatchpay.identity.principal import Principal
from hatchpay.ids import new_id
from hatchpay.store.snapshots import DirectorySnapshots
from hatchpay.tokens.apikey import encode_id

DATA = ("shop.orders.read", "shop.customers.read", "shop.orders.create")
ROUTES = (
    Route(method="GET", template="/orders", permission=DATA[0]),
    Route(method="GET", template="/customers/{id}", permission=DATA[1], unit=(UnitSource("handler"),)),
    Route(method="POST", template="/orders", permission=DATA[2], unit=(UnitSource("query", "unit"),)),
)
TABLE = RouteTable(ROUTES)
ROLES, KEYS, UNITS = 3, 4, 2

permissions = st.sets(st.sampled_from(DATA)).map(sorted)
some_roles = st.sets(st.integers(0, ROLES - 1)).map(sorted)
units = st.sampled_from([None, (0,), (0, 1)])
changes = st.one_of(
    st.tuples(st.just("key"), st.integers(0, KEYS - 1), some_roles),
    st.tuples(st.just("role"), st.integers(0, ROLES - 1), permissions),
)
# Everybody (each key, and two users) has asked for every route, for no unit and for each: who, route, unit.
ASKED = tuple(product(range(KEYS + 2), ROUTES, (None, *range(UNITS))))
# One bit for each: whether it was let through at the time.
let_through = st.integers(0, 2 ** len(ASKED) - 1)


class Recorded:
    """The record, in memory."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    def count(self, *_: object) -> int:
        return len(self._records)

    def records(self, *_: object) -> Iterator[list[Record]]:
        for record in self._records:
            yield [record]


class Town:
    """A tenant with roles, keys that hold some of them, users who do, and units."""

    def __init__(self, held: list[list[str]], holders: list[tuple[list[int], Any]], ceiling: list[str]) -> None:
        self.world = world = World(fresh_directory())
        onboarded = world.onboard()
        self.admin = world.admin(onboarded)
        self.tenant_id = onboarded.tenant.id
        self.units = [world.units.create(self.admin, f"unit {number}", "UTC").id for number in range(UNITS)]
        self.roles = [world.role(self.admin, f"role {number}", *names).id for number, names in enumerate(held)]
        self.keys = []
        for roles, limited in holders:
            wanted = NewKey(name="key", business_unit_ids=limited and tuple(self.units[one] for one in limited))
            key_id = world.keys.create(self.admin, wanted).view.id
            world.keys.set_roles(self.admin, key_id, tuple(self.roles[one] for one in roles))
            self.keys.append(key_id)
        world.begin_tokens()
        self.issuer = world.trust(self.admin, world.issuer(), *(ceiling or [DATA[0]]), claims=MAPPING).id

    def record(self, who: int, route: Route, unit: int | None, allowed: bool) -> Record:
        # Each user holds two of the roles: the first and the second, or the second and the third.
        first = who - KEYS
        is_user = first >= 0
        caller: dict[str, Any] = (
            {"principal_id": f"user:{first}", "issuer_id": self.issuer}
            if is_user
            else {"principal_id": self.keys[who], "key_id": self.keys[who]}
        )
        return Record(
            request_id=new_id(),
            tenant_id=self.tenant_id,
            method=route.method,
            url="/",
            started_us=START - HOUR,
            route=route.template,
            permission=route.permission,
            roles=(f"role {first}", f"role {first + 1}") if is_user else (),
            business_unit_id=None if unit is None or not route.unit else self.units[unit],
            decision="allow" if allowed else "deny",
            reason="role_grants" if allowed else "business_unit_not_allowed",
            **caller,
        )

    def change(self, kind: str, number: int, to: list[Any]) -> Change:
        if kind == "key":
            return KeyRoles(self.keys[number], tuple(self.roles[one] for one in to))
        return RolePermissions(self.roles[number], tuple(to))


def made_for_real(town: Town, change: Change, folder: Path) -> World:
    """A second directory, in which the change is made by the use case that makes it."""
    with town.world.directory.connection() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    path = folder / "directory.db"
    shutil.copyfile(town.world.directory.path, path)
    for companion in ("-wal", "-shm"):
        source = town.world.directory.path.with_name(town.world.directory.path.name + companion)
        if source.exists():
            shutil.copyfile(source, path.with_name(path.name + companion))
    second = World(UnsyncedDirectory(path))
    actor = Actor(town.admin.principal, new_id())
    if isinstance(change, KeyRoles):
        second.keys.set_roles(actor, change.key_id, change.role_ids)
    else:
        name = second.roles.get(actor, change.role_id).name
        second.roles.update(actor, change.role_id, RoleDraft(name=name, permissions=change.permissions))
    return second


def allowed_by(snapshots: DirectorySnapshots, town: Town, record: Record) -> bool:
    """The rule in words: somebody who holds the permission, for a unit of theirs, or where units do not count."""
    current = snapshots.current
    route = next(one for one in ROUTES if (one.method, one.template) == (record.method, record.route))
    if record.key_id is None:
        roles = [current.trust.roles.get((town.tenant_id, name), frozenset()) for name in record.roles]
        held = frozenset[str]().union(*roles) & current.trust.issuers[town.issuer].ceiling
        return route.permission in held
    principal: Principal = current.keys[encode_id(record.key_id)].principal
    if not principal.may(route.permission or ""):
        return False
    mine = principal.limits.business_unit_ids
    if mine is None or route.names_unit_in("handler"):
        return True
    return bool(route.unit) and record.business_unit_id in mine


def rehearsed(town: Town, change: Change, records: list[Record]) -> RehearsalView:
    world = town.world
    world.snapshots.refresh()
    standing = Standing(world.snapshots.current, world.snapshots.rules)
    rehearsals = Rehearsals(world.directory, Recorded(records), lambda: standing, TABLE, world.clock)
    rehearsal = rehearsals.prepare(town.admin, change)
    for _ in rehearsal.steps():
        pass
    return rehearsal.result()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    held=st.lists(permissions, min_size=ROLES, max_size=ROLES),
    holders=st.lists(st.tuples(some_roles, units), min_size=KEYS, max_size=KEYS),
    ceiling=permissions,
    change=changes,
    outcomes=let_through,
)
def test_a_rehearsal_says_what_the_change_does_when_it_is_made(
    held: list[list[str]],
    holders: list[tuple[list[int], Any]],
    ceiling: list[str],
    change: tuple[str, int, list[Any]],
    outcomes: int,
) -> None:
    town = Town(held, holders, ceiling)
    records = [town.record(*asked, bool(outcomes >> number & 1)) for number, asked in enumerate(ASKED)]
    wanted = town.change(*change)

    result = rehearsed(town, wanted, records)

    with TemporaryDirectory() as folder:
        second = made_for_real(town, wanted, Path(folder))
        second.snapshots.refresh()
        before = [allowed_by(town.world.snapshots, town, record) for record in records]
        after = [allowed_by(second.snapshots, town, record) for record in records]
        second.close()
    both = list(zip(records, before, after, strict=True))
    breaks = sum(was and not now and record.decision == "allow" for record, was, now in both)
    gains = sum(now and not was for _, was, now in both)
    assert (result.denied.count, result.allowed.count) == (breaks, gains)
    assert (result.requests, result.undecided, result.skipped) == (len(records), 0, {})
    told = {one for part in (result.denied, result.allowed) for group in part.groups for one in group.samples}
    assert told <= {record.request_id for record, was, now in both if was != now}
    town.world.close()
