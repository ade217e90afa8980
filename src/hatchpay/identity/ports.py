"""What authentication needs to know of keys and issuers, as the directory's snapshot gives it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

import msgspec

from hatchpay.clock import earliest
from hatchpay.identity.buckets import LimitSource
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.principal import Principal
from hatchpay.tokens.digest import Peppers
from hatchpay.tokens.jwk import Key
from hatchpay.tokens.jwks import KeySet
from hatchpay.tokens.signing import SigningAlgorithm

__all__ = ["IssuerEntry", "KeyEntry", "KeyState", "OwnKey", "SecretEntry", "Snapshot", "Trust"]

KeyState = Literal["enabled", "disabled", "deleted"]


class SecretEntry(msgspec.Struct, frozen=True):
    """One secret of a key. `ends_at_us` is set once a newer one has replaced it."""

    version: int
    digest: bytes
    pepper_version: int
    ends_at_us: int | None

    def __repr__(self) -> str:
        return f"SecretEntry(version={self.version})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("version", self.version)]


class KeyEntry(msgspec.Struct, frozen=True):
    """A key, compiled: everything that a request with it needs. Newest secret first.

    `enabled_from_us` is when it was last enabled after it had been disabled: its tokens from before have ended.
    """

    principal: Principal
    state: KeyState
    secrets: tuple[SecretEntry, ...]
    enabled_from_us: int | None = None

    def ends_us(self, secret: SecretEntry) -> int | None:
        """When this secret of it ends by itself, or the key does before; None for never."""
        return earliest(self.principal.limits.expires_at_us, secret.ends_at_us)


class OwnKey(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key of our own, from `signs_from_us` on, until a newer one signs.

    It is published until `ends_us`, when the last token that it can have signed has ended. `sealed` is its private
    half under the key-encryption key.
    """

    kid: str
    algorithm: SigningAlgorithm
    public_jwk: Mapping[str, str]
    key: Key
    sealed: bytes
    signs_from_us: int
    ends_us: int | None

    def __repr__(self) -> str:
        return f"OwnKey({self.algorithm}, {self.kid})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("algorithm", self.algorithm), ("kid", self.kid)]


class IssuerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An issuer that a tenant trusts. `keys` are the last good ones, fetched at `fetched_us`; None: never any.

    `keys_digest` is the SHA-256 of the document that they stand in.
    """

    id: str
    tenant_id: str
    issuer: str
    audience: str
    jwks_url: str | None
    algorithms: frozenset[str]
    ceiling: frozenset[str]
    claims: ClaimsMapping
    enabled: bool
    keys: KeySet | None
    fetched_us: int | None
    tried_us: int | None
    keys_digest: bytes | None = None


class Trust(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Whose tokens are believed.

    `urls` are those under which this installation serves, each an `iss` and `aud` of its own tokens; `own` its signing
    keys by kid, in the order in which they sign; `issuers` the others' by their id; `revoked` maps a token's id to the
    microsecond of its end; `roles` a tenant's id and a role's name to what the role holds, and `role_limits` to its
    rate limits, where it has any.
    """

    urls: frozenset[str] = frozenset()
    own: Mapping[str, OwnKey] = {}
    issuers: Mapping[str, IssuerEntry] = {}
    revoked: Mapping[str, int] = {}
    roles: Mapping[tuple[str, str], frozenset[str]] = {}
    role_limits: Mapping[tuple[str, str], LimitSource] = {}

    @cached_property
    def by_name(self) -> Mapping[str, tuple[IssuerEntry, ...]]:
        """The issuers by their `iss`: several tenants may trust one, for different audiences."""
        named: dict[str, tuple[IssuerEntry, ...]] = {}
        for entry in self.issuers.values():
            named[entry.issuer] = (*named.get(entry.issuer, ()), entry)
        return named

    @cached_property
    def own_keys(self) -> KeySet:
        return KeySet(keys=tuple(own.key for own in self.own.values()), unusable={})


class Snapshot(msgspec.Struct, frozen=True):
    """The directory at one moment. `keys` maps a key's locator (see tokens.apikey) to its entry."""

    generation: int
    keys: Mapping[str, KeyEntry]
    peppers: Peppers
    trust: Trust = Trust()
