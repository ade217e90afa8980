"""The directory in SQLite: tenants, keys, roles, permissions and business units, changed one transaction at a
time.

WAL and `synchronous=FULL`: a change that has returned is on this node's disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection, create_engine, delete, event, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from hatchpay.access.permission import CONTROL_PERMISSIONS, PLATFORM_PERMISSIONS, Permission, by_name
from hatchpay.audit.record import Change
from hatchpay.errors import DirectoryUnavailable, SettingsError
from hatchpay.store import directory_migrate
from hatchpay.store.directory_transaction import SqlTransaction
from hatchpay.store.directory_view import SqlView, permission_of
from hatchpay.store.schema import key_secrets, outbox, permissions, signing_keys, streams

__all__ = ["SqlDirectory"]

_OUTBOX_BATCH: Final = 500
_NEWEST: Final = "SELECT coalesce(max(seq), 0) FROM feed"
_OWN: Final = by_name([*CONTROL_PERMISSIONS, *PLATFORM_PERMISSIONS])
_PLATFORM: Final = frozenset(by_name(PLATFORM_PERMISSIONS))

View = TypeVar("View", bound=SqlView)


class SqlDirectory:
    """May be shared by all threads of a process, and its file by all processes of a machine.

    Opening it makes the file and brings its schema up to date. Every method raises DirectoryUnavailable where
    the file cannot be opened, read or written, or stays locked for longer than `busy_timeout_s`; a later call
    starts afresh.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = 5.0) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        # SQLite lets waiters poll; a lock within the process hands the turn over at once.
        self._writing = threading.Lock()
        self._listening = threading.Lock()
        self._listener: sqlite3.Connection | None = None
        self._engine = create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_timeout=busy_timeout_s,
            max_overflow=-1,
            hide_parameters=True,
        )
        event.listen(self._engine, "begin", _begin)
        with self._failing_as_one():
            lock = path.with_name(path.name + ".lock")
            directory_migrate.create(path, lock)
            self._identity = _identity(path)
            self._listening_to = self._identity
            self.replaced = 0
            directory_migrate.upgrade(self._engine, lock)
        self.sync_permissions(())

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        """All changes of the block, or none where it raises. Writers take turns: what it reads stays true."""
        if not self._writing.acquire(timeout=self._busy_timeout_s):
            raise DirectoryUnavailable("the directory is busy")
        try:
            with self._begun(SqlTransaction, write=True) as transaction:
                yield transaction
        finally:
            self._writing.release()

    @contextmanager
    def read(self) -> Iterator[SqlView]:
        """One consistent state of the directory."""
        with self._begun(SqlView, write=False) as view:
            yield view

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A consistent state, for the store's own modules."""
        with self._failing_as_one():
            self._check_file()
            with self._engine.connect() as connection, connection.begin():
                yield connection

    def sync_permissions(self, served: Iterable[Permission]) -> None:
        """Make the catalogue hold HatchPay's own permissions and those of the served API; nothing is ever
        removed.

        Raises SettingsError where `served` gives one of our own another meaning: that would move it between
        roles.
        """
        wanted = dict(_OWN)
        for permission in served:
            if _OWN.get(permission.name, permission) != permission:
                raise SettingsError(f"the permission {permission.name} is HatchPay's own and cannot be redefined")
            wanted[permission.name] = permission
        if self._differing(wanted):
            with self.transaction() as transaction:
                for permission in self._differing(wanted):
                    transaction.save_permission(permission, platform=permission.name in _PLATFORM)

    def holds_keys(self) -> bool:
        """Whether any key was ever hashed into it."""
        with self.connection() as connection:
            return connection.execute(select(key_secrets.c.key_id).limit(1)).first() is not None

    def holds_signing_keys(self) -> bool:
        """Whether the private half of any signing key is stored in it that is not retired."""
        query = select(signing_keys.c.kid).where(signing_keys.c.retired_us.is_(None)).limit(1)
        with self.connection() as connection:
            return connection.execute(query).first() is not None

    def holds_streams(self) -> bool:
        """Whether any stream is stored in it, whose secrets are under the key-encryption key."""
        with self.connection() as connection:
            return connection.execute(select(streams.c.id).limit(1)).first() is not None

    def outbox(self) -> list[Change]:
        """The oldest changes that the ledger has not taken over yet, at most 500."""
        columns = [column for column in outbox.c if column.name != "seq"]
        with self.connection() as connection:
            rows = connection.execute(select(*columns).order_by(outbox.c.seq).limit(_OUTBOX_BATCH))
            return [Change(*row) for row in rows]

    def outbox_done(self, change_ids: Iterable[str]) -> None:
        """Forget changes that the ledger holds."""
        wanted = list(change_ids)
        if not wanted:
            return
        with self._writing, self._failing_as_one():
            self._check_file()
            with self._engine.connect().execution_options(write=True) as connection, connection.begin():
                for start in range(0, len(wanted), _OUTBOX_BATCH):
                    part = wanted[start : start + _OUTBOX_BATCH]
                    connection.execute(delete(outbox).where(outbox.c.id.in_(part)))

    def position(self, connection: Connection | None = None) -> int:
        """The number of the newest entry of the feed: as `connection` sees it, or else as it is now.

        The latter is asked again and again, so it keeps a bare connection of its own: 10 µs instead of 250.
        """
        if connection is not None:
            return int(connection.exec_driver_sql(_NEWEST).scalar_one())
        with self._listening, self._failing_as_one():
            try:
                self._check_file()
                if self._listener is None or self._listening_to != self._identity:
                    self._stop_listening()
                    self._listener, self._listening_to = self._connect(), self._identity
                return int(self._listener.execute(_NEWEST).fetchone()[0])
            except BaseException:
                self._stop_listening()
                raise

    def close(self) -> None:
        """Release the file. The directory may be used again, and then opens it anew."""
        self._engine.dispose()
        with self._listening:
            self._stop_listening()

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def _differing(self, wanted: dict[str, Permission]) -> list[Permission]:
        with self.connection() as connection:
            stored = by_name(map(permission_of, connection.execute(select(permissions))))
        return [permission for name, permission in sorted(wanted.items()) if stored.get(name) != permission]

    @contextmanager
    def _begun(self, view: Callable[[Connection], View], *, write: bool) -> Iterator[View]:
        with self._failing_as_one():
            self._check_file()
            with self._engine.connect().execution_options(write=write) as connection, connection.begin():
                yield view(connection)

    @contextmanager
    def _failing_as_one(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            self._engine.dispose()
            cause = error.orig if isinstance(error, DBAPIError) else error
            raise DirectoryUnavailable(f"the directory cannot be used: {cause}") from error

    def _check_file(self) -> None:
        """A file that was moved away would take every further change with it; one put in its place is taken up."""
        identity = _identity(self.path)
        if identity != self._identity:
            self._engine.dispose()
            self._identity = identity
            self.replaced += 1

    def _connect(self) -> sqlite3.Connection:
        # Mode rw: a directory that has vanished is an outage, never a reason to begin an empty one.
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _identity(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino
