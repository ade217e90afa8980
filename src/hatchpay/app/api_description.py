"""What an API says of itself: an OpenAPI document in a file, or that of an application, or an application's routes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from starlette.routing import BaseRoute, Mount

from hatchpay.access import catalogue
from hatchpay.access.derive import derive
from hatchpay.access.route_check import Operation, RouteFindings, check_routes, overridden
from hatchpay.access.routes import METHODS, RouteTable
from hatchpay.app.files import find_application, find_routes, read_catalogue
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.errors import InvalidInput, SettingsError
from hatchpay.settings import Settings

__all__ = ["check", "derive_routes", "describe_api", "operations_of"]

_OWN: Final = RouteTable(CONTROL_ROUTES)


def derive_routes(api: str, over: Path | None) -> str:
    """A route table for `api`, as TOML, without what `hatchpay serve` would refuse.

    Raises SettingsError, and InvalidInput where nothing is left.

    Left out are calls that HatchPay's own could be meant by, and what an application keeps out of its document.
    """
    permissions, routes = derive(describe_api(api, hidden=False))
    clashing = {route for route, _ in RouteTable(routes).conflicts(_OWN)}
    kept = [route for route in routes if route not in clashing]
    needed = {route.permission for route in kept}
    derived = catalogue.build([one for one in permissions if one.name in needed], kept)
    if over is not None:
        derived = overridden(derived, read_catalogue(over))
    if clashing and not derived.routes.routes:
        raise InvalidInput("there is nothing to list: HatchPay's own calls are left out")
    return catalogue.dump(derived.permissions, derived.routes.routes)


def check(settings: Settings, api: str) -> RouteFindings:
    """`api` beside its route table. Raises SettingsError."""
    operations = operations_of(describe_api(api))
    if settings.routes is None and _is_file(api):
        raise SettingsError("say with --routes which route table belongs to this document")
    return check_routes(read_catalogue(settings.routes or find_routes(api)), operations, _OWN)


def describe_api(source: str, *, hidden: bool = True) -> dict[str, Any]:
    """The OpenAPI document of `source`, a JSON file or `module:attribute`. Raises SettingsError.

    An application is described by its routes too, which serve more than a document says. Those that it keeps out of a
    document, as FastAPI does its documentation pages, are there only if `hidden`.
    """
    if _is_file(source):
        return _read(Path(source))
    application: Any = find_application(source)
    documented = callable(getattr(application, "openapi", None))
    described = application.openapi() if documented else {}
    document: dict[str, Any] = {"openapi": "3.1.0", **described}
    paths: dict[str, Any] = dict(document.get("paths", {}))
    for operation in _served(getattr(application, "routes", ()), "", hidden=hidden or not documented):
        paths[operation.path] = {operation.method.lower(): {}, **paths.get(operation.path, {})}
    return {**document, "paths": paths}


def operations_of(document: dict[str, Any]) -> list[Operation]:
    paths = document.get("paths", {})
    if not isinstance(paths, dict) or not all(isinstance(item, dict) for item in paths.values()):
        raise SettingsError("the document's paths are no objects")
    return [
        Operation(path, method.upper())
        for path, item in paths.items()
        for method in item
        if method.upper() in METHODS - {"OPTIONS"}
    ]


def _is_file(source: str) -> bool:
    return ":" not in source or Path(source).is_file()


def _read(path: Path) -> dict[str, Any]:
    document = None
    try:
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise SettingsError(f"{path} is neither a file nor an application, named module:attribute") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{path} is no JSON document")
    return document


def _served(routes: Sequence[BaseRoute], prefix: str, *, hidden: bool) -> Iterator[Operation]:
    """What a mounted application of another kind serves, nobody can list."""
    from fastapi.routing import iter_route_contexts

    for context in iter_route_contexts(routes):
        route = context.original_route
        if isinstance(route, Mount):
            yield from _served(route.routes or (), prefix + route.path, hidden=hidden)
            continue
        if not hidden and not getattr(context, "include_in_schema", True):
            continue
        for method in METHODS & (context.methods or set()) - {"OPTIONS"}:
            yield Operation(f"{prefix}{context.path_format}", method)
