"""The whole decision: the unit must be the tenant's and in use, and the handler sees the caller narrowed to it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hatchpay.access.decision import Decision
from hatchpay.access.engine import conclude, decide, granted, needs_body, needs_fields
from hatchpay.access.routes import BodyField, Match, Route, UnitSource
from hatchpay.access.rules import NO_RULES, Asked, FieldValue, Rules, UnitEntry
from hatchpay.identity.principal import Limits, Principal

P = "a.b.c"
RULES = Rules(
    units={
        "mine": {"u1": UnitEntry("u1", "UTC"), "u2": UnitEntry("u2", "UTC"), "old": UnitEntry("old", "UTC", True)},
        "theirs": {"foreign": UnitEntry("foreign", "UTC")},
    }
)
SOURCES = [UnitSource("path", "unit"), UnitSource("query", "unit"), UnitSource("body", "unit")]
AMOUNT = BodyField("amount", "decimal", "/amount")


def caller(units: frozenset[str] | None = None, scoped: Mapping[str, str] | None = None) -> Principal:
    """Holds P tenant-wide, or else `scoped`."""
    return Principal(
        "id",
        "api_key",
        "mine",
        "id",
        ("r",),
        {P: "role:r"} if scoped is None else {},
        Limits(business_unit_ids=units),
        scoped={} if scoped is None else {P: scoped},
    )


def asks(*sources: UnitSource, fields: tuple[BodyField, ...] = ()) -> Match:
    return Match(Route(method="POST", template="/{unit}", permission=P, unit=sources, fields=fields), ("x",))


def concluded(
    principal: Principal,
    match: Match,
    unit: str | None,
    rules: Rules = RULES,
    body: Mapping[str, FieldValue] | None = None,
) -> Decision | None:
    return conclude(rules, principal, match, unit, now_us=1, client_ip=None, body=body or {})


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("unit", "reason"),
    [
        ("u1", None),
        (None, None),
        ("old", "business_unit_archived"),
        ("foreign", "business_unit_unknown"),
        ("nobodys", "business_unit_unknown"),
    ],
)
def test_the_unit_must_be_the_tenants_and_in_use(source: UnitSource, unit: str | None, reason: str | None) -> None:
    denial = concluded(caller(), asks(source), unit)
    assert denial == (None if reason is None else Decision("deny", reason))


def test_a_tenant_without_units_has_none() -> None:
    assert concluded(caller(), asks(SOURCES[0]), "u1", NO_RULES) == Decision("deny", "business_unit_unknown")


@pytest.mark.parametrize("unit", ["u2", "old", "foreign", "nobodys"])
@pytest.mark.parametrize("scoped", [False, True])
def test_a_caller_of_chosen_units_does_not_learn_which_others_exist(unit: str, scoped: bool) -> None:
    principal = caller(scoped={"u1": "role:r"}) if scoped else caller(frozenset({"u1"}))
    denial = concluded(principal, asks(SOURCES[0]), unit)
    assert denial == Decision("deny", "business_unit_not_allowed", missing=P if scoped else None)


def test_a_callers_own_unit_is_closed_to_it_once_it_is_archived() -> None:
    denial = concluded(caller(frozenset({"old"})), asks(SOURCES[0]), "old")
    assert denial == Decision("deny", "business_unit_archived")


def test_what_a_handler_separates_itself_is_not_looked_up() -> None:
    assert concluded(caller(), asks(UnitSource("handler")), None, NO_RULES) is None


class TestGranted:
    def of(self, principal: Principal, match: Match, unit: str | None) -> tuple[Decision, Principal]:
        return granted(decide(principal, match), principal, match, unit)

    @pytest.mark.parametrize("principal", [caller(), caller(frozenset({"u1"}))])
    def test_what_is_held_tenant_wide_is_seen_unchanged(self, principal: Principal) -> None:
        decision, seen = self.of(principal, asks(UnitSource("handler")), None)
        assert seen is principal
        assert decision.rule == "role:r"

    def test_a_handler_sees_the_caller_within_the_units_of_the_permission(self) -> None:
        principal = caller(scoped={"u1": "role:x", "u2": "role:a"})
        decision, seen = self.of(principal, asks(UnitSource("handler")), None)
        assert seen.business_unit_ids == {"u1", "u2"}
        assert decision == Decision("allow", "role_grants", "role:a")
        assert seen.may(P)
        assert not principal.may(P)

    def test_the_limits_of_the_caller_still_count(self) -> None:
        principal = caller(frozenset({"u1", "u3"}), {"u1": "role:x", "u2": "role:a"})
        decision, seen = self.of(principal, asks(UnitSource("handler")), None)
        assert (seen.business_unit_ids, decision.rule) == ({"u1"}, "role:x")

    def test_of_a_named_unit_the_rule_is_that_units(self) -> None:
        principal = caller(scoped={"u1": "role:x", "u2": "role:a"})
        decision, seen = self.of(principal, asks(SOURCES[0]), "u1")
        assert (seen.business_unit_ids, decision.rule) == ({"u1"}, "role:x")


class Policies:
    def __init__(self, *permissions: str) -> None:
        self.permissions = permissions

    def concern(self, permission: str) -> bool:
        return permission in self.permissions

    def judge(self, asked: Asked) -> Decision | None:
        return Decision("deny", "asked", str(asked.unit and asked.unit.id), str(asked.body))


def test_a_policy_is_given_the_unit_and_the_fields() -> None:
    rules = Rules(units=RULES.units, policies={"mine": Policies(P)})
    denial = concluded(caller(), asks(SOURCES[0]), "u1", rules, {"amount": "1.00"})
    assert denial == Decision("deny", "asked", "u1", "{'amount': '1.00'}")


@pytest.mark.parametrize(
    ("match", "policies", "principal", "body", "fields"),
    [
        (asks(SOURCES[0]), Policies(P), caller(), False, False),
        (asks(SOURCES[2]), None, caller(), True, False),
        (asks(SOURCES[0], SOURCES[2]), None, caller(), True, False),
        (asks(fields=(AMOUNT,)), None, caller(), False, False),
        (asks(fields=(AMOUNT,)), Policies("x.y.z"), caller(), False, False),
        (asks(fields=(AMOUNT,)), Policies(P), caller(), True, True),
        (asks(fields=(AMOUNT,)), Policies(P), None, False, False),
    ],
)
def test_the_body_is_wanted_for_its_unit_and_for_fields_that_a_policy_could_ask_for(
    match: Match, policies: Policies | None, principal: Principal | None, body: bool, fields: bool
) -> None:
    rules = Rules(policies={} if policies is None else {"mine": policies})
    assert needs_body(rules, principal, match) is body
    assert needs_fields(rules, principal, match) is fields
