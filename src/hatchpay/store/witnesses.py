"""Brings every log's newest checkpoint to the witnesses, and keeps it once enough of them have cosigned it.

The witnesses are asked side by side, each at its own pace, so that one that is slow or gone delays no other. They are
all asked about the same checkpoint of a log until enough have cosigned that one: under load there is a new one every
half second, and witnesses that each saw another would never make a quorum.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from hatchpay.clock import Clock
from hatchpay.errors import BrokenLog, HatchPayError, InvalidProof, SettingsError
from hatchpay.ledger import note
from hatchpay.ledger.checkpoint import parse_body, with_signatures
from hatchpay.ledger.cosignature import WitnessKey
from hatchpay.ledger.merkle import Frontier, verify_consistency
from hatchpay.ledger.note import Signature
from hatchpay.ledger.submission import Submission
from hatchpay.ledger.tiles import TileReader
from hatchpay.store.seals import Log, SealStore
from hatchpay.store.tile_files import TileFiles
from hatchpay.store.witness_client import Behind, Cosigned, Failed, Forked, Outcome, WitnessClient

__all__ = [
    "Behind",
    "Cosigned",
    "Failed",
    "Forked",
    "KnownWitness",
    "WitnessClient",
    "WitnessSubmitter",
    "parse_witnesses",
]

_logger: Final = logging.getLogger("hatchpay.witnesses")
_EVERY_S: Final = 0.5
_PATIENCE_US: Final = 10_000_000
_FIRST_RETRY_US: Final = 1_000_000
_LAST_RETRY_US: Final = 60_000_000
_END_S: Final = 1.5
_NO_ANSWER: Final = frozenset({"unreachable", "too_slow"})


class KnownWitness(msgspec.Struct, frozen=True):
    """`url` is its submission prefix."""

    key: WitnessKey
    url: str


class _Target(msgspec.Struct):
    """The checkpoint of a log that the witnesses are asked about; `cosigned` by the name of the witness."""

    log: Log
    since_us: int
    cosigned: dict[str, Signature]


class _Pause(msgspec.Struct):
    until_us: int = 0
    length_us: int = 0


class WitnessSubmitter:
    """`quorum` of the witnesses make a checkpoint a cosigned one. Two submitters at once do no harm."""

    def __init__(
        self,
        seals: SealStore,
        root: Path,
        witnesses: Sequence[KnownWitness],
        quorum: int,
        clock: Clock,
        client: WitnessClient | None = None,
    ) -> None:
        """`root` is where the logs' files are."""
        self._seals = seals
        self._root = root
        self._witnesses = tuple(witnesses)
        self._quorum = quorum
        self._clock = clock
        self._client = client or WitnessClient()
        self._lock = threading.Lock()
        self._targets: dict[str, _Target] = {}
        self._pauses: dict[tuple[str, str], _Pause] = {}

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. Whoever still waits for an answer then is left: what comes of it is asked for again."""
        threads = [
            threading.Thread(target=self._follow, args=(one, stop), name=f"witness-{at}", daemon=True)
            for at, one in enumerate(self._witnesses)
        ]
        for thread in threads:
            thread.start()
        stop.wait()
        for thread in threads:
            thread.join(_END_S / len(threads))

    def step(self) -> None:
        """Ask every witness once, one behind the other, about every log that it has not seen yet as it is."""
        for witness in self._witnesses:
            self.ask(witness)

    def ask(self, witness: KnownWitness) -> None:
        """As `step`, of one. Raises AuditUnavailable where what is known of the seals cannot be used."""
        if not self._seals.exists or self._paused(witness, ""):
            return
        for log in self._seals.logs():
            if not self._paused(witness, log.tenant_id) and not self._submitted(witness, self._target(log)):
                return

    def _follow(self, witness: KnownWitness, stop: threading.Event) -> None:
        while not stop.wait(_EVERY_S):
            try:
                self.ask(witness)
            except Exception as error:
                # Whatever it is, the log goes on without witnesses.
                said = error.detail if isinstance(error, HatchPayError) else type(error).__name__
                _logger.error("witness %s cannot be asked: %s", witness.key.name, said)
                self._pause(witness, "")

    def _target(self, log: Log) -> _Target:
        """What to ask about: the newest checkpoint, unless an older one still lacks cosignatures and is not too old."""
        with self._lock:
            target = self._targets.get(log.tenant_id)
            if target is not None and target.log.edge.size <= log.edge.size:
                waits = len(target.cosigned) < self._quorum and self._clock() - target.since_us < _PATIENCE_US
                if waits or target.log.checkpoint == log.checkpoint:
                    return target
            target = self._targets[log.tenant_id] = _Target(log, self._clock(), {})
            return target

    def _submitted(self, witness: KnownWitness, target: _Target) -> bool:
        """Whether it makes sense to ask this witness about other logs as well."""
        log, name = target.log, witness.key.name
        size = next((row[1] for row in self._seals.witnesses(log.tenant_id) if row[0] == name), 0)
        if name in target.cosigned or size > log.edge.size or size == log.edge.size <= log.cosigned_size:
            return True
        try:
            outcome = self._asked(witness, log, size)
            if isinstance(outcome, Behind):
                size = outcome.size
                outcome = self._asked(witness, log, size) if size <= log.edge.size else self._judged(log, size)
            if isinstance(outcome, Cosigned):
                outcome = self._taken(witness, target, outcome)
        except (BrokenLog, InvalidProof) as error:
            # Not the witness's fault: it would refuse the proof, and that must not look like another history.
            _logger.error("the log %s cannot be proved to a witness: %s", log.origin, error.detail)
            outcome = Failed("tiles_broken")
        if isinstance(outcome, Cosigned):
            self._pauses.pop((name, log.tenant_id), None)
            self._pauses.pop((name, ""), None)
            self._seals.note_witness(log.tenant_id, name, log.edge.size, self._clock(), None)
            return True
        return self._failed(witness, log, size, outcome)

    def _asked(self, witness: KnownWitness, log: Log, old: int) -> Outcome:
        proof: list[bytes] = []
        if old:
            reader = TileReader(TileFiles(self._root, log.tenant_id), log.edge.size)
            proof = reader.consistency(old)
            root = parse_body(note.parse(log.checkpoint).text).root
            verify_consistency(old, _root_at(reader, old), log.edge.size, root, proof)
        return self._client.submit(witness.url, Submission(old, tuple(proof), log.checkpoint))

    def _judged(self, log: Log, size: int) -> Outcome:
        """The witness has cosigned a larger tree: another process's doing, unless the log has lost its end."""
        newest = self._seals.log(log.tenant_id)
        return Behind(size) if newest is not None and newest.edge.size >= size else Failed("log_shorter")

    def _taken(self, witness: KnownWitness, target: _Target, outcome: Cosigned) -> Outcome:
        """Keeps the cosignature, if it is one, and the checkpoint, if that makes enough."""
        key, log = witness.key, target.log
        text = note.parse(log.checkpoint).text.encode()
        own = [one for one in outcome.signatures if (one.name, one.key_id) == (key.name, key.key_id)]
        if len(own) != 1 or not key.verifies(text, own[0].value):
            return Failed("cosignature_invalid")
        with self._lock:
            target.cosigned[key.name] = own[0]
            found = [target.cosigned[one.key.name] for one in self._witnesses if one.key.name in target.cosigned]
            if len(found) >= self._quorum:
                self._seals.cosign(log.tenant_id, log.edge.size, with_signatures(log.checkpoint, found))
        return outcome

    def _failed(self, witness: KnownWitness, log: Log, size: int, outcome: Behind | Forked | Failed) -> bool:
        name = witness.key.name
        if isinstance(outcome, Behind):
            # It is ahead of this checkpoint, and will be asked about the next one.
            self._seals.note_witness(log.tenant_id, name, outcome.size, self._clock(), None)
            return True
        code = "forked" if isinstance(outcome, Forked) else outcome.code
        if code == "forked":
            _logger.error("the log %s shows another history than the witness %s has cosigned", log.origin, name)
        elif code == "log_shorter":
            _logger.error("the log %s is shorter than what the witness %s has cosigned", log.origin, name)
        else:
            _logger.warning("the witness %s has not cosigned the log %s: %s", name, log.origin, code)
        self._seals.note_witness(log.tenant_id, name, size, self._clock(), code)
        self._pause(witness, "" if code in _NO_ANSWER else log.tenant_id)
        return code not in _NO_ANSWER

    def _paused(self, witness: KnownWitness, tenant_id: str) -> bool:
        pause = self._pauses.get((witness.key.name, tenant_id))
        return pause is not None and self._clock() < pause.until_us

    def _pause(self, witness: KnownWitness, tenant_id: str) -> None:
        """Twice as long as the last time. `tenant_id` is empty for all logs."""
        pause = self._pauses.setdefault((witness.key.name, tenant_id), _Pause())
        pause.length_us = min(max(2 * pause.length_us, _FIRST_RETRY_US), _LAST_RETRY_US)
        pause.until_us = self._clock() + pause.length_us


def parse_witnesses(texts: Sequence[str]) -> tuple[KnownWitness, ...]:
    """Of the setting `witnesses`: a vkey and a URL each. Raises SettingsError."""
    known: list[KnownWitness] = []
    for text in texts:
        vkey, _, url = text.partition(" ")
        try:
            known.append(KnownWitness(WitnessKey.parse(vkey), url))
        except InvalidProof as error:
            raise SettingsError(f"a witness's key: {error.detail}", code="witness_key_malformed") from None
    for distinct in ({one.key.name for one in known}, {one.key.public for one in known}):
        if len(distinct) != len(known):
            raise SettingsError("a witness stands twice in the settings", code="witness_repeated")
    return tuple(known)


def _root_at(reader: TileReader, size: int) -> bytes:
    """That of the first `size` leaves, by the tiles."""
    nodes: list[bytes] = []
    start = 0
    for level in range(size.bit_length() - 1, -1, -1):
        if size >> level & 1:
            nodes.append(reader.node(level, start >> level))
            start += 1 << level
    return Frontier(size, tuple(nodes)).root()
