"""Bad input to each call: refused, with the field named, and nothing changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.http.control.harness import HISTORY, KEYS, TENANTS, UNITS, World, problem_of

from hatchpay.control import examples

ID = examples.KEY_ID
WRONG: tuple[Any, ...] = (None, True, 1.5, {}, "\0", "\ud800")
WRITES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", KEYS): examples.CREATE_KEY,
    ("PATCH", f"{KEYS}/{ID}"): {"name": "Till"},
    ("PUT", f"{KEYS}/{ID}/roles"): {"role_ids": []},
    ("POST", f"{KEYS}/{ID}/rotate"): {"grace_seconds": 0},
    ("POST", "/roles"): examples.DEFINE_ROLE,
    ("PUT", f"/roles/{ID}"): examples.DEFINE_ROLE,
    ("POST", UNITS): examples.CREATE_BUSINESS_UNIT,
    ("POST", TENANTS): examples.CREATE_TENANT,
}
each_write = pytest.mark.parametrize(("method", "path"), [pytest.param(*write, id=" ".join(write)) for write in WRITES])


@each_write
def test_a_body_must_be_json_sent_as_json(shared: World, method: str, path: str) -> None:
    before = shared.state()
    for body, headers, refusal in (
        (b"{", {}, (400, "invalid_json", None)),
        (b"\xff{}", {}, (400, "invalid_json", None)),
        (b'{"name": NaN}', {}, (400, "invalid_json", None)),
        (b"[" * 100 + b"]" * 100, {}, (400, "invalid_json", None)),
        (b'"a"', {}, (422, "invalid_field", None)),
        (b"[]", {}, (422, "invalid_field", None)),
        (
            b"name=Till",
            {"content-type": "application/x-www-form-urlencoded"},
            (415, "unsupported_media_type", None),
        ),
        (b"{}", {"content-type": "text/plain"}, (415, "unsupported_media_type", None)),
        (b"{}", {"content-encoding": "gzip"}, (415, "unsupported_media_type", None)),
        (b" " * (256 * 1024 + 1), {}, (413, "body_too_large", None)),
    ):
        answer = shared.call(method, path, key=shared.operator, content=body, headers=headers)
        assert problem_of(answer) == refusal, body[:20]
    assert shared.state() == before


@each_write
def test_a_body_holds_what_is_known_once_and_nothing_else(shared: World, method: str, path: str) -> None:
    before = shared.state()
    valid = WRITES[method, path]
    name = next(iter(valid))
    answer = shared.call(method, path, key=shared.operator, json=valid | {"tenant_id": ID})
    assert problem_of(answer) == (422, "unknown_field", "tenant_id")
    twice = f'{{"{name}": 1, "{name}": 1}}'.encode()
    assert problem_of(shared.call(method, path, key=shared.operator, content=twice)) == (
        400,
        "duplicate_json_key",
        name,
    )
    for wrong in WRONG:
        body = json.dumps(valid | {name: wrong}).encode()
        answer = shared.call(method, path, key=shared.operator, content=body)
        status, code, field = problem_of(answer)
        assert (status, code) in {(422, "invalid_field"), (422, "invalid_uuid")}
        assert field is not None
        assert field.split(".")[0] == name
    assert shared.state() == before


@each_write
def test_a_write_takes_no_parameters(shared: World, method: str, path: str) -> None:
    before = shared.state()
    answer = shared.call(method, f"{path}?dry_run=1", key=shared.operator, json=WRITES[method, path])
    assert problem_of(answer) == (422, "unknown_parameter", "dry_run")
    assert shared.state() == before


@pytest.mark.parametrize("bad_id", ["1", ID.upper(), ID.replace("-", ""), f"{ID}0", "%F0%9F%94%91", "null"])
def test_an_id_in_a_path_is_a_uuid_as_we_write_it(shared: World, bad_id: str) -> None:
    for method, path, body in (
        ("GET", f"{KEYS}/{bad_id}", None),
        ("PATCH", f"{KEYS}/{bad_id}", {"name": "Till"}),
        ("DELETE", f"{KEYS}/{bad_id}", None),
        ("PUT", f"{KEYS}/{bad_id}/roles", {"role_ids": []}),
        ("POST", f"{KEYS}/{bad_id}/rotate", {}),
        ("DELETE", f"{KEYS}/{bad_id}/previous-secrets", None),
        ("GET", f"/roles/{bad_id}", None),
        ("PUT", f"/roles/{bad_id}", examples.DEFINE_ROLE),
        ("DELETE", f"/roles/{bad_id}", None),
        ("GET", f"{UNITS}/{bad_id}", None),
    ):
        answer = shared.call(method, path, key=shared.operator, json=body)
        assert problem_of(answer) == (422, "invalid_uuid", "id"), path


@pytest.mark.parametrize("path", [KEYS, "/roles", "/permissions", UNITS, TENANTS, HISTORY])
@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("limit=0", (422, "invalid_field", "limit")),
        ("limit=201", (422, "invalid_field", "limit")),
        ("limit=ten", (422, "invalid_field", "limit")),
        ("cursor=", (400, "invalid_cursor", "cursor")),
        ("cursor=%2e%2e", (400, "invalid_cursor", "cursor")),
        ("cursor=AAAA", (400, "invalid_cursor", "cursor")),
        ("cursor=YQ", (400, "invalid_cursor", "cursor")),
        ("offset=1", (422, "unknown_parameter", "offset")),
        ("limit=1&limit=1", (400, "duplicate_parameter", "limit")),
        ("cursor=%FF", (400, "invalid_query", None)),
    ],
)
def test_a_list_takes_a_limit_and_a_cursor_that_it_gave(
    shared: World, path: str, query: str, refusal: tuple[int, str, str | None]
) -> None:
    assert problem_of(shared.call("GET", f"{path}?{query}", key=shared.operator)) == refusal


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (KEYS, {"name": ""}, "name"),
        (KEYS, {"name": "a" * 121}, "name"),
        (KEYS, {"description": "without a name"}, "name"),
        (KEYS, {"name": "a", "description": "a" * 1001}, "description"),
        (KEYS, {"name": "a", "environment": "production"}, "environment"),
        (KEYS, {"name": "a", "expires_at": "2030-01-01"}, "expires_at"),
        (KEYS, {"name": "a", "expires_at": 1893456000}, "expires_at"),
        (KEYS, {"name": "a", "allowed_cidrs": []}, "allowed_cidrs"),
        (KEYS, {"name": "a", "allowed_cidrs": [1]}, "allowed_cidrs.0"),
        (KEYS, {"name": "a", "business_unit_ids": ["1"]}, "business_unit_ids.0"),
        (KEYS, {"name": "a", "metadata": {"team": 7}}, "metadata.team"),
        (KEYS, {"name": "a", "metadata": {"4111111111111111": 7}}, "metadata.?"),
        (KEYS, {"name": "a", "metadata": {"a" * 65: ""}}, "metadata.?"),
        (f"{KEYS}/{ID}/rotate", {"grace_seconds": 2_592_001}, "grace_seconds"),
        (f"{KEYS}/{ID}/rotate", {"grace_seconds": "60"}, "grace_seconds"),
        ("/roles", {"name": "a"}, "permissions"),
        ("/roles", {"name": "a", "permissions": "a.b.c"}, "permissions"),
        (UNITS, {"name": "a"}, "timezone_name"),
        (TENANTS, {"name": 1}, "name"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(shared: World, path: str, body: object, field: str) -> None:
    before = shared.state()
    status, _, named = problem_of(shared.call("POST", path, key=shared.operator, json=body))
    assert (status, named) == (422, field)
    assert shared.state() == before


@pytest.mark.parametrize("body", [{}, {"status": "deleted"}, {"status": None}, {"name": None}, {"environment": "live"}])
def test_a_change_must_change_something_that_can_be_changed(shared: World, body: object) -> None:
    assert problem_of(shared.call("PATCH", f"{KEYS}/{ID}", key=shared.operator, json=body))[0] == 422


def test_no_refusal_repeats_what_was_sent(shared: World) -> None:
    secret = "hp_live_s3cretS3cret"
    for (method, path), valid in WRITES.items():
        name = next(iter(valid))
        for body in (
            {secret: 1},
            {name: [secret]},
            {name: {secret: secret}},
            [secret],
            {name: 1, "metadata": secret},
        ):
            answer = shared.call(method, path, key=shared.operator, json=body)
            assert answer.status_code in {400, 422}
            assert secret not in answer.text
    for query in (f"cursor={secret}!", f"limit={secret}", f"{secret}=1"):
        assert secret not in shared.call("GET", f"{KEYS}?{query}", key=shared.operator).text
    assert secret not in shared.call("GET", f"{KEYS}/{secret}", key=shared.operator).text
