"""The sealer: turns what is in the ledger into leaves of one tree per tenant, and signs checkpoints of them.

It follows the ledger from behind, so that no request waits for it. The order of work makes every moment safe to be
killed at: files of tiles first, then the store of seals in one transaction, then the checkpoint's file. Tiles without a
checkpoint mean nothing and are written anew; a checkpoint's file that is behind is put right at the next step.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from hatchpay.clock import Clock
from hatchpay.errors import AuditUnavailable, HatchPayError
from hatchpay.ledger.checkpoint import Checkpoint, sign_checkpoint
from hatchpay.ledger.merkle import leaf_hash
from hatchpay.ledger.note import Signer
from hatchpay.ledger.tiles import TILE_WIDTH, Edge, Tile, TileReader, entry_bundles
from hatchpay.store.leaf_rows import Unsealed, unsealed_changes, unsealed_records
from hatchpay.store.ledger import reading
from hatchpay.store.log_keys import LogKeys
from hatchpay.store.seals import Cursors, LeafRow, Log, SealStore, Source
from hatchpay.store.succession import Successions
from hatchpay.store.tile_files import TileFiles

__all__ = ["CHECKPOINT", "Sealer"]

_log: Final = logging.getLogger("hatchpay.seal")
CHECKPOINT: Final = "checkpoint"
_BATCH: Final = 4_096
_EVERY_S: Final = 0.5
_LATEST_RETRY_S: Final = 30.0
_Entries = list[tuple[Source, Unsealed]]


class Sealer:
    """Two at once do no harm: a lock lets one at a time seal, and the store takes nothing that was sealed already."""

    def __init__(self, ledger: Path, seals: SealStore, root: Path, keys: LogKeys, origin: str, clock: Clock) -> None:
        """`root` is where the logs' files go, `origin` what the names of new logs begin with."""
        self._ledger = ledger
        self._seals = seals
        self._root = root
        self._keys = keys
        self._origin = origin
        self._clock = clock
        self._successions = Successions(seals, keys)
        self._tails: dict[str, tuple[int, list[bytes]]] = {}
        self._published: dict[str, bytes] = {}
        self._full: dict[str, list[Tile]] = {}
        self._recovered = False

    def run(self, stop: threading.Event) -> None:
        """Until `stop`: a step at least every half second, and at once while there is more."""
        pause = _EVERY_S
        while not stop.wait(0 if pause == 0 else pause):
            try:
                pause = 0 if self.step() >= _BATCH else _EVERY_S
            except Exception as error:
                # Whatever it is, the records are safe in the ledger and can be sealed later.
                _log.error("records cannot be sealed: %s", _said(error))
                pause = min(max(pause, _EVERY_S) * 2, _LATEST_RETRY_S)

    def step(self) -> int:
        """Seal what there is, up to a few thousand; returns how many leaves that made.

        Raises AuditUnavailable, BrokenLog, SettingsError; then nothing was sealed, or all of the batch.
        """
        with self._turn() as mine:
            if not mine:
                return 0
            before = self._seals.cursors()
            with reading(self._ledger) as db:
                records = unsealed_records(db, before.record, _BATCH)
                changes = unsealed_changes(db, before.change, _BATCH)
            if not self._recovered:
                self._publish(self._seals.logs())
                self._recovered = True
            if not records and not changes:
                return 0
            after = Cursors(
                records[-1].seq if records else before.record, changes[-1].seq if changes else before.change
            )
            entries: _Entries = [("record", one) for one in records]
            entries += [("change", one) for one in changes]
            sealed = [self._extend(tenant_id, own) for tenant_id, own in _by_tenant(entries).items()]
            self._seals.append(before, after, sealed)
            self._publish([log for log, _ in sealed])
            self._tidy()
            return len(entries)

    def _extend(self, tenant_id: str, entries: _Entries) -> tuple[Log, list[LeafRow]]:
        log = self._seals.log(tenant_id)
        origin = f"{self._origin}/{tenant_id}" if log is None else log.origin
        signer = self._keys.current(origin)
        self._successions.keep(tenant_id, origin, None if log is None else log.vkey)
        edge = Edge() if log is None else log.edge
        files = TileFiles(self._root, tenant_id)
        hashes = [leaf_hash(one.entry) for _, one in entries]
        longer, tiles = edge.extended(hashes)
        added = [one.entry for _, one in entries]
        tail = self._tail(files, tenant_id, edge.size)
        tiles += entry_bundles(edge.size, tail, added)
        files.write(tiles)
        self._full[tenant_id] = [tile for tile, _ in tiles]
        whole = [*tail, *added]
        self._tails[tenant_id] = (longer.size, whole[len(whole) - longer.size % TILE_WIDTH :])
        leaves = [LeafRow(edge.size + at, source, one.seq, hashes[at]) for at, (source, one) in enumerate(entries)]
        return self._signed(tenant_id, origin, signer, longer, log), leaves

    def _signed(self, tenant_id: str, origin: str, signer: Signer, edge: Edge, log: Log | None) -> Log:
        note = sign_checkpoint(Checkpoint(origin, edge.size, edge.root()), [signer])
        return Log(
            tenant_id=tenant_id,
            origin=origin,
            edge=edge,
            vkey=signer.key.vkey,
            checkpoint=note,
            signed_us=self._clock(),
            cosigned=None if log is None else log.cosigned,
            cosigned_size=0 if log is None else log.cosigned_size,
        )

    def _tail(self, files: TileFiles, tenant_id: str, size: int) -> list[bytes]:
        """The entries of the partial bundle that the log ends with."""
        count = size % TILE_WIDTH
        known = self._tails.get(tenant_id)
        if known is not None and known[0] == size:
            return known[1]
        if count == 0:
            return []
        entries = TileReader(files, size).entries(size // TILE_WIDTH)
        first = size - count
        stored = [leaf.hash for leaf in self._seals.leaves(tenant_id, first, size)]
        if [leaf_hash(entry) for entry in entries] != stored:
            raise AuditUnavailable("the last entries of a log were changed; hatchpay audit verify tells which")
        return entries

    def _tidy(self) -> None:
        """Not before the store knows of the full tiles: until then the partial ones are what a checkpoint needs."""
        for tenant_id, tiles in self._full.items():
            TileFiles(self._root, tenant_id).drop_partials(tiles)
        self._full.clear()

    def _publish(self, logs: Iterable[Log]) -> None:
        for log in logs:
            if self._published.get(log.tenant_id) == log.checkpoint:
                continue
            files = TileFiles(self._root, log.tenant_id)
            if files.read(CHECKPOINT) != log.checkpoint:
                files.put(CHECKPOINT, log.checkpoint)
            self._published[log.tenant_id] = log.checkpoint

    @contextlib.contextmanager
    def _turn(self) -> Iterator[bool]:
        """Whether it is this one's turn. The kernel lets go of the lock of whoever dies."""
        try:
            self._root.mkdir(mode=0o755, parents=True, exist_ok=True)
            fd = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise AuditUnavailable(f"the logs' directory cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(fd)


def _by_tenant(entries: _Entries) -> dict[str, _Entries]:
    found: dict[str, _Entries] = {}
    for source, one in entries:
        found.setdefault(one.tenant_id, []).append((source, one))
    return found


def _said(error: Exception) -> str:
    return f"{error.code}: {error.detail}" if isinstance(error, HatchPayError) else type(error).__name__
