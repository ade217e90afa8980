"""What the gate would read off a request that nobody has sent."""

from __future__ import annotations

import pytest

from hatchpay.access.explain import Subject, Target
from hatchpay.access.routes import Match, Route, RouteTable, UnitSource
from hatchpay.errors import InvalidInput
from hatchpay.gate.reading import GateReading

UNCLEAR = "business_unit_unclear"
UNIT = "017f22e2-79b0-7cc3-98c4-dc0c0c073911"


def match(source: str) -> Match:
    route = Route(method="POST", template="/units/{unit}", permission="a.b.create", unit=(UnitSource.parse(source),))
    found = RouteTable([route]).match("POST", f"/units/{UNIT}")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("sent", "target"),
    [
        ("/roles", Target("/roles", b"")),
        ("/roles?limit=2&x=?", Target("/roles", b"limit=2&x=?")),
        ("/shop/t%C3%A9?a=%2F", Target("/shop/té", b"a=%2F")),
        ("/", Target("/", b"")),
    ],
)
def test_a_path_is_decoded_and_its_query_is_not(sent: str, target: Target) -> None:
    assert GateReading().target(sent) == target


@pytest.mark.parametrize(
    "sent",
    [
        *("", "roles", "//roles", "/a/../b", "/a/./b", "/a%2fb", "/a;b", "/a\\b", "/a b", "/a\0", "/é", "/%ff"),
        *("/a%2525", "/a%", "/a#b", "/a?b#c", "/a?b c", "/a?é", "/a?\ud800", "/\ud800", "https://a.test/roles"),
        *("/a?" + "x" * 70_000, "?a=b"),
    ],
)
def test_what_the_gate_would_refuse_is_refused(sent: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        GateReading().target(sent)
    assert (refused.value.code, refused.value.field) == ("path_not_canonical", "path")


@pytest.mark.parametrize("query", ["api_key=x", "access_token=x", "q=hp_live_0352uR9sr3", "%61pi_key=x"])
def test_a_credential_in_the_query_is_refused(query: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        GateReading().target(f"/roles?{query}")
    assert (refused.value.code, refused.value.field) == ("credential_in_query", "path")


@pytest.mark.parametrize(
    ("source", "query", "body", "read"),
    [
        ("path:unit", b"", None, UNIT),
        ("query:unit", f"unit={UNIT}".encode(), None, UNIT),
        ("query:unit", f"unit={UNIT}&unit={UNIT}".encode(), None, UNCLEAR),
        ("body:unit", b"", f'{{"unit": "{UNIT}"}}'.encode(), UNIT),
        ("body:unit", b"", f'{{"unit": "{UNIT}", "unit": "{UNIT}"}}'.encode(), UNCLEAR),
        ("body:unit", b"", b"[]", UNCLEAR),
        ("body:unit", f"unit={UNIT}".encode(), None, None),
        ("handler", f"unit={UNIT}".encode(), f'{{"unit": "{UNIT}"}}'.encode(), None),
    ],
)
def test_the_unit_stands_where_the_route_says(source: str, query: bytes, body: bytes | None, read: str | None) -> None:
    assert GateReading().subject(match(source), query, body) == (
        Subject(None, {}, read) if read == UNCLEAR else Subject(read)
    )
