"""Addresses and the networks that hold them."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from hatchpay.identity.principal import IPNetwork

__all__ = ["allow", "contains", "parse_address"]


def allow(networks: tuple[IPNetwork, ...] | None, address: str | None) -> bool:
    """Whether a credential bound to `networks` (None: to none) may come from there; nobody may from nowhere."""
    return networks is None or (address is not None and contains(networks, address))


def contains(networks: tuple[IPNetwork, ...], address: str) -> bool:
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in networks)


@lru_cache(maxsize=4096)
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address without port or brackets; IPv4 inside IPv6 counts as the IPv4 address that it is."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address
