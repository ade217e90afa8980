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
    business_unit = "handler"            # or path:NAME, query:NAME, body:NAME, or a list; absent: the whole tenant
    # What policies may ask for, here as context.body.amount:
    # body_fields = { amount = { pointer = "/transaction/amount", type = "decimal" } }
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from hatchpay.access.permission import CONTROL_PERMISSIONS, PLATFORM_PERMISSIONS, Permission, check_name
from hatchpay.access.route_form import (
    FieldEntry,
    check_fields,
    dump_fields,
    dump_unit,
    parse_fields,
    parse_unit,
    toml_text,
)
from hatchpay.access.routes import Route, RouteTable
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
    business_unit: str | list[str] | None = None
    body_fields: dict[str, FieldEntry] | None = None
    subject: str | list[str] | None = None


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
    """Raises SettingsError for a permission that is declared twice, malformed, HatchPay's own, or used undeclared, and
    for a body field that has two types.
    """
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
    check_fields(table.routes)
    return Catalogue(tuple(declared.values()), table)


def dump(permissions: Iterable[Permission], routes: Iterable[Route]) -> str:
    """The TOML form that `parse` reads."""
    tables = ["\n".join(("[[permissions]]", *_permission_lines(permission))) for permission in permissions]
    tables += ["\n".join(("[[routes]]", *_route_lines(route))) for route in routes]
    return "\n\n".join(tables) + "\n"


def _permission_lines(permission: Permission) -> Iterator[str]:
    yield f"name = {toml_text(permission.name)}"
    yield f"description = {toml_text(permission.description)}"
    yield from (f"{flag} = true" for flag in _FLAGS if getattr(permission, flag))


def _route_lines(route: Route) -> Iterator[str]:
    yield f"method = {toml_text(route.method)}"
    yield f"path = {toml_text(route.template)}"
    yield "open = true" if route.permission is None else f"permission = {toml_text(route.permission)}"
    if route.unit:
        yield f"business_unit = {dump_unit(route.unit)}"
    if route.fields:
        yield f"body_fields = {dump_fields(route.fields)}"
    if route.subject:
        yield f"subject = [{', '.join(map(toml_text, route.subject))}]"


EMPTY = Catalogue((), RouteTable(()))


def _route(entry: _RouteEntry) -> Route:
    where = f"{entry.method} {entry.path}"
    return Route(
        method=entry.method,
        template=entry.path,
        access="open" if entry.open else "permission",
        permission=entry.permission,
        unit=parse_unit(entry.business_unit, f"business_unit of {where}"),
        fields=parse_fields(entry.body_fields, f"body_fields of {where}"),
        subject=(entry.subject,) if isinstance(entry.subject, str) else tuple(entry.subject or ()),
    )
