"""Finding the application and its route table, and saying what is wrong with either."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hatchpay.app.files import find_application, find_routes, read_catalogue
from hatchpay.errors import SettingsError

APPLICATION = """
async def app(scope, receive, send):
    pass

class Holder:
    inner = staticmethod(app)

holder = Holder()
number = 7
"""
ROUTES = """
[[permissions]]
name = "shop.orders.read"
description = "Read orders"
read_only = true

[[routes]]
method = "GET"
path = "/orders"
permission = "shop.orders.read"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a module, in which the command is called; what is imported from it is forgotten afterwards."""
    (tmp_path / "shop_of_this_test").mkdir()
    (tmp_path / "shop_of_this_test" / "__init__.py").write_text(APPLICATION)
    (tmp_path / "shop_of_this_test" / "broken.py").write_text("import no_such_module_anywhere\n")
    (tmp_path / "shop_of_this_test" / "failing.py").write_text("raise RuntimeError('mine')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("shop_of_this_test")]:
        del sys.modules[name]


def test_an_application_is_found_from_the_directory_that_the_command_is_called_in() -> None:
    assert find_application("shop_of_this_test:app").__name__ == "app"  # type: ignore[attr-defined]


def test_an_application_may_be_an_attribute_of_something_in_the_module() -> None:
    assert callable(find_application("shop_of_this_test:holder.inner"))


def test_the_directory_joins_the_path_only_once(here: Path) -> None:
    find_application("shop_of_this_test:app")
    find_application("shop_of_this_test:app")
    assert sys.path.count(str(here)) == 1


@pytest.mark.parametrize(
    "name", ["", ":", "shop_of_this_test", "shop_of_this_test:", ":app", ".:app", ".x:app", "a..b:app"]
)
def test_a_name_without_module_or_attribute_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="module:attribute"):
        find_application(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module:app", "no_such_module"),
        ("shop_of_this_test.missing:app", r"shop_of_this_test\.missing"),
        ("shop_of_this_test:missing", "missing"),
        ("shop_of_this_test:holder.missing", r"holder\.missing"),
        ("shop_of_this_test:number", "not an ASGI application"),
    ],
)
def test_what_is_not_there_or_no_application_is_named(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        find_application(name)


def test_an_import_that_the_application_itself_gets_wrong_is_shown_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        find_application("shop_of_this_test.broken:app")
    with pytest.raises(RuntimeError, match="mine"):
        find_application("shop_of_this_test.failing:app")


def test_the_route_table_lies_beside_the_applications_module(here: Path) -> None:
    (here / "shop_of_this_test" / "routes.toml").write_text(ROUTES)
    find_application("shop_of_this_test:app")
    path = find_routes("shop_of_this_test:app")
    assert path == here / "shop_of_this_test" / "routes.toml"
    assert [permission.name for permission in read_catalogue(path).permissions] == ["shop.orders.read"]


def test_without_a_route_table_the_user_is_told_where_it_is_looked_for() -> None:
    find_application("shop_of_this_test:app")
    with pytest.raises(SettingsError, match=r"routes\.toml beside shop_of_this_test"):
        find_routes("shop_of_this_test:app")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[[routes", "not TOML"),
        (b"\xff\xfe", "not TOML"),
        (b"[[route]]\nmethod = 'GET'", "route"),
        (ROUTES.replace('"/orders"', '"orders"').encode(), "orders"),
        (ROUTES.replace('permission = "shop.orders.read"', 'permission = "Shop"').encode(), "GET /orders"),
        (ROUTES.replace('name = "shop.orders.read"', 'name = "Shop"').encode(), "Shop"),
        (ROUTES.replace("GET", "GRAB").encode(), "GRAB"),
    ],
)
def test_a_route_table_that_is_wrong_is_named_with_its_file(here: Path, content: bytes, said: str) -> None:
    (here / "mine.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=said) as caught:
        read_catalogue(here / "mine.toml")
    assert "mine.toml" in caught.value.detail


@pytest.mark.parametrize("name", ["absent.toml", "shop_of_this_test"])
def test_a_route_table_that_cannot_be_read_is_named(here: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_catalogue(here / name)
