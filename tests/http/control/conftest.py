from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.http.control.harness import Tenant, World

from hatchpay.store.directory import SqlDirectory


@pytest.fixture(scope="session")
def empty_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory's file with its schema and nothing in it; making one takes longer than most tests."""
    path = tmp_path_factory.mktemp("empty") / "directory.db"
    SqlDirectory(path).close()
    return path


@pytest.fixture
def world(tmp_path: Path, empty_directory: Path) -> Iterator[World]:
    shutil.copyfile(empty_directory, tmp_path / "directory.db")
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def tenant(world: World) -> Tenant:
    return world.onboard("Demo")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """For tests that change nothing."""
    world = World(tmp_path_factory.mktemp("shared"))
    yield world
    world.close()
