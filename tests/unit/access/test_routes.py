"""The route table: what it lists, what it refuses to be built of, and that nothing else is found."""

from __future__ import annotations

import pytest

from hatchpay.access.routes import METHODS, Access, BodyField, FieldType, Route, RouteTable, UnitSource, merge
from hatchpay.errors import SettingsError


def route(method: str, template: str, **fields: object) -> Route:
    return Route(method=method, template=template, permission="a.b.c", **fields)  # type: ignore[arg-type]


TABLE = RouteTable(
    [
        route("GET", "/"),
        route("GET", "/things"),
        route("POST", "/things"),
        route("GET", "/things/{id}"),
        route("DELETE", "/things/{id}"),
        route("POST", "/things/search"),
        route("GET", "/things/{id}/parts/{part}"),
        route("GET", "/things/{id}/parts"),
        route("GET", "/folders/"),
        route("GET", "/{tenant}/things/special"),
    ]
)


def found(method: str, path: str) -> tuple[str, str, tuple[str, ...]] | None:
    match = TABLE.match(method, path)
    return None if match is None else (match.route.method, match.route.template, match.values)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", ("GET", "/", ())),
        ("GET", "/things", ("GET", "/things", ())),
        ("POST", "/things", ("POST", "/things", ())),
        ("GET", "/things/7", ("GET", "/things/{id}", ("7",))),
        ("GET", "/things/{id}", ("GET", "/things/{id}", ("{id}",))),
        ("GET", "/things/7/parts/x y", ("GET", "/things/{id}/parts/{part}", ("7", "x y"))),
        ("GET", "/folders/", ("GET", "/folders/", ())),
        # The literal branch wins where it has the method, and only there.
        ("POST", "/things/search", ("POST", "/things/search", ())),
        ("GET", "/things/search", ("GET", "/things/{id}", ("search",))),
        # Out of a dead end, back to the placeholder.
        ("GET", "/things/things/special", ("GET", "/{tenant}/things/special", ("things",))),
        # HEAD takes its GET's entry.
        ("HEAD", "/things", ("GET", "/things", ())),
        ("HEAD", "/things/7", ("GET", "/things/{id}", ("7",))),
    ],
)
def test_a_listed_request_is_found(method: str, path: str, expected: tuple[str, str, tuple[str, ...]]) -> None:
    assert found(method, path) == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "//"),
        ("GET", "/things/"),
        ("GET", "/things//parts"),
        ("GET", "//things"),
        ("GET", "/folders"),
        ("GET", "/Things"),
        ("GET", "/things/7/"),
        ("GET", "/things/7/parts/"),
        ("GET", "/things/7/parts/8/9"),
        ("GET", "/nothing"),
        ("PUT", "/things"),
        ("OPTIONS", "/things"),
        ("get", "/things"),
        ("", "/things"),
        ("TRACE", "/things"),
        ("CONNECT", "/things"),
        ("HEAD", "/things/search/x"),
    ],
)
def test_what_is_not_listed_is_not_found(method: str, path: str) -> None:
    assert found(method, path) is None


def test_an_empty_table_lists_nothing() -> None:
    assert all(RouteTable(()).match(method, "/") is None for method in METHODS)


def test_head_does_not_take_over_a_post() -> None:
    assert RouteTable([route("POST", "/x")]).match("HEAD", "/x") is None


def test_a_value_is_found_by_the_name_of_its_segment() -> None:
    match = TABLE.match("GET", "/things/7/parts/8")
    assert match is not None
    assert (match.value("id"), match.value("part"), match.value("other")) == ("7", "8", None)


@pytest.mark.parametrize(
    "template",
    [
        "",
        "things",
        "//",
        "/a//b",
        "/.",
        "/..",
        "/a/../b",
        "/{}",
        "/{a b}",
        "/{1}",
        "/a{b}",
        "/{a}{b}",
        "/{a}.json",
        "/a*",
        "/a?b",
        "/a#b",
        "/a;b",
        "/a%2fb",
        "/é",
        "/a b",
        "/a\n",
        "/{a:path}",
    ],
)
def test_a_template_that_is_not_plainly_a_path_is_refused(template: str) -> None:
    with pytest.raises(SettingsError):
        RouteTable([route("GET", template)])


@pytest.mark.parametrize("template", ["/", "/a", "/a/", "/a.b~c_d-e:f@g", "/{a}", "/{a_1}/b/{c}", "/...", "/a/{b}/"])
def test_a_plain_template_is_taken(template: str) -> None:
    assert RouteTable([route("GET", template)]).routes[0].template == template


@pytest.mark.parametrize(
    ("one", "other"),
    [("/a", "/a"), ("/{a}", "/{b}"), ("/x/{a}/y", "/x/{b}/y"), ("/", "/")],
)
def test_two_entries_that_say_the_same_are_refused(one: str, other: str) -> None:
    with pytest.raises(SettingsError, match="twice"):
        RouteTable([route("GET", one), route("GET", other)])


@pytest.mark.parametrize("method", ["get", "TRACE", "CONNECT", "*", ""])
def test_a_method_that_we_do_not_know_cannot_be_listed(method: str) -> None:
    with pytest.raises(SettingsError, match="method"):
        route(method, "/")


