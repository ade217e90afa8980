"""The directory's rows about tokens, within one transaction: signing keys, issuers, revoked tokens, own URLs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Executable, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from hatchpay.access.directory import IssuerKeys, IssuerRow, SigningKeyRow
from hatchpay.errors import Conflict
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.store.schema import feed, issuers, revoked_tokens, served_urls, signing_keys

__all__ = ["TokenChanges", "TokenView", "tell"]

_KEPT_URLS: Final = 64
_KEY_FIELDS: Final = IssuerKeys.__struct_fields__
_strings: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_claims: Final = msgspec.json.Decoder(ClaimsMapping).decode


class TokenView:
    """What one transaction sees. Whatever takes a `tenant_id` finds nothing of another tenant."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def signing_keys(self) -> list[SigningKeyRow]:
        """Oldest signer first, retired ones included."""
        query = select(signing_keys).order_by(signing_keys.c.signs_from_us, signing_keys.c.created_us)
        return [SigningKeyRow(**row._mapping) for row in self._connection.execute(query)]

    def issuer(self, tenant_id: str, issuer_id: str) -> IssuerRow | None:
        query = select(issuers).where(issuers.c.tenant_id == tenant_id, issuers.c.id == issuer_id)
        return next(iter(map(_issuer, self._connection.execute(query))), None)

    def issuers(self, tenant_id: str, limit: int | None = None, before: str | None = None) -> list[IssuerRow]:
        """Newest first; all of the tenant's without a `limit`."""
        query = select(issuers).where(issuers.c.tenant_id == tenant_id).order_by(issuers.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(issuers.c.id < before)
        return list(map(_issuer, self._connection.execute(query)))

    def issuer_count(self, tenant_id: str) -> int:
        query = select(func.count()).select_from(issuers).where(issuers.c.tenant_id == tenant_id)
        return int(self._connection.execute(query).scalar_one())

    def load_issuers(self, issuer_ids: Iterable[str] | None) -> list[IssuerRow]:
        """Issuers by id, of every tenant; all of the directory for None."""
        query = select(issuers)
        if issuer_ids is not None:
            query = query.where(issuers.c.id.in_(list(issuer_ids)))
        return list(map(_issuer, self._connection.execute(query)))

    def revoked(self, token_ids: Collection[str] | None) -> dict[str, int]:
        """Those among `token_ids` that are revoked, all for None: id to the microsecond of its end at the latest."""
        query = select(revoked_tokens.c.id, revoked_tokens.c.ends_us)
        if token_ids is not None:
            query = query.where(revoked_tokens.c.id.in_(list(token_ids)))
        return {token_id: ends for token_id, ends in self._connection.execute(query)}  # noqa: C416

    def is_revoked(self, token_id: str) -> bool:
        query = select(revoked_tokens.c.id).where(revoked_tokens.c.id == token_id)
        return self._connection.execute(query).first() is not None

    def served_urls(self) -> list[str]:
        """The last one that was served first."""
        query = select(served_urls.c.url).order_by(served_urls.c.served_us.desc(), served_urls.c.url).limit(_KEPT_URLS)
        return list(self._connection.execute(query).scalars())


class TokenChanges(TokenView):
    """Each change is named in the feed."""

    def add_signing_key(self, key: SigningKeyRow) -> None:
        self._connection.execute(insert(signing_keys).values(msgspec.structs.asdict(key)))
        tell(self._connection, "signing_key", key.kid, None)

    def save_signing_key(self, key: SigningKeyRow) -> None:
        columns = msgspec.structs.asdict(key)
        self._connection.execute(update(signing_keys).where(signing_keys.c.kid == key.kid).values(columns))
        tell(self._connection, "signing_key", key.kid, None)

    def add_issuer(self, issuer: IssuerRow) -> None:
        """Raises Conflict (`issuer_exists`) where some tenant trusts this issuer for this audience already."""
        self._save_issuer(insert(issuers).values(_columns(issuer)), issuer)

    def save_issuer(self, issuer: IssuerRow) -> None:
        """Replace what is stored. Raises Conflict as `add_issuer` does."""
        self._save_issuer(update(issuers).where(issuers.c.id == issuer.id).values(_columns(issuer)), issuer)

    def save_issuer_keys(self, issuer_id: str, keys: IssuerKeys) -> None:
        """Nothing where the issuer is gone."""
        columns = msgspec.structs.asdict(keys)
        self._connection.execute(update(issuers).where(issuers.c.id == issuer_id).values(columns))
        tell(self._connection, "issuer", issuer_id, None)

    def remove_issuer(self, issuer: IssuerRow) -> None:
        self._connection.execute(delete(issuers).where(issuers.c.id == issuer.id))
        tell(self._connection, "issuer", issuer.id, issuer.tenant_id)

    def revoke_token(self, token_id: str, tenant_id: str, ends_us: int, now: int) -> None:
        """Revoking twice changes nothing. Forgets those that have ended by `now`."""
        self._connection.execute(delete(revoked_tokens).where(revoked_tokens.c.ends_us <= now))
        if not self.is_revoked(token_id):
            row = {"id": token_id, "tenant_id": tenant_id, "ends_us": ends_us}
            self._connection.execute(insert(revoked_tokens).values(row))
            tell(self._connection, "revocation", token_id, tenant_id)

    def serve_url(self, url: str, now: int) -> None:
        """Note that this installation serves under `url`; its own tokens may name it from now on."""
        found = self._connection.execute(update(served_urls).where(served_urls.c.url == url).values({"served_us": now}))
        if found.rowcount == 0:
            self._connection.execute(insert(served_urls).values({"url": url, "served_us": now}))
            self._connection.execute(delete(served_urls).where(served_urls.c.url.not_in(self.served_urls())))
            tell(self._connection, "url", url[:200], None)

    def _save_issuer(self, statement: Executable, issuer: IssuerRow) -> None:
        try:
            self._connection.execute(statement)
        except IntegrityError as error:
            raise Conflict(
                "this issuer is trusted for this audience already; change that entry, or choose another audience",
                code="issuer_exists",
                field="audience",
            ) from error
        tell(self._connection, "issuer", issuer.id, issuer.tenant_id)


def tell(connection: Connection, kind: str, subject_id: str, tenant_id: str | None) -> None:
    """Name a change in the feed."""
    connection.execute(insert(feed).values({"kind": kind, "subject_id": subject_id, "tenant_id": tenant_id}))


def _columns(issuer: IssuerRow) -> dict[str, Any]:
    columns = {**msgspec.structs.asdict(issuer), **msgspec.structs.asdict(issuer.keys)}
    del columns["keys"]
    columns["ceiling"] = sorted(issuer.ceiling)
    for name in ("algorithms", "ceiling", "claims"):
        columns[name] = msgspec.json.encode(columns[name]).decode()
    return columns


def _issuer(row: Row[Any]) -> IssuerRow:
    columns = dict(row._mapping)
    keys = IssuerKeys(**{name: columns.pop(name) for name in _KEY_FIELDS})
    columns["algorithms"] = _strings(columns["algorithms"])
    columns["ceiling"] = frozenset(_strings(columns["ceiling"]))
    columns["claims"] = _claims(columns["claims"])
    return IssuerRow(**columns, keys=keys)
