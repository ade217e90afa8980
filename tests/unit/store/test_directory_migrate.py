"""The schema and its migrations."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from hatchpay.errors import DirectoryUnavailable
from hatchpay.ids import PLATFORM_TENANT_ID
from hatchpay.store import directory_migrate, schema
from hatchpay.store.directory import SqlDirectory


def test_the_migrations_end_at_the_schema(tmp_path: Path) -> None:
    directory = SqlDirectory(tmp_path / "directory.db")

    with directory.connection() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    directory.close()


def test_the_newest_migration_is_the_one_that_the_schema_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(directory_migrate.__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")

    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_opening_prints_nothing_and_imports_no_alembic_once_the_schema_is_there(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from hatchpay.store.directory import SqlDirectory;"
        "SqlDirectory(pathlib.Path(sys.argv[1])).close(); sys.exit('alembic' in sys.modules)"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "directory.db")], capture_output=True, text=True, check=False
        )
        for _ in range(2)
    ]

    assert [(run.stdout, run.stderr) for run in runs] == [("", ""), ("", "")]
    assert [run.returncode for run in runs] == [1, 0]


def test_several_may_open_a_new_directory_at_once(tmp_path: Path) -> None:
    opened: list[SqlDirectory] = []

    def open_one() -> None:
        opened.append(SqlDirectory(tmp_path / "directory.db"))

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(opened) == 4
    for directory in opened:
        with directory.read() as view:
            assert view.tenant(PLATFORM_TENANT_ID) is not None
        directory.close()


def test_a_directory_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    directory = SqlDirectory(tmp_path / "directory.db")
    with directory.transaction() as transaction:
        transaction._connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    directory.close()

    with pytest.raises(DirectoryUnavailable, match="newer version"):
        SqlDirectory(tmp_path / "directory.db")