@pytest.mark.parametrize(
    ("access", "permission"),
    [("permission", None), ("open", "a.b.c"), ("self_authenticating", "a.b.c")],
)
def test_a_route_has_a_permission_exactly_where_it_asks_for_one(access: Access, permission: str | None) -> None:
    with pytest.raises(SettingsError, match="permission"):
        Route(method="GET", template="/", access=access, permission=permission)


@pytest.mark.parametrize("permission", ["", "a", "A.b.c", "a.b.*"])
def test_a_malformed_permission_is_refused_with_the_route_named(permission: str) -> None:
    with pytest.raises(SettingsError, match="GET /x"):
        Route(method="GET", template="/x", permission=permission)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("handler", UnitSource("handler")),
        ("path:unit_id", UnitSource("path", "unit_id")),
        ("query:unit", UnitSource("query", "unit")),
        ("body:business_unit_id", UnitSource("body", "business_unit_id")),
    ],
)
def test_a_route_says_where_its_business_unit_stands(text: str, source: UnitSource) -> None:
    assert UnitSource.parse(text) == source


@pytest.mark.parametrize("text", ["", "body", "body:", "header:x", "handler:x", "query:a b", "body:a.b", "body:x\n"])
def test_any_other_place_for_a_business_unit_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        UnitSource.parse(text)


def test_merged_tables_list_what_each_of_them_lists() -> None:
    merged = merge(
        {"one": RouteTable([route("GET", "/a")]), "two": RouteTable([route("POST", "/a"), route("GET", "/b")])}
    )
    assert {(entry.method, entry.template) for entry in merged.routes} == {("GET", "/a"), ("POST", "/a"), ("GET", "/b")}
    assert merged.match("POST", "/a") is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [("/a", "/a"), ("/a/{x}", "/a/b"), ("/{x}/b", "/a/{y}"), ("/{x}", "/{y}")],
)
def test_tables_that_claim_the_same_request_are_not_merged(one: str, other: str) -> None:
    with pytest.raises(SettingsError, match=r"of ours .* of theirs"):
        merge({"ours": RouteTable([route("GET", one)]), "theirs": RouteTable([route("GET", other)])})


def test_a_folder_and_its_children_do_not_clash() -> None:
    merge({"ours": RouteTable([route("GET", "/roles/{id}")]), "theirs": RouteTable([route("GET", "/roles/")])})


@pytest.mark.parametrize(
    ("method", "template", "unit"),
    [
        ("HEAD", "/things", ()),
        ("GET", "/things/{id}/parts/{id}", ()),
        ("GET", "/things/{id}", (UnitSource("path", "unit"),)),
        ("GET", "/things/{id}", (UnitSource("query", "unit"), UnitSource("path", "unit"))),
        ("GET", "/things/{id}", (UnitSource("handler"), UnitSource("path", "id"))),
        ("GET", "/things/{id}", (UnitSource("path", "id"), UnitSource("path", "id"))),
    ],
)
def test_an_entry_that_could_never_mean_what_it_says_is_refused(
    method: str, template: str, unit: tuple[UnitSource, ...]
) -> None:
    with pytest.raises(SettingsError):
        Route(method=method, template=template, permission="a.b.c", unit=unit)


@pytest.mark.parametrize(
    "field",
    [
        BodyField("amount", "decimal", "/transaction/amount"),
        BodyField("a_1", "string", "/"),
        BodyField("a", "boolean", "/a~1b/~0/0/-"),
        BodyField("total", "decimal", "/items/*/amount", "quantity"),
        BodyField("total", "long", "/counts/*"),
        BodyField("total", "long", "/*/n"),
    ],
)
def test_a_route_declares_the_fields_that_policies_may_ask_for(field: BodyField) -> None:
    declared = Route(method="POST", template="/things", permission="a.b.c", fields=(field,))
    assert declared.fields == (field,)


def test_the_tokens_of_a_pointer_are_unescaped_in_the_order_of_rfc_6901() -> None:
    # RFC 6901, section 4: "~01" is "~1", never "/".
    assert BodyField("a", "string", "/a~1b/m~0n/~01/").segments == ("a/b", "m~n", "~1", "")


@pytest.mark.parametrize(
    ("name", "kind", "pointer", "times"),
    [
        ("", "string", "/a", None),
        ("Amount", "string", "/a", None),
        ("1a", "string", "/a", None),
        ("a-b", "string", "/a", None),
        ("a\n", "string", "/a", None),
        ("a", "string", "", None),
        ("a", "string", "a", None),
        ("a", "string", "/a~", None),
        ("a", "string", "/a~2b", None),
        ("a", "string", "/items/*/name", None),
        ("a", "boolean", "/items/*", None),
        ("a", "decimal", "/*/*/amount", None),
        ("a", "decimal", "/amount", "quantity"),
        ("a", "decimal", "/amounts/*", "quantity"),
    ],
)
def test_a_field_that_nobody_could_read_is_refused(name: str, kind: FieldType, pointer: str, times: str | None) -> None:
    with pytest.raises(SettingsError):
        BodyField(name, kind, pointer, times)


def test_a_field_is_declared_once() -> None:
    one, other = BodyField("a", "string", "/a"), BodyField("a", "string", "/b")
    with pytest.raises(SettingsError):
        Route(method="POST", template="/things", permission="a.b.c", fields=(one, other))
