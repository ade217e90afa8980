"""Erasing what the record keeps of people: its personal parts go, the proof that a request was made stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from hatchpay.admin.ports import Directory
from hatchpay.admin.views import Actor
from hatchpay.admin.work import Changes
from hatchpay.audit.naming import recorded_id
from hatchpay.audit.ports import Erasure
from hatchpay.audit.record import Change
from hatchpay.clock import Clock, format_time
from hatchpay.errors import InvalidInput
from hatchpay.ids import IdSource

__all__ = ["ERASE", "MOST_REQUESTS", "DeliveredExport", "ErasureView", "Erasures", "Forget", "SeeExports"]

ERASE: Final = "audit-log.erasures.create"
MOST_REQUESTS: Final = 10_000
_EVENT: Final = "audit-log.records.erased"

DigestSubject = Callable[[str, str], str]
"""The digest of a subject, by tenant and text."""


class DeliveredExport(msgspec.Struct, frozen=True, kw_only=True):
    """An export of so many records that may have left with some of what was erased: whoever has it must be asked to
    erase that too.
    """

    id: str
    format: str
    principal_id: str
    started_at: str
    records: int


class ErasureView(msgspec.Struct, frozen=True, kw_only=True):
    """`records` had parts that are gone now. `complete` is False where a copy of them may be left in a log of a
    database, or in the search index, for a moment: repeat the call until it is True.
    """

    id: str
    erased_at: str
    records: int
    request_ids: tuple[str, ...]
    exports: tuple[DeliveredExport, ...]
    complete: bool


class Forget(Protocol):
    """A consumer of the ledger that keeps copies, such as the search index."""

    def __call__(self, tenant_id: str, seqs: Sequence[int], request_ids: Sequence[str]) -> bool:
        """Whether nothing of them is left."""
        ...


SeeExports = Callable[[str, Sequence[int]], Sequence[DeliveredExport]]
"""The exports of a tenant that contained any of these records, by their sequence numbers."""


class Erasures:
    def __init__(
        self,
        directory: Directory,
        erasure: Erasure,
        digest: DigestSubject,
        clock: Clock,
        new_id: IdSource,
        *,
        forget: Sequence[Forget] = (),
        exports: SeeExports = lambda tenant_id, seqs: (),
    ) -> None:
        self._changes = Changes(directory, clock, new_id)
        self._erasure = erasure
        self._digest = digest
        self._clock = clock
        self._new_id = new_id
        self._forget = forget
        self._exports = exports

    def erase(self, actor: Actor, subject: str | None, request_ids: tuple[str, ...]) -> ErasureView:
        """What was recorded about `subject`, or of these requests. Raises InvalidInput unless one of them is given,
        Forbidden where the caller may not, for all of the tenant, and AuditUnavailable.
        """
        if (subject is None) == (not request_ids):
            raise InvalidInput("give a subject or request ids, one of the two", field="subject")
        if len(request_ids) > MOST_REQUESTS:
            raise InvalidInput(f"at most {MOST_REQUESTS} at once", field="request_ids")
        with self._changes.by(actor, ERASE) as work:
            work.demand_units(None)
        tenant_id, now = actor.principal.tenant_id, self._clock()
        change = Change(
            id=self._new_id(),
            request_id=actor.request_id,
            tenant_id=tenant_id,
            at_us=now,
            actor=recorded_id(actor.principal),
            event=_EVENT,
            subject_id=tenant_id,
            detail=b"{}",
        )
        digest = None if subject is None else self._digest(tenant_id, subject)
        erased = self._erasure.erase(tenant_id, request_ids, digest, change)
        gone = [forget(tenant_id, erased.seqs, erased.request_ids) for forget in self._forget]
        return ErasureView(
            id=change.id,
            erased_at=format_time(now),
            records=len(erased.seqs),
            request_ids=erased.request_ids,
            exports=tuple(self._exports(tenant_id, erased.seqs)),
            complete=erased.cleared and all(gone),
        )
