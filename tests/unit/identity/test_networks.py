"""Addresses, and the networks that hold them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from hatchpay.identity.networks import allow, contains, parse_address

NETWORKS = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
    ],
)
def test_an_address_is_read_and_ipv4_within_ipv6_is_ipv4(text: str, address: str) -> None:
    assert parse_address(text) == ip_address(address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 192.0.2.1",
        "192.0.2.1 ",
        "192.0.2.1:80",
        "[2001:db8::1]",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.01",
        "0xc0000201",
        "3221225985",
        "fe80::1%eth0",
        "localhost",
        "192.0.2.0/24",
        "١٩٢.0.2.1",
        "\x00",
        "9" * 10_000,
    ],
)
def test_nothing_else_is_an_address(text: str) -> None:
    assert parse_address(text) is None
    assert not contains(NETWORKS, text)
    assert not allow(NETWORKS, text)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("192.0.1.255", False),
        ("2001:db8:ffff::", True),
        ("2001:db9::", False),
        ("::ffff:192.0.2.7", True),
        ("::192.0.2.7", False),
    ],
)
def test_a_credential_may_come_from_its_networks_and_from_nowhere_else(address: str, inside: bool) -> None:
    assert contains(NETWORKS, address) is inside
    assert allow(NETWORKS, address) is inside


def test_an_ipv4_address_lies_in_no_ipv6_network_and_the_other_way_round() -> None:
    assert not contains((ip_network("::/0"),), "192.0.2.1")
    assert not contains((ip_network("0.0.0.0/0"),), "2001:db8::1")


def test_a_credential_that_is_bound_to_no_network_may_come_from_anywhere() -> None:
    assert allow(None, "192.0.2.1")
    assert allow(None, None)


def test_a_credential_that_is_bound_to_networks_cannot_come_from_an_unknown_place() -> None:
    assert not allow(NETWORKS, None)


def test_a_credential_that_is_bound_to_no_networks_at_all_may_come_from_nowhere() -> None:
    assert not allow((), "192.0.2.1")
