"""Which business unit a request concerns: the one that it names once and plainly, else none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hatchpay.access.routes import Match, Route, UnitSource
from hatchpay.gate.units import unit_in_body, unit_in_head

UNIT = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
OTHER = "017f22e2-79b0-7cc3-98c4-dc0c0c073990"
QUERY = UnitSource("query", "unit")


def match(*values: str, template: str = "/units/{unit}") -> Match:
    return Match(Route(method="GET", template=template, permission="a.b.c"), values)


@pytest.mark.parametrize(
    ("source", "found", "query", "unit"),
    [
        (UnitSource("path", "unit"), match(UNIT), b"", UNIT),
        (UnitSource("path", "unit"), match(UNIT.upper()), b"", None),
        (UnitSource("path", "unit"), match("x"), b"", None),
        (UnitSource("path", "other"), match(UNIT), b"", None),
        (UnitSource("path", "b"), match(OTHER, UNIT, template="/{a}/{b}"), b"", UNIT),
        (QUERY, match(OTHER), b"unit=" + UNIT.encode(), UNIT),
        (QUERY, match(OTHER), b"a=1&unit=" + UNIT.encode() + b"&b", UNIT),
        (QUERY, match(OTHER), b"%75nit=" + UNIT.replace("-", "%2D").encode(), UNIT),
        (QUERY, match(OTHER), b"", None),
        (QUERY, match(OTHER), b"unit", None),
        (QUERY, match(OTHER), b"unit=", None),
        (QUERY, match(OTHER), b"Unit=" + UNIT.encode(), None),
        (QUERY, match(OTHER), b"unit=%20" + UNIT.encode(), None),
        (QUERY, match(OTHER), f"unit={UNIT}&unit={UNIT}".encode(), None),
        (QUERY, match(OTHER), f"unit={UNIT}&unit={OTHER}".encode(), None),
        (QUERY, match(OTHER), f"unit={UNIT}&%75nit=".encode(), None),
        (UnitSource("handler"), match(UNIT), b"unit=" + UNIT.encode(), None),
        (None, match(UNIT), b"unit=" + UNIT.encode(), None),
    ],
)
def test_path_or_query_name_a_unit_once_or_not_at_all(
    source: UnitSource | None, found: Match, query: bytes, unit: str | None
) -> None:
    assert unit_in_head(source, found, query) == unit


@pytest.mark.parametrize(
    ("body", "unit"),
    [
        (f'{{"unit": "{UNIT}"}}', UNIT),
        (f'{{"a": [{{"unit": "{OTHER}"}}], "unit": "{UNIT}", "b": {{"unit": "{OTHER}"}}}}', UNIT),
        (f'{{"\\u0075nit": "{UNIT}"}}', UNIT),
        (f'{{"unit": "{UNIT}", "unit": "{UNIT}"}}', None),
        (f'{{"unit": "{UNIT}", "unit": "{OTHER}"}}', None),
        (f'{{"unit": "{UNIT}", "\\u0075nit": "{OTHER}"}}', None),
        (f'{{"unit": "{UNIT.upper()}"}}', None),
        (f'{{"unit": ["{UNIT}"]}}', None),
        ('{"unit": null}', None),
        ('{"unit": 7}', None),
        (f'{{"a": {{"unit": "{UNIT}"}}}}', None),
        (f'[{{"unit": "{UNIT}"}}]', None),
        (f'"{UNIT}"', None),
        ("[]", None),
        ("{}", None),
        ("", None),
        (f'{{"unit": "{UNIT}"', None),
        (f'{{"unit": "{UNIT}"}} x', None),
        (f"unit={UNIT}", None),
        (f'{{"unit": "{UNIT}", "deep": {"[" * 100_000}', None),
        (f'{{"unit": "{UNIT}", "long": {"9" * 5_000}}}', UNIT),
    ],
)
def test_a_body_names_a_unit_once_at_its_top_or_not_at_all(body: str, unit: str | None) -> None:
    assert unit_in_body("application/json", body.encode(), "unit") == unit


def test_a_body_that_is_not_text_names_none() -> None:
    assert unit_in_body("application/json", b'{"unit": "\xff"}', "unit") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from([UNIT, OTHER]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["unit", "a", "b"]), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(json_values)
def test_a_document_without_repeated_names_names_what_its_top_says(document: object) -> None:
    said = document.get("unit") if isinstance(document, dict) else None
    assert unit_in_body("application/json", json.dumps(document).encode(), "unit") == (
        said if said in (UNIT, OTHER) else None
    )


@pytest.mark.parametrize(
    ("content_type", "named"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/merge-patch+json", True),
        ("application/x-www-form-urlencoded", False),
        ("text/json", False),
        ("application/jsonp", False),
        ("", False),
    ],
)
def test_only_a_body_that_is_declared_as_json_names_a_unit(content_type: str, named: bool) -> None:
    unit = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    assert (unit_in_body(content_type, b'{"unit": "%s"}' % unit.encode(), "unit") == unit) is named
