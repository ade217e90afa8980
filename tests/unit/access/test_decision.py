"""May they? Denied unless the table lists the request and a role grants what it asks for."""

from __future__ import annotations

import pytest

from hatchpay.access.decision import Decision, decide, decide_unit
from hatchpay.access.routes import Match, Route, UnitSource
from hatchpay.identity.principal import Limits, Principal


def caller(*permissions: str, units: frozenset[str] | None = None) -> Principal:
    return Principal(
        "id", "api_key", "tenant", "id", ("r",), dict.fromkeys(permissions, "role:r"), Limits(business_unit_ids=units)
    )


def asks(permission: str = "a.b.c", unit: UnitSource | None = None) -> Match:
    return Match(Route(method="GET", template="/", permission=permission, unit=unit), ())


OPEN = Match(Route(method="GET", template="/", access="open"), ())
SELF = Match(Route(method="POST", template="/", access="self_authenticating"), ())


def test_a_grant_allows_and_names_the_rule() -> None:
    assert decide(caller("a.b.c"), asks("a.b.c")) == Decision("allow", "role_grants", "role:r")


@pytest.mark.parametrize("granted", [(), ("a.b.d",), ("a.b",), ("a.b.cc", "x.a.b.c")])
def test_without_the_grant_the_missing_permission_is_named(granted: tuple[str, ...]) -> None:
    assert decide(caller(*granted), asks("a.b.c")) == Decision("deny", "permission_missing", missing="a.b.c")


def test_what_is_not_listed_is_denied_whatever_the_caller_holds() -> None:
    assert decide(caller("a.b.c", ""), None) == Decision("deny", "route_not_listed")


@pytest.mark.parametrize("match", [None, asks()])
def test_nobody_is_denied_before_learning_whether_the_route_exists(match: Match | None) -> None:
    assert decide(None, match) == Decision("deny", "credential_missing")


@pytest.mark.parametrize("principal", [None, caller()])
def test_an_open_route_asks_for_nobody(principal: Principal | None) -> None:
    assert decide(principal, OPEN) == Decision("allow", "open_route", "route:open")
    assert decide(principal, SELF) == Decision("allow", "self_authenticating", "route:self_authenticating")


CHOSEN = frozenset({"u1", "u2"})
IN_QUERY = UnitSource("query", "unit")


@pytest.mark.parametrize(
    ("units", "match", "unit", "reason"),
    [
        (None, asks(), None, None),
        (None, asks(unit=IN_QUERY), None, None),
        (None, asks(unit=IN_QUERY), "elsewhere", None),
        (CHOSEN, asks(unit=IN_QUERY), "u1", None),
        (CHOSEN, asks(unit=UnitSource("handler")), None, None),
        (CHOSEN, OPEN, None, None),
        (CHOSEN, SELF, None, None),
        (CHOSEN, asks(), None, "business_unit_not_separable"),
        (CHOSEN, asks(), "u1", "business_unit_not_separable"),
        (CHOSEN, asks(unit=IN_QUERY), None, "business_unit_missing"),
        (CHOSEN, asks(unit=IN_QUERY), "u3", "business_unit_not_allowed"),
        (CHOSEN, asks(unit=IN_QUERY), "", "business_unit_not_allowed"),
        (frozenset(), asks(unit=IN_QUERY), "u1", "business_unit_not_allowed"),
    ],
)
def test_a_caller_of_chosen_units_keeps_to_them(
    units: frozenset[str] | None, match: Match, unit: str | None, reason: str | None
) -> None:
    denial = decide_unit(caller("a.b.c", units=units), match, unit)
    assert denial == (None if reason is None else Decision("deny", reason))
