"""What bounds a caller, and who covers whom."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from ipaddress import ip_network

import pytest

from hatchpay.identity.principal import Limits, Principal, Reach

NONE = Limits()


def nets(*texts: str) -> Limits:
    return Limits(networks=tuple(ip_network(text) for text in texts))


def units(*names: str) -> Limits:
    return Limits(business_unit_ids=frozenset(names))


@pytest.mark.parametrize(
    ("mine", "theirs", "covers"),
    [
        (NONE, NONE, True),
        (NONE, Limits(environment="test"), True),
        (Limits(environment="test"), NONE, False),
        (Limits(environment="test"), Limits(environment="test"), True),
        (NONE, units("a"), True),
        (units("a"), NONE, False),
        (units("a", "b"), units("a"), True),
        (units("a"), units("a", "b"), False),
        (units("*"), NONE, False),
        (units("a"), units(), True),
        (units(), NONE, False),
        (units(), units(), True),
        (NONE, nets("10.0.0.0/8"), True),
        (nets("10.0.0.0/8"), NONE, False),
        (nets("10.0.0.0/8"), nets("10.1.0.0/16"), True),
        (nets("10.1.0.0/16"), nets("10.0.0.0/8"), False),
        (nets("10.0.0.0/8", "192.0.2.0/24"), nets("192.0.2.7/32", "10.0.0.1/32"), True),
        (nets("10.0.0.0/8"), nets("10.0.0.1/32", "192.0.2.7/32"), False),
        (nets("0.0.0.0/0"), nets("::/0"), False),
        (nets("::/0"), nets("10.0.0.0/8"), False),
        (nets("2001:db8::/32"), nets("2001:db8:1::/48"), True),
        (nets("0.0.0.0/0"), NONE, False),
        (nets(), nets("10.0.0.0/8"), False),
        (nets("10.0.0.0/8"), nets(), True),
        (NONE, Limits(expires_at_us=5), True),
        (Limits(expires_at_us=5), NONE, False),
        (Limits(expires_at_us=5), Limits(expires_at_us=5), True),
        (Limits(expires_at_us=5), Limits(expires_at_us=6), False),
        (Limits(expires_at_us=0), Limits(expires_at_us=1), False),
    ],
)
def test_limits_cover_what_lies_within_them(mine: Limits, theirs: Limits, covers: bool) -> None:
    assert mine.cover(theirs) is covers


def test_every_bound_counts_at_once() -> None:
    mine = Limits("test", frozenset("a"), (ip_network("10.0.0.0/8"),), 5)
    assert mine.cover(mine)
    assert not mine.cover(Limits("live", frozenset("a"), (ip_network("10.0.0.0/8"),), 5))
    assert not mine.cover(Limits("test", frozenset("b"), (ip_network("10.0.0.0/8"),), 5))
    assert not mine.cover(Limits("test", frozenset("a"), (ip_network("11.0.0.0/8"),), 5))
    assert not mine.cover(Limits("test", frozenset("a"), (ip_network("10.0.0.0/8"),), 6))


P_IN_A = {"p": frozenset("a")}


@pytest.mark.parametrize(
    ("mine", "theirs", "covers"),
    [
        (Reach(frozenset("ab"), NONE), Reach(frozenset("a"), NONE), True),
        (Reach(frozenset("a"), NONE), Reach(frozenset("ab"), NONE), False),
        (Reach(frozenset("a"), NONE), Reach(frozenset(), NONE), True),
        (Reach(frozenset("ab"), units("a")), Reach(frozenset("a"), NONE), False),
        (Reach(frozenset("p"), NONE), Reach(frozenset(), NONE, P_IN_A), True),
        (Reach(frozenset(), NONE, P_IN_A), Reach(frozenset("p"), NONE), False),
        (Reach(frozenset(), NONE, P_IN_A), Reach(frozenset("p"), units("a")), True),
        (Reach(frozenset(), NONE, P_IN_A), Reach(frozenset("p"), units("b")), False),
        (Reach(frozenset(), NONE, P_IN_A), Reach(frozenset(), NONE, {"p": frozenset("ab")}), False),
        (Reach(frozenset(), NONE, {"p": frozenset("ab")}), Reach(frozenset(), NONE, P_IN_A), True),
        (Reach(frozenset("p"), units("a")), Reach(frozenset(), units("a"), {"p": frozenset("ab")}), True),
        # Wider limits are more than it has now: it may be given more there.
        (Reach(frozenset("p"), units("a")), Reach(frozenset(), NONE, P_IN_A), False),
        # What is of no use yet may become so, when somebody else lifts the limits.
        (Reach(frozenset(), units("a")), Reach(frozenset(), units("a"), {"p": frozenset("b")}), False),
    ],
)
def test_a_reach_covers_another_by_its_permissions_and_its_limits(mine: Reach, theirs: Reach, covers: bool) -> None:
    assert mine.covers(theirs) is covers


def test_a_principal_may_what_it_is_granted_and_nothing_else() -> None:
    principal = Principal("id", "api_key", "tenant", "id", (), {"shop.orders.read": "role:viewer"})
    assert principal.may("shop.orders.read")
    assert not principal.may("shop.orders.create")
    assert not principal.may("shop.orders.rea")
    assert not principal.may("")


@pytest.mark.parametrize(
    ("limits", "may"), [(NONE, False), (units("a"), True), (units("b"), False), (units("a", "b"), False)]
)
def test_a_permission_of_chosen_units_counts_where_the_caller_acts_for_those_alone(limits: Limits, may: bool) -> None:
    principal = Principal("id", "api_key", "t", "id", (), {}, limits, scoped={"shop.orders.read": {"a": "role:viewer"}})
    assert principal.may("shop.orders.read") is may
    assert not principal.may("shop.orders.create")
    assert principal.held == ["shop.orders.read"]


def test_a_reach_says_where_each_permission_is_held() -> None:
    reach = Reach(frozenset("q"), units("a", "b"), {"p": frozenset("bc")})
    assert {name: reach.units_of(name) for name in "pqr"} == {"p": {"b"}, "q": {"a", "b"}, "r": frozenset()}
    assert Reach(frozenset("q"), NONE).units_of("q") is None
    assert reach.only(frozenset("p")) == Reach(frozenset(), units("a", "b"), {"p": frozenset("bc")})
    assert reach.within(frozenset("c")).units_of("p") == frozenset()


def test_a_principal_cannot_be_changed() -> None:
    principal = Principal("id", "api_key", "tenant", "id", (), {})
    with pytest.raises((AttributeError, FrozenInstanceError)):
        principal.tenant_id = "other"  # type: ignore[misc]


def test_a_principal_acts_for_the_units_of_its_limits() -> None:
    assert Principal("id", "api_key", "tenant", "id", (), {}).business_unit_ids is None
    assert Principal("id", "api_key", "t", "id", (), {}, units("a")).business_unit_ids == frozenset("a")
