"""Whose tokens are believed, compiled from the directory's rows for the hot path."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import msgspec

from hatchpay.access.directory import IssuerRow, RoleRow, SigningKeyRow, signing_key_ends
from hatchpay.errors import UnusableKey
from hatchpay.identity.buckets import LimitSource
from hatchpay.identity.own_token import MAX_LIFE_S
from hatchpay.identity.ports import IssuerEntry, OwnKey, Trust
from hatchpay.store.directory_view import SqlView
from hatchpay.tokens import jwk
from hatchpay.tokens.jwks import KeySet

__all__ = ["KINDS", "compile_trust", "limits_of"]

_log: Final = logging.getLogger("hatchpay.directory")
_US: Final = 1_000_000
_MOST_AT_ONCE: Final = 500
KINDS: Final = frozenset({"signing_key", "issuer", "revocation", "url", "role"})
"""The feed's kinds of change that concern it."""


def compile_trust(
    view: SqlView, roles: Mapping[str, RoleRow], old: Trust, changed: Mapping[str, Set[str]] | None = None
) -> Trust:
    """`old` with what has changed, by the feed's kinds and ids; all of it for None.

    What one tenant changes must cost nobody else more than that: issuers and revocations are taken over one by one.
    """
    everything = changed is None or max(map(len, changed.values())) > _MOST_AT_ONCE
    changed = dict.fromkeys(KINDS, frozenset()) if changed is None else changed
    parts: dict[str, object] = {}
    if "url" in changed:
        parts["urls"] = frozenset(view.served_urls())
    if "signing_key" in changed:
        parts["own"] = MappingProxyType(dict(_own(view.signing_keys())))
    if "issuer" in changed:
        ids = None if everything else changed["issuer"]
        kept = {} if ids is None else {one: entry for one, entry in old.issuers.items() if one not in ids}
        new = {row.id: _entry(row, old.issuers.get(row.id)) for row in view.load_issuers(ids)}
        parts["issuers"] = MappingProxyType({**kept, **new})
    if "revocation" in changed:
        parts["revoked"] = MappingProxyType(_revoked(view, old, None if everything else changed["revocation"]))
    if "role" in changed:
        parts["roles"] = MappingProxyType({(row.tenant_id, row.name): row.permissions for row in roles.values()})
        parts["role_limits"] = MappingProxyType(
            {(row.tenant_id, row.name): limits_of(row) for row in roles.values() if row.rate_limits}
        )
    return msgspec.structs.replace(old, **parts)


def limits_of(role: RoleRow) -> LimitSource:
    return LimitSource(f"role:{role.name}", role.id, role.rate_limits)


def _own(rows: Sequence[SigningKeyRow]) -> Iterable[tuple[str, OwnKey]]:
    """Without the retired ones. A key signs until the next one does, and its last token may live on from there."""
    ends = signing_key_ends(rows)
    for row in rows:
        if row.retired_us is not None:
            continue
        public = msgspec.json.decode(row.public_jwk, type=dict[str, str])
        yield (
            row.kid,
            OwnKey(
                kid=row.kid,
                algorithm=row.algorithm,
                public_jwk=MappingProxyType(public),
                key=jwk.load(public),
                sealed=row.sealed,
                signs_from_us=row.signs_from_us,
                ends_us=ends.get(row.kid),
            ),
        )


def _revoked(view: SqlView, old: Trust, token_ids: Set[str] | None) -> dict[str, int]:
    """Without those that had ended when the newest was revoked, which is MAX_LIFE_S before its end."""
    new = view.revoked(token_ids)
    now = max(new.values(), default=0) - MAX_LIFE_S * _US
    kept = {} if token_ids is None else {one: ends for one, ends in old.revoked.items() if ends > now}
    return {**kept, **new}


def _entry(row: IssuerRow, old: IssuerEntry | None) -> IssuerEntry:
    document = row.keys.document
    digest = None if document is None else sha256(document).digest()
    return IssuerEntry(
        id=row.id,
        tenant_id=row.tenant_id,
        issuer=row.issuer,
        audience=row.audience,
        jwks_url=row.jwks_url,
        algorithms=frozenset(row.algorithms),
        ceiling=row.ceiling,
        claims=row.claims,
        enabled=row.enabled,
        keys=old.keys if old is not None and old.keys_digest == digest else _keys(row),
        keys_digest=digest,
        fetched_us=row.keys.fetched_us,
        tried_us=row.keys.tried_us,
    )


def _keys(row: IssuerRow) -> KeySet | None:
    if row.keys.document is None:
        return None
    try:
        return KeySet.load(row.keys.document)
    except UnusableKey as error:
        # It was judged before it was stored; a newer program may judge more strictly.
        _log.error("the keys of the issuer %s cannot be used: %s", row.id, error.code)
        return None
