"""Who would be calling: keys and users as the snapshot knows them, judged without their credential."""

from __future__ import annotations

import re
from typing import Final, cast

import msgspec

from hatchpay.admin import checks
from hatchpay.admin.explain_views import Circumstances
from hatchpay.admin.views import Actor
from hatchpay.admin.work import found, within_units
from hatchpay.audit.ports import History, HistoryFilter
from hatchpay.audit.redact import redact_text
from hatchpay.errors import InvalidInput, InvalidToken, NotFound
from hatchpay.identity import own_token
from hatchpay.identity.authenticator import judge_key
from hatchpay.identity.issuer import User
from hatchpay.identity.own_token import OwnClaims
from hatchpay.identity.ports import KeyEntry, Snapshot
from hatchpay.identity.principal import Principal
from hatchpay.identity.tokens import user_principal
from hatchpay.ids import is_uuid
from hatchpay.tokens.apikey import encode_id

__all__ = ["Asker", "find_asker"]

_US: Final = 1_000_000
_USER: Final = "user:"
_USER_ID: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")
_LONGEST_AGE_S: Final = 366 * 24 * 3600


class Asker(msgspec.Struct, frozen=True):
    """`invalid` is why the credential would be refused, None where it is good."""

    principal: Principal
    invalid: str | None = None


def find_asker(
    text: str, actor: Actor, snapshot: Snapshot, context: Circumstances, history: History, now: int
) -> Asker:
    """The key or the user that `text` names, of `actor`'s tenant, `now` in microseconds.

    Raises NotFound for a key that is not there, or not the actor's to see, and for a user of whom nothing is known;
    InvalidInput for a context that does not fit; AuditUnavailable.
    """
    age = context.token_age_s
    if age is not None and not 0 <= age <= _LONGEST_AGE_S:
        raise InvalidInput(f"an age is 0 to {_LONGEST_AGE_S} seconds", field="context.token_age")
    if is_uuid(text.lower()):
        return _key(_entry(checks.identifier(text, "principal"), actor, snapshot), snapshot, context, now)
    user_id = text.removeprefix(_USER)
    if not _USER_ID.fullmatch(user_id):
        raise InvalidInput("a principal is the id of a key, or that of a user", field="principal")
    return _user(user_id, actor, snapshot, context, history, now)


def _entry(key_id: str, actor: Actor, snapshot: Snapshot) -> KeyEntry:
    entry = found(snapshot.keys.get(encode_id(key_id)), "API key")
    owner = entry.principal
    visible = owner.tenant_id == actor.principal.tenant_id and within_units(
        actor.principal.limits, owner.limits.business_unit_ids
    )
    return found(entry if visible else None, "API key")


def _key(entry: KeyEntry, snapshot: Snapshot, context: Circumstances, now: int) -> Asker:
    """With its newest secret, or with a token that was made from it without a narrower scope."""
    for field in ("roles", "issuer_id"):
        if getattr(context, field) is not None:
            raise InvalidInput("a key has its own roles, and no issuer", field=f"context.{field}")
    if context.authentication_method == "token":
        return _token_of_key(entry, snapshot, now - (context.token_age_s or 0) * _US, now)
    if context.token_age_s is not None:
        raise InvalidInput("an age goes with the authentication method token", field="context.token_age")
    refused = judge_key(entry, entry.secrets[0], lambda: now)
    return Asker(entry.principal, None if refused is None else refused.reason)


def _token_of_key(entry: KeyEntry, snapshot: Snapshot, issued_us: int, now: int) -> Asker:
    owner = entry.principal
    claims = OwnClaims(
        sub=owner.id,
        client_id=owner.id,
        # No token has this id, so that none of those that were revoked is meant.
        jti="",
        iat=issued_us // _US,
        tenant=owner.tenant_id,
        secret_version=entry.secrets[0].version,
        roles=owner.roles,
        permissions=frozenset(owner.grants) | owner.scoped.keys(),
        business_units=None,
    )
    if now - issued_us >= own_token.MAX_LIFE_S * _US:
        return Asker(owner, "token_expired")
    try:
        return Asker(own_token.judge(claims, snapshot, now).principal)
    except InvalidToken as error:
        return Asker(owner, error.code)


def _user(user_id: str, actor: Actor, snapshot: Snapshot, context: Circumstances, history: History, now: int) -> Asker:
    if context.authentication_method == "api_key":
        raise InvalidInput("users have no key, only tokens", field="context.authentication_method")
    role_names, issuer_id = context.roles, context.issuer_id
    if role_names is None or issuer_id is None:
        roles_then, issuer_then = _last_seen(user_id, actor, history)
        role_names = roles_then if role_names is None else role_names
        issuer_id = issuer_then if issuer_id is None else issuer_id
    trusted = snapshot.trust.issuers.get(issuer_id)
    tenant_id = actor.principal.tenant_id
    if trusted is None or trusted.tenant_id != tenant_id:
        if context.issuer_id is not None:
            raise InvalidInput("the tenant trusts no such issuer", code="unknown_issuer", field="context.issuer_id")
        nobody = Principal(_USER + user_id, "user", tenant_id, None, role_names, {})
        return Asker(nobody, "token_issuer_unknown")
    user = User(id=user_id, role_names=role_names, permissions=frozenset(), business_unit_ids=None)
    issued_us = now - (context.token_age_s or 0) * _US
    principal = user_principal(user, trusted, snapshot, issued_us=issued_us)
    return Asker(principal, None if trusted.enabled else "token_issuer_disabled")


def _last_seen(user_id: str, actor: Actor, history: History) -> tuple[tuple[str, ...], str]:
    """Roles and issuer of the most recent request of the user that `actor` may see."""
    wanted = HistoryFilter(
        tenant_id=actor.principal.tenant_id,
        business_unit_ids=actor.principal.limits.business_unit_ids,
        # As the record names users: see audit.naming.
        principal_id=redact_text(_USER + user_id),
    )
    records = history.page(wanted, 1).records
    if not records:
        raise NotFound(
            "nothing is recorded of such a user: say its roles and its issuer (context.roles, context.issuer_id)",
            code="principal_unknown",
        )
    return tuple(cast(list[str], records[0]["roles"])), str(records[0]["issuer_id"])
