"""May they? Denied unless the table lists the request and a role grants what it asks for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hatchpay.access.decision import Decision, decide, decide_unit
from hatchpay.access.routes import Match, Route, UnitSource
from hatchpay.identity.principal import Limits, Principal

NO_SCOPE: Mapping[str, Mapping[str, str]] = {}


def caller(
    *permissions: str, units: frozenset[str] | None = None, scoped: Mapping[str, Mapping[str, str]] = NO_SCOPE
) -> Principal:
    return Principal(
        "id",
        "api_key",
        "tenant",
        "id",
        ("r",),
        dict.fromkeys(permissions, "role:r"),
        Limits(business_unit_ids=units),
        scoped=scoped,
    )


def asks(permission: str = "a.b.c", unit: tuple[UnitSource, ...] = ()) -> Match:
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
IN_QUERY = (UnitSource("query", "unit"),)


@pytest.mark.parametrize(
    ("units", "match", "unit", "reason"),
    [
        (None, asks(), None, None),
        (None, asks(unit=IN_QUERY), None, None),
        (None, asks(unit=IN_QUERY), "elsewhere", None),
        (CHOSEN, asks(unit=IN_QUERY), "u1", None),
        (CHOSEN, asks(unit=(UnitSource("handler"),)), None, None),
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


SCOPED = {"a.b.c": {"u1": "role:x", "u2": "role:a"}}


def test_a_permission_that_is_held_for_chosen_units_lets_through_as_far_as_the_head_tells() -> None:
    decision = decide(caller(scoped=SCOPED), asks(unit=IN_QUERY))
    assert decision == Decision("allow", "role_grants", "role:a")


def test_a_permission_that_is_held_for_units_beyond_the_callers_limits_is_missing() -> None:
    principal = caller(scoped=SCOPED, units=frozenset({"u3"}))
    assert decide(principal, asks(unit=IN_QUERY)) == Decision("deny", "permission_missing", missing="a.b.c")


def test_a_permission_of_chosen_units_is_no_other_permission() -> None:
    assert decide(caller(scoped=SCOPED), asks("a.b.d")) == Decision("deny", "permission_missing", missing="a.b.d")


@pytest.mark.parametrize(
    ("units", "match", "unit", "reason", "missing"),
    [
        (None, asks(unit=IN_QUERY), "u1", None, None),
        (None, asks(unit=(UnitSource("handler"),)), None, None, None),
        (None, asks(), None, "business_unit_not_separable", "a.b.c"),
        (None, asks(unit=IN_QUERY), None, "business_unit_missing", "a.b.c"),
        (None, asks(unit=IN_QUERY), "u3", "business_unit_not_allowed", "a.b.c"),
        (frozenset({"u1", "u3"}), asks(unit=IN_QUERY), "u1", None, None),
        (frozenset({"u1", "u3"}), asks(unit=IN_QUERY), "u3", "business_unit_not_allowed", "a.b.c"),
        (frozenset({"u1", "u3"}), asks(unit=IN_QUERY), "u2", "business_unit_not_allowed", None),
    ],
)
def test_a_permission_of_chosen_units_holds_in_those_and_is_named_as_missing_elsewhere(
    units: frozenset[str] | None, match: Match, unit: str | None, reason: str | None, missing: str | None
) -> None:
    denial = decide_unit(caller(scoped=SCOPED, units=units), match, unit)
    assert denial == (None if reason is None else Decision("deny", reason, missing=missing))


def test_a_permission_that_is_held_tenant_wide_is_not_narrowed_by_another() -> None:
    principal = caller("a.b.c", scoped={"a.b.d": {"u1": "role:x"}})
    assert decide_unit(principal, asks(), None) is None
    assert decide_unit(principal, asks(unit=IN_QUERY), "u3") is None
