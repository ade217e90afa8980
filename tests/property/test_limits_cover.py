"""Limits and reaches cover others where brute force over everything that could be done finds nothing outside."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import product
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from hatchpay.identity.principal import IPNetwork, Limits, Reach

# A universe of every environment, three units, eight addresses of each family, and five moments. The last unit, the
# last addresses and the last moment are beyond what any limit below names, so that only "unbounded" reaches them.
UNITS = ("a", "b", "beyond")
MOMENTS = range(5)
V4 = [IPv4Address(f"10.0.0.{last}") for last in (*range(4), 4, 128, 255)] + [IPv4Address("192.0.2.1")]
V6 = [IPv6Address(f"2001:db8::{last:x}") for last in (*range(4), 4, 128, 255)] + [IPv6Address("fe80::1")]
NETWORKS: list[IPNetwork] = [
    *(IPv4Network((int(V4[start]), 32 - bits)) for bits in (0, 1, 2) for start in range(0, 4, 2**bits)),
    *(IPv6Network((int(V6[start]), 128 - bits)) for bits in (0, 1, 2) for start in range(0, 4, 2**bits)),
]


class Act(NamedTuple):
    environment: str
    unit: str | None
    address: IPv4Address | IPv6Address
    moment: int


def possible(limits: Limits) -> Iterator[Act]:
    """Whatever a key of these limits could be used for. A live key may be given out as a test key, not the reverse."""
    for environment, unit, address, moment in product(("live", "test"), UNITS, V4 + V6, MOMENTS):
        if environment == "live" and limits.environment == "test":
            continue
        if limits.business_unit_ids is not None and unit not in limits.business_unit_ids:
            continue
        if limits.networks is not None and not any(address in network for network in limits.networks):
            continue
        if limits.expires_at_us is not None and moment >= limits.expires_at_us:
            continue
        yield Act(environment, unit, address, moment)


def brute_force(mine: Limits, theirs: Limits) -> bool:
    return set(possible(theirs)) <= set(possible(mine))


def one_by_one(mine: Limits, theirs: Limits) -> bool:
    """The same, each bound by itself: an empty bound elsewhere must not excuse a wider one here."""
    pairs = [
        (Limits(environment=mine.environment), Limits(environment=theirs.environment)),
        (Limits(business_unit_ids=mine.business_unit_ids), Limits(business_unit_ids=theirs.business_unit_ids)),
        (Limits(networks=mine.networks), Limits(networks=theirs.networks)),
        (Limits(expires_at_us=mine.expires_at_us), Limits(expires_at_us=theirs.expires_at_us)),
    ]
    return all(brute_force(left, right) for left, right in pairs)


def networks(most: int) -> st.SearchStrategy[tuple[IPNetwork, ...] | None]:
    return st.none() | st.lists(st.sampled_from(NETWORKS), max_size=most).map(tuple)


def limits(most_networks: int) -> st.SearchStrategy[Limits]:
    return st.builds(
        Limits,
        environment=st.sampled_from(["live", "test"]),
        business_unit_ids=st.none() | st.frozensets(st.sampled_from(["a", "b"])),
        networks=networks(most_networks),
        # Bounds that the universe can tell apart; the last moment is beyond them all.
        expires_at_us=st.none() | st.integers(0, 4),
    )


@settings(max_examples=150, deadline=None)
@given(limits(3), limits(3))
@example(Limits(business_unit_ids=frozenset("a")), Limits(business_unit_ids=frozenset()))
def test_what_is_covered_can_do_nothing_more(mine: Limits, theirs: Limits) -> None:
    if mine.cover(theirs):
        assert brute_force(mine, theirs)
        assert one_by_one(mine, theirs)


@settings(max_examples=150, deadline=None)
@given(limits(1), limits(3))
@example(Limits(business_unit_ids=frozenset("a")), Limits(business_unit_ids=frozenset()))
def test_what_can_do_nothing_more_by_any_bound_is_covered(mine: Limits, theirs: Limits) -> None:
    # With one network of mine; a network that only two of mine cover together is refused, to be on the safe side.
    assert mine.cover(theirs) == one_by_one(mine, theirs)


@settings(max_examples=100, deadline=None)
@given(limits(3), limits(3), limits(3))
def test_whoever_covers_the_coverer_covers_the_covered(one: Limits, two: Limits, three: Limits) -> None:
    assert one.cover(one)
    if one.cover(two) and two.cover(three):
        assert one.cover(three)


PERMISSIONS = ("p", "q")
ANYTHING = "anything that it may be given later"
"""Within its limits, a key may be given whatever somebody else holds there; so this counts as if it held it."""


@st.composite
def reaches(draw: st.DrawFn) -> Reach:
    wide = draw(st.frozensets(st.sampled_from(PERMISSIONS)))
    chosen = st.frozensets(st.sampled_from(["a", "b"]), min_size=1)
    scoped = draw(st.dictionaries(st.sampled_from(PERMISSIONS), chosen))
    return Reach(wide, draw(limits(1)), {name: units for name, units in scoped.items() if name not in wide})


def all_of(reach: Reach) -> set[tuple[str, Act]]:
    """Whatever a key of this reach could be used for."""
    acts = set(possible(reach.limits))
    held = {(name, act) for name in (ANYTHING, *reach.permissions) for act in acts}
    return held | {(name, act) for name, units in reach.scoped.items() for act in acts if act.unit in units}


@settings(max_examples=150, deadline=None)
@given(reaches(), reaches())
@example(
    Reach(frozenset(), Limits(), {"p": frozenset("a")}), Reach(frozenset("p"), Limits(business_unit_ids=frozenset("a")))
)
def test_what_a_reach_covers_can_do_nothing_more(mine: Reach, theirs: Reach) -> None:
    if mine.covers(theirs):
        assert all_of(theirs) <= all_of(mine)


@settings(max_examples=150, deadline=None)
@given(reaches(), reaches())
def test_a_reach_covers_what_can_do_nothing_more_by_any_bound(mine: Reach, theirs: Reach) -> None:
    # Permission by permission, and each bound by itself: an empty one must not excuse a wider one elsewhere.
    by_unit = all(
        {act.unit for name, act in all_of(within(theirs)) if name == permission}
        <= {act.unit for name, act in all_of(within(mine)) if name == permission}
        for permission in (ANYTHING, *PERMISSIONS)
    )
    named = {*theirs.permissions, *theirs.scoped} <= {*mine.permissions, *mine.scoped}
    assert mine.covers(theirs) == (named and by_unit and one_by_one(mine.limits, theirs.limits))


def within(reach: Reach) -> Reach:
    """The same, with no bound but the units."""
    return Reach(reach.permissions, Limits(business_unit_ids=reach.limits.business_unit_ids), reach.scoped)


@settings(max_examples=100, deadline=None)
@given(reaches(), reaches(), reaches())
def test_whichever_reach_covers_the_coverer_covers_the_covered(one: Reach, two: Reach, three: Reach) -> None:
    assert one.covers(one)
    if one.covers(two) and two.covers(three):
        assert one.covers(three)
