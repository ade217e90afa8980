"""Who is calling, once proven."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Literal

import msgspec

from hatchpay.tokens.apikey import Environment

__all__ = ["Bucket", "IPNetwork", "Limits", "Principal", "RateLimit", "Reach", "TokenUse"]

IPNetwork = IPv4Network | IPv6Network

_NOWHERE: Final[frozenset[str]] = frozenset()


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
            and _units_cover(self.business_unit_ids, other.business_unit_ids)
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


class Bucket(msgspec.Struct, frozen=True):
    """A token bucket of one caller.

    `id` has 16 bytes. The first four are the same in all buckets of a tenant (and by chance in those of another); the
    other twelve tell the tenant, the caller and its limit from all others. `source` is `key` or `role:<name>`; `policy`
    tells it from the caller's other buckets, in printable ASCII without quotation marks and backslashes.
    """

    id: bytes
    source: str
    policy: str
    limit: RateLimit


class Reach(msgspec.Struct, frozen=True):
    """All that somebody can do: what they hold, and within which limits. `counted`: at a limited rate.

    `scoped` are the permissions that are held for chosen business units only, none of them among `permissions`; they
    are of use where the limits allow those units.
    """

    permissions: frozenset[str]
    limits: Limits
    scoped: Mapping[str, frozenset[str]] = {}
    counted: bool = False

    @property
    def held(self) -> frozenset[str]:
        """All permissions that are held somewhere."""
        return self.permissions.union(self.scoped)

    def covers(self, other: Reach) -> bool:
        return self.limits.cover(other.limits) and not self.lacks(other)

    def lacks(self, other: Reach) -> list[str]:
        """What `other` holds and this does not, or not in every business unit, by name."""
        mine = self.held
        return sorted(
            name
            for name in other.held
            if name not in mine or not _units_cover(self.units_of(name), other.units_of(name))
        )

    def units_of(self, permission: str) -> frozenset[str] | None:
        """The business units in which `permission` is held: None for all of the tenant's, empty for none at all."""
        mine = self.limits.business_unit_ids
        if permission in self.permissions:
            return mine
        units = self.scoped.get(permission, _NOWHERE)
        return units if mine is None else units & mine

    def only(self, permissions: frozenset[str]) -> Reach:
        """Without any other permission."""
        scoped = {name: units for name, units in self.scoped.items() if name in permissions}
        return Reach(self.permissions & permissions, self.limits, scoped, self.counted)

    def within(self, unit_ids: frozenset[str] | None) -> Reach:
        """In no other business units than those (None: any)."""
        return Reach(self.permissions, self.limits.within(unit_ids), self.scoped, self.counted)


class TokenUse(msgspec.Struct, frozen=True, kw_only=True):
    """What is behind a principal who has called with a JSON Web Token, for whoever judges it anew.

    `permissions` and `business_unit_ids` are those that the token itself allows at most (None: it does not say); `id`
    is its `jti`, `ancestors` those of the tokens that it was exchanged for. A user of a trusted issuer has that
    issuer's `issuer_id`, and what its claims name. `issued_us` is its `iat` in microseconds, where it has one.
    `key_roles` are the roles of the key by which a user's token was exchanged.
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
    key_roles: tuple[str, ...] = ()


class Principal(msgspec.Struct, frozen=True):
    """A proven caller.

    `grants` maps each permission that the caller holds to the rule that gives it, such as `role:viewer`. `scoped` has
    those that it holds for chosen business units only, and what gives them there; none of them is among `grants`.
    `id` is the key's id, `user:<id>` for a user of a trusted issuer, or `local:<uid>` for somebody with access to the
    data directory. `token` is set where a token was the credential. `buckets` are what its requests are counted in.
    """

    id: str
    kind: Literal["api_key", "user", "local"]
    tenant_id: str
    key_id: str | None
    roles: tuple[str, ...]
    grants: Mapping[str, str]
    limits: Limits = Limits()
    token: TokenUse | None = None
    scoped: Mapping[str, Mapping[str, str]] = {}

    @property
    def held(self) -> list[str]:
        """All permissions that it holds somewhere, by name."""
        return sorted({*self.grants, *self.scoped})

    buckets: tuple[Bucket, ...] = ()

    @property
    def business_unit_ids(self) -> frozenset[str] | None:
        return self.limits.business_unit_ids

    @property
    def issuer_id(self) -> str | None:
        return None if self.token is None else self.token.issuer_id

    def may(self, permission: str) -> bool:
        """Whether it holds the permission wherever it may act at all."""
        if permission in self.grants:
            return True
        units = self.limits.business_unit_ids
        return units is not None and permission in self.scoped and self.scoped[permission].keys() >= units

    def lets_through(self, grants: Mapping[str, str]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """Of what somebody else holds, what they hold through this key: tenant-wide, and for chosen business units."""
        wide = {name: rule for name, rule in grants.items() if name in self.grants}
        scoped = {name: dict.fromkeys(self.scoped[name], rule) for name, rule in grants.items() if name in self.scoped}
        return wide, scoped


def _units_cover(mine: frozenset[str] | None, others: frozenset[str] | None) -> bool:
    return mine is None or (others is not None and others <= mine)


def _networks_cover(mine: tuple[IPNetwork, ...], others: tuple[IPNetwork, ...] | None) -> bool:
    return others is not None and all(any(_within(other, network) for network in mine) for other in others)


def _within(inner: IPNetwork, outer: IPNetwork) -> bool:
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)
