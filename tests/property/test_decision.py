"""The compiled decision against a slow and obvious one, over random roles, scopes, routes, units and policies.

The reference reads the stored rows and the policies as what they were made from; it knows neither the snapshot, nor the
trie, nor Cedar.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hatchpay.access.directory import KeyRow, PolicyRow, RoleRow, TenantRow, UnitRow
from hatchpay.access.engine import conclude, decide
from hatchpay.access.permission import Permission
from hatchpay.access.routes import BodyField, Route, RouteTable, UnitSource
from hatchpay.ids import new_id
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.snapshots import DirectorySnapshots
from hatchpay.tokens.apikey import encode_id
from hatchpay.tokens.digest import Peppers

NOW = 1_800_000_000_000_000
NAMES = ("shop.items.read", "shop.items.create", "shop.orders.read")
AMOUNT = BodyField("amount", "decimal", "/amount")
OFFICE = "10.0.0.0/8"
ADDRESSES = ("10.1.2.3", "192.0.2.1")
LIMIT = Decimal("500.00")

Outcome = tuple[Literal["allow", "deny"], str]


@dataclass(frozen=True)
class Rule:
    """One `forbid`. `who` and `where` are numbers of a role and a unit; None is anybody and anywhere."""

    who: Literal["anybody", "this key", "another key"] | int
    actions: frozenset[str] | None
    where: int | None
    when: Literal["always", "test", "outside", "large"]

    def text(self, world: World) -> str:
        if self.who == "anybody":
            principal = "principal"
        elif isinstance(self.who, int):
            principal = f'principal in Role::"{world.role_ids[self.who]}"'
        else:
            principal = f'principal == ApiKey::"{world.key_id if self.who == "this key" else new_id()}"'
        action = "action"
        if self.actions is not None:
            named = ", ".join(f'Action::"{name}"' for name in sorted(self.actions))
            action = f"action in [{named}]"
        resource = "resource" if self.where is None else f'resource in BusinessUnit::"{world.unit_ids[self.where]}"'
        condition = {
            "always": "",
            "test": ' when { context.environment == "test" }',
            "outside": f' unless {{ context.client_ip.isInRange(ip("{OFFICE}")) }}',
            "large": f' when {{ context.body.amount.greaterThan(decimal("{LIMIT}")) }}',
        }[self.when]
        return f"forbid({principal}, {action}, {resource}){condition};"

    def matches(self, world: World, asked: Request, permission: str) -> bool | None:
        """None where it cannot tell, since what it asks for is not there."""
        who = self.who in ("anybody", "this key") or self.who in world.held
        if not who or (self.actions is not None and permission not in self.actions):
            return False
        if self.where is not None and asked.unit != self.where:
            return False
        if self.when == "test":
            return world.environment == "test"
        if self.when == "outside":
            return None if asked.address is None else ip_address(asked.address) not in ip_network(OFFICE)
        if self.when == "large":
            return None if asked.amount is None else asked.amount > LIMIT
        return True


@dataclass(frozen=True)
class Request:
    """`unit` is the number of one of the tenant's units, the last of which is archived; -1 is another tenant's."""

    method: str
    path: str
    unit: int | None
    address: str | None
    amount: Decimal | None


@dataclass
class World:
    """`held` maps a role's number to the numbers of the units that it is attached for, None for the whole tenant."""

    roles: list[frozenset[str]]
    held: dict[int, frozenset[int] | None]
    own_units: frozenset[int] | None
    environment: Literal["live", "test"]
    rules: list[Rule]
    listed: list[tuple[str, str, str | None, bool]]
    tenant_id: str = field(default_factory=new_id)
    key_id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        self.role_ids = [new_id() for _ in self.roles]
        self.unit_ids = [new_id() for _ in range(3)]

    def units(self, numbers: frozenset[int]) -> frozenset[str]:
        return frozenset(self.unit_ids[number] for number in numbers)


def reference(world: World, asked: Request) -> Outcome:
    fitting = [
        (path, permission, separable)
        for method, path, permission, separable in world.listed
        if method == asked.method and fits(path, asked.path)
    ]
    if not fitting:
        return "deny", "route_not_listed"
    _, permission, separable = min(fitting, key=lambda one: [part.startswith("{") for part in one[0].split("/")])
    if permission is None:
        return "allow", "open_route"
    scopes = [scope for number, scope in world.held.items() if permission in world.roles[number]]
    if not scopes:
        return "deny", "permission_missing"
    scope = None if None in scopes else frozenset[int]().union(*(one for one in scopes if one is not None))
    if world.own_units is not None:
        scope = world.own_units if scope is None else scope & world.own_units
        if not scope:
            # Held for units only, none of which are the key's: held nowhere.
            return "deny", "permission_missing"
    unit = asked.unit if separable else None
    if scope is not None:
        if not separable:
            return "deny", "business_unit_not_separable"
        if unit is None:
            return "deny", "business_unit_missing"
        if unit not in scope:
            return "deny", "business_unit_not_allowed"
    if unit == -1:
        return "deny", "business_unit_unknown"
    if unit == 2:
        return "deny", "business_unit_archived"
    asked = Request(asked.method, asked.path, unit, asked.address, asked.amount)
    verdicts = [rule.matches(world, asked, permission) for rule in world.rules]
    if True in verdicts:
        return "deny", "policy_forbids"
    if None in verdicts:
        return "deny", "policy_errs"
    return "allow", "role_grants"


