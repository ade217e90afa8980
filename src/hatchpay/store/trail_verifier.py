"""Verifies whole trails: ledger, tiles and checkpoints against each other, leaf by leaf, and against what others hold.

It trusts nothing of what it reads but the keys, and the checkpoints that somebody else kept. It names the first thing
that is wrong in each tenant's trail, since whatever comes after may follow from it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Generic, Literal, NoReturn, TypeVar, cast

from hatchpay.audit.verifying import Flaw, FlawKind, Holds, Progress, VerifyWish
from hatchpay.errors import BrokenLog, InvalidProof
from hatchpay.ledger.checkpoint import Checkpoint, open_checkpoint
from hatchpay.ledger.merkle import HASH_BYTES, leaf_hash
from hatchpay.ledger.note import VerifierKey
from hatchpay.ledger.succession import follow
from hatchpay.ledger.tiles import TILE_WIDTH, Edge, TileReader
from hatchpay.store.erasures_check import accounted_for
from hatchpay.store.ledger import reading
from hatchpay.store.row_check import (
    CHANGE_QUERY,
    RECORD_QUERY,
    ChangeAsStored,
    RecordAsStored,
    change_flaw,
    record_flaw,
)
from hatchpay.store.seals import LeafRow, Log, SealStore
from hatchpay.store.tile_files import TileFiles
from hatchpay.store.vault import Vault

__all__ = ["LedgerTrailVerifier"]

Row = TypeVar("Row", bound=tuple[object, ...])
_PROGRESS_EVERY: Final = 4_096
_Place = Literal["inserted", "removed", "reordered"]
_MISPLACED: Final[dict[_Place, str]] = {
    "inserted": "it is in the ledger, and in no leaf",
    "removed": "a leaf stands for it, and the ledger has it no more",
    "reordered": "its leaf stands in another order than the ledger",
}


class _Found(Exception):
    """Ends the walk through one trail."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.detail)
        self.flaw = flaw


class _Misplaced(Exception):
    def __init__(self, kind: _Place, seq: int, name: str | None) -> None:
        super().__init__(kind)
        self.kind: _Place = kind
        self.seq = seq
        self.name = name


class LedgerTrailVerifier:
    """Raises AuditUnavailable where the ledger or the seals cannot be read at all."""

    def __init__(self, ledger: Path, vault: Vault, seals: SealStore, root: Path) -> None:
        self._ledger = ledger
        self._vault = vault
        self._seals = seals
        self._root = root

    def verify(self, wish: VerifyWish) -> Iterator[Progress | Flaw | Holds]:
        """One Flaw or one Holds for each tenant that has a log or a record."""
        cursor = self._seals.cursors().record
        logs = [log for log in self._seals.logs() if wish.tenant_id in (None, log.tenant_id)]
        total = sum(log.edge.size for log in logs)
        done = 0
        with reading(self._ledger) as db:
            # Whoever writes to the file by hand can put any bytes where text belongs; they differ, and end nothing.
            db.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            if wish.deep:
                yield from self._integrity(db, wish)
            for log in logs:
                try:
                    walk = _Walk(log, wish, db, self._seals, TileFiles(self._root, log.tenant_id), self._vault, cursor)
                    for count in walk.run():
                        yield Progress(done + count, total)
                    yield walk.result()
                except _Found as found:
                    yield found.flaw
                done += log.edge.size
            known = {log.tenant_id for log in logs}
            for tenant_id, seq, request_id in _without_log(db, cursor, known, wish.tenant_id):
                detail = "a record is in the ledger that no log has"
                yield Flaw(kind="inserted", tenant_id=tenant_id, detail=detail, seq=seq, request_id=request_id)
        yield Progress(total, total)

    @staticmethod
    def _integrity(db: sqlite3.Connection, wish: VerifyWish) -> Iterator[Flaw]:
        for (line,) in db.execute("PRAGMA integrity_check(1)"):
            if line != "ok":
                yield Flaw(kind="damaged", tenant_id=wish.tenant_id or "", detail="the ledger's file is damaged")


