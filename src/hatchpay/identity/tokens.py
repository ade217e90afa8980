"""JSON Web Tokens as credentials: our own, and those of issuers that a tenant trusts.

What needs no signature is judged first, so that a token of nobody's costs next to nothing. Nothing here asks anybody:
keys are in the snapshot. Only an unknown `kid` may cause a fetch, for which the request then waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Final

import msgspec

from hatchpay.clock import Clock, earliest
from hatchpay.errors import InvalidToken
from hatchpay.identity import issuer, own_token
from hatchpay.identity.authenticator import NOT_MINE, Authenticated, Invalid, Outcome, Unsettled
from hatchpay.identity.buckets import buckets_of_user
from hatchpay.identity.issuer import User
from hatchpay.identity.own_token import OwnClaims
from hatchpay.identity.ports import IssuerEntry, Snapshot
from hatchpay.identity.principal import Limits, Principal, TokenUse
from hatchpay.ids import is_uuid
from hatchpay.tokens import jws, jwt
from hatchpay.tokens.apikey import encode_id

__all__ = ["TokenAuthenticator", "WantKeys", "user_principal"]

WantKeys = Callable[[str], Callable[[], Awaitable[None]] | None]
"""Asked for an issuer's keys (its id) because of an unknown `kid`; returns how to wait for them, or None where a fetch
is not due."""

_CACHE_BOUND: Final = 16_384
_US: Final = 1_000_000
_OWN_TYPES: Final = frozenset({own_token.TYPE})
_OTHERS_TYPES: Final = frozenset({"jwt", own_token.TYPE})
_LONGEST_ID: Final = 256


class _Verified(msgspec.Struct, frozen=True):
    """A token whose signature and times were good, and by whose key: what needs no second look before `expires_us`."""

    kid: str
    expires_us: int
    own: OwnClaims | None
    user: User | None
    token_id: str | None
    issuer: IssuerEntry | None
    issued_us: int | None = None


class _Kept(msgspec.Struct, frozen=True):
    """What came of it under `snapshot`, until `ends_us`."""

    verified: _Verified
    snapshot: Snapshot
    outcome: Authenticated
    ends_us: int


class TokenAuthenticator:
    """Verified tokens are kept by the SHA-256 of their whole text, at most 16,384; a signature costs a hundred times as
    much as a look-up. What is kept is judged anew with each new snapshot, and verified anew where the issuer's entry
    has changed.

    A token counts as `Authorization: Bearer` only (RFC 6750).

    `keep_s` is for how long the last good keys of an issuer count whose keys cannot be fetched any more.
    """

    bearer_only: Final = True

    def __init__(self, snapshot: Callable[[], Snapshot], clock: Clock, want_keys: WantKeys, *, keep_s: int) -> None:
        self._snapshot = snapshot
        self._clock = clock
        self._want_keys = want_keys
        self._keep_us = keep_s * _US
        self._kept: dict[bytes, _Kept] = {}

    def authenticate(self, credential: str) -> Outcome:
        if "." not in credential:
            return NOT_MINE
        digest = sha256(credential.encode("utf-8", "replace")).digest()
        snapshot = self._snapshot()
        kept = self._kept.get(digest)
        if kept is not None and kept.snapshot is snapshot and self._clock() < kept.ends_us:
            return kept.outcome
        try:
            verified = None if kept is None else self._still_verified(kept.verified, snapshot)
            return self._keep(digest, verified or self._verify(credential, snapshot), snapshot)
        except InvalidToken as error:
            self._kept.pop(digest, None)
            invalid = Invalid(error.code, "invalid_token", self.claimed(credential))
            wait = self._wait_for_keys(credential) if error.code == "token_kid_unknown" else None
            return invalid if wait is None else Unsettled(invalid, wait)

    def own_claims(self, credential: str) -> OwnClaims:
        """Of a token that we have signed and that has not ended, whatever has become of its key.

        Raises InvalidToken: `token_issuer_unknown` where it names another issuer.
        """
        snapshot = self._snapshot()
        token = jwt.parse(credential)
        if jwt.issuer_of(token.claims) not in snapshot.trust.urls:
            raise InvalidToken("the token is not ours", code="token_issuer_unknown")
        own = self._verify_own(token, snapshot).own
        assert own is not None  # noqa: S101
        return own

    def claimed(self, text: str) -> Principal | None:
        """The key, or else the nameless user of a trusted issuer, that a token names without proof."""
        snapshot = self._snapshot()
        named = (self._named(piece, snapshot) for piece in _pieces(text))
        return next((principal for principal in named if principal is not None), None)

    def _named(self, text: str, snapshot: Snapshot) -> Principal | None:
        try:
            claims = jwt.parse(text).claims
            if jwt.issuer_of(claims) in snapshot.trust.urls:
                key_id = claims.get("client_id")
                entry = None
                if isinstance(key_id, str) and is_uuid(key_id):
                    entry = snapshot.keys.get(encode_id(key_id))
                return None if entry is None else entry.principal
            trusted = _meant(claims, snapshot)
        except InvalidToken:
            return None
        return Principal(id="user:", kind="user", tenant_id=trusted.tenant_id, key_id=None, roles=(), grants={})

    def _keep(self, digest: bytes, verified: _Verified, snapshot: Snapshot) -> Authenticated:
        now = self._clock()
        if now >= verified.expires_us:
            raise InvalidToken("the token has expired", code="token_expired")
        outcome = self._judge(verified, snapshot, now)
        ends = verified.expires_us if outcome.ends_us is None else outcome.ends_us
        self._kept.pop(digest, None)
        while len(self._kept) >= _CACHE_BOUND:
            # The oldest: entries stand in the order of their last renewal.
            self._kept.pop(next(iter(self._kept)), None)
        self._kept[digest] = _Kept(verified, snapshot, outcome, ends)
        return outcome

    def _still_verified(self, verified: _Verified, snapshot: Snapshot) -> _Verified | None:
        """None where it is to be verified again, which says why where it fails now."""
        now = self._clock()
        if now >= verified.expires_us:
            return None
        if verified.issuer is None:
            own = snapshot.trust.own.get(verified.kid)
            return None if own is None or _has_ended(own.ends_us, now) else verified
        return verified if snapshot.trust.issuers.get(verified.issuer.id) == verified.issuer else None

    def _verify(self, credential: str, snapshot: Snapshot) -> _Verified:
        token = jwt.parse(credential)
        if jwt.issuer_of(token.claims) in snapshot.trust.urls:
            return self._verify_own(token, snapshot)
        return self._verify_others(token, _issuer(token.claims, snapshot))

    def _verify_own(self, token: jwt.Token, snapshot: Snapshot) -> _Verified:
        jwt.check_type(token, _OWN_TYPES, required=True)
        if snapshot.trust.urls.isdisjoint(jwt.audiences_of(token.claims)):
            raise InvalidToken("the token is for another audience", code="token_audience_wrong")
        key = snapshot.trust.own_keys.select(token.compact.kid, token.compact.algorithm)
        own = snapshot.trust.own[key.kid or ""]
        if _has_ended(own.ends_us, self._clock()):
            raise InvalidToken("the key that signed it is no longer published", code="token_kid_unknown")
        jws.check(token.compact, key, (own.algorithm,))
        times = jwt.check_times(token.claims, self._clock())
        claims = own_token.claims_of(token.claims)
        return _Verified(own.kid, times.expires_s * _US, claims, None, claims.jti, None)

    def _verify_others(self, token: jwt.Token, trusted: IssuerEntry) -> _Verified:
        jwt.check_type(token, _OTHERS_TYPES, required=False)
        if token.compact.algorithm not in trusted.algorithms:
            if token.compact.algorithm == "HS256":
                raise InvalidToken("whoever can verify an HMAC can forge it", code="token_algorithm_hmac")
            raise InvalidToken("the algorithm is not allowed for this issuer", code="token_algorithm_not_allowed")
        if trusted.keys is None or trusted.fetched_us is None:
            raise InvalidToken("the issuer's keys are not known", code="token_kid_unknown")
        until = trusted.fetched_us + self._keep_us
        if self._clock() >= until:
            raise InvalidToken("the issuer's keys are too old to be believed", code="token_issuer_stale")
        key = trusted.keys.select(token.compact.kid, token.compact.algorithm)
        jws.check(token.compact, key, trusted.algorithms)
        times = jwt.check_times(token.claims, self._clock())
        if "cnf" in token.claims:
            raise InvalidToken("the token is bound to a key that nobody has shown", code="token_sender_constrained")
        tenant = token.claims.get("tenant")
        if isinstance(tenant, str) and is_uuid(tenant) and tenant != trusted.tenant_id:
            raise InvalidToken("the token is for another tenant", code="token_tenant_wrong")
        user = issuer.user_of(token.claims, trusted.claims)
        issued_us = None if times.issued_s is None else times.issued_s * _US
        return _Verified(key.kid or "", min(times.expires_s * _US, until), None, user, _id(token), trusted, issued_us)

    def _judge(self, verified: _Verified, snapshot: Snapshot, now: int) -> Authenticated:
        if verified.own is not None:
            proven = own_token.judge(verified.own, snapshot, now)
            ends = earliest(verified.expires_us, proven.ends_us, snapshot.trust.own[verified.kid].ends_us)
            return msgspec.structs.replace(proven, ends_us=ends)
        assert verified.user is not None and verified.issuer is not None  # noqa: S101
        principal = user_principal(verified.user, verified.issuer, snapshot, verified.token_id, verified.issued_us)
        return Authenticated(principal, None, verified.expires_us)

    def _wait_for_keys(self, credential: str) -> Callable[[], Awaitable[None]] | None:
        token = jwt.parse(credential)
        if jwt.issuer_of(token.claims) in self._snapshot().trust.urls:
            return None
        return self._want_keys(_issuer(token.claims, self._snapshot()).id)


def _pieces(text: str) -> list[str]:
    """What in `text` might be a token, at most four of them: each costs its parsing."""
    return [piece for piece in text.split() if piece.count(".") == 2][:4]


def _issuer(claims: Mapping[str, object], snapshot: Snapshot) -> IssuerEntry:
    """The one entry that the token's `iss` and `aud` mean, if it counts."""
    meant = _meant(claims, snapshot)
    if not meant.enabled:
        raise InvalidToken("the token's issuer is disabled", code="token_issuer_disabled")
    return meant


