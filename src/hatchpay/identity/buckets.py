"""The token buckets of a caller, compiled from the rate limits of its key and roles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final
from urllib.parse import quote

import msgspec

from hatchpay.identity.principal import Bucket, RateLimit

__all__ = ["LimitSource", "buckets_of_key", "buckets_of_user"]

# Printable ASCII without what a structured field's String escapes, and without what tells the parts apart.
_PLAIN: Final = " !#$&'()*+,-.:;<=>?@[]^_`{|}~"
_TENANT_BYTES: Final = 4
_REST_BYTES: Final = 12


class LimitSource(msgspec.Struct, frozen=True):
    """Where limits come from: `name` is `key` or `role:<name>`, `id` the role's, which outlives its name."""

    name: str
    id: str
    limits: tuple[RateLimit, ...]


def buckets_of_key(
    tenant_id: str, key_id: str, limits: tuple[RateLimit, ...], roles: Iterable[LimitSource]
) -> tuple[Bucket, ...]:
    """One for each limit: those of a role count for each key that holds the role apart from all others."""
    return _buckets(tenant_id, ("key", key_id), (LimitSource("key", "", limits), *roles))


def buckets_of_user(
    role_limits: Mapping[tuple[str, str], LimitSource],
    tenant_id: str,
    issuer_id: str,
    user_id: str,
    role_names: Iterable[str],
) -> tuple[Bucket, ...]:
    """As for keys, for a user of a trusted issuer, who is unique for that issuer only.

    `role_limits` are those of all tenants' roles, by the tenant's id and the role's name (see identity.ports.Trust).
    """
    if not role_limits:
        return ()
    named = ((tenant_id, name) for name in dict.fromkeys(role_names))
    limited = (role_limits[one] for one in named if one in role_limits)
    return _buckets(tenant_id, ("user", issuer_id, user_id), limited)


def _buckets(tenant_id: str, caller: tuple[str, ...], sources: Iterable[LimitSource]) -> tuple[Bucket, ...]:
    tenant = _digest(_TENANT_BYTES, tenant_id)
    return tuple(
        Bucket(
            id=tenant + _digest(_REST_BYTES, tenant_id, *caller, source.id, str(limit.window_s)),
            source=source.name,
            policy=_policy(source, limit),
            limit=limit,
        )
        for source in sources
        for limit in source.limits
    )


def _policy(source: LimitSource, limit: RateLimit) -> str:
    name = quote(source.name, safe=_PLAIN)
    return name if len(source.limits) == 1 else f"{name}/{limit.window_s}"


def _digest(size: int, *parts: str) -> bytes:
    # Lengths before the parts, so that no two lists run together into the same bytes.
    text = b"".join(len(part).to_bytes(4) + part for part in map(str.encode, parts))
    return blake2b(text, digest_size=size).digest()
