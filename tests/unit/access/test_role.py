"""What the built-in roles hold, out of every kind of permission that there can be."""

from __future__ import annotations

from itertools import product

import pytest

from hatchpay.access.permission import CONTROL_PERMISSIONS, Permission
from hatchpay.access.role import BUILTIN_DESCRIPTIONS, BUILTIN_ROLES, BuiltinRole, builtin_permissions

# Named by their flags: r read-only, s sensitive, a administrative, - without any.
EVERY_KIND = [
    Permission(
        name=f"kind.kind.{''.join(letter for letter, is_set in zip('rsa', flags, strict=True) if is_set) or '-'}",
        description="x",
        read_only=flags[0],
        sensitive=flags[1],
        administrative=flags[2],
    )
    for flags in product((False, True), repeat=3)
]


@pytest.mark.parametrize(
    ("role", "holds"),
    [
        ("admin", {"-", "r", "s", "a", "rs", "ra", "sa", "rsa"}),
        ("viewer", {"r", "ra"}),
        ("gl", {"r", "ra", "-"}),
    ],
)
def test_a_built_in_role_holds_what_its_rule_says(role: BuiltinRole, holds: set[str]) -> None:
    assert {name.rpartition(".")[2] for name in builtin_permissions(role, EVERY_KIND)} == holds


def test_every_built_in_role_is_described_and_has_a_rule() -> None:
    assert BUILTIN_ROLES == ("admin", "viewer", "gl")
    assert set(BUILTIN_DESCRIPTIONS) == set(BUILTIN_ROLES)
    assert all(builtin_permissions(role, ()) == frozenset() for role in BUILTIN_ROLES)


def test_each_built_in_role_holds_what_the_one_below_it_holds() -> None:
    catalogue = [*CONTROL_PERMISSIONS, *EVERY_KIND]
    viewer, gl, admin = (builtin_permissions(role, catalogue) for role in ("viewer", "gl", "admin"))
    assert viewer < gl < admin


def test_of_our_own_calls_the_viewer_reads_roles_permissions_and_units_but_neither_keys_nor_the_record() -> None:
    assert builtin_permissions("viewer", CONTROL_PERMISSIONS) == {
        "access.permissions.read",
        "access.roles.read",
        "business-unit.business-units.read",
    }


def test_of_our_own_calls_gl_may_no_more_than_the_viewer() -> None:
    assert builtin_permissions("gl", CONTROL_PERMISSIONS) == builtin_permissions("viewer", CONTROL_PERMISSIONS)


def test_of_the_sample_api_gl_also_writes_and_only_admin_sees_customers() -> None:
    sample = [
        Permission(name="payment-proxy.transactions.read", description="x", read_only=True),
        Permission(name="payment-proxy.customer-details.read", description="x", read_only=True, sensitive=True),
        Permission(name="payment-proxy.transactions.create", description="x"),
    ]
    assert builtin_permissions("viewer", sample) == {"payment-proxy.transactions.read"}
    assert builtin_permissions("gl", sample) == {"payment-proxy.transactions.read", "payment-proxy.transactions.create"}
    assert builtin_permissions("admin", sample) == {permission.name for permission in sample}
