"""Which parts may be gone: those that an erasure or an expiry accounts for, and no others.

Each says in its leaf how many requests it took the parts of, and gives a digest over their ids.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from typing import Final

import msgspec

from hatchpay.audit.leaf import PROOF_EVENTS
from hatchpay.audit.record import Change

__all__ = ["accounted_for", "digest_of"]

_change: Final = msgspec.msgpack.Decoder(Change).decode
_KINDS: Final = frozenset({"erasure", "expiry"})


class _Detail(msgspec.Struct):
    count: int
    digest: str


_detail: Final = msgspec.json.Decoder(_Detail).decode


def digest_of(names: Iterable[str]) -> str:
    """SHA-256 in hex over the ids in their order, a line each."""
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest()


def accounted_for(db: sqlite3.Connection, tenant_id: str) -> set[tuple[str, int]]:
    """Rows of the tenant, as source and sequence number, whose parts are gone by an erasure that counts them."""
    query = "SELECT DISTINCT erasure_id FROM erased WHERE tenant_id = ?"
    found: set[tuple[str, int]] = set()
    for (erasure_id,) in db.execute(query, (tenant_id,)).fetchall():
        if _counts(db, tenant_id, erasure_id):
            rows = "SELECT source, seq FROM erased WHERE tenant_id = ? AND erasure_id = ?"
            found |= set(db.execute(rows, (tenant_id, erasure_id)))
    return found


def _counts(db: sqlite3.Connection, tenant_id: str, erasure_id: str) -> bool:
    row = db.execute("SELECT change FROM changes WHERE tenant_id = ? AND id = ?", (tenant_id, erasure_id)).fetchone()
    if row is None:
        return False
    query = """SELECT request_id FROM erased JOIN records USING (tenant_id, seq)
        WHERE tenant_id = ? AND source = 'record' AND erasure_id = ?"""
    names = [name for (name,) in db.execute(query, (tenant_id, erasure_id))]
    try:
        change = _change(row[0])
        detail = _detail(change.detail)
    except msgspec.MsgspecError:
        return False
    kind = PROOF_EVENTS.get(change.event)
    return kind in _KINDS and (detail.count, detail.digest) == (len(names), digest_of(names))
