"""What a protected API declares: its permissions, and which of its routes need which.

The TOML form, one table per entry:

    [[permissions]]
    name = "payment-proxy.transactions.read"
    description = "Read transactions"
    read_only = true                     # likewise sensitive, administrative; false where absent

    [[routes]]
    method = "GET"
    path = "/v1/payment-proxy/transactions/{id}"
    permission = "payment-proxy.transactions.read"     # or: open = true
    business_unit = "handler"            # or path:NAME, query:NAME, body:NAME; absent: no keys of chosen units
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from hatchpay.access.permission import CONTROL_PERMISSIONS, PLATFORM_PERMISSIONS, Permission, check_name
from hatchpay.access.routes import Route, RouteTable, UnitSource
from hatchpay.errors import InvalidInput, SettingsError

__all__ = ["EMPTY", "Catalogue", "build", "dump", "parse"]

_FLAGS: Final = ("read_only", "sensitive", "administrative")


class Catalogue(msgspec.Struct, frozen=True):
    """Checked: each route's permission is among `permissions`, none of which is HatchPay's own."""

    permissions: tuple[Permission, ...]
    routes: RouteTable


class _RouteEntry(msgspec.Struct, forbid_unknown_fields=True):
    method: str
    path: str
    permission: str | None = None
    open: bool = False
    business_unit: str | None = None


class _PermissionEntry(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str
    read_only: bool = False
    sensitive: bool = False
    administrative: bool = False


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    permissions: list[_PermissionEntry] = []
    routes: list[_RouteEntry] = []


def parse(document: object) -> Catalogue:
    """A decoded TOML document. Raises SettingsError that says where it is wrong."""
    try:
        entries = msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise SettingsError(f"the route table is wrong: {error}") from None
    permissions = [Permission(**msgspec.structs.asdict(entry)) for entry in entries.permissions]
    return build(permissions, [_route(entry) for entry in entries.routes])


def build(permissions: Iterable[Permission], routes: Iterable[Route]) -> Catalogue:
    """Raises SettingsError for a permission that is declared twice, malformed, HatchPay's own, or used undeclared."""
    declared: dict[str, Permission] = {}
    reserved = {permission.name for permission in (*CONTROL_PERMISSIONS, *PLATFORM_PERMISSIONS)}
    for permission in permissions:
        try:
            check_name(permission.name)
        except InvalidInput as error:
            raise SettingsError(f"{permission.name!r}: {error.detail}") from None
        if permission.name in declared or permission.name in reserved:
            raise SettingsError(f"the permission {permission.name} is declared twice, or is HatchPay's own")
        declared[permission.name] = permission
    table = RouteTable(routes)
    for route in table.routes:
        if route.permission is not None and route.permission not in declared:
            raise SettingsError(f"{route.method} {route.template} needs {route.permission}, which is not declared")
    return Catalogue(tuple(declared.values()), table)


def dump(permissions: Iterable[Permission], routes: Iterable[Route]) -> str:
    """The TOML form that `parse` reads."""
    tables = ["\n".join(("[[permissions]]", *_permission_lines(permission))) for permission in permissions]
    tables += ["\n".join(("[[routes]]", *_route_lines(route))) for route in routes]
    return "\n\n".join(tables) + "\n"


def _permission_lines(permission: Permission) -> Iterator[str]:
    yield f"name = {_toml(permission.name)}"
    yield f"description = {_toml(permission.description)}"
    yield from (f"{flag} = true" for flag in _FLAGS if getattr(permission, flag))


def _route_lines(route: Route) -> Iterator[str]:
    yield f"method = {_toml(route.method)}"
    yield f"path = {_toml(route.template)}"
    yield "open = true" if route.permission is None else f"permission = {_toml(route.permission)}"
    if route.unit is not None:
        yield f"business_unit = {_toml(route.unit.text)}"


def _toml(text: str) -> str:
    """A basic string: JSON's escapes are among TOML's, and DEL is the one character that only TOML must escape."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


EMPTY = Catalogue((), RouteTable(()))


def _route(entry: _RouteEntry) -> Route:
    return Route(
        method=entry.method,
        template=entry.path,
        access="open" if entry.open else "permission",
        permission=entry.permission,
        unit=UnitSource.parse(entry.business_unit) if entry.business_unit is not None else None,
    )