class _Walk:
    """Through one tenant's trail, once."""

    def __init__(
        self,
        log: Log,
        wish: VerifyWish,
        db: sqlite3.Connection,
        seals: SealStore,
        files: TileFiles,
        vault: Vault,
        cursor: int,
    ) -> None:
        self._log = log
        self._wish = wish
        self._db = db
        self._seals = seals
        self._files = files
        self._vault = vault
        self._cursor = cursor
        self._edge = Edge()
        self._erased: list[tuple[LeafRow, str]] = []
        self._records: _Rows[RecordAsStored] = _Rows(db, RECORD_QUERY, log.tenant_id)
        self._changes: _Rows[ChangeAsStored] = _Rows(db, CHANGE_QUERY, log.tenant_id)

    def run(self) -> Iterator[int]:
        """Yields how many leaves were looked at. Raises _Found."""
        keys = self._keys()
        checkpoint = self._checkpoint(keys)
        held = sorted(self._held(keys), key=lambda one: one.size)
        size = self._log.edge.size
        if held and held[-1].size > size:
            self._fail("cut_off", f"somebody holds a checkpoint of {held[-1].size} leaves; there are {size}")
        reader = TileReader(self._files, size)
        start = 0
        while start < size:
            end = min(start + TILE_WIDTH, size)
            hashes = self._bundle(reader, start, end)
            for one in held:
                if start < one.size <= end:
                    root = self._edge.extended(hashes[: one.size - start])[0].root()
                    if root != one.root:
                        self._fail("rewritten", f"the first {one.size} leaves are not those that somebody holds")
            self._grow(hashes)
            start = end
            if start % _PROGRESS_EVERY == 0:
                yield start
        self._partial_tiles(reader, size)
        if self._edge.root() != checkpoint.root:
            self._fail("rewritten", "the leaves do not lead to the checkpoint's root")
        self._nothing_inserted()
        self._erasures()
        self._held_size = held[-1].size if held else 0

    def result(self) -> Holds:
        query = "SELECT count(*) FROM records WHERE tenant_id = ? AND seq > ?"
        (unsealed,) = self._db.execute(query, (self._log.tenant_id, self._cursor)).fetchone()
        log = self._log
        return Holds(
            tenant_id=log.tenant_id,
            origin=log.origin,
            vkey=log.vkey,
            size=log.edge.size,
            root=self._edge.root(),
            unsealed=unsealed,
            held_size=self._held_size,
        )

    def _keys(self) -> tuple[VerifierKey, ...]:
        """Those that may have signed: the wished ones of this log and their successors, or what the log itself says."""
        statements = self._seals.successions(self._log.tenant_id)
        wished = [VerifierKey.parse(vkey) for vkey in self._wish.keys]
        own = [key for key in wished if key.name == self._log.origin]
        if not own:
            own = [VerifierKey.parse(self._log.vkey)]
        try:
            return tuple(key for known in own for key in follow(known, statements))
        except InvalidProof as error:
            self._fail("damaged", error.detail)

    def _checkpoint(self, keys: Sequence[VerifierKey]) -> Checkpoint:
        published = self._files.read("checkpoint")
        for note in (self._log.checkpoint, published):
            if note is None:
                self._fail("damaged", "the published checkpoint is gone")
            try:
                checkpoint, _ = open_checkpoint(note, keys)
            except InvalidProof as error:
                self._fail("damaged", f"a checkpoint does not hold: {error.detail}")
            if note is self._log.checkpoint and checkpoint.size != self._log.edge.size:
                self._fail("damaged", "the checkpoint is of another size than the log")
        return open_checkpoint(self._log.checkpoint, keys)[0]

    def _held(self, keys: Sequence[VerifierKey]) -> Iterator[Checkpoint]:
        published = self._files.read("checkpoint")
        for note in (*self._wish.held, self._log.cosigned, published):
            if note is None:
                continue
            try:
                checkpoint, _ = open_checkpoint(note, keys)
            except InvalidProof as error:
                if error.code == "log_unknown":
                    continue
                self._fail("damaged", f"a checkpoint does not hold: {error.detail}")
            yield checkpoint

    def _bundle(self, reader: TileReader, start: int, end: int) -> list[bytes]:
        index = start // TILE_WIDTH
        try:
            row = reader.tile(0, index)
            entries = reader.entries(index)
        except (BrokenLog, InvalidProof) as error:
            self._fail("damaged", error.detail, start)
        leaves = self._seals.leaves(self._log.tenant_id, start, end)
        hashes = [leaf_hash(entry) for entry in entries]
        joined = b"".join(hashes)
        if joined != row:
            first = next(at for at in range(len(hashes)) if hashes[at] != row[at * HASH_BYTES : (at + 1) * HASH_BYTES])
            self._compare(leaves[:first], entries)
            self._fail("damaged", "an entry of the log, or its hash in a tile, was changed", start + first)
        if [leaf.index for leaf in leaves] != list(range(start, end)):
            self._fail("damaged", "the store of seals lacks a leaf", start)
        self._compare(leaves, entries)
        for leaf, digest in zip(leaves, hashes, strict=True):
            if leaf.hash != digest:
                self._fail("damaged", "the store of seals has another hash than the log", leaf.index)
        return hashes

    def _compare(self, leaves: Sequence[LeafRow], entries: Sequence[bytes]) -> None:
        for leaf, entry in zip(leaves, entries, strict=False):
            try:
                flaw, name = self._flaw(leaf, entry)
            except _Misplaced as found:
                self._fail(found.kind, _MISPLACED[found.kind], leaf.index, found.seq, found.name)
            if flaw == "erased":
                self._erased.append((leaf, name))
            elif flaw is not None:
                self._fail("altered", flaw, leaf.index, leaf.seq, name)

    def _flaw(self, leaf: LeafRow, entry: bytes) -> tuple[str | None, str]:
        """What is wrong with the row behind a leaf, and whose request it is of. Raises _Misplaced."""
        if leaf.source == "change":
            change = self._changes.take(leaf.seq)
            return change_flaw(change, entry, self._vault), change[2]
        row = self._records.take(leaf.seq)
        if self._wish.from_us is not None and row[3] < self._wish.from_us:
            return None, row[1]
        return record_flaw(row, entry, self._vault), row[1]

    def _grow(self, hashes: list[bytes]) -> None:
        longer, tiles = self._edge.extended(hashes)
        for tile, data in tiles:
            if tile.level == 0 or tile.width < TILE_WIDTH:
                continue
            if self._files.read(tile.path) != data:
                self._fail("damaged", "a tile of hashes was changed", longer.size - 1)
        self._edge = longer

    def _partial_tiles(self, reader: TileReader, size: int) -> None:
        for level, row in enumerate(self._edge.rows):
            try:
                if level and row and reader.tile(level, (size >> 8 * level) // TILE_WIDTH) != row:
                    self._fail("damaged", "a tile of hashes was changed", size - 1)
            except BrokenLog as error:
                self._fail("damaged", error.detail, size - 1)

    def _nothing_inserted(self) -> None:
        rest = self._records.rest()
        if rest is not None and rest[0] <= self._cursor:
            self._fail("inserted", _MISPLACED["inserted"], None, rest[0], rest[1])

    def _erasures(self) -> None:
        """Parts may be gone only where an erasure or an expiry in the same log accounts for it."""
        known = accounted_for(self._db, self._log.tenant_id)
        for leaf, name in self._erased:
            if (leaf.source, leaf.seq) not in known:
                detail = "its parts are gone, and no erasure accounts for it"
                self._fail("erased_without_trace", detail, leaf.index, leaf.seq, name)

    def _fail(
        self,
        kind: FlawKind,
        detail: str,
        index: int | None = None,
        seq: int | None = None,
        name: str | None = None,
    ) -> NoReturn:
        raise _Found(
            Flaw(
                kind=kind,
                tenant_id=self._log.tenant_id,
                detail=detail,
                leaf_index=index,
                seq=seq,
                request_id=name,
            )
        )


class _Rows(Generic[Row]):
    """A tenant's rows in the order of their sequence numbers, taken one by one as leaves ask for them."""

    def __init__(self, db: sqlite3.Connection, query: str, tenant_id: str) -> None:
        found = db.execute(f"{query} WHERE tenant_id = ? ORDER BY seq", (tenant_id,))
        self._rows = cast(Iterator[Row], iter(found))
        self._next = next(self._rows, None)
        self._last = 0

    def take(self, seq: int) -> Row:
        """The row of this number, which is the next one. Raises _Misplaced."""
        row = self._next
        if seq <= self._last:
            raise _Misplaced("reordered", seq, None)
        if row is not None and cast(int, row[0]) < seq:
            raise _Misplaced("inserted", cast(int, row[0]), cast(str, row[1]))
        if row is None or row[0] != seq:
            raise _Misplaced("removed", seq, None)
        self._last = seq
        self._next = next(self._rows, None)
        return row

    def rest(self) -> Row | None:
        return self._next


def _without_log(
    db: sqlite3.Connection, cursor: int, known: set[str], wished: str | None
) -> Iterator[tuple[str, int, str]]:
    tenant_id = ""
    while True:
        (following,) = db.execute("SELECT min(tenant_id) FROM records WHERE tenant_id > ?", (tenant_id,)).fetchone()
        if following is None:
            return
        tenant_id = following
        if tenant_id not in known and wished in (None, tenant_id):
            query = "SELECT seq, request_id FROM records WHERE tenant_id = ? AND seq <= ? ORDER BY seq LIMIT 1"
            row = db.execute(query, (tenant_id, cursor)).fetchone()
            if row is not None:
                yield tenant_id, row[0], row[1]
