"""Issuers of tokens that a tenant trusts: added, read, changed, ended.

Trusting an issuer grants: whoever it says is a user may do what its ceiling allows, tenant-wide and for as long as the
entry stands. So whoever adds or changes one must hold the whole ceiling, without limits. Lowering the ceiling,
disabling and deleting only take away; but not for a caller of chosen business units, since an issuer is the whole
tenant's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import UNSET

from hatchpay.access.directory import IssuerKeys, IssuerRow
from hatchpay.admin import checks
from hatchpay.admin.paging import DEFAULT_LIMIT, page
from hatchpay.admin.ports import Directory
from hatchpay.admin.present import issuer_facts, issuer_view
from hatchpay.admin.token_views import IssuerChanges, IssuerView, NewIssuer
from hatchpay.admin.versions import IfMatch
from hatchpay.admin.views import Actor, Page
from hatchpay.admin.work import Changes, Work, found
from hatchpay.clock import Clock
from hatchpay.errors import Conflict, FetchFailed, InvalidInput, UnusableKey
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.identity.principal import Limits, Reach
from hatchpay.ids import IdSource
from hatchpay.tokens.jwks import KeySet

__all__ = ["ISSUER_ALGORITHMS", "MAX_ISSUERS", "FetchKeys", "Issuers"]

ISSUER_ALGORITHMS: Final = ("EdDSA", "ES256", "PS256", "RS256")
"""HMAC is never among them: whoever can verify it can forge it."""

MAX_ISSUERS: Final = 50
"""How many a tenant trusts at most: each has its keys fetched again and again, whoever its tokens are for."""


class FetchKeys(Protocol):
    def __call__(self, issuer: str, jwks_url: str | None) -> bytes:
        """The JWK Set that the issuer publishes. Raises FetchFailed."""
        ...


class Issuers:
    """The use cases around trusted issuers. Where one raises, nothing has changed:

    - InvalidInput for bad input, and where the issuer's keys cannot be fetched
    - NotFound for an issuer that the caller's tenant does not trust
    - Conflict: `issuer_exists`, `too_many_issuers`
    - PreconditionFailed where the issuer is not as `expected`
    - Forbidden for what exceeds the caller (`grant_exceeds_caller`) or is not its to do (`permission_missing`)
    - Unauthenticated where the caller's own credential is no longer good; DirectoryUnavailable
    """

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        new_id: IdSource,
        fetch: FetchKeys,
        own_urls: Callable[[], frozenset[str]],
        *,
        insecure: bool = False,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._changes = Changes(directory, clock, new_id)
        self._fetch = fetch
        self._own_urls = own_urls
        self._insecure = insecure

    def create(self, actor: Actor, wanted: NewIssuer) -> IssuerView:
        """Trusts an issuer from now on. Its keys are fetched before anything is stored."""
        issuer = checks.issuer_url(wanted.issuer, "issuer", insecure=self._insecure)
        if issuer.rstrip("/") in self._own_urls():
            raise InvalidInput("this is HatchPay's own issuer", field="issuer")
        drafted = IssuerRow(
            id="",
            tenant_id=actor.principal.tenant_id,
            issuer=issuer,
            audience=_audience(wanted.audience, issuer),
            jwks_url=self._jwks_url(wanted.jwks_url),
            algorithms=_algorithms(wanted.algorithms),
            ceiling=_ceiling(wanted.ceiling),
            claims=_claims(wanted.claims),
            created_us=0,
            updated_us=0,
        )
        with self._changes.by(actor, "auth.issuers.create") as work:
            # Before anything is fetched for the caller, and once more when it is stored.
            _demand_room(work)
            _demand(work, drafted)
        keys = self._fetched(drafted)
        with self._changes.by(actor, "auth.issuers.create") as work:
            _demand_room(work)
            row = msgspec.structs.replace(
                drafted, id=work.new_id(), created_us=work.now, updated_us=work.now, keys=keys
            )
            _demand(work, row)
            work.transaction.add_issuer(row)
            work.record("auth.issuers.created", row.id, {}, issuer_facts(row))
            return issuer_view(row)

    def list(self, actor: Actor, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[IssuerView]:
        """Newest first."""
        with self._directory.read() as view:

            def fetch(count: int, last: str | None) -> Sequence[IssuerRow]:
                return view.issuers(actor.principal.tenant_id, count, last)

            return page(fetch, lambda rows: list(map(issuer_view, rows)), lambda row: row.id, limit, cursor)

    def get(self, actor: Actor, issuer_id: str) -> IssuerView:
        checks.identifier(issuer_id, "issuer_id")
        with self._directory.read() as view:
            return issuer_view(found(view.issuer(actor.principal.tenant_id, issuer_id), "trusted issuer"))

    def update(
        self, actor: Actor, issuer_id: str, changes: IssuerChanges, expected: IfMatch | None = None
    ) -> IssuerView:
        """Whatever could let a token do more, or another token count, grants."""
        checks.identifier(issuer_id, "issuer_id")
        with self._directory.read() as view:
            before = found(view.issuer(actor.principal.tenant_id, issuer_id), "trusted issuer")
        keys = None
        if changes.jwks_url is not UNSET and changes.jwks_url != before.jwks_url:
            moved = msgspec.structs.replace(before, jwks_url=self._jwks_url(changes.jwks_url))
            with self._changes.by(actor, "auth.issuers.update") as work:
                # Nothing is fetched for a caller who will be refused.
                found(work.transaction.issuer(work.tenant_id, issuer_id), "trusted issuer", expected)
                _demand(work, moved)
            keys = self._fetched(moved)
        with self._changes.by(actor, "auth.issuers.update") as work:
            work.demand_units(None)
            old = found(work.transaction.issuer(work.tenant_id, issuer_id), "trusted issuer", expected)
            new = self._changed(old, changes)
            if issuer_facts(new) == issuer_facts(old):
                return issuer_view(old)
            if _grants(old, new):
                _demand(work, new)
            if keys is None:
                # Those of another place, to which somebody has just moved it, do not count for this one.
                keys = old.keys if new.jwks_url == old.jwks_url else IssuerKeys()
            new = msgspec.structs.replace(new, updated_us=work.now, keys=keys)
            work.transaction.save_issuer(new)
            work.record("auth.issuers.updated", issuer_id, issuer_facts(old), issuer_facts(new))
            return issuer_view(new)

    def delete(self, actor: Actor, issuer_id: str, expected: IfMatch | None = None) -> None:
        """Its tokens are refused from now on."""
        checks.identifier(issuer_id, "issuer_id")
        with self._changes.by(actor, "auth.issuers.delete") as work:
            work.demand_units(None)
            row = found(work.transaction.issuer(work.tenant_id, issuer_id), "trusted issuer", expected)
            work.transaction.remove_issuer(row)
            work.record("auth.issuers.deleted", issuer_id, issuer_facts(row), {})

    def _fetched(self, row: IssuerRow) -> IssuerKeys:
        """Raises InvalidInput that names what to mend."""
        field = "issuer" if row.jwks_url is None else "jwks_url"
        try:
            document = self._fetch(row.issuer, row.jwks_url)
            KeySet.load(document)
        except (FetchFailed, UnusableKey) as error:
            raise InvalidInput(
                f"the issuer's keys cannot be had: {error.detail}", code=error.code, field=field
            ) from None
        now = self._clock()
        return IssuerKeys(document=document, fetched_us=now, tried_us=now)

    def _changed(self, row: IssuerRow, changes: IssuerChanges) -> IssuerRow:
        wanted: dict[str, object] = {}
        if changes.audience is not UNSET:
            wanted["audience"] = _audience(changes.audience, row.issuer)
        if changes.jwks_url is not UNSET:
            wanted["jwks_url"] = self._jwks_url(changes.jwks_url)
        if changes.algorithms is not UNSET:
            wanted["algorithms"] = _algorithms(changes.algorithms)
        if changes.ceiling is not UNSET:
            wanted["ceiling"] = _ceiling(changes.ceiling)
        if changes.claims is not UNSET:
            wanted["claims"] = _claims(changes.claims)
        if changes.status is not UNSET:
            wanted["enabled"] = changes.status == "enabled"
        return msgspec.structs.replace(row, **wanted)

    def _jwks_url(self, value: str | None) -> str | None:
        return None if value is None else checks.issuer_url(value, "jwks_url", insecure=self._insecure, query=True)


def _demand_room(work: Work) -> None:
    """Raises Conflict where the tenant trusts as many as it may."""
    if work.transaction.issuer_count(work.tenant_id) >= MAX_ISSUERS:
        raise Conflict(f"a tenant trusts at most {MAX_ISSUERS} issuers", code="too_many_issuers")


def _demand(work: Work, row: IssuerRow) -> None:
    """Raises InvalidInput for a permission that there is not, Forbidden for one that the caller does not hold, or where
    it may do this for chosen business units only.
    """
    work.demand_units(None)
    if not row.ceiling <= {permission.name for permission in work.transaction.catalogue()}:
        raise InvalidInput("there is no such permission", code="unknown_permission", field="ceiling")
    work.demand(Reach(row.ceiling, Limits()))


def _grants(old: IssuerRow, new: IssuerRow) -> bool:
    """False only where nothing but the ceiling was lowered, algorithms were taken away, or it was disabled."""
    same = msgspec.structs.replace(new, ceiling=old.ceiling, algorithms=old.algorithms, enabled=old.enabled)
    return (
        same != old
        or not new.ceiling <= old.ceiling
        or not set(new.algorithms) <= set(old.algorithms)
        or (new.enabled and not old.enabled)
    )


def _algorithms(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or not set(value) <= set(ISSUER_ALGORITHMS):
        raise InvalidInput(f"algorithms are one or more of {', '.join(ISSUER_ALGORITHMS)}", field="algorithms")
    return checks.distinct(value, "algorithms", "duplicate_algorithm")


def _audience(value: str, issuer: str) -> str:
    """Not the issuer's own `/userinfo`, which the tokens of many of its users name besides what they are for."""
    audience = checks.audience(value)
    if audience == f"{issuer.rstrip('/')}/userinfo":
        raise InvalidInput("the audience is the API that tokens are for, not the issuer's own", field="audience")
    return audience


def _ceiling(value: tuple[str, ...]) -> frozenset[str]:
    return frozenset(checks.distinct(value, "ceiling", "duplicate_permission"))


def _claims(value: ClaimsMapping) -> ClaimsMapping:
    for name in value.__struct_fields__:
        checks.claim(getattr(value, name), f"claims.{name}")
    return value
