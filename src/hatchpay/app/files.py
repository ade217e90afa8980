"""Finding and reading what a user points at: the application to serve, and its route table."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path
from typing import cast

from hatchpay.access import catalogue
from hatchpay.access.catalogue import Catalogue
from hatchpay.errors import SettingsError
from hatchpay.gate.exchange import Application

__all__ = ["find_application", "find_routes", "read_catalogue"]


def find_application(name: str) -> Application:
    """`module:attribute`, importable from the current directory too. Raises SettingsError."""
    module_name, separator, attribute = name.partition(":")
    if not (separator and attribute and all(module_name.split("."))):
        raise SettingsError("the application is named module:attribute, as in examples.payments_api:app")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name + ".").startswith(error.name + "."):
            raise SettingsError(f"there is no module {error.name}") from None
        raise
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise SettingsError(f"{module_name} has no {attribute}")
        found = getattr(found, part)
    if not callable(found):
        raise SettingsError(f"{name} is not an ASGI application")
    return cast(Application, found)


def find_routes(name: str) -> Path:
    """`routes.toml` beside the application's module. Raises SettingsError where there is none."""
    module = sys.modules[name.partition(":")[0]]
    path = Path(module.__file__ or "").with_name("routes.toml")
    if not path.is_file():
        raise SettingsError(
            f"no route table: set routes (HATCHPAY_ROUTES), or put routes.toml beside {module.__name__}"
        )
    return path


def read_catalogue(path: Path) -> Catalogue:
    """Raises SettingsError that names the file."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"the route table {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise SettingsError(f"the route table {path} is not TOML") from None
    try:
        return catalogue.parse(document)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.detail}") from None
