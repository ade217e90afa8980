"""Our own access tokens (RFC 9068): their claims, and what they are still good for.

A token is no copy of a key's rights. It names the key and the secret that it was made with, and is judged by what
those may now: what the key has lost since, its tokens have lost as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final

import msgspec

from hatchpay.errors import InvalidToken
from hatchpay.identity.authenticator import Authenticated
from hatchpay.identity.buckets import buckets_of_user
from hatchpay.identity.issuer import grants_of
from hatchpay.identity.ports import KeyEntry, Snapshot
from hatchpay.identity.principal import Limits, Principal, TokenUse
from hatchpay.ids import is_uuid
from hatchpay.tokens.apikey import encode_id

__all__ = ["MAX_LIFE_S", "TYPE", "OwnClaims", "claims_of", "judge"]

MAX_LIFE_S: Final = 12 * 3600
TYPE: Final = "at+jwt"
_US: Final = 1_000_000


class OwnClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What our tokens say besides `iss`, `aud`, `iat`, `exp` and `scope`.

    `client_id` is the key's id, `sub` the same, or the user for whom the key has exchanged another issuer's token;
    then `user_issuer` is the directory's id of that issuer, and `user_permissions` what its token claimed directly.
    `ancestors` are the ids of the tokens that it was exchanged for, one after the other: it ends with any of them.
    """

    sub: str
    client_id: str
    jti: str
    iat: int
    tenant: str
    secret_version: int
    roles: tuple[str, ...]
    permissions: frozenset[str]
    business_units: frozenset[str] | None
    user_issuer: str | None = None
    user_permissions: frozenset[str] = frozenset()
    ancestors: tuple[str, ...] = ()

    @property
    def line(self) -> tuple[str, ...]:
        return (*self.ancestors, self.jti)


def claims_of(claims: Mapping[str, object]) -> OwnClaims:
    """Raises InvalidToken for a token that we cannot have issued."""
    own = None
    with contextlib.suppress(msgspec.ValidationError):
        own = msgspec.convert(dict(claims), OwnClaims)
    if own is None or not all(map(is_uuid, (own.client_id, own.jti, own.tenant))):
        raise InvalidToken("a claim of the token is not as we write it", code="token_claim_invalid")
    return own


def judge(claims: OwnClaims, snapshot: Snapshot, now: int) -> Authenticated:
    """Who calls, by what the directory says now (microseconds), until the key or its secret ends by itself.

    Raises InvalidToken where the token is over.
    """
    if not snapshot.trust.revoked.keys().isdisjoint(claims.line):
        raise InvalidToken("the token was revoked", code="token_revoked")
    entry = snapshot.keys.get(encode_id(claims.client_id))
    if entry is None:
        raise InvalidToken("the token's key does not exist", code="token_client_unknown")
    if entry.principal.tenant_id != claims.tenant:
        raise InvalidToken("the token is for another tenant", code="token_tenant_wrong")
    if entry.state == "deleted":
        raise InvalidToken("the token's key was deleted", code="token_key_deleted")
    if entry.state == "disabled":
        raise InvalidToken("the token's key is disabled", code="token_key_disabled")
    if entry.enabled_from_us is not None and claims.iat < entry.enabled_from_us // _US:
        raise InvalidToken("the token's key was disabled since", code="token_key_disabled")
    ends = _ends(claims, entry)
    if ends is not None and now >= ends:
        raise InvalidToken("the token's key or its secret has ended", code="token_key_ended")
    limits = entry.principal.limits.within(claims.business_units)
    if claims.user_issuer is None:
        return Authenticated(_of_key(claims, entry, limits), claims.secret_version, ends)
    return Authenticated(_of_user(claims, entry, limits, snapshot), claims.secret_version, ends)


def _ends(claims: OwnClaims, entry: KeyEntry) -> int | None:
    secret = next((one for one in entry.secrets if one.version == claims.secret_version), None)
    if secret is None:
        raise InvalidToken("the secret that the token came from has ended", code="token_key_ended")
    return entry.ends_us(secret)


def _of_key(claims: OwnClaims, entry: KeyEntry, limits: Limits) -> Principal:
    owner = entry.principal
    return Principal(
        id=owner.id,
        kind="api_key",
        tenant_id=owner.tenant_id,
        key_id=owner.id,
        roles=owner.roles,
        grants={name: rule for name, rule in owner.grants.items() if name in claims.permissions},
        limits=limits,
        token=_use(claims),
        scoped={name: units for name, units in owner.scoped.items() if name in claims.permissions},
        buckets=owner.buckets,
    )


def _of_user(claims: OwnClaims, entry: KeyEntry, limits: Limits, snapshot: Snapshot) -> Principal:
    """The user may what the issuer's users may, while and where the key that has exchanged the token may it as well."""
    owner = entry.principal
    issuer = snapshot.trust.issuers.get(claims.user_issuer or "")
    if issuer is None or not issuer.enabled or issuer.tenant_id != owner.tenant_id:
        raise InvalidToken("the user's issuer is not trusted any more", code="token_issuer_unknown")
    named = [(name, snapshot.trust.roles.get((owner.tenant_id, name), frozenset())) for name in claims.roles]
    held = grants_of(issuer.ceiling, named, claims.user_permissions)
    grants, scoped = owner.lets_through({name: rule for name, rule in held.items() if name in claims.permissions})
    return Principal(
        id=f"user:{claims.sub}",
        kind="user",
        tenant_id=owner.tenant_id,
        key_id=owner.id,
        roles=claims.roles,
        grants=grants,
        limits=limits,
        token=msgspec.structs.replace(_use(claims), key_roles=owner.roles),
        scoped=scoped,
        # In those of both: else whoever has one kind of credential would escape its limits by the other.
        buckets=owner.buckets
        + buckets_of_user(snapshot.trust.role_limits, owner.tenant_id, issuer.id, claims.sub, claims.roles),
    )


def _use(claims: OwnClaims) -> TokenUse:
    return TokenUse(
        id=claims.jti,
        ancestors=claims.ancestors,
        permissions=claims.permissions,
        business_unit_ids=claims.business_units,
        secret_version=claims.secret_version,
        issuer_id=claims.user_issuer,
        role_names=() if claims.user_issuer is None else claims.roles,
        claimed_permissions=claims.user_permissions,
        issued_us=claims.iat * _US,
    )
