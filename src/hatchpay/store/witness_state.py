"""What a witness remembers: of each log the one checkpoint that it cosigned last, durable before anybody is told.

Any number of processes may use one file: whether a checkpoint goes on from the last one is judged, and the new one
kept, in one transaction that holds SQLite's write lock.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hatchpay.clock import Clock
from hatchpay.errors import AuditUnavailable, InvalidProof, SettingsError
from hatchpay.ledger.checkpoint import Checkpoint, open_checkpoint
from hatchpay.ledger.cosignature import Cosigner
from hatchpay.ledger.merkle import EMPTY_ROOT
from hatchpay.ledger.note import Note, VerifierKey
from hatchpay.ledger.submission import Submission, origin_hash, parse_submission, verify_growth
from hatchpay.store.secrets import read_private, write_private

__all__ = ["Outdated", "Witness", "open_witness"]

_log: Final = logging.getLogger("hatchpay.witness")
_KEY: Final = "witness.key"
_STATE: Final = "witness.db"
_SEED_BYTES: Final = 32
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS witness (one INTEGER PRIMARY KEY CHECK (one = 1), vkey TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cosigned (
    origin TEXT PRIMARY KEY,
    origin_hash TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    root BLOB NOT NULL,
    time_s INTEGER NOT NULL,
    checkpoint BLOB NOT NULL
) WITHOUT ROWID;
"""


class Outdated(msgspec.Struct, frozen=True):
    """The witness has cosigned a checkpoint of another size last than the log believes: this one, 0 for none."""

    size: int


class Witness:
    """Cosigns the checkpoints of the logs of `keys`, a key's name being its log's origin. Use `open_witness`."""

    def __init__(self, path: Path, cosigner: Cosigner, keys: Sequence[VerifierKey], clock: Clock) -> None:
        self._path = path
        self._cosigner = cosigner
        self._keys = tuple(keys)
        self._clock = clock

    @property
    def vkey(self) -> str:
        return self._cosigner.key.vkey

    def add(self, data: bytes) -> bytes | Outdated:
        """The line of the cosignature, once it is durable.

        Raises InvalidProof (submission_malformed and what `open_checkpoint` and `verify_growth` raise), and
        AuditUnavailable where nothing can be kept: then nothing was cosigned.
        """
        submission = parse_submission(data)
        checkpoint, opened = open_checkpoint(submission.checkpoint, self._keys)
        if submission.old > checkpoint.size:
            raise InvalidProof("the old size is larger than the checkpoint's", code="submission_malformed")
        with self._transaction() as db:
            query = "SELECT size, root, time_s FROM cosigned WHERE origin = ?"
            size, root, time_s = db.execute(query, (checkpoint.origin,)).fetchone() or (0, EMPTY_ROOT, 0)
            if submission.old != size:
                return Outdated(size)
            _verify(submission, checkpoint, size, root)
            # A clock that steps back must not make a larger tree look older than a smaller one.
            time_s = max(self._clock() // 1_000_000, time_s)
            line = self._cosigner.cosign(opened.text, time_s)
            own = {(key.name, key.key_id) for key in self._keys}
            kept = [one for one in opened.signatures if (one.name, one.key_id) in own]
            db.execute(
                "INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?, ?, ?, ?)",
                (
                    checkpoint.origin,
                    origin_hash(checkpoint.origin),
                    checkpoint.size,
                    checkpoint.root,
                    time_s,
                    Note(opened.text, (*kept, line)).encode(),
                ),
            )
        return line.line().encode()

    def latest(self, hashed_origin: str) -> bytes | None:
        """The checkpoint that was cosigned last, with the signatures; None where there is none."""
        with self._connected() as db:
            query = "SELECT checkpoint FROM cosigned WHERE origin_hash = ?"
            row = db.execute(query, (hashed_origin,)).fetchone()
        return None if row is None else bytes(row[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            db = sqlite3.connect(f"{self._path.as_uri()}?mode=rw", uri=True, timeout=10.0, isolation_level=None)
            with contextlib.closing(db):
                db.execute("PRAGMA synchronous = FULL")
                yield db
        except sqlite3.Error as error:
            raise AuditUnavailable(f"what the witness has cosigned cannot be used: {error}") from error


def open_witness(
    folder: Path,
    key_name: str,
    keys: Sequence[VerifierKey],
    clock: Clock,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> Witness:
    """The witness of a directory, made where there is none.

    Raises SettingsError where its key is damaged or of another name, or where the key or the state is there alone: a
    witness that has forgotten what it cosigned must not cosign.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve()
    path = folder / _STATE
    with contextlib.closing(_created(path)) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
            row = db.execute("SELECT vkey FROM witness").fetchone()
            cosigner = _cosigner(folder / _KEY, key_name, random, new=row is None)
            if row is None:
                db.execute("INSERT INTO witness VALUES (1, ?)", (cosigner.key.vkey,))
            elif row[0] != cosigner.key.vkey:
                raise SettingsError("this directory is the witness of another name or key", code="witness_other")
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise AuditUnavailable(f"what the witness has cosigned cannot be used: {error}") from error
    return Witness(path, cosigner, keys, clock)


def _verify(submission: Submission, checkpoint: Checkpoint, size: int, root: bytes) -> None:
    try:
        verify_growth(size, root, checkpoint, submission.proof)
    except InvalidProof:
        if size == checkpoint.size and root != checkpoint.root:
            # The log has signed it, and the one before: whoever keeps this line holds the evidence.
            shown = base64.b64encode(submission.checkpoint).decode("ascii")
            _log.error("a log shows two histories of size %d; its other checkpoint, in base64: %s", size, shown)
        raise


def _created(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, timeout=10.0, isolation_level=None)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    except (OSError, sqlite3.Error) as error:
        raise AuditUnavailable(f"what the witness has cosigned cannot be used: {error}") from error
    return db


def _cosigner(path: Path, name: str, random: Callable[[int], bytes], *, new: bool) -> Cosigner:
    if path.exists() and new:
        raise SettingsError(
            f"{_STATE} is gone: restore it, or begin with another key by deleting {_KEY}", code="witness_state_missing"
        )
    if not path.exists():
        if not new:
            raise SettingsError(f"{_KEY} is gone: restore its backup", code="witness_key_missing")
        write_private(path, base64.b64encode(random(_SEED_BYTES)))
    try:
        seed = base64.b64decode(read_private(path), validate=True)
    except ValueError:
        seed = b""
    if len(seed) != _SEED_BYTES:
        raise SettingsError(f"{path.name} is damaged", code="witness_key_damaged")
    try:
        return Cosigner(name, Ed25519PrivateKey.from_private_bytes(seed))
    except InvalidProof as error:
        raise SettingsError(error.detail, code="key_name_invalid") from None
