"""No sequence of calls gives anybody more than the caller held, and the tenant always keeps an administrator.

An attacker starts with one key of any role and limits, and makes any calls on any keys and roles with every key whose
secret it gets. What keys can do is judged by the compiled snapshot, as the gate would, not by the rules under test.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.directory import HOUR, SERVED, START, World, fresh_directory

from hatchpay.access.permission import CONTROL_PERMISSIONS
from hatchpay.admin.views import Actor, CreatedKey, KeyChanges, NewKey, RoleDraft
from hatchpay.errors import HatchPayError
from hatchpay.identity.principal import Reach

CONTROL = tuple(permission.name for permission in CONTROL_PERMISSIONS)
DATA = tuple(permission.name for permission in SERVED)

times = st.sampled_from([None, START + HOUR, START + 2 * HOUR, START + 3 * HOUR])
networks = st.sampled_from([None, ("192.0.2.0/24",), ("192.0.2.0/25",), ("10.0.0.0/8", "192.0.2.0/24"), ("0.0.0.0/0",)])
unit_numbers = st.sampled_from([None, (0,), (1,), (0, 1)])
limits = st.fixed_dictionaries(
    {
        "environment": st.sampled_from(["live", "live", "test"]),
        "expires_at_us": times,
        "allowed_cidrs": networks,
        "units": unit_numbers,
    }
)
some_data = st.sets(st.sampled_from(DATA)).map(sorted)
most_control = st.sets(st.sampled_from(CONTROL), max_size=3).map(lambda left_out: sorted({*CONTROL} - left_out))
changes = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["enabled", "disabled"]),
        "expires_at_us": times,
        "allowed_cidrs": networks,
        "units": unit_numbers,
    },
)
index = st.integers(0, 30)


class Escalation(RuleBasedStateMachine):
    """`owned` are the keys whose secret the attacker has; `start` is what the first of them could do."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(fresh_directory())
        self.onboarded = self.world.onboard("Demo")
        self.admin = self.world.admin(self.onboarded)
        self.units = [self.world.units.create(self.admin, f"unit {number}", "UTC").id for number in range(2)]
        self.names = 0

    @initialize(control=most_control, data=some_data, held=limits, is_admin=st.integers(0, 4))
    def begin(self, control: list[str], data: list[str], held: dict[str, Any], is_admin: int) -> None:
        world, admin = self.world, self.admin
        strong = world.role(admin, "strong", *DATA, "api-key.keys.read")
        world.key(admin, strong.id, world.role_id(admin, "viewer"))
        world.key(admin, world.role(admin, "weak", "access.roles.read").id, **self.translated({"units": (0,)}))
        for narrow in ({"units": (0,)}, {"expires_at_us": START + HOUR}, {"allowed_cidrs": ("192.0.2.0/25",)}):
            world.key(admin, strong.id, **self.translated(narrow))
        disabled = world.key(admin, strong.id)
        world.keys.update(admin, disabled.view.id, KeyChanges(status="disabled"))
        role_id = world.role(admin, "attacker", *control, *data).id
        if is_admin == 0:
            role_id, held = world.role_id(admin, "admin"), {}
        first = world.key(admin, role_id, **self.translated(held))
        self.owned = [self.actor(first)]
        self.states = self.states_now()
        start = self.states[first.view.id]
        assert start is not None
        self.start: Reach = start

    @rule(by=index, wanted=limits)
    def create(self, by: int, wanted: dict[str, Any]) -> None:
        self.attempt(lambda caller: self.world.keys.create(caller, NewKey(name="k", **self.translated(wanted))), by)

    @rule(by=index, which=index, wanted=changes)
    def update(self, by: int, which: int, wanted: dict[str, Any]) -> None:
        self.attempt(
            lambda caller: self.world.keys.update(caller, self.key_id(which), KeyChanges(**self.translated(wanted))),
            by,
        )

    @rule(by=index, status=st.sampled_from(["enabled", "disabled"]))
    def switch_all(self, by: int, status: Literal["enabled", "disabled"]) -> None:
        for view in reversed(self.world.keys.list(self.admin, 200).data):
            self.attempt(partial(self.world.keys.update, key_id=view.id, changes=KeyChanges(status=status)), by)

    @rule(by=index, which=index, keep=st.booleans())
    def attach_to_all(self, by: int, which: int, keep: bool) -> None:
        role_id = self.role_id(which)
        for view in self.world.keys.list(self.admin, 200).data:
            wanted = {role_id, *(role.id for role in view.roles if keep)}
            self.attempt(partial(self.world.keys.set_roles, key_id=view.id, role_ids=tuple(wanted)), by)

    @rule(by=index, which=index)
    def detach(self, by: int, which: int) -> None:
        self.attempt(lambda caller: self.world.keys.set_roles(caller, self.key_id(which), ()), by)

    @rule(by=index, which=index, grace=st.sampled_from([0, 60]))
    def rotate(self, by: int, which: int, grace: int) -> None:
        self.attempt(lambda caller: self.world.keys.rotate(caller, self.key_id(which), grace), by)

    @rule(by=index, which=index)
    def delete(self, by: int, which: int) -> None:
        self.attempt(lambda caller: self.world.keys.delete(caller, self.key_id(which)), by)

    @rule(by=index, control=most_control, data=some_data)
    def create_role(self, by: int, control: list[str], data: list[str]) -> None:
        self.names += 1
        draft = RoleDraft(name=f"role {self.names}", permissions=(*control, *data))
        self.attempt(lambda caller: self.world.roles.create(caller, draft), by)

    @rule(by=index, held=st.sets(st.sampled_from([*DATA, *CONTROL[:4]])), keep=st.booleans())
    def update_all_roles(self, by: int, held: set[str], keep: bool) -> None:
        for view in self.world.roles.list(self.admin, 200).data:
            wanted = held | set(view.permissions) if keep else held
            draft = RoleDraft(name=view.name, permissions=tuple(sorted(wanted)))
            self.attempt(partial(self.world.roles.update, role_id=view.id, draft=draft), by)

    @rule(by=index, which=index)
    def delete_role(self, by: int, which: int) -> None:
        self.attempt(lambda caller: self.world.roles.delete(caller, self.role_id(which)), by)

    @rule()
    def wait(self) -> None:
        self.world.clock.now = min(self.world.clock.now + HOUR, START + 3 * HOUR)

    @invariant()
    def nobody_gained(self) -> None:
        if not hasattr(self, "owned"):
            return
        before, self.states = self.states, self.states_now()
        for key_id, after in self.states.items():
            if after is None:
                continue
            earlier = before.get(key_id)
            assert self.start.covers(after) or (earlier is not None and earlier.covers(after)), key_id
        for actor in self.owned:
            after = self.states[actor.principal.id]
            assert after is None or self.start.covers(after)

    @invariant()
    def an_administrator_is_left(self) -> None:
        self.world.snapshots.refresh()
        principals = [
            entry.principal for entry in self.world.snapshots.current.keys.values() if entry.state == "enabled"
        ]
        assert any(
            "admin" in principal.roles
            and principal.limits == type(principal.limits)()
            and principal.tenant_id == self.onboarded.tenant.id
            for principal in principals
        )

    def teardown(self) -> None:
        self.world.close()

    def attempt(self, call: Any, by: int) -> None:
        """Let one of the attacker's keys call; whatever secret it gets is the attacker's."""
        try:
            result = call(self.owned[by % len(self.owned)])
        except HatchPayError:
            return
        if isinstance(result, CreatedKey):
            self.owned.append(self.actor(result))

    def actor(self, key: CreatedKey) -> Actor:
        return self.world.actor(key, self.onboarded.tenant.id)

    def translated(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """`units` by number, to their ids."""
        rest = {name: value for name, value in wanted.items() if name != "units"}
        if "units" in wanted:
            numbers = wanted["units"]
            rest["business_unit_ids"] = None if numbers is None else tuple(self.units[number] for number in numbers)
        return rest

    def key_id(self, number: int) -> str:
        found = self.world.keys.list(self.admin, 200).data
        return found[number % len(found)].id

    def role_id(self, number: int) -> str:
        found = self.world.roles.list(self.admin, 200).data
        return found[number % len(found)].id

    def states_now(self) -> dict[str, Reach | None]:
        """What each key can do; None for one that can do nothing because it is disabled or deleted."""
        self.world.snapshots.refresh()
        return {
            entry.principal.id: Reach(frozenset(entry.principal.grants), entry.principal.limits)
            if entry.state == "enabled"
            else None
            for entry in self.world.snapshots.current.keys.values()
        }


Escalation.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestNoEscalation = Escalation.TestCase
