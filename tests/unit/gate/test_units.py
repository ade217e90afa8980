"""Which business unit a request concerns: the one that it names once and plainly, or none; all else is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.access.routes import Match, Route, UnitSource
from hatchpay.errors import MalformedRequest
from hatchpay.gate.units import unit_in_body, unit_in_head

UNIT = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
OTHER = "017f22e2-79b0-7cc3-98c4-dc0c0c073990"
QUERY = UnitSource("query", "unit")
BODY = (UnitSource("body", "unit"),)
JSON = "application/json"


def match(*values: str, sources: tuple[UnitSource, ...] = (), template: str = "/units/{unit}") -> Match:
    return Match(Route(method="GET", template=template, permission="a.b.c", unit=sources), values)


def in_path(*values: str, name: str = "unit", template: str = "/units/{unit}") -> Match:
    return match(*values, sources=(UnitSource("path", name),), template=template)


IN_QUERY = match(OTHER, sources=(QUERY,))
IN_BOTH = match(UNIT, sources=(UnitSource("path", "unit"), QUERY))


@pytest.mark.parametrize(
    ("found", "query", "unit"),
    [
        (in_path(UNIT), b"", UNIT),
        (in_path(OTHER, UNIT, name="b", template="/{a}/{b}"), b"", UNIT),
        (IN_QUERY, b"unit=" + UNIT.encode(), UNIT),
        (IN_QUERY, b"a=1&unit=" + UNIT.encode() + b"&b", UNIT),
        (IN_QUERY, b"%75nit=" + UNIT.replace("-", "%2D").encode(), UNIT),
        (IN_QUERY, b"", None),
        (IN_QUERY, b"units=x&a.unit=y&my_unit=z", None),
        (IN_BOTH, b"", UNIT),
        (IN_BOTH, b"unit=" + UNIT.encode(), UNIT),
        (match(UNIT, sources=(QUERY, UnitSource("query", "u"))), b"u=" + UNIT.encode(), UNIT),
        (match(UNIT, sources=(UnitSource("handler"),)), b"unit=" + UNIT.encode(), None),
        (match(UNIT), b"unit=" + UNIT.encode(), None),
    ],
)
def test_path_and_query_name_a_unit_or_none(found: Match, query: bytes, unit: str | None) -> None:
    assert unit_in_head(found, query) == unit


@pytest.mark.parametrize(
    ("found", "query"),
    [
        (in_path(UNIT.upper()), b""),
        (in_path("x"), b""),
        (IN_QUERY, b"unit"),
        (IN_QUERY, b"unit="),
        (IN_QUERY, b"unit=all"),
        (IN_QUERY, b"unit=null"),
        (IN_QUERY, b"unit=%20" + UNIT.encode()),
        (IN_QUERY, b"unit=" + UNIT.upper().encode()),
        (IN_QUERY, f"unit={UNIT}&unit={UNIT}".encode()),
        (IN_QUERY, f"unit={UNIT}&unit={OTHER}".encode()),
        (IN_QUERY, f"unit={UNIT}&%75nit=".encode()),
        (IN_QUERY, f"Unit={UNIT}".encode()),
        (IN_QUERY, f"unit={UNIT}&UNIT={OTHER}".encode()),
        (IN_QUERY, f"unit[]={UNIT}".encode()),
        (IN_QUERY, f"unit={UNIT}&unit%5B0%5D={OTHER}".encode()),
        (IN_QUERY, f"a=1;unit={UNIT}".encode()),
        (IN_QUERY, f"unit={UNIT};unit={OTHER}".encode()),
        (IN_BOTH, f"unit={OTHER}".encode()),
        (IN_BOTH, b"unit="),
        (match(UNIT, sources=(QUERY, UnitSource("query", "u"))), f"u={UNIT}&unit={OTHER}".encode()),
    ],
)
def test_a_unit_that_could_be_another_one_to_somebody_else_is_refused(found: Match, query: bytes) -> None:
    with pytest.raises(MalformedRequest) as refused:
        unit_in_head(found, query)
    assert (refused.value.code, refused.value.status) == ("business_unit_unclear", 400)


@pytest.mark.parametrize(
    ("body", "unit"),
    [
        (f'{{"unit": "{UNIT}"}}', UNIT),
        (f'  {{"a": [{{"unit": "{OTHER}"}}], "unit": "{UNIT}", "b": {{"unit": "{OTHER}"}}}}', UNIT),
        (f'{{"\\u0075nit": "{UNIT}"}}', UNIT),
        (f'{{"text": "\\"unit\\": \\n", "unit": "{UNIT}"}}', UNIT),
        (f'{{"text": "\\u0041", "unit": "{UNIT}"}}', UNIT),
        (f'{{"unit": "{UNIT}", "long": {"9" * 5_000}}}', UNIT),
        ('{"unit": null}', None),
        (f'{{"a": {{"unit": "{UNIT}"}}}}', None),
        (f'{{"a": "unit", "units": "{UNIT}"}}', None),
        ("{}", None),
        ("", None),
    ],
)
def test_a_body_names_a_unit_at_its_top_or_none(body: str, unit: str | None) -> None:
    assert unit_in_body(BODY, JSON, body.encode(), None) == unit


@pytest.mark.parametrize(
    "body",
    [
        f'{{"unit": "{UNIT}", "unit": "{UNIT}"}}',
        f'{{"unit": "{UNIT}", "unit": "{OTHER}"}}',
        f'{{"unit": "{UNIT}", "unit": null}}',
        f'{{"unit": null, "unit": "{UNIT}"}}',
        f'{{"unit": "{UNIT}", "\\u0075nit": "{OTHER}"}}',
        f'{{"unit": "{UNIT}", "\\u0055nit": "{OTHER}"}}',
        f'{{"Unit": "{UNIT}"}}',
        f'{{"unit": "{UNIT}", "UNIT": "{OTHER}"}}',
        f'{{"unit": "{UNIT.upper()}"}}',
        f'{{"unit": ["{UNIT}"]}}',
        f'{{"unit": {{"id": "{UNIT}"}}}}',
        '{"unit": 7}',
        '{"unit": ""}',
        '{"unit": false}',
        f'[{{"unit": "{UNIT}"}}]',
        f'"{UNIT}"',
        "[]",
        "null",
        " ",
        f'{{"unit": "{UNIT}"',
        f'{{"unit": "{UNIT}"}} x',
        f'{{"unit": "{UNIT}"}}{{"unit": "{OTHER}"}}',
        f'{{"unit": "{UNIT}",}}',
        f'{{"unit": "{UNIT}", "a": NaN}}',
        f'{{"unit": "{UNIT}", "a": 01}}',
        f"{{'unit': '{UNIT}'}}",
        f'{{/* "unit": "{OTHER}", */ "unit": "{UNIT}"}}',
        f"unit={UNIT}",
        f'\ufeff{{"unit": "{UNIT}"}}',
        f'{{"unit": "{UNIT}", "deep": {"[" * 100_000}{"]" * 100_000}}}',
    ],
)
def test_a_body_that_could_mean_another_unit_to_somebody_else_is_refused(body: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        unit_in_body(BODY, JSON, body.encode(), None)
    assert (refused.value.code, refused.value.status) == ("business_unit_unclear", 400)


@pytest.mark.parametrize(
    "body",
    [
        b'{"unit": "\xff"}',
        b'{"unit": "%s", "a": "\xff"}' % UNIT.encode(),
        f'{{"unit": "{UNIT}"}}'.encode("utf-16"),
        b"\x1f\x8b\x08",
    ],
)
def test_a_body_that_is_not_utf_8_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        unit_in_body(BODY, JSON, body, None)


# Go's decoder, and .NET's, take a name in any case; to Go the long s and the Kelvin sign are letters like s and k.
@pytest.mark.parametrize("name", ["ta\u017fK", "tas\u212a", "ta\\u017fk", "tas\\u212A", "TASK", "tas\\u004b"])
def test_a_name_in_other_letters_is_refused(name: str) -> None:
    sources = (UnitSource("body", "task"),)
    for body in (f'{{"{name}": "{OTHER}"}}', f'{{"task": "{UNIT}", "{name}": "{OTHER}"}}'):
        with pytest.raises(MalformedRequest):
            unit_in_body(sources, JSON, body.encode(), None)


def test_what_the_head_names_must_be_what_the_body_names() -> None:
    for body in (b"", b"{}", b'{"unit": null}', b'{"unit": "%s"}' % UNIT.encode()):
        assert unit_in_body(BODY, JSON, body, UNIT) == UNIT
    with pytest.raises(MalformedRequest):
        unit_in_body(BODY, JSON, b'{"unit": "%s"}' % OTHER.encode(), UNIT)


def test_two_members_must_name_the_same_unit() -> None:
    sources = (*BODY, UnitSource("body", "branch"))
    same, different = ({"unit": UNIT, "branch": branch} for branch in (UNIT, OTHER))
    assert unit_in_body(sources, JSON, json.dumps(same).encode(), None) == UNIT
    assert unit_in_body(sources, JSON, b'{"branch": "%s"}' % UNIT.encode(), None) == UNIT
    with pytest.raises(MalformedRequest):
        unit_in_body(sources, JSON, json.dumps(different).encode(), None)


def test_a_route_that_names_no_unit_in_its_body_does_not_look_there() -> None:
    assert unit_in_body((QUERY,), "text/plain", b"x", UNIT) == UNIT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from([UNIT, OTHER, "unit", "\u00e9K"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["unit", "a", "b"]), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(json_values, st.booleans())
def test_a_document_names_what_its_top_says_or_is_refused(document: object, escaped: bool) -> None:
    text = json.dumps(document, ensure_ascii=escaped)
    if escaped:
        text = text.replace("unit", "\\u0075nit")
    clear = isinstance(document, dict) and document.get("unit") in (None, UNIT, OTHER)
    if clear and isinstance(document, dict):
        assert unit_in_body(BODY, JSON, text.encode(), None) == document.get("unit")
    else:
        with pytest.raises(MalformedRequest):
            unit_in_body(BODY, JSON, text.encode("utf-8", "replace"), None)


@pytest.mark.parametrize(
    ("content_type", "named"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ('application/json;charset="UTF-8"', True),
        ("application/json; profile=x; charset=utf-8", True),
        ("application/json; version=1", True),
        ("application/merge-patch+json", True),
        ("application/json; charset=utf-16", False),
        ("application/json; charset=utf-7", False),
        ("application/json; charset=utf-8; charset=shift_jis", False),
        ("application/json; charset*=utf-8''utf-7", False),
        ('application/json; x="; charset=utf-8"; charset=utf-7', False),
        ("application/x-www-form-urlencoded", False),
        ("text/json", False),
        ("application/jsonp", False),
        ("", False),
    ],
)
def test_only_a_body_that_is_declared_as_json_in_utf_8_names_a_unit(content_type: str, named: bool) -> None:
    body = b'{"unit": "%s"}' % UNIT.encode()
    if named:
        assert unit_in_body(BODY, content_type, body, None) == UNIT
        return
    with pytest.raises(MalformedRequest):
        unit_in_body(BODY, content_type, body, None)


def test_a_body_of_very_many_members_that_need_telling_apart_is_refused() -> None:
    many = ", ".join(f'"{number}": 1' for number in range(10_001))
    assert unit_in_body(BODY, JSON, f'{{"unit": "{UNIT}", {many}}}'.encode(), None) == UNIT
    with pytest.raises(MalformedRequest):
        unit_in_body(BODY, JSON, f'{{"\\u0075nit": "{UNIT}", {many}}}'.encode(), None)
