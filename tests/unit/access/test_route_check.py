"""Route table and API, compared."""

from __future__ import annotations

from hatchpay.access import catalogue
from hatchpay.access.permission import Permission
from hatchpay.access.route_check import Operation, check_routes
from hatchpay.access.routes import Route, RouteTable

READ = Permission(name="shop.orders.read", description="x", read_only=True)
WRITE = Permission(name="shop.orders.create", description="x")
NONE = RouteTable(())
OWN = RouteTable(
    [Route(method="GET", template=path, access="open", control=True) for path in ("/roles", "/roles/{id}")]
)


def table(*routes: tuple[str, str], permission: str = READ.name) -> catalogue.Catalogue:
    return catalogue.build(
        [READ, WRITE], [Route(method=method, template=path, permission=permission) for method, path in routes]
    )


def test_a_call_that_no_route_lists_is_denied() -> None:
    found = check_routes(
        table(("GET", "/orders")),
        [Operation("/orders", "GET"), Operation("/orders", "POST"), Operation("/x", "GET")],
        NONE,
    )
    assert found.denied == ("POST /orders", "GET /x")
    assert not found.clean


def test_the_name_of_a_parameter_does_not_matter() -> None:
    found = check_routes(table(("GET", "/orders/{id}")), [Operation("/orders/{order_id}", "GET")], NONE)
    assert (found.denied, found.unserved) == ((), ())


def test_a_route_that_the_api_does_not_serve_leads_nowhere() -> None:
    assert check_routes(table(("GET", "/gone")), [], NONE).unserved == ("GET /gone",)


def test_a_permission_that_no_route_needs_is_named() -> None:
    assert check_routes(table(("GET", "/orders")), [], NONE).unused_permissions == ("shop.orders.create",)


def test_templates_that_one_path_fits_both_are_named_and_deserve_no_more_than_a_look() -> None:
    both = table(("GET", "/orders/{id}"), ("GET", "/orders/latest"), ("GET", "/orders"), ("POST", "/orders/{id}"))
    found = check_routes(
        catalogue.build([READ], both.routes.routes),
        [Operation(route.template, route.method) for route in both.routes.routes],
        NONE,
    )
    assert found.overlaps == (("GET /orders/latest", "GET /orders/{id}"),)
    assert found.clean


def test_what_hatchpay_answers_itself_is_not_denied() -> None:
    served = [Operation("/roles", "GET"), Operation("/roles/{name}", "GET"), Operation("/roles/all", "GET")]
    assert check_routes(table(), served, OWN).clean


def test_what_hatchpay_answers_only_in_part_is_denied() -> None:
    served = [Operation("/roles", "POST"), Operation("/{page}", "GET"), Operation("/roles/{id}/members", "GET")]
    assert check_routes(table(), served, OWN).denied == ("POST /roles", "GET /roles/{id}/members", "GET /{page}")


def test_a_route_that_hatchpay_serves_itself_clashes_whether_the_api_serves_it_or_not() -> None:
    routes = table(("GET", "/roles"), ("GET", "/{page}"), ("GET", "/orders"), ("POST", "/roles"))
    served = [Operation("/roles", "GET"), Operation("/orders", "GET"), Operation("/roles", "POST")]
    found = check_routes(routes, served, OWN)
    assert found.clashes == ("GET /roles", "GET /{page}")
    assert (found.denied, found.unserved) == ((), ())
    assert not found.clean
