"""The directory's objects as they are stored: immutable values that storage and use cases both speak.

Times are microseconds since the epoch. Nothing here is a secret: of a key's text only a keyed digest exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_network
from typing import Final

import msgspec

from hatchpay.identity.issuer import ClaimsMapping, grants_of
from hatchpay.identity.own_token import MAX_LIFE_S
from hatchpay.identity.principal import IPNetwork, Limits, RateLimit, Reach, TokenUse
from hatchpay.tokens.apikey import Environment
from hatchpay.tokens.signing import SigningAlgorithm

__all__ = [
    "IssuerKeys",
    "IssuerRow",
    "KeyRow",
    "PolicyRow",
    "RateLimit",
    "RoleRow",
    "SecretRow",
    "SigningKeyRow",
    "TenantRow",
    "UnitRow",
    "reach",
    "signing_key_ends",
    "user_reach",
]

_NEVER: Final = 2**63


class TenantRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    created_us: int


class UnitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A business unit of a tenant. Once archived, nothing can be done for it any more."""

    id: str
    tenant_id: str
    name: str
    timezone_name: str
    created_us: int
    updated_us: int
    archived_us: int | None = None


class PolicyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A policy of a tenant: `text` is one or more Cedar statements, each a `forbid`."""

    id: str
    tenant_id: str
    name: str
    text: str
    created_us: int
    updated_us: int


class RoleRow(msgspec.Struct, frozen=True, kw_only=True):
    """`permissions` is what it holds now; storage derives that of `admin`, `viewer` and `gl`."""

    id: str
    tenant_id: str
    name: str
    description: str = ""
    builtin: bool = False
    permissions: frozenset[str] = frozenset()
    rate_limits: tuple[RateLimit, ...] = ()
    created_us: int
    updated_us: int


class SecretRow(msgspec.Struct, frozen=True, kw_only=True):
    """One secret of a key; `ends_us` is set once a rotation has replaced it."""

    version: int
    digest: bytes
    pepper_version: int
    last_four: str
    created_us: int
    ends_us: int | None = None

    def __repr__(self) -> str:
        return f"SecretRow(version={self.version}, pepper_version={self.pepper_version})"


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key with its roles and secrets, newest secret first. `deleted_us` is None while the key exists.

    `enabled_from_us` is set once it was enabled after having been disabled. `role_units` has those of its roles that
    are attached for chosen business units only, and which.
    """

    id: str
    tenant_id: str
    name: str
    description: str
    environment: Environment
    owner: str | None = None
    enabled: bool = True
    enabled_from_us: int | None = None
    expires_us: int | None = None
    business_unit_ids: tuple[str, ...] | None = None
    allowed_cidrs: tuple[str, ...] | None = None
    metadata: dict[str, str] = {}
    created_us: int
    updated_us: int
    deleted_us: int | None = None
    role_ids: frozenset[str] = frozenset()
    role_units: dict[str, frozenset[str]] = {}
    rate_limits: tuple[RateLimit, ...] = ()
    secrets: tuple[SecretRow, ...] = ()

    @property
    def limits(self) -> Limits:
        units, cidrs = self.business_unit_ids, self.allowed_cidrs
        return Limits(
            environment=self.environment,
            business_unit_ids=None if units is None else frozenset(units),
            networks=None if cidrs is None else tuple(map(_network, cidrs)),
            expires_at_us=self.expires_us,
        )


class SigningKeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key that signs our own tokens. `public_jwk` is JSON text, `sealed` the private half (see tokens.signing).

    It is published from its creation on and signs from `signs_from_us` on, until a newer one does.
    """

    kid: str
    algorithm: SigningAlgorithm
    public_jwk: str
    sealed: bytes
    created_us: int
    signs_from_us: int
    retired_us: int | None = None

    def __repr__(self) -> str:
        return f"SigningKeyRow({self.algorithm}, {self.kid})"


class IssuerKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The JWK Set that an issuer publishes, as last fetched.

    `document` is the last good one, of `fetched_us`. `tried_us` is the last try, and `failure` the code of what went
    wrong with it. `asked_us` is the last time that a token with an unknown `kid` caused one.
    """

    document: bytes | None = None
    fetched_us: int | None = None
    tried_us: int | None = None
    asked_us: int | None = None
    failure: str | None = None


class IssuerRow(msgspec.Struct, frozen=True, kw_only=True):
    """An issuer whose tokens a tenant trusts. Without `jwks_url`, discovery finds its keys.

    `ceiling` are the permissions that its users can hold at most.
    """

    id: str
    tenant_id: str
    issuer: str
    audience: str
    jwks_url: str | None
    algorithms: tuple[str, ...]
    ceiling: frozenset[str]
    claims: ClaimsMapping
    enabled: bool = True
    created_us: int
    updated_us: int
    keys: IssuerKeys = IssuerKeys()


@lru_cache(4096)
def _network(cidr: str) -> IPNetwork:
    return ip_network(cidr)


def reach(key: KeyRow, roles: dict[str, RoleRow]) -> Reach:
    """All that `key` can do, by its roles among `roles` (by id) and its limits, enabled or not."""
    wide = frozenset().union(*(roles[role_id].permissions for role_id in key.role_ids - key.role_units.keys()))
    scoped: dict[str, frozenset[str]] = {}
    for role_id in key.role_ids & key.role_units.keys():
        for permission in roles[role_id].permissions - wide:
            scoped[permission] = scoped.get(permission, frozenset()) | key.role_units[role_id]
    counted = bool(key.rate_limits) or any(roles[role_id].rate_limits for role_id in key.role_ids)
    return Reach(wide, key.limits, scoped, counted)


def signing_key_ends(keys: Sequence[SigningKeyRow]) -> dict[str, int]:
    """By kid, when the last token has ended that the key can have signed; without one that signs now, or will again.

    `keys` in the order in which they sign, retired ones included: those have replaced their predecessors as well.
    """
    stops = {key.kid: _stops_us(keys[number:]) for number, key in enumerate(keys, 1)}
    return {kid: stop + MAX_LIFE_S * 1_000_000 for kid, stop in stops.items() if stop is not None}


def _stops_us(later: Sequence[SigningKeyRow]) -> int | None:
    """From when on there has always been, and will be, one of `later` that signs; None where the key before them does.

    Where the only one that signed was retired, the key before it has signed again.
    """
    since, until = 0, -1
    for key in later:
        ends = _NEVER if key.retired_us is None else key.retired_us
        if ends > key.signs_from_us:
            since = key.signs_from_us if key.signs_from_us > until else since
            until = max(until, ends)
    return since if until == _NEVER else None


def user_reach(issuer: IssuerRow, token: TokenUse, roles: Iterable[RoleRow]) -> Reach:
    """All that the issuer's user behind `token` can do; `roles` are those of the tenant that the token names."""
    named = list(roles)
    held = grants_of(issuer.ceiling, ((role.name, role.permissions) for role in named), token.claimed_permissions)
    counted = any(role.rate_limits for role in named)
    return Reach(frozenset(held), Limits().within(token.business_unit_ids), counted=counted)
