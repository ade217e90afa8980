"""The route table: method and path template to what is needed. What it does not list is denied.

A template is a path whose segments are literal or `{name}`; `{name}` stands for exactly one non-empty segment.
Look-up walks the method's trie by segments, literal before `{name}`, and falls back to `{name}` where the literal
branch leads nowhere: the cost depends on the depth of the path, not on the number of routes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

import msgspec

from hatchpay.access.permission import check_name
from hatchpay.errors import InvalidInput, SettingsError

__all__ = [
    "METHODS",
    "Access",
    "BodyField",
    "FieldType",
    "Match",
    "Route",
    "RouteTable",
    "UnitSource",
    "merge",
    "overlapping",
]

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
Access = Literal["permission", "open", "self_authenticating"]
UnitPlace = Literal["path", "query", "body", "handler"]
FieldType = Literal["decimal", "long", "string", "boolean"]

_SEGMENT: Final = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}|[A-Za-z0-9._~:@-]+")
_UNIT: Final = re.compile(r"handler|(?:path|query|body):[A-Za-z_][A-Za-z0-9_]*")
_FIELD: Final = re.compile(r"[a-z][a-z0-9_]*")
_POINTER: Final = re.compile(r"(?:/(?:[^/~]|~[01])*)+")


class UnitSource(msgspec.Struct, frozen=True):
    """Where a request says which business unit it concerns.

    `handler` means that the handler itself keeps to the principal's units.
    """

    place: UnitPlace
    name: str = ""

    @property
    def text(self) -> str:
        """What `parse` reads."""
        return self.place if self.place == "handler" else f"{self.place}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> UnitSource:
        """`handler`, or `path:NAME`, `query:NAME`, `body:NAME`. Raises SettingsError."""
        if not _UNIT.fullmatch(text):
            raise SettingsError(f"business_unit is handler, path:NAME, query:NAME or body:NAME, not {text!r}")
        place, _, name = text.partition(":")
        return msgspec.convert({"place": place, "name": name}, cls)


class BodyField(msgspec.Struct, frozen=True):
    """A value of a JSON body that policies can ask for as `context.body.<name>`.

    `pointer` is a JSON Pointer (RFC 6901), such as `/transaction/amount`. In that of a number, one segment may be `*`:
    the field is the sum over all elements of the array there, each multiplied by the member `times` beside it where
    that is given.
    """

    name: str
    type: FieldType
    pointer: str
    times: str | None = None

    def __post_init__(self) -> None:
        if not _FIELD.fullmatch(self.name) or not _POINTER.fullmatch(self.pointer):
            raise SettingsError(f"the body field {self.name!r} has an unusable name, or {self.pointer!r} is no pointer")
        stars = self.segments.count("*")
        if stars > 1 or (stars and self.type not in {"decimal", "long"}):
            raise SettingsError(f"the body field {self.name} is no sum of numbers over one array")
        if self.times is not None and (not stars or self.segments[-1] == "*"):
            raise SettingsError(f"the body field {self.name} has nothing beside it to multiply it by")

    @property
    def segments(self) -> tuple[str, ...]:
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in self.pointer[1:].split("/"))


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `permission` is set exactly where `access` is `permission`.

    `unit` are all the places where a request says which business unit it concerns; `handler` stands alone.
    `subject` are the places that may name whom a request is about, the first that does counts: a JSON Pointer into the
    body, or `{name}` of the template. Without `keeps_body` nothing of a body is recorded but its size.
    HEAD is never listed: a framework runs the GET's handler for it, so it takes the GET's entry.
    """

    method: str
    template: str
    access: Access = "permission"
    permission: str | None = None
    unit: tuple[UnitSource, ...] = ()
    fields: tuple[BodyField, ...] = ()
    subject: tuple[str, ...] = ()
    keeps_body: bool = True
    control: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SettingsError(f"the method {self.method!r} of {self.template!r} cannot be listed")
        if (self.permission is not None) != (self.access == "permission"):
            raise SettingsError(f"route {self.method} {self.template} needs either a permission or open access")
        names = _names(self.template)
        if len(set(names)) < len(names):
            raise SettingsError(f"route {self.method} {self.template} uses a name twice")
        self._check_unit(names)
        if len({field.name for field in self.fields}) < len(self.fields):
            raise SettingsError(f"route {self.method} {self.template} declares a body field twice")
        for place in self.subject:
            if not (place[1:-1] in names if place.startswith("{") else _POINTER.fullmatch(place)):
                raise SettingsError(f"route {self.method} {self.template} has no subject at {place!r}")
        if self.permission is not None:
            try:
                check_name(self.permission)
            except InvalidInput as error:
                raise SettingsError(f"route {self.method} {self.template}: {error.detail}") from None

    def names_unit_in(self, place: UnitPlace) -> bool:
        """Whether `place` is among those where a request says which business unit it concerns."""
        return any(source.place == place for source in self.unit)

    def _check_unit(self, names: list[str]) -> None:
        if len(set(self.unit)) < len(self.unit) or (len(self.unit) > 1 and self.names_unit_in("handler")):
            raise SettingsError(
                f"route {self.method} {self.template} names a source of the unit twice, or beside handler"
            )
        for source in self.unit:
            if source.place == "path" and source.name not in names:
                raise SettingsError(
                    f"route {self.method} {self.template} has no {{{source.name}}} to read the unit from"
                )


