"""Nothing is served without the gate, and nothing leaves the control API but in its own shape."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from tests.http.control.harness import KEYS, Admitted, call, problem_of

from hatchpay.admin.views import KeyView, NewKey
from hatchpay.control import examples
from hatchpay.control.app import Services, create_control_app
from hatchpay.control.published import PublishedKeys
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.errors import AuditUnavailable, DirectoryUnavailable, HatchPayError
from hatchpay.identity.ports import Trust
from hatchpay.identity.principal import Principal

SECRET = "s3cret-in-the-request"
CALLER = Admitted("request-1", Principal("k", "api_key", "t", "k", ("admin",), {}))
OPEN = {
    "/openapi.json": "openapi",
    "/.well-known/jwks.json": "keys",
    "/.well-known/oauth-authorization-server": "token_endpoint",
}
SELF_AUTHENTICATING = ("/v1/auth/token", "/v1/auth/revoke", "/v1/auth/introspect")
EVERY_CALL = [
    pytest.param(route.method, route.template.replace("{id}", examples.KEY_ID), id=f"{route.method} {route.template}")
    for route in CONTROL_ROUTES
]


class Keys:
    """Stands in for the use cases: answers, or fails as it is told."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.calls: list[str] = []

    def get(self, actor: object, key_id: str) -> KeyView:
        return self._answer("get")

    def update(self, actor: object, key_id: str, changes: object) -> KeyView:
        return self._answer("update")

    def create(self, actor: object, wanted: NewKey) -> Any:
        self.calls.append("create")
        raise RuntimeError(f"INSERT failed with parameters {wanted!r}")

    def _answer(self, name: str) -> KeyView:
        self.calls.append(name)
        if self.failure is not None:
            raise self.failure
        return msgspec.convert(examples.KEY, KeyView)


def app_of(keys: Keys, changed_failure: Exception | None = None) -> Any:
    async def changed() -> None:
        keys.calls.append("changed")
        if changed_failure is not None:
            raise changed_failure

    nothing = cast(Any, None)
    return create_control_app(
        Services(
            keys=cast(Any, keys),
            roles=nothing,
            permissions=nothing,
            explanations=nothing,
            units=nothing,
            tenants=nothing,
            issuers=nothing,
            tokens=nothing,
            key_authenticator=nothing,
            token_authenticator=nothing,
            published=PublishedKeys(Trust, lambda: 0, "https://auth.test"),
            history=nothing,
            changed=changed,
        )
    )


@pytest.mark.parametrize(("method", "path"), EVERY_CALL)
def test_without_the_gate_nothing_is_served(method: str, path: str) -> None:
    answer = call(app_of(Keys()), method, path)
    assert problem_of(answer) == (503, "gate_missing", None)
    assert answer.json()["request_id"] is None


@pytest.mark.parametrize(("method", "path"), EVERY_CALL)
def test_without_a_proven_caller_only_the_open_calls_are_served(method: str, path: str) -> None:
    for principal in (None, "admin", SimpleNamespace(tenant_id="t")):
        answer = call(app_of(Keys()), method, path, Admitted("r", cast(Any, principal)))
        if path in OPEN:
            assert (answer.status_code, OPEN[path] in answer.json()) == (200, True)
        elif path in SELF_AUTHENTICATING:
            assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        else:
            assert problem_of(answer) == (503, "gate_missing", None)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/openapi.json", 200),
        ("GET", f"{KEYS}/{examples.KEY_ID}", 200),
        ("POST", KEYS, 400),
        ("GET", "/nowhere", 404),
        ("PUT", KEYS, 405),
    ],
)
def test_no_answer_is_kept_by_a_cache(method: str, path: str, status: int) -> None:
    answer = call(app_of(Keys()), method, path, CALLER)
    assert answer.status_code == status
    assert answer.headers.get_list("cache-control") == ["no-store"]


@pytest.mark.parametrize("path", ["/nowhere", "/", "/roles/", "/v1/api-key", "/docs", "/redoc", "/openapi.json/"])
def test_an_unknown_path_is_a_problem(path: str) -> None:
    answer = call(app_of(Keys()), "GET", path, CALLER)
    assert problem_of(answer) == (404, "not_found", None)
    assert answer.json()["request_id"] == "request-1"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", KEYS, "GET, HEAD, POST"),
        ("POST", f"{KEYS}/{examples.KEY_ID}", "DELETE, GET, HEAD, PATCH"),
        ("OPTIONS", "/roles", "GET, HEAD, POST"),
        ("DELETE", "/openapi.json", "GET, HEAD"),
    ],
)
def test_an_unknown_method_is_a_problem_that_names_the_known_ones(method: str, path: str, allowed: str) -> None:
    answer = call(app_of(Keys()), method, path, CALLER)
    assert problem_of(answer) == (405, "method_not_allowed", None)
    assert answer.headers["allow"] == allowed


def test_head_answers_as_get_does_without_the_body() -> None:
    path = f"{KEYS}/{examples.KEY_ID}"
    get, head = (call(app_of(Keys()), method, path, CALLER) for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == get.headers
    assert call(app_of(Keys()), "HEAD", f"{KEYS}/1", CALLER).status_code == 422


def test_an_unforeseen_error_tells_the_caller_and_the_log_nothing_of_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = Keys()
    with caplog.at_level(logging.DEBUG):
        answer = call(app_of(keys), "POST", KEYS, CALLER, json={"name": SECRET})
    assert problem_of(answer) == (500, "internal_error", None)
    assert keys.calls == ["create"]
    assert SECRET not in answer.text
    assert SECRET not in caplog.text
    assert "unforeseen RuntimeError in request request-1" in caplog.text
    assert "in create" in caplog.text
    assert "hatchpay.control" in {record.name for record in caplog.records}


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (DirectoryUnavailable("/var/lib/hatchpay/directory.db: disk I/O error"), "directory_unavailable"),
        (AuditUnavailable("/var/lib/hatchpay/audit.db is locked"), "audit_unavailable"),
    ],
)
def test_an_outage_is_a_503_whose_cause_only_the_log_knows(
    failure: HatchPayError, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = call(app_of(Keys(failure)), "GET", f"{KEYS}/{examples.KEY_ID}", CALLER)
    assert problem_of(answer) == (503, code, None)
    assert answer.headers["retry-after"] == "1"
    assert "/var/lib" not in answer.text
    assert "/var/lib" in caplog.text


def test_a_write_is_in_force_before_it_is_answered() -> None:
    keys = Keys()
    answer = call(app_of(keys), "PATCH", f"{KEYS}/{examples.KEY_ID}", CALLER, json={"name": "Till"})
    assert answer.status_code == 200
    assert keys.calls == ["update", "changed"]


def test_a_read_changes_nothing() -> None:
    keys = Keys()
    call(app_of(keys), "GET", f"{KEYS}/{examples.KEY_ID}", CALLER)
    assert keys.calls == ["get"]


def test_a_write_that_fails_changes_nothing() -> None:
    keys = Keys(DirectoryUnavailable("gone"))
    call(app_of(keys), "PATCH", f"{KEYS}/{examples.KEY_ID}", CALLER, json={"name": "Till"})
    assert keys.calls == ["update"]


def test_a_change_that_is_not_in_force_is_not_answered_as_if_it_were(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = app_of(Keys(), changed_failure=RuntimeError(SECRET))
    answer = call(app, "PATCH", f"{KEYS}/{examples.KEY_ID}", CALLER, json={"name": "Till"})
    assert problem_of(answer) == (503, "change_delayed", None)
    assert SECRET not in answer.text + caplog.text
