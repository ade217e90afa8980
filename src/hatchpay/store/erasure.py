"""Erasure: destroys the keys and the salts of what was kept of somebody, and clears every column that still tells.

What the tree has sealed stays as it is: a leaf shows commitments only, and without their salts nobody can test a guess.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.audit.ports import Erased
from hatchpay.audit.record import Change
from hatchpay.errors import AuditUnavailable
from hatchpay.store.erasures_check import digest_of
from hatchpay.store.ledger import connect_to_write
from hatchpay.store.rows import INSERT_CHANGE, change_values
from hatchpay.store.vault import Vault

__all__ = ["LedgerErasure"]

_PART: Final = 500
_PATIENCE_S: Final = 10.0
_CLEAR_RECORDS: Final = """UPDATE records SET slot = NULL, encrypted = NULL, path = NULL, client_ip = NULL,
    principal_id = CASE WHEN principal_id = key_id OR principal_id LIKE 'local:%' THEN principal_id END
    WHERE seq IN"""


class LedgerErasure:
    """Raises AuditUnavailable. What was begun and cut off is done again by the same call: nothing of it comes back."""

    def __init__(self, ledger: Path, vault: Vault) -> None:
        self._ledger = ledger
        self._vault = vault

    def erase(self, tenant_id: str, request_ids: Sequence[str], subject: str | None, change: Change) -> Erased:
        """What was kept of these requests, and of all requests about `subject`, a digest.

        `change` is the event of the erasure; its detail becomes how many, and a digest of which.
        """
        with contextlib.closing(connect_to_write(self._ledger)) as db:
            db.execute("PRAGMA secure_delete = ON")
            try:
                db.execute("BEGIN IMMEDIATE")
                erased = self._erase(db, tenant_id, request_ids, subject, change)
                db.execute("COMMIT")
            except sqlite3.Error as error:
                raise AuditUnavailable(f"nothing was erased: {error}") from error
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
            return msgspec.structs.replace(erased, cleared=_clear_log(db))

    def _erase(
        self, db: sqlite3.Connection, tenant_id: str, request_ids: Sequence[str], subject: str | None, change: Change
    ) -> Erased:
        rows = dict(_by_ids(db, tenant_id, request_ids))
        if subject is not None:
            rows |= dict(self._by_subject(db, tenant_id, subject))
        names = [name for name, _, _ in rows.values()]
        changes = list(_changes_of(db, names))
        shared = {slot for (slot,) in db.execute("SELECT DISTINCT slot FROM subject_records")}
        own = {slot for _, slot, _ in rows.values() if slot is not None and slot not in shared}
        # Before the rows let go of them: cut off in between, the parts are dead already and the call can be repeated.
        self._vault.destroy([*own, *(slot for _, slot in changes if slot is not None)])
        _clear_usage(db, [address for _, _, address in rows.values() if address is not None])
        for part in _parts(list(rows)):
            marks = ", ".join("?" * len(part))
            db.execute(f"{_CLEAR_RECORDS} ({marks})", part)
            db.execute(f"DELETE FROM subject_records WHERE seq IN ({marks})", part)  # noqa: S608
        for part in _parts([seq for seq, _ in changes]):
            marks = ", ".join("?" * len(part))
            db.execute(f"UPDATE changes SET slot = NULL, encrypted = NULL WHERE seq IN ({marks})", part)  # noqa: S608
        marks_of = [(tenant_id, "record", seq, change.id) for seq in rows]
        marks_of += [(tenant_id, "change", seq, change.id) for seq, _ in changes]
        db.executemany("INSERT OR IGNORE INTO erased VALUES (?, ?, ?, ?)", marks_of)
        detail = {"count": len(names), "digest": digest_of(names)}
        told = msgspec.structs.replace(change, detail=msgspec.json.encode(detail))
        slot = self._vault.draw(1)[0]
        key = self._vault.key(slot)
        if key is None:
            raise AuditUnavailable("a key of the record's parts was destroyed before its use")
        db.execute(INSERT_CHANGE, change_values(told, slot, key))
        return Erased(tuple(sorted(rows)), tuple(names), cleared=False)

    def _by_subject(
        self, db: sqlite3.Connection, tenant_id: str, subject: str
    ) -> Iterable[tuple[int, tuple[str, int | None, str | None]]]:
        of_subject = "FROM subjects WHERE tenant_id = ? AND subject = ?"
        row = db.execute(f"SELECT slot {of_subject}", (tenant_id, subject)).fetchone()
        if row is None:
            return []
        query = """SELECT seq, request_id, slot, client_ip FROM records
            WHERE seq IN (SELECT seq FROM subject_records WHERE slot = ?)"""
        found = [(seq, (name, slot, address)) for seq, name, slot, address in db.execute(query, row)]
        self._vault.destroy(row)
        db.execute(f"DELETE {of_subject}", (tenant_id, subject))
        return found


def _by_ids(
    db: sqlite3.Connection, tenant_id: str, request_ids: Sequence[str]
) -> Iterable[tuple[int, tuple[str, int | None, str | None]]]:
    for part in _parts(list(request_ids)):
        marks = ", ".join("?" * len(part))
        query = f"SELECT seq, request_id, slot, client_ip FROM records WHERE tenant_id = ? AND request_id IN ({marks})"  # noqa: S608
        for seq, name, slot, address in db.execute(query, (tenant_id, *part)).fetchall():
            yield seq, (name, slot, address)


def _changes_of(db: sqlite3.Connection, names: list[str]) -> Iterable[tuple[int, int | None]]:
    for part in _parts(names):
        query = f"SELECT seq, slot FROM changes WHERE request_id IN ({', '.join('?' * len(part))})"  # noqa: S608
        # What happened to the trail itself has no parts, and is what accounts for what is gone.
        yield from db.execute(f"{query} AND commitments <> x'80'", part).fetchall()


def _clear_usage(db: sqlite3.Connection, addresses: list[str]) -> None:
    for part in _parts(sorted(set(addresses))):
        db.execute(f"UPDATE key_usage SET client_ip = NULL WHERE client_ip IN ({', '.join('?' * len(part))})", part)  # noqa: S608


def _parts(items: Sequence[int | str]) -> Iterable[list[int | str]]:
    return [list(items[start : start + _PART]) for start in range(0, len(items), _PART)]


def _clear_log(db: sqlite3.Connection) -> bool:
    """Whether the write-ahead log holds nothing of what was erased any more. Readers may delay it, not for long."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if not busy:
            return True
        time.sleep(0.05)
    return False
