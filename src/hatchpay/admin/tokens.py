"""Access tokens of our own: issued for a key, exchanged, revoked, inspected.

Issuing stores nothing: a token's id is that of the request which asked for it, whose record tells all about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from hatchpay.admin.ports import Directory
from hatchpay.admin.signing_keys import Signer
from hatchpay.admin.token_views import IssuedToken, TokenWish
from hatchpay.admin.views import Actor
from hatchpay.admin.work import Changes
from hatchpay.clock import Clock, earliest
from hatchpay.errors import Forbidden, InvalidInput, Unauthenticated
from hatchpay.identity.authenticator import Authenticated
from hatchpay.identity.own_token import MAX_LIFE_S, OwnClaims
from hatchpay.identity.principal import Principal, TokenUse
from hatchpay.ids import IdSource
from hatchpay.tokens.jws import MAX_LENGTH

__all__ = ["READ", "REVOKE", "Tokens"]

REVOKE: Final = "auth.tokens.revoke"
READ: Final = "auth.tokens.read"
_US: Final = 1_000_000
_USER: Final = "user:"
_MOST_EXCHANGES: Final = 8


class Tokens:
    """The use cases around our own tokens. Where one raises, nothing has changed.

    `url` gives the URL that is `iss` and `aud` of new tokens; `life_s` for how long they live unless asked otherwise.
    """

    def __init__(
        self,
        directory: Directory,
        signer: Signer,
        clock: Clock,
        new_id: IdSource,
        url: Callable[[], str],
        life_s: int,
    ) -> None:
        self._changes = Changes(directory, clock, new_id)
        self._signer = signer
        self._clock = clock
        self._url = url
        self._life_s = life_s

    def issue(self, proven: Authenticated, wish: TokenWish, token_id: str) -> IssuedToken:
        """A token for whoever was proven by a key, or by a token of ours, with at most what they hold.

        `token_id` is the id of the request that asks. Raises InvalidInput: `invalid_scope` where `scope` names
        anything that they do not hold, or all that they hold makes a token too long to be accepted;
        `invalid_field` for a life that is none. Unauthenticated where the credential is about to end.
        Unavailable where no key signs.
        """
        principal = proven.principal
        permissions = _narrowed(principal, wish.scope)
        issued_s = self._clock() // _US
        expires_s = issued_s + self._life(wish.expires_in)
        if proven.ends_us is not None:
            expires_s = min(expires_s, proven.ends_us // _US)
        if expires_s <= issued_s:
            raise Unauthenticated("the credential ends now")
        url = self._url()
        units = principal.business_unit_ids
        claims: dict[str, object] = {
            "iss": url,
            "aud": url,
            "sub": principal.id.removeprefix(_USER),
            "client_id": principal.key_id,
            "iat": issued_s,
            "exp": expires_s,
            "jti": token_id,
            "tenant": principal.tenant_id,
            "business_units": None if units is None else sorted(units),
            "roles": list(principal.roles),
            "permissions": permissions,
            "scope": " ".join(permissions),
            "secret_version": proven.secret_version,
        }
        ancestors = _ancestors(principal.token)
        if ancestors:
            claims["ancestors"] = ancestors
        if principal.token is not None and principal.token.issuer_id is not None:
            claims["user_issuer"] = principal.token.issuer_id
            claims["user_permissions"] = sorted(principal.token.claimed_permissions.intersection(permissions))
        text = self._signer.key().sign(claims)
        if len(text) > MAX_LENGTH:
            raise InvalidInput(
                "a token with so many permissions would be too long; ask for a narrower scope",
                code="invalid_scope",
                field="scope",
            )
        return IssuedToken(access_token=text, expires_in=expires_s - issued_s, scope=" ".join(permissions))

    def exchange(
        self, client: Authenticated | None, subject: Authenticated, wish: TokenWish, token_id: str
    ) -> IssuedToken:
        """A token in the place of `subject` (RFC 8693), with at most its rights and its life.

        A key, or a token of ours, is exchanged by itself, or by its own key. The token of another issuer needs a
        `client`, a key of the tenant that trusts it: the result may what both may. Raises as `issue` does, and
        Unauthenticated (`invalid_client`) without that client, Forbidden (`invalid_grant`) where it is another's.
        """
        if subject.principal.key_id is not None:
            if client is not None and client.principal.key_id != subject.principal.key_id:
                raise Forbidden("the subject token is not the client's", code="invalid_grant")
            return self.issue(subject, wish, token_id)
        if client is None or client.principal.key_id is None:
            raise Unauthenticated("exchanging another issuer's token needs an API key", code="invalid_client")
        if client.principal.tenant_id != subject.principal.tenant_id:
            raise Forbidden("the subject token is not for the client's tenant", code="invalid_grant")
        return self.issue(_on_behalf(client, subject), wish, token_id)

    def revoke(self, actor: Actor, claims: OwnClaims) -> None:
        """End a token at once. Nothing where it is another tenant's: nobody there is told of it.

        Raises Forbidden where it is another key's and the caller may not revoke those: `permission_missing`, or
        `grant_exceeds_caller` where that key is of business units that are not the caller's.
        """
        principal = actor.principal
        if claims.tenant != principal.tenant_id:
            return
        own = claims.client_id == principal.key_id
        with self._changes.by(actor, None if own else REVOKE) as work:
            if work.transaction.is_revoked(claims.jti):
                return
            key = None if own else work.transaction.key(claims.tenant, claims.client_id)
            if key is not None:
                work.demand_units(key.business_unit_ids)
            # No token lives longer, whatever becomes of its key until then.
            ends_us = work.now + MAX_LIFE_S * _US
            work.transaction.revoke_token(claims.jti, claims.tenant, ends_us, work.now)
            work.record("auth.tokens.revoked", claims.jti, {}, {"client_id": claims.client_id})

    def _life(self, wanted_s: int | None) -> int:
        if wanted_s is None:
            return self._life_s
        if not 1 <= wanted_s <= MAX_LIFE_S:
            raise InvalidInput(f"a token lives 1 to {MAX_LIFE_S} seconds", field="expires_in")
        return wanted_s


def _ancestors(token: TokenUse | None) -> tuple[str, ...]:
    """Of a token that is exchanged for `token`. Another issuer's token is none: it cannot be revoked here."""
    if token is None or token.id is None or token.permissions is None:
        return ()
    if len(token.ancestors) >= _MOST_EXCHANGES:
        raise Forbidden("the token was exchanged too often", code="invalid_grant")
    return (*token.ancestors, token.id)


def _narrowed(principal: Principal, scope: str | None) -> list[str]:
    if scope is None:
        return principal.held
    wanted = set(scope.split(" ")) - {""}
    if not wanted <= {*principal.held}:
        raise InvalidInput("scope names a permission that the credential does not hold", code="invalid_scope")
    return sorted(wanted)


def _on_behalf(client: Authenticated, subject: Authenticated) -> Authenticated:
    """The subject, acting through the client's key: what both may, for as long as both may."""
    key, user = client.principal, subject.principal
    grants, scoped = key.lets_through(user.grants)
    principal = msgspec.structs.replace(
        user,
        key_id=key.key_id,
        grants=grants,
        limits=key.limits.within(user.business_unit_ids),
        scoped=scoped,
    )
    return Authenticated(principal, client.secret_version, earliest(client.ends_us, subject.ends_us))
