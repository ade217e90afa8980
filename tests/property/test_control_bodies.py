"""Whatever is sent to the control API, it answers in its own shape; what it refuses has changed nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.http.control.harness import HISTORY, KEYS, TENANTS, UNITS, World, problem_of

from hatchpay.control import examples

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

TEXT = st.text(st.characters(), max_size=30)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([10**400, -1, 0, 2_592_000, 2**63]))
TELLING = st.sampled_from(
    [
        *("\0", "\ud800", " ", "a" * 121, "Europe/Berlin", "192.0.2.0/24", "192.0.2.1/24", "::/0", "enabled"),
        *("9999-12-31T23:59:59-14:00", "2030-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", examples.KEY_ID),
        *("access.roles.read", "platform.tenants.create", "admin", "live", "test", "hp_live_s3cret"),
    ]
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT, TELLING)
NAMES = st.one_of(
    TEXT,
    st.sampled_from(
        [
            *("name", "description", "status", "owner", "expires_at", "business_unit_ids", "allowed_cidrs"),
            *("metadata", "environment", "role_ids", "grace_seconds", "permissions", "timezone_name", "id"),
        ]
    ),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=10,
)
QUERY_NAMES = st.sampled_from(
    [
        *("limit", "cursor", "from", "to", "method", "path", "route", "status", "principal_id", "key_id"),
        *("business_unit_id", "request_id", "client_ip", "min_ms", "other"),
    ]
)


class Calls:
    """Every call that takes a body, made by somebody who may."""

    def __init__(self, world: World) -> None:
        self.world = world
        tenant = world.onboard("Demo")
        till = world.create(tenant)
        role = world.call("POST", "/roles", key=tenant.admin, json={"name": "Till", "permissions": []}).json()["id"]
        self.admin = tenant.admin
        self.writes: list[tuple[str, str, str, dict[str, Any]]] = [
            ("POST", KEYS, tenant.admin, examples.CREATE_KEY),
            ("PATCH", f"{KEYS}/{till}", tenant.admin, {"name": "Till"}),
            ("PUT", f"{KEYS}/{till}/roles", tenant.admin, {"role_ids": [role]}),
            ("POST", f"{KEYS}/{till}/rotate", tenant.admin, examples.ROTATE_KEY),
            ("POST", "/roles", tenant.admin, {"name": "Cashier", "permissions": []}),
            ("PUT", f"/roles/{role}", tenant.admin, {"name": "Till", "permissions": []}),
            ("POST", UNITS, tenant.admin, examples.CREATE_BUSINESS_UNIT),
            ("POST", TENANTS, world.operator, examples.CREATE_TENANT),
        ]

    def write(self, number: int, body: bytes) -> None:
        method, path, key, _ = self.writes[number]
        before = self.world.state()
        answer = self.world.call(method, path, key=key, content=body)
        if answer.is_success:
            assert answer.headers["content-type"] == "application/json"
        else:
            check_refusal(answer)
            assert self.world.state() == before


def check_refusal(answer: httpx.Response) -> None:
    status, _, _ = problem_of(answer)
    assert 400 <= status < 500
    assert "s3cret" not in answer.text


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    world = World(tmp_path_factory.mktemp("control"))
    yield Calls(world)
    world.close()


@quick
@given(number=st.integers(0, 7), body=st.binary(max_size=200))
@example(number=0, body=b'{"name": "\xed\xa0\x80"}')
@example(number=0, body=b"[" * 100_000)
@example(number=3, body=b"")
def test_arbitrary_bytes(calls: Calls, number: int, body: bytes) -> None:
    calls.write(number, body)


@quick
@given(number=st.integers(0, 7), value=JSON)
def test_arbitrary_json(calls: Calls, number: int, value: object) -> None:
    calls.write(number, json.dumps(value).encode())


@quick
@given(number=st.integers(0, 7), name=NAMES, value=JSON)
def test_a_valid_body_with_one_field_more_or_another_value(calls: Calls, number: int, name: str, value: object) -> None:
    calls.write(number, json.dumps(calls.writes[number][3] | {name: value}).encode())


@quick
@given(number=st.integers(0, 7), data=st.data())
def test_a_valid_body_with_a_piece_cut_out_or_repeated(calls: Calls, number: int, data: st.DataObject) -> None:
    text = json.dumps(calls.writes[number][3]).encode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    times = data.draw(st.sampled_from([0, 2]))
    calls.write(number, text[:start] + text[start:end] * times + text[end:])


@quick
@given(
    path=st.sampled_from([HISTORY, HISTORY, HISTORY, KEYS, "/roles", "/permissions", UNITS]),
    pairs=st.lists(st.tuples(QUERY_NAMES, TEXT.filter(str.isprintable) | TELLING | NUMBERS.map(str)), max_size=3),
)
def test_arbitrary_queries(calls: Calls, path: str, pairs: list[tuple[str, str]]) -> None:
    sound = [(name, value) for name, value in pairs if value.isprintable() or value == "\0"]
    answer = calls.world.call("GET", path, key=calls.admin, params=sound)
    if not answer.is_success:
        check_refusal(answer)


@quick
@given(cursor=st.binary(max_size=40).map(lambda data: data.hex()) | st.text("ABYZabyz0189_-", max_size=60))
@example(cursor="OTIyMzM3MjAzNjg1NDc3NTgwNw")
def test_arbitrary_cursors(calls: Calls, cursor: str) -> None:
    for path in (HISTORY, KEYS, "/roles", "/permissions", UNITS):
        answer = calls.world.call("GET", path, key=calls.admin, params={"cursor": cursor})
        if not answer.is_success:
            assert problem_of(answer) == (400, "invalid_cursor", "cursor")
