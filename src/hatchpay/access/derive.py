"""From what an API says of itself, in OpenAPI 3.x, to the permissions and routes that protect it.

A permission is `service.resource.action`: the first segment of the path that is no version, all further literal ones,
and what the method does. A POST to a last word in the singular, behind a resource, is that resource's verb:

    GET    /v1/payment-proxy/transactions/{id}              payment-proxy.transactions.read
    POST   /v1/payment-proxy/transactions                   payment-proxy.transactions.create
    POST   /v1/payment-proxy/transactions/{id}/complete     payment-proxy.transactions.complete
    POST   /v1/webhooks/business-units/{id}/webhooks        webhooks.business-units-webhooks.create

An operation, or a whole path, says otherwise with `x-hatchpay-permission`. What a name cannot tell is taken for the
worse: a derived permission counts as sensitive until `x-hatchpay-sensitive: false` or the route table says otherwise.
`x-hatchpay-business-unit` and `x-hatchpay-body-fields` say what `business_unit` and `body_fields` say in a route table.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from hatchpay.access.permission import Permission, check_name
from hatchpay.access.route_form import parse_fields, parse_unit
from hatchpay.access.routes import Route
from hatchpay.errors import InvalidInput, SettingsError

__all__ = ["Derived", "derive", "permission_name"]

_ACTIONS: Final = {"get": "read", "post": "create", "put": "update", "patch": "update", "delete": "delete"}
_VERSION: Final = re.compile(r"v[0-9]+(?:\.[0-9]+)*\Z")
_PARAMETER: Final = re.compile(r"\{[^/{}]+\}\Z")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NEITHER: Final = re.compile(r"[^a-z0-9]+")
_PERMISSION: Final = "x-hatchpay-permission"
_SENSITIVE: Final = "x-hatchpay-sensitive"
_ADMINISTRATIVE: Final = "x-hatchpay-administrative"
_UNIT: Final = "x-hatchpay-business-unit"
_FIELDS: Final = "x-hatchpay-body-fields"
_OPEN: Final = "x-hatchpay-open"

Derived = tuple[tuple[Permission, ...], tuple[Route, ...]]


def derive(document: object) -> Derived:
    """The permissions and routes of a decoded OpenAPI document, each permission once, in the document's order.

    Raises SettingsError that names the operation which is wrong.
    """
    if not isinstance(document, Mapping) or not str(document.get("openapi", "")).startswith("3."):
        raise SettingsError("this is no OpenAPI 3 document")
    paths = document.get("paths", {})
    if not isinstance(paths, Mapping):
        raise SettingsError("the document's paths are no object")
    permissions: dict[str, Permission] = {}
    routes: list[Route] = []
    for path, method, operation in _operations(paths):
        route = _route(method, path, operation)
        routes.append(route)
        if route.permission is not None:
            found = _permission(route.permission, method, path, operation)
            known = permissions.get(found.name)
            permissions[found.name] = found if known is None else _stricter(known, found)
    return tuple(permissions.values()), tuple(routes)


def permission_name(method: str, path: str) -> str:
    """The name that an operation has unless it says otherwise. Raises SettingsError where the path gives none."""
    segments = [segment for segment in path.split("/") if segment]
    while segments and _VERSION.match(segments[0]):
        segments.pop(0)
    words = [_word(segment) for segment in segments if not _PARAMETER.match(segment)]
    if not words or not all(words):
        raise SettingsError(f"{method.upper()} {path} gives no name for a permission; say it with {_PERMISSION}")
    service, rest = words[0], words[1:]
    ends_in_word = not _PARAMETER.match(segments[-1])
    if method == "post" and ends_in_word and len(rest) > 1 and not rest[-1].endswith("s"):
        return f"{service}.{'-'.join(rest[:-1])}.{rest[-1]}"
    action = "update" if method == "post" and not ends_in_word else _ACTIONS[method]
    return f"{service}.{'-'.join(rest) or service}.{action}"


def _operations(paths: Mapping[object, object]) -> Iterator[tuple[str, str, Mapping[str, object]]]:
    for path, item in paths.items():
        if not isinstance(path, str) or not isinstance(item, Mapping):
            raise SettingsError("a path of the document is no object")
        shared = {name: value for name, value in item.items() if str(name).startswith("x-hatchpay-")}
        for method in _ACTIONS:
            operation = item.get(method)
            if operation is None:
                continue
            if not isinstance(operation, Mapping):
                raise SettingsError(f"{method.upper()} {path} is no object")
            yield path, method, {**shared, **operation}


def _route(method: str, path: str, operation: Mapping[str, object]) -> Route:
    where = f"{method.upper()} {path}"
    is_open = _flag(operation, _OPEN, where, default=False)
    return Route(
        method=method.upper(),
        template=path,
        access="open" if is_open else "permission",
        permission=None if is_open else _named(method, path, operation),
        unit=parse_unit(operation.get(_UNIT), f"{_UNIT} of {where}"),
        fields=parse_fields(operation.get(_FIELDS), f"{_FIELDS} of {where}"),
    )


def _named(method: str, path: str, operation: Mapping[str, object]) -> str:
    name = operation.get(_PERMISSION)
    if name is None:
        return permission_name(method, path)
    if isinstance(name, str):
        with contextlib.suppress(InvalidInput):
            return check_name(name)
    raise SettingsError(f"{_PERMISSION} of {method.upper()} {path} is not named service.resource.action")


def _permission(name: str, method: str, path: str, operation: Mapping[str, object]) -> Permission:
    where = f"{method.upper()} {path}"
    summary = operation.get("summary")
    return Permission(
        name=name,
        description=summary if isinstance(summary, str) and summary else where,
        read_only=method == "get",
        sensitive=_flag(operation, _SENSITIVE, where, default=True),
        administrative=_flag(operation, _ADMINISTRATIVE, where, default=False),
    )


def _stricter(known: Permission, other: Permission) -> Permission:
    """One permission of several operations counts as the worst of them."""
    return Permission(
        name=known.name,
        description=known.description,
        read_only=known.read_only and other.read_only,
        sensitive=known.sensitive or other.sensitive,
        administrative=known.administrative or other.administrative,
    )


def _flag(operation: Mapping[str, object], name: str, where: str, *, default: bool) -> bool:
    value = operation.get(name, default)
    if not isinstance(value, bool):
        raise SettingsError(f"{name} of {where} is neither true nor false")
    return value


def _word(segment: str) -> str:
    return _NEITHER.sub("-", _HUMP.sub("-", segment).lower()).strip("-")