def fits(template: str, path: str) -> bool:
    wanted, present = template.split("/"), path.split("/")
    return len(wanted) == len(present) and all(
        part != "" if pattern.startswith("{") else pattern == part
        for pattern, part in zip(wanted, present, strict=True)
    )


names = st.sampled_from(NAMES)
unit_numbers = st.sets(st.integers(0, 2), min_size=1).map(frozenset)
rules = st.builds(
    Rule,
    st.sampled_from(["anybody", "anybody", "this key", "another key", 0, 1]),
    st.none() | st.sets(names, min_size=1).map(frozenset),
    st.none() | st.integers(0, 1),
    st.sampled_from(["always", "test", "outside", "large"]),
)
ROUTES = [(method, path) for method in ("GET", "POST") for path in ("/a", "/a/{x}", "/a/b", "/{y}/b")]
listings = st.lists(st.sampled_from(ROUTES), unique=True, max_size=6).flatmap(
    lambda routes: st.tuples(*(st.tuples(st.just(one), st.none() | names, st.booleans()) for one in routes))
)
worlds = st.builds(
    lambda roles, held, own, environment, forbidding, routes: World(
        roles, held, own, environment, forbidding, [(*route, name, separable) for route, name, separable in routes]
    ),
    st.lists(st.sets(names).map(frozenset), min_size=2, max_size=2),
    st.dictionaries(st.integers(0, 1), st.none() | unit_numbers),
    st.none() | st.none() | unit_numbers,
    st.sampled_from(["live", "test"]),
    st.lists(rules, max_size=3),
    listings,
)
requests = st.builds(
    Request,
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["/a", "/a/b", "/a/c", "/z/b", "/", "/a/", "/z"]),
    st.none() | st.integers(-1, 2),
    st.none() | st.sampled_from(ADDRESSES),
    st.none() | st.sampled_from([Decimal("499.99"), LIMIT, Decimal("500.01")]),
)


class House:
    """A directory, and what is compiled from it."""

    def __init__(self, directory: SqlDirectory) -> None:
        self.directory = directory
        directory.sync_permissions(Permission(name=name, description=name) for name in NAMES)
        self.snapshots = DirectorySnapshots(directory, lambda: Peppers(1, {1: bytes(32)}))

    def store(self, world: World) -> None:
        times: dict[str, Any] = {"tenant_id": world.tenant_id, "created_us": NOW, "updated_us": NOW}
        with self.directory.transaction() as transaction:
            transaction.add_tenant(TenantRow(id=world.tenant_id, name=world.tenant_id, created_us=NOW))
            for number, unit_id in enumerate(world.unit_ids):
                archived = NOW if number == 2 else None
                row = UnitRow(id=unit_id, name=unit_id, timezone_name="UTC", archived_us=archived, **times)
                transaction.add_unit(row)
            for role_id, permissions in zip(world.role_ids, world.roles, strict=True):
                transaction.add_role(RoleRow(id=role_id, name=role_id, permissions=permissions, **times))
            for number, rule in enumerate(world.rules):
                transaction.add_policy(PolicyRow(id=new_id(), name=f"p{number}", text=rule.text(world), **times))
            transaction.add_key(self.key(world, times))
        self.snapshots.refresh()

    def key(self, world: World, times: dict[str, Any]) -> KeyRow:
        own = None if world.own_units is None else tuple(sorted(world.units(world.own_units)))
        return KeyRow(
            id=world.key_id,
            name="key",
            description="",
            environment=world.environment,
            business_unit_ids=own,
            role_ids=frozenset(world.role_ids[number] for number in world.held),
            role_units={
                world.role_ids[number]: world.units(scope) for number, scope in world.held.items() if scope is not None
            },
            **times,
        )

    def decide(self, world: World, asked: Request) -> Outcome:
        table = RouteTable(
            Route(
                method=method,
                template=path,
                access="open" if permission is None else "permission",
                permission=permission,
                unit=(UnitSource("query", "unit"),) if separable else (),
                fields=() if permission is None else (AMOUNT,),
            )
            for method, path, permission, separable in world.listed
        )
        principal = self.snapshots.current.keys[encode_id(world.key_id)].principal
        match = table.match(asked.method, asked.path)
        decision = decide(principal, match)
        if decision.outcome == "allow" and match is not None and match.route.access == "permission":
            unit = None
            if asked.unit is not None and match.route.unit:
                unit = new_id() if asked.unit == -1 else world.unit_ids[asked.unit]
            body = {} if asked.amount is None else {"amount": str(asked.amount)}
            denial = conclude(
                self.snapshots.rules, principal, match, unit, now_us=NOW, client_ip=asked.address, body=body
            )
            decision = denial or decision
        reason = decision.reason
        return decision.outcome, "policy_errs" if reason in {"policy_input_missing", "policy_error"} else reason


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = SqlDirectory(tmp_path_factory.mktemp("house") / "directory.db")
    yield House(directory)
    directory.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds, asked=st.lists(requests, min_size=1, max_size=8))
def test_the_compiled_decision_is_the_obvious_one(house: House, world: World, asked: list[Request]) -> None:
    house.store(world)
    for one in asked:
        assert house.decide(world, one) == reference(world, one), one