def _meant(claims: Mapping[str, object], snapshot: Snapshot) -> IssuerEntry:
    """The one entry that the token's `iss` and `aud` mean, disabled or not."""
    named = snapshot.trust.by_name.get(jwt.issuer_of(claims), ())
    if not named:
        raise InvalidToken("nobody here trusts the token's issuer", code="token_issuer_unknown")
    audiences = jwt.audiences_of(claims)
    meant = [entry for entry in named if entry.audience in audiences]
    if not meant:
        raise InvalidToken("the token is for another audience", code="token_audience_wrong")
    # Ids are ordered by time. The oldest entry's tenant it is: a newcomer must not change what a token means.
    oldest = min(meant, key=lambda entry: entry.id)
    if any(entry.tenant_id == oldest.tenant_id for entry in meant if entry is not oldest):
        raise InvalidToken("the token's audiences mean more than one trusted issuer", code="token_audience_ambiguous")
    return oldest


def user_principal(
    user: User, trusted: IssuerEntry, snapshot: Snapshot, token_id: str | None = None, issued_us: int | None = None
) -> Principal:
    """Whom a good token of `trusted` proves that says this of its user."""
    tenant_id = trusted.tenant_id
    held = snapshot.trust.roles
    known = [(name, held[tenant_id, name]) for name in user.role_names if (tenant_id, name) in held]
    return Principal(
        id=f"user:{user.id}",
        kind="user",
        tenant_id=tenant_id,
        key_id=None,
        roles=tuple(name for name, _ in known),
        grants=issuer.grants_of(trusted.ceiling, known, user.permissions),
        limits=Limits().within(user.business_unit_ids),
        token=TokenUse(
            id=token_id,
            issuer_id=trusted.id,
            business_unit_ids=user.business_unit_ids,
            role_names=user.role_names,
            claimed_permissions=user.permissions,
            issued_us=issued_us,
        ),
        buckets=buckets_of_user(snapshot.trust.role_limits, tenant_id, trusted.id, user.id, user.role_names),
    )


def _id(token: jwt.Token) -> str | None:
    """Of another issuer: kept for the record where it is an ordinary text."""
    token_id = token.claims.get("jti")
    return token_id if isinstance(token_id, str) and len(token_id) <= _LONGEST_ID and token_id.isprintable() else None


def _has_ended(ends_us: int | None, now: int) -> bool:
    return ends_us is not None and now >= ends_us
