"""What the audit trail asks of storage."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from hatchpay.audit.record import Change, Entry, Payload, Record, flat

__all__ = [
    "Erased",
    "Erasure",
    "Feed",
    "History",
    "HistoryFilter",
    "HistoryPage",
    "Kept",
    "KeyUsage",
    "Receipts",
    "RecordProof",
    "Recorder",
    "Replay",
    "SealState",
    "Sealed",
    "TenantLog",
    "UsageReader",
    "WitnessState",
]


class Recorder(Protocol):
    """Makes entries durable, in the order of their submission."""

    @property
    def healthy(self) -> bool:
        """False while the last commit failed or is overdue: then no handler may run before its intent is durable."""
        ...

    def submit(self, entry: Entry) -> asyncio.Future[None]:
        """Queue `entry`, at once. The future ends when it is durable, or with AuditUnavailable."""
        ...

    def owe(self, entry: Entry) -> None:
        """Write `entry` as soon as the ledger takes entries again; nobody waits for it."""
        ...


class HistoryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """All given conditions must hold. `from_us` is inclusive, `to_us` exclusive; `status` is a range, both inclusive.

    `business_unit_ids` restricts a caller of chosen units; `before` and `after` are sequence numbers.
    """

    tenant_id: str
    business_unit_ids: frozenset[str] | None = None
    from_us: int | None = None
    to_us: int | None = None
    method: str | None = None
    path: str | None = None
    route: str | None = None
    status: tuple[int, int] | None = None
    principal_id: str | None = None
    key_id: str | None = None
    business_unit_id: str | None = None
    request_id: str | None = None
    client_ip: str | None = None
    min_us: int | None = None
    before: int | None = None
    after: int | None = None


class HistoryPage(msgspec.Struct, frozen=True):
    """Flat records, and the sequence number of the last of them where there may be more."""

    records: list[dict[str, object]]
    last: int | None


class History(Protocol):
    def page(self, wanted: HistoryFilter, limit: int) -> HistoryPage:
        """Newest first; oldest first where `after` is given."""
        ...


class KeyUsage(msgspec.Struct, frozen=True):
    """The latest recorded use of one secret of a key."""

    secret_version: int
    used_us: int
    client_ip: str | None


class UsageReader(Protocol):
    def usage(self, key_ids: list[str]) -> dict[str, list[KeyUsage]]:
        """By key id; keys that were never used are absent."""
        ...


class Replay(Protocol):
    """What a tenant's callers did. Raises AuditUnavailable where the record cannot be read.

    `business_unit_ids` restricts a caller of chosen units to what concerned those.
    """

    def count(self, tenant_id: str, from_us: int, to_us: int, business_unit_ids: frozenset[str] | None = None) -> int:
        """How many records `records` gives."""
        ...

    def records(
        self, tenant_id: str, from_us: int, to_us: int, business_unit_ids: frozenset[str] | None = None
    ) -> Iterator[list[Record]]:
        """Those that began at or after `from_us` and before `to_us` (microseconds), in batches, oldest first."""
        ...


class Sealed(msgspec.Struct, frozen=True):
    """Where a record stands in its tenant's tree: the leaf's index, and its RFC 6962 hash of 32 bytes."""

    index: int
    hash: bytes


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A record as a consumer of the ledger gets it. `leaf` is None until it is sealed."""

    seq: int
    record: Record
    changes: list[dict[str, object]]
    leaf: Sealed | None = None
    payload: Payload = "kept"

    def flat(self) -> dict[str, object]:
        """As the history shows it."""
        return flat(self.record, self.changes, self.payload)


class Feed(Protocol):
    """The whole ledger in the order in which it was written. A consumer keeps the last `seq` that it has dealt with;
    what it has not seen yet always has a greater one.
    """

    def after(self, seq: int, limit: int, tenant_id: str | None = None) -> list[Kept]:
        """At most `limit` records behind `seq`, oldest first; of one tenant, or of all. Raises AuditUnavailable."""
        ...

    def newest(self) -> int:
        """The greatest `seq` there is; 0 where there is none. Raises AuditUnavailable."""
        ...


class RecordProof(msgspec.Struct, frozen=True):
    """A record as the history shows it, with `openings`: salt and value of each part that its leaf commits to.

    `leaf` is None until it is sealed. Parts that were erased have no opening.
    """

    record: dict[str, object]
    business_unit_id: str | None
    openings: dict[str, dict[str, object]]
    leaf: Sealed | None


class WitnessState(msgspec.Struct, frozen=True):
    """`size` is what the witness has cosigned; `tried_us` the last try, in microseconds; `failure` why that failed."""

    name: str
    size: int
    tried_us: int
    failure: str | None


class TenantLog(msgspec.Struct, frozen=True, kw_only=True):
    """The verifiable log of a tenant. `checkpoint` and `cosigned` are signed notes, `successions` signed statements by
    which its keys vouch for their successors (ledger/succession.py).
    """

    origin: str
    vkey: str
    size: int
    root: bytes
    signed_us: int
    checkpoint: bytes
    cosigned: bytes | None
    cosigned_size: int
    successions: tuple[bytes, ...]
    witnesses: tuple[WitnessState, ...]


class SealState(msgspec.Struct, frozen=True):
    """`unsealed` records wait; the newest checkpoint was signed at `signed_us`, 0 for none."""

    unsealed: int
    signed_us: int


class Receipts(Protocol):
    """What proves a record to an outsider. Raises AuditUnavailable, BrokenLog."""

    def record(self, tenant_id: str, request_id: str) -> RecordProof | None:
        """None where the tenant has no such record."""
        ...

    def receipt(self, tenant_id: str, request_id: str) -> bytes | None:
        """In the format c2sp.org/tlog-proof@v1; None until the record is sealed."""
        ...

    def log(self, tenant_id: str) -> TenantLog | None:
        """None until something of the tenant is sealed."""
        ...


class Erased(msgspec.Struct, frozen=True):
    """The records whose parts are gone, by sequence number and request id. `cleared`: no log of the database holds
    anything of them any more; readers can delay that.
    """

    seqs: tuple[int, ...]
    request_ids: tuple[str, ...]
    cleared: bool


class Erasure(Protocol):
    def erase(self, tenant_id: str, request_ids: Sequence[str], subject: str | None, change: Change) -> Erased:
        """Destroy the parts of these requests of the tenant, and of all requests about `subject`, a digest.

        `change` is the event that accounts for it. Raises AuditUnavailable.
        """
        ...
