"""Where a route table and the API that it protects disagree.

None of it opens anything: what the table lacks is denied, what it has too much leads nowhere. It is what somebody wants
to know before a caller finds out.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hatchpay.access.catalogue import Catalogue, build
from hatchpay.access.permission import by_name
from hatchpay.access.routes import Route, RouteTable, overlapping

__all__ = ["Operation", "RouteFindings", "check_routes", "overridden"]


class Operation(msgspec.Struct, frozen=True, order=True):
    """One call that the API serves."""

    path: str
    method: str


class RouteFindings(msgspec.Struct, frozen=True, kw_only=True):
    """`denied` are calls of the API that no route lists; `unserved` routes that the API does not serve; `clashes`
    routes that some call of HatchPay's own could be meant by, with which it does not start.

    `unused_permissions` are declared and needed by no route. `overlaps` are pairs of templates that some path fits
    both; the first of the two wins, which has a literal where the other has a `{name}`.
    """

    denied: tuple[str, ...]
    unserved: tuple[str, ...]
    clashes: tuple[str, ...]
    unused_permissions: tuple[str, ...]
    overlaps: tuple[tuple[str, str], ...]

    @property
    def clean(self) -> bool:
        """Whether the table lists exactly what the API serves, and nothing of HatchPay's.

        The rest only deserves a look: overlaps are decided, and a permission without a route may be asked for inside a
        handler.
        """
        return not (self.denied or self.unserved or self.clashes)


def overridden(derived: Catalogue, given: Catalogue) -> Catalogue:
    """`derived`, where `given` says nothing about a call or a permission; what only `given` has stays as it is."""
    known = {_key(route) for route in given.routes.routes}
    routes = [*given.routes.routes, *(route for route in derived.routes.routes if _key(route) not in known)]
    needed = {route.permission for route in routes}
    permissions = by_name([*(one for one in derived.permissions if one.name in needed), *given.permissions])
    return build(permissions.values(), routes)


def check_routes(catalogue: Catalogue, operations: Iterable[Operation], own: RouteTable) -> RouteFindings:
    """`own` are HatchPay's calls: what they answer never gets to the API, whose table need not list it."""
    reached = sorted(one for one in set(operations) if own.match(one.method, one.path) is None)
    served = {(operation.method, _shape(operation.path)): operation for operation in reached}
    listed = {_key(route): route for route in catalogue.routes.routes}
    needed = {route.permission for route in listed.values()}
    clashing = {_key(route): route for route, _ in catalogue.routes.conflicts(own)}
    told = served.keys() | clashing.keys()
    return RouteFindings(
        denied=tuple(f"{one.method} {one.path}" for key, one in served.items() if key not in listed),
        unserved=tuple(sorted(_named(route) for key, route in listed.items() if key not in told)),
        clashes=tuple(sorted(map(_named, clashing.values()))),
        unused_permissions=tuple(
            sorted(permission.name for permission in catalogue.permissions if permission.name not in needed)
        ),
        overlaps=tuple(_winner_first(*pair) for pair in overlapping(catalogue.routes.routes)),
    )


def _winner_first(one: Route, other: Route) -> tuple[str, str]:
    """As the table decides: by the first segment that is a literal in one of them only."""
    first, second = sorted((one, other), key=lambda route: [part == "{}" for part in _shape(route.template)])
    return _named(first), _named(second)


def _shape(path: str) -> tuple[str, ...]:
    """The path without the names of its parameters, which two descriptions may call differently."""
    return tuple("{}" if segment.startswith("{") else segment for segment in path.split("/"))


def _key(route: Route) -> tuple[str, tuple[str, ...]]:
    return route.method, _shape(route.template)


def _named(route: Route) -> str:
    return f"{route.method} {route.template}"
