"""Which IP addresses are the public internet: globally reachable unicast, and nothing else.

After the IANA special-purpose address registries (RFC 6890, RFC 8190), read strictly: what a registry calls global
only within a block that is not (RFC 7723's anycast addresses, ORCHIDs) is refused with its block. IPv6 is an
allow-list: 2000::/3 without its special blocks, and the forms that carry an IPv4 address, which decides for them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

__all__ = ["Address", "is_local", "is_public"]

Address = IPv4Address | IPv6Address

_SPECIAL_V4: Final = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # shared behind a carrier's NAT, RFC 6598
        "127.0.0.0/8",  # loopback, RFC 1122
        "169.254.0.0/16",  # link-local, RFC 3927; cloud metadata
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relay anycast, RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "198.18.0.0/15",  # benchmarking, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, RFC 1112; limited broadcast, RFC 919
    )
)
_UNICAST_V6: Final = IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments, RFC 2928; benchmarking, ORCHIDs
        "2001:db8::/32",  # documentation, RFC 3849
        "3fff::/20",  # documentation, RFC 9637
    )
)
_COMPATIBLE: Final = IPv6Network("::/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
# 64:ff9b:1::/48 (RFC 8215) is missing on purpose: where the IPv4 address stands in it depends on the length of its
# operator's prefix (RFC 6052, section 2.2), so it cannot be judged by it and stays refused.
_CARRIERS: Final = (
    _COMPATIBLE,
    _NAT64,
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped, RFC 4291
    IPv6Network("2001::/32"),  # Teredo, RFC 4380
)
_LOCAL: Final = tuple(
    IPv6Network(block) if ":" in block else IPv4Network(block)
    for block in (
        "10.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


def is_public(address: Address) -> bool:
    """Whether it is globally reachable unicast, also by every IPv4 address that it carries. A scoped one never is."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _SPECIAL_V4)
    if address.scope_id is not None or not all(is_public(carried) for carried in _carried(address)):
        return False
    if any(address in block for block in _CARRIERS):
        return True
    return address in _UNICAST_V6 and not any(address in block for block in _SPECIAL_V6)


def is_local(address: Address) -> bool:
    """Whether it is private, loopback or link-local unicast, written plainly and without a scope."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    return any(address in block for block in _LOCAL)


def _carried(address: IPv6Address) -> list[IPv4Address]:
    """Every IPv4 address to which a packet may be sent on because it stands in this one."""
    low = int(address) & 0xFFFF_FFFF
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _COMPATIBLE or address in _NAT64 or _is_isatap(address):
        found.append(IPv4Address(low))
    return [carried for carried in found if carried is not None]


def _is_isatap(address: IPv6Address) -> bool:
    """An interface identifier of RFC 5214, section 6.1: 00-00-5E-FE, the u and g bits of its first octet ignored."""
    return (int(address) >> 32) & 0xFCFF_FFFF == 0x0000_5EFE
