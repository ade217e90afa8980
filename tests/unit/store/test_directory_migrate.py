"""The schema and its migrations."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

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


def test_a_directory_of_the_first_version_is_brought_up_with_all_that_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "directory.db"
    of_the_first_version(path)

    directory = SqlDirectory(path)

    with directory.connection() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    with directory.read() as view:
        tenant = view.tenant(TENANT)
        key = view.key(TENANT, KEY)
        assert tenant is not None
        assert tenant.name == "Demo"
        assert key is not None
        assert (key.name, key.metadata, key.allowed_cidrs) == ("Schlüssel", {"a": "b"}, ("192.0.2.0/24",))
        assert [(one.version, one.digest) for one in key.secrets] == [(1, b"\x05" * 32)]
        assert [role.name for role in view.roles_by_id(TENANT, key.role_ids).values()] == ["buyer"]
        assert (view.signing_keys(), view.load_issuers(None), view.revoked(None), view.served_urls()) == (
            [],
            [],
            {},
            [],
        )
        assert {"auth.issuers.create", "auth.tokens.revoke"} <= {found.name for found in view.catalogue()}
    directory.close()


def test_the_feed_goes_on_where_it_was_before_the_directory_was_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "directory.db"
    position = of_the_first_version(path)

    directory = SqlDirectory(path)
    opened = directory.position()
    with directory.transaction() as transaction:
        transaction.serve_url("https://a.test", 1)

    assert opened >= position
    assert directory.position() == opened + 1
    directory.close()


def test_several_processes_may_bring_a_directory_up_at_once(tmp_path: Path) -> None:
    path = tmp_path / "directory.db"
    of_the_first_version(path)
    code = (
        "import sys, pathlib; from hatchpay.store.directory import SqlDirectory;"
        "d = SqlDirectory(pathlib.Path(sys.argv[1])); v = d.read(); print(len(v.__enter__().tenants(10, None)))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [(*process.communicate(timeout=60), process.returncode) for process in started] == [(b"1\n", b"", 0)] * 3


TENANT, KEY, ROLE = (f"017f22e2-79b0-7cc3-98c4-dc0c0c0739{number}" for number in ("8f", "90", "91"))


def of_the_first_version(path: Path) -> int:
    """A directory as the first version left it, with a key in it; returns its position in the feed."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", str(Path(directory_migrate.__file__).with_name("migrations")))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        assert not engine.dialect.has_table(connection, "issuers")
        for statement in (
            f"INSERT INTO tenants VALUES ('{TENANT}', 'Demo', 1)",
            f"INSERT INTO roles VALUES ('{ROLE}', '{TENANT}', 'buyer', '', 0, 1, 1)",
            f"INSERT INTO api_keys VALUES ('{KEY}', '{TENANT}', 'Schlüssel', '', 'live', NULL, 1, NULL, NULL,"
            ' \'["192.0.2.0/24"]\', \'{"a":"b"}\', 1, 1, NULL)',
            f"INSERT INTO key_roles VALUES ('{KEY}', '{ROLE}')",
            f"INSERT INTO key_secrets VALUES ('{KEY}', 1, x'{'05' * 32}', 1, 'abcd', 1, NULL)",
            f"INSERT INTO feed (kind, subject_id, tenant_id) VALUES ('key', '{KEY}', '{TENANT}')",
        ):
            connection.exec_driver_sql(statement)
        position = int(connection.exec_driver_sql("SELECT max(seq) FROM feed").scalar_one())
    engine.dispose()
    return position
