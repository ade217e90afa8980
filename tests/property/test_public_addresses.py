"""A refused IPv4 address is refused in every IPv6 form that carries it, and the ranges are exactly IANA's.

The ranges are written by hand from the IPv4 and IPv6 special-purpose address registries and the IPv6 address space
registry, as first and last address.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.store.public_addresses import is_local, is_public

REFUSED_V4 = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "255.255.255.255"),
]
REFUSED_V6 = [
    ("::1:0:0:0", "::fffe:ffff:ffff:ffff"),
    ("100::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]


def number(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return int.from_bytes(socket.inet_pton(family, address), "big")


RANGES_V4 = [(number(first), number(last)) for first, last in REFUSED_V4]
RANGES_V6 = [(number(first), number(last)) for first, last in REFUSED_V6]

refused_v4 = st.sampled_from(RANGES_V4).flatmap(lambda ends: st.integers(*ends) | st.sampled_from(ends))
# Anywhere, and close to where a range begins or ends.
any_v4 = st.integers(0, 2**32 - 1) | st.builds(
    lambda ends, last, step: min(max(ends[last] + step, 0), 2**32 - 1),
    st.sampled_from(RANGES_V4),
    st.integers(0, 1),
    st.integers(-2, 2),
)
u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)


def is_refused_v4(address: int) -> bool:
    return any(first <= address <= last for first, last in RANGES_V4)


def v6(form: str, *parts: int) -> IPv6Address:
    return IPv6Address(struct.pack(">" + form, *parts))


@settings(max_examples=1_000)
@given(any_v4)
def test_an_ipv4_address_is_public_outside_the_refused_ranges_only(address: int) -> None:
    assert is_public(IPv4Address(address)) is not is_refused_v4(address)


@given(refused_v4)
def test_mapped_compatible_and_translated_forms_are_refused_with_their_address(address: int) -> None:
    assert not is_public(v6("QHHI", 0, 0, 0xFFFF, address))
    assert not is_public(v6("QHHI", 0, 0, 0, address))
    assert not is_public(v6("QHHI", 0, 0xFFFF, 0, address))


@given(any_v4)
def test_mapped_and_nat64_forms_are_judged_exactly_by_their_address(address: int) -> None:
    assert is_public(v6("QHHI", 0, 0, 0xFFFF, address)) is not is_refused_v4(address)
    assert is_public(v6("HHQI", 0x64, 0xFF9B, 0, address)) is not is_refused_v4(address)


@given(refused_v4, u16, u64)
def test_6to4_forms_are_refused_with_their_address(address: int, subnet: int, interface: int) -> None:
    assert not is_public(v6("HIHQ", 0x2002, address, subnet, interface))


@given(refused_v4, u32, u16, u16)
def test_teredo_forms_are_refused_with_their_server_and_with_their_client(
    address: int, other: int, flags: int, port: int
) -> None:
    assert not is_public(v6("IIHHI", 0x2001_0000, address, flags, port, other))
    assert not is_public(v6("IIHHI", 0x2001_0000, other, flags, port, address ^ 0xFFFF_FFFF))


@given(refused_v4, u16, u16)
def test_local_nat64_forms_are_refused_in_every_layout(address: int, prefix: int, suffix: int) -> None:
    high, low = divmod(address, 2**16)
    # RFC 6052, section 2.2: prefixes of 96, 64, 56 and 48 bits; octet 8 is zero, what follows the address is suffix.
    assert not is_public(v6("HHHHHHI", 0x64, 0xFF9B, 1, prefix, prefix & 0xFF, suffix, address))
    assert not is_public(v6("HHHHBIHB", 0x64, 0xFF9B, 1, prefix, 0, address, suffix, 0))
    rest = address & 0xFF_FFFF
    assert not is_public(
        v6("HHHBBBHBI", 0x64, 0xFF9B, 1, prefix & 0xFF, address >> 24, 0, rest >> 8, rest & 0xFF, suffix)
    )
    assert not is_public(v6("HHHHBHBI", 0x64, 0xFF9B, 1, high, 0, low, 0, suffix))


@given(refused_v4, st.integers(0x2000, 0x3FFF), u16, u32, st.sampled_from([0, 0x0100, 0x0200, 0x0300]))
def test_isatap_forms_are_refused_with_their_address(
    address: int, first: int, second: int, rest: int, flags: int
) -> None:
    assert not is_public(v6("HHIHHI", first, second, rest, flags, 0x5EFE, address))


@settings(max_examples=500)
@given(st.sampled_from(RANGES_V6).flatmap(lambda ends: st.integers(*ends) | st.sampled_from(ends)))
def test_ipv6_outside_global_unicast_and_in_its_special_blocks_is_refused(address: int) -> None:
    carried = number("64:ff9b::") <= address <= number("64:ff9b::ffff:ffff")
    assert carried or not is_public(IPv6Address(address))


@given(st.integers(0, 2**128 - 1), st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=15))
def test_a_scope_refuses_any_address(address: int, scope: str) -> None:
    scoped = IPv6Address(f"{IPv6Address(address)}%{scope}")
    assert not is_public(scoped)
    assert not is_local(scoped)


@given(any_v4 | st.integers(0, 2**128 - 1))
def test_no_address_is_both_public_and_local(address: int) -> None:
    found = ip_address(address)
    assert not (is_public(found) and is_local(found))
