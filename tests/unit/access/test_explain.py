"""Why a request is allowed or denied: the decision, and the step that led to it."""

from __future__ import annotations

from ipaddress import ip_network

import msgspec
import pytest

from hatchpay.access.decision import Decision
from hatchpay.access.explain import CHECKS, Explanation, Facts, Step, Subject, explain
from hatchpay.access.routes import Access, Match, Route, RouteTable, UnitSource
from hatchpay.access.rules import Asked, Rules, UnitEntry
from hatchpay.identity.principal import Limits, Principal

NOW = 1_790_000_000_000_000
UNIT = "017f22e2-79b0-7cc3-98c4-dc0c0c073911"
OTHER_UNIT = "017f22e2-79b0-7cc3-98c4-dc0c0c073922"
READ = "shop.orders.read"
AT_HOME = Limits(networks=(ip_network("192.0.2.0/24"),))
OF_UNIT = Limits(business_unit_ids=frozenset({UNIT}))


class Curfew:
    """Policies that forbid whatever comes before NOW, and say so."""

    def concern(self, permission: str) -> bool:
        return permission == READ

    def judge(self, asked: Asked) -> Decision | None:
        return Decision("deny", "policy_forbids", "policy:curfew") if asked.now_us < NOW else None


CURFEW = Rules({"tenant": {UNIT: UnitEntry(UNIT, "UTC")}}, {"tenant": Curfew()})


def caller(limits: Limits | None = None, *, grants: tuple[str, ...] = (READ,)) -> Principal:
    return Principal(
        id="key",
        kind="api_key",
        tenant_id="tenant",
        key_id="key",
        roles=("reader",),
        grants=dict.fromkeys(grants, "role:reader"),
        limits=limits or Limits(),
    )


def match(access: Access = "permission", unit: str | None = "query:unit") -> Match | None:
    source = () if unit is None else (UnitSource.parse(unit),)
    permission = READ if access == "permission" else None
    route = Route(method="GET", template="/orders", access=access, permission=permission, unit=source)
    return RouteTable([route]).match("GET", "/orders")


def facts(client_ip: str | None = None, unit: str | None = None, now_us: int = NOW) -> Facts:
    return Facts(now_us=now_us, client_ip=client_ip, subject=Subject(unit))


def outcomes(found: Explanation) -> str:
    """The first letters of the outcomes, in order."""
    assert tuple(step.check for step in found.trace) == CHECKS
    return "".join(step.outcome[0] for step in found.trace)


def failed(found: Explanation) -> Step:
    (step,) = [step for step in found.trace if step.outcome == "fail"]
    return step


def test_what_a_role_grants_names_the_role() -> None:
    found = explain(caller(), match(), Rules(), facts())
    assert (found.decision, found.reason, found.rule, found.missing) == ("allow", "role_grants", "role:reader", None)
    assert outcomes(found) == "pppsps"
    assert found.trace[0].route == "GET /orders"
    assert (found.trace[2].permission, found.trace[2].rule, found.trace[2].roles) == (READ, "role:reader", ("reader",))


def test_what_nobody_grants_names_what_is_missing() -> None:
    found = explain(caller(grants=()), match(), Rules(), facts())
    assert (found.decision, found.reason, found.rule, found.missing) == ("deny", "permission_missing", None, READ)
    assert outcomes(found) == "ppfsss"
    assert failed(found).permission == READ


def test_a_route_that_is_not_listed_fails_by_itself() -> None:
    found = explain(caller(), None, Rules(), facts())
    assert (found.decision, found.reason) == ("deny", "route_not_listed")
    assert outcomes(found) == "fpssss"
    assert failed(found).reason == "route_not_listed"


def test_a_credential_that_is_no_good_is_what_the_gate_records_even_where_no_route_is_listed() -> None:
    found = explain(caller(), None, Rules(), facts(), "key_disabled")
    assert (found.decision, found.reason) == ("deny", "key_disabled")
    assert outcomes(found) == "ffssss"


def test_the_failing_credential_is_told_in_words() -> None:
    step = failed(explain(caller(), match(), Rules(), facts(), "key_expired"))
    assert (step.check, step.reason, step.detail) == ("credential", "key_expired", "the key has expired")


@pytest.mark.parametrize(("access", "reason"), [("open", "open_route"), ("self_authenticating", "self_authenticating")])
def test_a_route_that_asks_nobody_does_not_mind_a_bad_credential(access: Access, reason: str) -> None:
    found = explain(caller(AT_HOME), match(access), Rules(), facts(), "key_deleted")
    assert (found.decision, found.reason) == ("allow", reason)
    assert outcomes(found) == "psssss"


@pytest.mark.parametrize(
    ("address", "access", "decision"),
    [
        ("192.0.2.7", "permission", "allow"),
        ("198.51.100.7", "permission", "deny"),
        (None, "permission", "deny"),
        ("198.51.100.7", "self_authenticating", "deny"),
        ("198.51.100.7", "open", "allow"),
    ],
)
def test_a_caller_bound_to_networks_comes_from_there_unless_the_route_is_open(
    address: str | None, access: Access, decision: str
) -> None:
    found = explain(caller(AT_HOME), match(access), Rules(), facts(address))
    assert found.decision == decision
    if decision == "deny":
        step = failed(found)
        assert found.reason == step.reason == "network_not_allowed"
        assert (step.check, step.client_ip, step.networks) == ("network", address, ("192.0.2.0/24",))


def test_a_missing_address_is_asked_for() -> None:
    assert "client_ip" in failed(explain(caller(AT_HOME), match(), Rules(), facts())).detail


@pytest.mark.parametrize(
    ("source", "unit", "reason"),
    [
        ("query:unit", UNIT, "role_grants"),
        ("query:unit", OTHER_UNIT, "business_unit_not_allowed"),
        ("query:unit", None, "business_unit_missing"),
        (None, None, "business_unit_not_separable"),
        ("handler", None, "role_grants"),
    ],
)
def test_a_caller_of_chosen_units_is_held_to_them(source: str | None, unit: str | None, reason: str) -> None:
    found = explain(caller(OF_UNIT), match(unit=source), CURFEW, facts(unit=unit))
    assert found.reason == reason
    if found.decision == "deny":
        assert outcomes(found) == "pppsfs"
        assert (failed(found).reason, failed(found).business_unit_id) == (reason, unit)


def test_a_policy_that_forbids_is_named() -> None:
    found = explain(caller(), match(), CURFEW, facts(now_us=NOW - 1))
    assert (found.decision, found.reason, found.rule) == ("deny", "policy_forbids", "policy:curfew")
    assert outcomes(found) == "pppspf"
    assert failed(found).rule == "policy:curfew"


def test_a_policy_that_does_not_forbid_leaves_the_role_to_decide() -> None:
    found = explain(caller(), match(), CURFEW, facts())
    assert (found.decision, found.rule) == ("allow", "role:reader")
    assert outcomes(found) == "pppspp"


def test_a_unit_that_denies_is_not_taken_for_a_policy() -> None:
    found = explain(caller(OF_UNIT), match(), CURFEW, facts(unit=OTHER_UNIT, now_us=NOW - 1))
    assert (found.reason, failed(found).check) == ("business_unit_not_allowed", "business_unit")


def test_a_step_shows_the_facts_that_bear_on_it_and_no_others() -> None:
    found = explain(caller(), match(), Rules(), facts())
    assert msgspec.to_builtins(found.trace[1]).keys() == {"check", "outcome", "detail"}
