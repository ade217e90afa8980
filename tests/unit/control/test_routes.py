"""The route table lists the control API's calls, all of them, and what each needs."""

from __future__ import annotations

from typing import Any, cast

from fastapi.routing import iter_route_contexts

from hatchpay.access.permission import CONTROL_PERMISSIONS, PLATFORM_PERMISSIONS
from hatchpay.access.routes import RouteTable, UnitSource
from hatchpay.control.app import create_control_app
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.control.services import Services


def test_the_application_serves_exactly_what_the_table_lists() -> None:
    app = create_control_app(cast(Services, None))
    served: set[tuple[str, Any]] = set()
    for route in iter_route_contexts(app.routes):
        # HEAD is its GET's, in the table as in the application.
        served |= {(method, route.path) for method in (route.methods or {"?"}) - {"HEAD"}}
    assert served == {(route.method, route.template) for route in CONTROL_ROUTES}


def test_only_these_are_open() -> None:
    assert [(route.method, route.template) for route in CONTROL_ROUTES if route.access == "open"] == [
        ("GET", "/.well-known/jwks.json"),
        ("GET", "/.well-known/oauth-authorization-server"),
        ("GET", "/openapi.json"),
    ]


def test_only_these_authenticate_their_callers_themselves() -> None:
    assert [(route.method, route.template) for route in CONTROL_ROUTES if route.access == "self_authenticating"] == [
        ("POST", "/v1/auth/token"),
        ("POST", "/v1/auth/revoke"),
        ("POST", "/v1/auth/introspect"),
    ]


def test_every_permission_exists_and_each_is_needed_by_some_call() -> None:
    existing = {permission.name for permission in (*CONTROL_PERMISSIONS, *PLATFORM_PERMISSIONS)}
    # Of other keys' tokens; asked for by the calls that authenticate their callers themselves.
    asked_for_inside = {"auth.tokens.read", "auth.tokens.revoke"}
    assert {route.permission for route in CONTROL_ROUTES if route.permission} == existing - asked_for_inside


def test_reading_needs_a_read_only_permission_and_writing_another() -> None:
    read_only = {
        permission.name for permission in (*CONTROL_PERMISSIONS, *PLATFORM_PERMISSIONS) if permission.read_only
    }
    # They ask with a body, and change nothing.
    asking = {"/v1/access/explain", "/v1/access/rehearse"}
    for route in CONTROL_ROUTES:
        if route.permission:
            reads = route.method == "GET" or route.template in asking
            assert (route.permission in read_only) == reads, route


def test_the_calls_keep_to_the_callers_business_units_themselves() -> None:
    assert all(route.control and route.unit == (UnitSource("handler"),) for route in CONTROL_ROUTES)


def test_the_table_can_be_built() -> None:
    match = RouteTable(CONTROL_ROUTES).match("PUT", "/v1/api-key/keys/019ab3c4-0d1e-7f20-8a3b-5c6d7e8f9012/roles")
    assert match is not None
    assert match.route.permission == "api-key.key-roles.update"
