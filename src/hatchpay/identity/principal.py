"""Who is calling, once proven."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

import msgspec

from hatchpay.tokens.apikey import Environment

__all__ = ["IPNetwork", "Limits", "Principal", "Reach"]

IPNetwork = IPv4Network | IPv6Network


class Limits(msgspec.Struct, frozen=True):
    """What bounds a key besides its roles. None means unbounded."""

    environment: Environment = "live"
    business_unit_ids: frozenset[str] | None = None
    networks: tuple[IPNetwork, ...] | None = None
    expires_at_us: int | None = None

    def cover(self, other: Limits) -> bool:
        """True where nobody within `other` could do what somebody within these limits could not."""
        return (
            (self.environment == "live" or other.environment == "test")
            and (
                self.business_unit_ids is None
                or (other.business_unit_ids is not None and other.business_unit_ids <= self.business_unit_ids)
            )
            and (self.networks is None or _networks_cover(self.networks, other.networks))
            and (
                self.expires_at_us is None
                or (other.expires_at_us is not None and other.expires_at_us <= self.expires_at_us)
            )
        )


class Reach(msgspec.Struct, frozen=True):
    """All that somebody can do: what they hold, and within which limits."""

    permissions: frozenset[str]
    limits: Limits

    def covers(self, other: Reach) -> bool:
        return other.permissions <= self.permissions and self.limits.cover(other.limits)


class Principal(msgspec.Struct, frozen=True):
    """A proven caller.

    `grants` maps each permission that the caller holds to the rule that gives it, such as `role:viewer`.
    `id` is the key's id, or `local:<uid>` for somebody with access to the data directory.
    """

    id: str
    kind: Literal["api_key", "local"]
    tenant_id: str
    key_id: str | None
    roles: tuple[str, ...]
    grants: Mapping[str, str]
    limits: Limits = Limits()

    @property
    def business_unit_ids(self) -> frozenset[str] | None:
        return self.limits.business_unit_ids

    def may(self, permission: str) -> bool:
        return permission in self.grants


def _networks_cover(mine: tuple[IPNetwork, ...], others: tuple[IPNetwork, ...] | None) -> bool:
    return others is not None and all(any(_within(other, network) for network in mine) for other in others)


def _within(inner: IPNetwork, outer: IPNetwork) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)
