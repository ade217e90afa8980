"""Who is calling, once proven."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

import msgspec

from hatchpay.tokens.apikey import Environment

__all__ = ["IPNetwork", "Limits", "Principal", "RateLimit", "Reach", "TokenUse"]

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

    def within(self, unit_ids: frozenset[str] | None) -> Limits:
        """These limits, and no other business units than those (None: any)."""
        if unit_ids is None:
            return self
        mine = self.business_unit_ids
        return msgspec.structs.replace(self, business_unit_ids=unit_ids if mine is None else mine & unit_ids)


class RateLimit(msgspec.Struct, frozen=True):
    """At most `requests` in any `window_s` seconds that follow a rest: a token bucket of that size, refilled evenly."""

    requests: int
    window_s: int


class Reach(msgspec.Struct, frozen=True):
    """All that somebody can do: what they hold, and within which limits."""

    permissions: frozenset[str]
    limits: Limits

    def covers(self, other: Reach) -> bool:
        return other.permissions <= self.permissions and self.limits.cover(other.limits)


class TokenUse(msgspec.Struct, frozen=True, kw_only=True):
    """What is behind a principal who has called with a JSON Web Token, for whoever judges it anew.

    `permissions` and `business_unit_ids` are those that the token itself allows at most (None: it does not say); `id`
    is its `jti`, `ancestors` those of the tokens that it was exchanged for. A user of a trusted issuer has that
    issuer's `issuer_id`, and what its claims name. `issued_us` is its `iat` in microseconds, where it has one.
    """

    id: str | None
    ancestors: tuple[str, ...] = ()
    permissions: frozenset[str] | None = None
    business_unit_ids: frozenset[str] | None = None
    secret_version: int | None = None
    issuer_id: str | None = None
    role_names: tuple[str, ...] = ()
    claimed_permissions: frozenset[str] = frozenset()
    issued_us: int | None = None


class Principal(msgspec.Struct, frozen=True):
    """A proven caller.

    `grants` maps each permission that the caller holds to the rule that gives it, such as `role:viewer`.
    `id` is the key's id, `user:<id>` for a user of a trusted issuer, or `local:<uid>` for somebody with access to the
    data directory. `token` is set where a token was the credential.
    """

    id: str
    kind: Literal["api_key", "user", "local"]
    tenant_id: str
    key_id: str | None
    roles: tuple[str, ...]
    grants: Mapping[str, str]
    limits: Limits = Limits()
    token: TokenUse | None = None

    @property
    def business_unit_ids(self) -> frozenset[str] | None:
        return self.limits.business_unit_ids

    @property
    def issuer_id(self) -> str | None:
        return None if self.token is None else self.token.issuer_id

    def may(self, permission: str) -> bool:
        return permission in self.grants


def _networks_cover(mine: tuple[IPNetwork, ...], others: tuple[IPNetwork, ...] | None) -> bool:
    return others is not None and all(any(_within(other, network) for network in mine) for other in others)


def _within(inner: IPNetwork, outer: IPNetwork) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)
