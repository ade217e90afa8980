"""Route table and API, compared."""

from __future__ import annotations

from hatchpay.access import catalogue
from hatchpay.access.permission import Permission
from hatchpay.access.route_check import Operation, check_routes
from hatchpay.access.routes import Route

READ = Permission(name="shop.orders.read", description="x", read_only=True)
WRITE = Permission(name="shop.orders.create", description="x")


def table(*routes: tuple[str, str], permission: str = READ.name) -> catalogue.Catalogue:
    return catalogue.build(
        [READ, WRITE], [Route(method=method, template=path, permission=permission) for method, path in routes]
    )


def test_a_call_that_no_route_lists_is_denied() -> None:
    found = check_routes(
        table(("GET", "/orders")), [Operation("/orders", "GET"), Operation("/orders", "POST"), Operation("/x", "GET")]
    )
    assert found.denied == ("POST /orders", "GET /x")
    assert not found.clean


def test_the_name_of_a_parameter_does_not_matter() -> None:
    found = check_routes(table(("GET", "/orders/{id}")), [Operation("/orders/{order_id}", "GET")])
    assert (found.denied, found.unserved) == ((), ())


def test_a_route_that_the_api_does_not_serve_leads_nowhere() -> None:
    assert check_routes(table(("GET", "/gone")), []).unserved == ("GET /gone",)


def test_a_permission_that_no_route_needs_is_named() -> None:
    assert check_routes(table(("GET", "/orders")), []).unused_permissions == ("shop.orders.create",)


def test_templates_that_one_path_fits_both_are_named_and_deserve_no_more_than_a_look() -> None:
    both = table(("GET", "/orders/{id}"), ("GET", "/orders/latest"), ("GET", "/orders"), ("POST", "/orders/{id}"))
    found = check_routes(
        catalogue.build([READ], both.routes.routes),
        [Operation(route.template, route.method) for route in both.routes.routes],
    )
    assert found.overlaps == (("GET /orders/{id}", "GET /orders/latest"),)
    assert found.clean
