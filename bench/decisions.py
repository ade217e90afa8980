"""Microseconds per decision: with roles alone, and with a tenant's policies, beside what Cedar itself takes of it.

All cases run interleaved in one process; medians of the rounds with their spread. A policy is one `forbid` with the
scope and the condition that users write: for one of ten roles, unless the call comes from one of two networks.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from types import MappingProxyType
from typing import Any

import cedarpy

from hatchpay.access.catalogue import Catalogue, build
from hatchpay.access.directory import PolicyRow
from hatchpay.access.engine import conclude, decide
from hatchpay.access.permission import Permission
from hatchpay.access.policy import CompiledPolicies, compile_policies
from hatchpay.access.policy_request import context_of, principal_of, resource_of
from hatchpay.access.routes import Match, Route, UnitSource
from hatchpay.access.rules import NO_RULES, Asked, Rules, UnitEntry
from hatchpay.clock import wall_us
from hatchpay.identity.principal import Principal
from hatchpay.ids import new_id

TENANT, KEY, UNIT = new_id(), new_id(), new_id()
ROLES = {f"role-{number}": new_id() for number in range(10)}
IPS = [f"10.0.{high}.{low}" for high in range(8) for low in range(256)]
COUNTS = (1, 10, 100)
PATH = f"/v1/shop/units/{UNIT}/things150/{new_id()}"


def report(rounds: int = 15, times: int = 400) -> list[str]:
    """Lines of a Markdown table."""
    table = _table()
    matched = table.routes.match("GET", PATH)
    assert matched is not None
    cases: dict[str, tuple[Callable[[], Any], ...]] = {
        "roles alone": (_whole(table, NO_RULES),),
        "100 policies, none for this permission": (_whole(table, _rules(100, "shop.things1.read")),),
    }
    for count in COUNTS:
        works = (_whole(table, _rules(count, None)), *_bare(count, matched))
        cases[f"{count} for this permission"] = works
        cases[f"{count} for this permission, asked before"] = (_whole(table, _rules(count, None), forgetful=False),)
    runs: dict[str, list[list[float]]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, works in cases.items():
            runs[name].append([_time(work, times) for work in works])
    lines = ["| policies | µs per decision | Cedar alone | Cedar, everything in its context |", "|---|---|---|---|"]
    for name, measured in runs.items():
        cells = [_shown(column) for column in zip(*measured, strict=True)]
        lines.append(f"| {name} | " + " | ".join([*cells, *["–"] * (3 - len(cells))]) + " |")
    return lines


def _whole(table: Catalogue, rules: Rules, *, forgetful: bool = True) -> Callable[[], None]:
    """What the gate asks once it knows who calls: look-up of the route, roles, business unit and policies.

    Unless `forgetful`, from the same address each time, so that the answer is known from the time before.
    """
    following = cycle(IPS if forgetful else IPS[:1]).__next__
    policies = rules.policies.get(TENANT)
    answers = policies._answers if isinstance(policies, CompiledPolicies) else {}

    def work() -> None:
        match = table.routes.match("GET", PATH)
        decision = decide(CALLER, match)
        assert match is not None and decision.outcome == "allow"
        assert conclude(rules, CALLER, match, UNIT, now_us=wall_us(), client_ip=following(), body={}) is None
        if forgetful:
            answers.clear()

    return work


def _bare(count: int, match: Match) -> tuple[Callable[[], Any], ...]:
    """Cedar's public function, all else parsed beforehand: with what is needed as its context, and with everything."""
    policies = cedarpy.PolicySet.from_str("permit(principal, action, resource);" + _text(count, None))
    unit = UnitEntry(UNIT, "Europe/Zurich")
    roles = [{"type": "Role", "id": ROLES[name]} for name in CALLER.roles]
    found = [
        {"uid": {"type": "ApiKey", "id": KEY}, "attrs": {}, "parents": roles},
        {"uid": {"type": "BusinessUnit", "id": UNIT}, "attrs": {}, "parents": [{"type": "Tenant", "id": TENANT}]},
    ]
    known = cedarpy.Entities.from_json_str(json.dumps(found))
    asked = Asked(principal=CALLER, match=match, unit=unit, now_us=wall_us(), client_ip=IPS[0])
    everything = frozenset({"client_ip", "time", "environment", "authentication_method", "principal_id", "local"})
    return tuple(
        partial(
            cedarpy.is_authorized,
            {
                "principal": principal_of(CALLER),
                "action": {"type": "Action", "id": match.route.permission},
                "resource": resource_of(TENANT, unit),
                "context": context_of(asked, wanted, None),
            },
            policies,
            known,
        )
        for wanted in (frozenset({"client_ip"}), everything)
    )


def _table() -> Catalogue:
    """300 routes with as many permissions."""
    names = [f"shop.things{number}.{verb}" for number in range(150) for verb in ("read", "create")]
    routes = [
        Route(
            method="GET" if name.endswith("read") else "POST",
            template=f"/v1/shop/units/{{unit}}/{name.split('.')[1]}" + ("/{id}" if name.endswith("read") else ""),
            permission=name,
            unit=UnitSource("path", "unit"),
        )
        for name in names
    ]
    extra = [Route(method="GET", template="/v1/shop/units/{unit}/things150/{id}", permission="shop.things150.read")]
    permissions = [Permission(name=name, description=name) for name in [*names, "shop.things150.read"]]
    return build(permissions, [*routes, *extra])


CALLER = Principal(
    KEY,
    "api_key",
    TENANT,
    KEY,
    ("role-0", "role-1"),
    MappingProxyType({f"shop.things{number}.read": "role:role-0" for number in range(151)}),
)


def _rules(count: int, permission: str | None) -> Rules:
    row = PolicyRow(
        id=new_id(), tenant_id=TENANT, name="all", text=_text(count, permission), created_us=0, updated_us=0
    )
    units = MappingProxyType({TENANT: MappingProxyType({UNIT: UnitEntry(UNIT, "Europe/Zurich")})})
    return Rules(units, MappingProxyType({TENANT: compile_policies([row], ROLES)}))


def _text(count: int, permission: str | None) -> str:
    action = "action" if permission is None else f'action == Action::"{permission}"'
    return "\n".join(
        f'forbid(principal in Role::"{list(ROLES.values())[number % 10]}", {action}, resource) unless {{ '
        'context.client_ip.isInRange(ip("10.0.0.0/8")) || context.client_ip.isInRange(ip("2001:db8::/32")) };'
        for number in range(count)
    )


def _time(work: Callable[[], Any], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times * 1e6


def _shown(runs: tuple[float, ...]) -> str:
    return f"{statistics.median(runs):.1f} ({min(runs):.1f}–{max(runs):.1f})"
