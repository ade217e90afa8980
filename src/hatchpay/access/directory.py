"""The directory's objects as they are stored: immutable values that storage and use cases both speak.

Times are microseconds since the epoch. Nothing here is a secret: of a key's text only a keyed digest exists.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network

import msgspec

from hatchpay.identity.principal import IPNetwork, Limits, Reach
from hatchpay.tokens.apikey import Environment

__all__ = ["KeyRow", "RoleRow", "SecretRow", "TenantRow", "UnitRow", "reach"]


class TenantRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    created_us: int


class UnitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A business unit of a tenant."""

    id: str
    tenant_id: str
    name: str
    timezone_name: str
    created_us: int


class RoleRow(msgspec.Struct, frozen=True, kw_only=True):
    """`permissions` is what it holds now; storage derives that of `admin`, `viewer` and `gl`."""

    id: str
    tenant_id: str
    name: str
    description: str = ""
    builtin: bool = False
    permissions: frozenset[str] = frozenset()
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
    """A key with its roles and secrets, newest secret first. `deleted_us` is None while the key exists."""

    id: str
    tenant_id: str
    name: str
    description: str
    environment: Environment
    owner: str | None = None
    enabled: bool = True
    expires_us: int | None = None
    business_unit_ids: tuple[str, ...] | None = None
    allowed_cidrs: tuple[str, ...] | None = None
    metadata: dict[str, str] = {}
    created_us: int
    updated_us: int
    deleted_us: int | None = None
    role_ids: frozenset[str] = frozenset()
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


@lru_cache(4096)
def _network(cidr: str) -> IPNetwork:
    return ip_network(cidr)


def reach(key: KeyRow, roles: dict[str, RoleRow]) -> Reach:
    """All that `key` can do, by its roles among `roles` (by id) and its limits, enabled or not."""
    held = frozenset().union(*(roles[role_id].permissions for role_id in key.role_ids))
    return Reach(held, key.limits)
