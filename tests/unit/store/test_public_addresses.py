"""Addresses that are, and are not, on the public internet; the lists are those of IANA's registries."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from hatchpay.store.public_addresses import is_local, is_public


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "3ffe:ffff::1",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
        "64:ff9b::8.8.8.8",
        "2001:0:808:808:0:0:f7f7:f7f7",
        "2a00:1450:4001::5efe:8.8.8.8",
    ],
)
def test_globally_reachable_unicast_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.8",
        "192.0.0.9",
        "192.0.0.170",
        "192.0.0.255",
        "192.0.2.0",
        "192.0.2.255",
        "192.88.99.1",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "198.51.100.0",
        "198.51.100.255",
        "203.0.113.0",
        "203.0.113.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.254",
        "255.255.255.255",
        "::",
        "::1",
        "100::1",
        "100:0:0:1::1",
        "200::1",
        "2001:1::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:1ff:ffff::1",
        "2001:db8::1",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff::1",
        "3fff:fff:ffff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "feff::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_what_is_not_globally_reachable_unicast_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:10.0.0.1",  # IPv4-mapped, RFC 4291, section 2.5.5.2
        "::10.0.0.1",  # IPv4-compatible, RFC 4291, section 2.5.5.1
        "::ffff:0:10.0.0.1",  # IPv4-translated, RFC 2765
        "2002:a00:1::1",  # 6to4, RFC 3056
        "2002:a00:1:ffff:ffff:ffff:ffff:ffff",
        "64:ff9b::10.0.0.1",  # NAT64, RFC 6052
        "64:ff9b:1::10.0.0.1",  # local NAT64, RFC 8215, with a prefix of 96 bits
        "64:ff9b:1:a00:0:100::",  # with one of 48 bits
        "2001:0:a00:1:0:0:f7f7:f7f7",  # Teredo, RFC 4380: its server
        "2001:0:808:808:0:0:f5ff:fffe",  # its client, each bit inverted
        "2a00:1450:4001::5efe:10.0.0.1",  # ISATAP, RFC 5214
        "2a00:1450:4001::200:5efe:10.0.0.1",
        "2002:808:808::5efe:10.0.0.1",
        "fe80::5efe:8.8.8.8",
    ],
)
def test_an_address_that_carries_a_private_one_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


def test_a_local_nat64_prefix_is_not_public_whatever_it_carries_for_its_layout_is_not_known() -> None:
    assert not is_public(ip_address("64:ff9b:1::8.8.8.8"))


@pytest.mark.parametrize("address", ["fe80::1%eth0", "::1%1", "2606:4700:4700::1111%1", "fd00::1%eth0"])
def test_a_scoped_address_is_neither_public_nor_local(address: str) -> None:
    assert not is_public(ip_address(address))
    assert not is_local(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "::1", "fc00::1", "fd00::1", "fe80::1"],
)
def test_private_loopback_and_link_local_addresses_are_local(address: str) -> None:
    assert is_local(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "8.8.8.8", "100.64.0.1", "192.0.2.1", "224.0.0.1", "255.255.255.255", "::", "fec0::1", "ff02::1"],
)
def test_everything_else_is_not_local(address: str) -> None:
    assert not is_local(ip_address(address))
