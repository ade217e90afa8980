"""What a key can do, by its roles: for the whole tenant, and for chosen business units."""

from __future__ import annotations

from hatchpay.access.directory import KeyRow, RoleRow, reach
from hatchpay.identity.principal import Limits, Reach

ROLES = {
    name: RoleRow(
        id=name, tenant_id="tenant", name=name, permissions=frozenset(permissions), created_us=1, updated_us=1
    )
    for name, permissions in {"pq": "pq", "q": "q", "r": "r"}.items()
}


def key(*role_ids: str, units: dict[str, str] | None = None, limits: tuple[str, ...] | None = None) -> KeyRow:
    return KeyRow(
        id="key",
        tenant_id="tenant",
        name="key",
        description="",
        environment="live",
        business_unit_ids=limits,
        created_us=1,
        updated_us=1,
        role_ids=frozenset(role_ids),
        role_units={role_id: frozenset(names) for role_id, names in (units or {}).items()},
    )


def test_a_role_counts_for_the_whole_tenant_or_for_its_units() -> None:
    assert reach(key("pq", "r", units={"r": "ab"}), ROLES) == Reach(frozenset("pq"), Limits(), {"r": frozenset("ab")})


def test_what_is_held_tenant_wide_is_not_held_for_units_besides() -> None:
    assert reach(key("pq", "q", units={"pq": "a"}), ROLES) == Reach(frozenset("q"), Limits(), {"p": frozenset("a")})


def test_several_roles_hold_one_permission_in_all_of_their_units() -> None:
    found = reach(key("pq", "q", units={"pq": "a", "q": "bc"}), ROLES)
    assert found == Reach(frozenset(), Limits(), {"p": frozenset("a"), "q": frozenset("abc")})


def test_the_limits_of_the_key_stay_beside_it() -> None:
    found = reach(key("r", units={"r": "ab"}, limits=("b", "c")), ROLES)
    assert (found.limits, found.units_of("r")) == (Limits(business_unit_ids=frozenset("bc")), frozenset("b"))
