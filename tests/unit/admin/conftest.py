"""A tenant with its first admin key, and a second tenant beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.directory import World, fresh_directory

from hatchpay.admin.views import Actor, Onboarded


@pytest.fixture
def world() -> Iterator[World]:
    world = World(fresh_directory())
    yield world
    world.close()


@pytest.fixture
def demo(world: World) -> Onboarded:
    return world.onboard("Demo")


@pytest.fixture
def admin(world: World, demo: Onboarded) -> Actor:
    """The caller with the first key of the tenant Demo."""
    return world.admin(demo)


@pytest.fixture
def stranger(world: World) -> Actor:
    """The admin of another tenant."""
    return world.admin(world.onboard("Other"))