class Match(msgspec.Struct, frozen=True, gc=False):
    """A route that fits, and the values of its `{name}` segments, decoded, in their order."""

    route: Route
    values: tuple[str, ...]

    def value(self, name: str) -> str | None:
        names = _names(self.route.template)
        return self.values[names.index(name)] if name in names else None


def _names(template: str) -> list[str]:
    return [segment[1:-1] for segment in template.split("/") if segment.startswith("{")]


class _Node:
    __slots__ = ("any", "literal", "route")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.route: Route | None = None


class RouteTable:
    """Immutable once built. Raises SettingsError for a malformed template or two entries that say the same."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes: tuple[Route, ...] = tuple(routes)
        self._roots: dict[str, _Node] = {}
        self._static: dict[str, dict[str, Match]] = {}
        for route in self.routes:
            self._insert(route)

    def match(self, method: str, path: str) -> Match | None:
        """The entry for `method` on the decoded `path`, or None.

        The gate has refused encoded slashes by then, so the decoded path has the raw one's segments, and literals
        are compared as the framework behind compares them.
        """
        if method == "HEAD":
            method = "GET"
        root = self._roots.get(method)
        if root is None:
            return None
        return self._static[method].get(path) or _walk(root, path.split("/"), 1, ())

    def conflicts(self, other: RouteTable) -> list[tuple[Route, Route]]:
        """Pairs of entries, one of each table, that some request could both mean."""
        return [(mine, theirs) for mine in self.routes for theirs in other.routes if _overlap(mine, theirs)]

    def _insert(self, route: Route) -> None:
        if not route.template.startswith("/"):
            raise SettingsError(f"a path template starts with /, not {route.template!r}")
        node = self._roots.setdefault(route.method, _Node())
        segments = route.template.split("/")[1:]
        for place, segment in enumerate(segments):
            if segment in {".", ".."} or (
                not _SEGMENT.fullmatch(segment) and not (segment == "" and place == len(segments) - 1)
            ):
                raise SettingsError(f"unusable segment {segment!r} in the path template {route.template!r}")
            if segment.startswith("{"):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.literal.setdefault(segment, _Node())
        if node.route is not None:
            raise SettingsError(f"{route.method} {route.template} is listed twice")
        node.route = route
        static = self._static.setdefault(route.method, {})
        if "{" not in route.template:
            static[route.template] = Match(route, ())


def _walk(node: _Node, segments: list[str], start: int, values: tuple[str, ...]) -> Match | None:
    """A loop while there is one way to go; only where a literal and a `{name}` both fit does it call itself."""
    for depth in range(start, len(segments)):
        segment = segments[depth]
        following = node.literal.get(segment)
        anything = node.any if segment else None
        if following is not None and anything is not None:
            found = _walk(following, segments, depth + 1, values)
            if found is not None:
                return found
        if anything is not None:
            node, values = anything, (*values, segment)
        elif following is not None:
            node = following
        else:
            return None
    return None if node.route is None else Match(node.route, values)


def overlapping(routes: Sequence[Route]) -> list[tuple[Route, Route]]:
    """Pairs among `routes` that some request could both mean."""
    return [(one, other) for place, one in enumerate(routes) for other in routes[place + 1 :] if _overlap(one, other)]


def _overlap(mine: Route, theirs: Route) -> bool:
    left, right = mine.template.split("/"), theirs.template.split("/")
    return (
        mine.method == theirs.method
        and len(left) == len(right)
        and all(a == b or _stands_for(a, b) or _stands_for(b, a) for a, b in zip(left, right, strict=True))
    )


def _stands_for(mine: str, theirs: str) -> bool:
    return mine.startswith("{") and theirs != ""


def merge(tables: Mapping[str, RouteTable]) -> RouteTable:
    """One table of several, by their names. Raises SettingsError where two of them claim the same request."""
    named = list(tables.items())
    for index, (name, table) in enumerate(named):
        for other_name, other in named[index + 1 :]:
            for left, right in table.conflicts(other):
                raise SettingsError(
                    f"{left.method} {left.template} of {name} clashes with {right.template} of {other_name}"
                )
    return RouteTable(route for _, table in named for route in table.routes)
