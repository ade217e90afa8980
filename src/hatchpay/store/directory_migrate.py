"""Brings the directory's schema to the newest migration, once, however many processes start together."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine

from hatchpay.errors import DirectoryUnavailable
from hatchpay.store import schema

__all__ = ["create", "upgrade"]

_MIGRATIONS = Path(__file__).with_name("migrations")


def create(path: Path, lock: Path) -> None:
    """Make the file where there is none, for its owner only, with a write-ahead log.

    Switching to the log needs the file alone, and SQLite does not wait for that: of several who begin together, one
    does it.
    """
    if path.exists() and path.stat().st_size:
        return
    with _locked(lock):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")


def upgrade(engine: Engine, lock: Path) -> None:
    """Raises DirectoryUnavailable where the schema is newer than this program.

    Alembic takes 0.2 s to import, so a directory that is up to date does without it.
    """
    if _revision(engine) == schema.HEAD:
        return
    with _locked(lock):
        revision = _revision(engine)
        if revision == schema.HEAD:
            return
        with engine.connect().execution_options(write=True) as connection, connection.begin():
            _run(connection, revision)


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not engine.dialect.has_table(connection, "alembic_version"):
            return None
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
        return None if found is None else str(found)


def _run(connection: Connection, revision: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise DirectoryUnavailable(f"the directory is of a newer version ({revision}) than this program")
    command.upgrade(config, "head")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
