"""The route table against a slow and obvious matcher, over random tables and paths."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.access.routes import Route, RouteTable

METHODS = ["GET", "PUT", "POST"]
SEGMENTS = ["a", "b", "{x}"]

templates = st.one_of(
    st.just("/"),
    st.builds(
        lambda parts, end: "/" + "/".join(parts) + end,
        st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4),
        st.sampled_from(["", "", "/"]),
    ),
)
entries = st.lists(st.tuples(st.sampled_from(METHODS), templates), max_size=14, unique_by=lambda entry: entry)
paths = st.builds(
    lambda parts, end: "/" + "/".join(parts) + end,
    st.lists(st.sampled_from(["a", "b", "c", "{x}", "A", "é", "a b"]), max_size=4),
    st.sampled_from(["", "", "/", "//a"]),
)


def numbered(template: str) -> str:
    """Names within a template differ."""
    parts = [f"{{x{place}}}" if part == "{x}" else part for place, part in enumerate(template.split("/"))]
    return "/".join(parts)


def plain(template: str) -> str:
    return re.sub(r"\{x\d+\}", "{x}", template)


def table(listed: list[tuple[str, str]]) -> RouteTable:
    return RouteTable(Route(method=method, template=numbered(path), permission="a.b.c") for method, path in listed)


def fits(template: str, path: str) -> bool:
    wanted, given_segments = template.split("/"), path.split("/")
    return len(wanted) == len(given_segments) and all(
        segment != "" if pattern == "{x}" else pattern == segment
        for pattern, segment in zip(wanted, given_segments, strict=True)
    )


def slow(listed: list[tuple[str, str]], method: str, path: str) -> tuple[str, str] | None:
    """Of the entries that fit, the one whose leftmost placeholder stands rightmost; HEAD then asks as GET."""
    fitting = [template for listed_method, template in listed if listed_method == method and fits(template, path)]
    if fitting:
        return method, min(fitting, key=lambda template: [part == "{x}" for part in template.split("/")])
    return slow(listed, "GET", path) if method == "HEAD" else None


def fast(routes: RouteTable, method: str, path: str) -> tuple[str, str] | None:
    match = routes.match(method, path)
    return None if match is None else (match.route.method, plain(match.route.template))


@settings(max_examples=400, deadline=None)
@given(entries, st.lists(paths, min_size=1, max_size=8))
def test_the_table_finds_what_the_slow_matcher_finds(listed: list[tuple[str, str]], asked: list[str]) -> None:
    routes = table(listed)
    for path in asked:
        for method in [*METHODS, "PUT", "get"]:
            assert fast(routes, method, path) == slow(listed, method, path)


@settings(max_examples=150, deadline=None)
@given(entries, st.data())
def test_the_order_of_the_entries_does_not_matter(listed: list[tuple[str, str]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(listed))
    path = data.draw(paths)
    for method in METHODS:
        assert fast(table(listed), method, path) == fast(table(shuffled), method, path)


@settings(max_examples=150, deadline=None)
@given(entries, paths)
def test_the_values_put_back_into_the_template_give_the_path(listed: list[tuple[str, str]], path: str) -> None:
    match = table(listed).match("GET", path)
    if match is not None:
        values = iter(match.values)
        assert (
            "/".join(next(values) if part.startswith("{x") else part for part in match.route.template.split("/"))
            == path
        )
        assert list(values) == []


@settings(max_examples=150, deadline=None)
@given(entries, entries, st.lists(paths, max_size=8))
def test_tables_without_a_conflict_never_both_find_a_request(
    mine: list[tuple[str, str]], theirs: list[tuple[str, str]], asked: list[str]
) -> None:
    left, right = table(mine), table(theirs)
    conflicts = {(a.method, plain(a.template), plain(b.template)) for a, b in left.conflicts(right)}
    # Each placeholder of one replaced by the other's word is a path that both could mean.
    expected = {
        (method, template, other)
        for method, template in mine
        for other_method, other in theirs
        if method == other_method and any(fits(template, path) and fits(other, path) for path in _samples(template))
    }
    assert conflicts == expected
    for path in asked:
        for method in METHODS:
            one, other = left.match(method, path), right.match(method, path)
            if one is not None and other is not None and one.route.method == other.route.method:
                assert (one.route.method, plain(one.route.template), plain(other.route.template)) in conflicts


def _samples(template: str) -> list[str]:
    """Every path over the words of the templates that `template` fits."""
    found = [""]
    for part in template.split("/")[1:]:
        words = ["a", "b", "other"] if part == "{x}" else [part]
        found = [f"{start}/{word}" for start in found for word in words]
    return found
