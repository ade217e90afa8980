"""Names of permissions, and HatchPay's own list of them."""

from __future__ import annotations

import pytest

from hatchpay.access.permission import CONTROL_PERMISSIONS, PLATFORM_PERMISSIONS, Permission, by_name, check_name
from hatchpay.errors import InvalidInput

OWN = (*CONTROL_PERMISSIONS, *PLATFORM_PERMISSIONS)


@pytest.mark.parametrize(
    "name", ["a.b.c", "payment-proxy.transactions.read", "v2.card-on-file3.read-all", "a1.b1.c1", "a." * 2 + "c" * 196]
)
def test_a_permission_is_named_service_resource_action(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        "a..c",
        ".b.c",
        "a.b.",
        "A.b.c",
        "a.b.C",
        "1a.b.c",
        "a-.b.c",
        "-a.b.c",
        "a--b.b.c",
        "a_b.b.c",
        "a.b.*",
        "a b.c.d",
        "a.b.c\n",
        "a.b.c ",
        "é.b.c",
        "a.b.٣",
        "a." * 2 + "c" * 197,
    ],
)
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_name(name)
    assert caught.value.field == "permission"


def test_the_service_is_the_first_word() -> None:
    assert Permission(name="payment-proxy.transactions.read", description="x").service == "payment-proxy"


def test_a_permission_grants_nothing_special_unless_it_says_so() -> None:
    plain = Permission(name="a.b.c", description="x")
    assert not (plain.read_only or plain.sensitive or plain.administrative)


def test_our_own_permissions_are_well_named_described_and_each_there_once() -> None:
    assert [check_name(permission.name) for permission in OWN] == [permission.name for permission in OWN]
    assert len(by_name(OWN)) == len(OWN)
    assert all(permission.description for permission in OWN)


def test_of_our_own_permissions_those_that_read_are_named_so_and_all_others_are_administrative() -> None:
    for permission in OWN:
        assert permission.read_only == permission.name.endswith(".read"), permission
        assert permission.administrative != permission.read_only, permission


def test_our_own_sensitive_permissions_are_those_about_keys_tokens_tenants_policies_and_the_record() -> None:
    assert {permission.name for permission in OWN if permission.sensitive} == {
        "access.advice.read",
        "access.explanations.read",
        "access.policies.read",
        "access.rehearsals.read",
        "api-key.keys.read",
        "audit-log.exports.read",
        "audit-log.history.read",
        "audit-log.receipts.read",
        "audit-log.streams.read",
        "auth.issuers.read",
        "auth.tokens.read",
        "platform.tenants.read",
    }


def test_the_platforms_permissions_are_kept_apart() -> None:
    assert not by_name(CONTROL_PERMISSIONS).keys() & by_name(PLATFORM_PERMISSIONS).keys()
    assert {permission.service for permission in PLATFORM_PERMISSIONS} == {"platform"}
    assert "platform" not in {permission.service for permission in CONTROL_PERMISSIONS}


def test_permissions_are_found_by_name() -> None:
    read = Permission(name="a.b.read", description="x")
    assert by_name([read]) == {"a.b.read": read}
