"""What an OpenAPI document says becomes permissions and routes, on the safe side where it says nothing."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hatchpay.access import catalogue
from hatchpay.access.derive import derive, permission_name
from hatchpay.access.permission import Permission
from hatchpay.access.routes import BodyField, Route, UnitSource
from hatchpay.errors import SettingsError

IN_QUERY = (UnitSource("query", "unit"),)


def document(**paths: dict[str, Any]) -> dict[str, Any]:
    return {"openapi": "3.1.0", "paths": {"/" + path.replace("__", "/"): item for path, item in paths.items()}}


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("get", "/v1/payment-proxy/transactions", "payment-proxy.transactions.read"),
        ("get", "/v1/payment-proxy/transactions/{id}", "payment-proxy.transactions.read"),
        ("post", "/v1/payment-proxy/transactions", "payment-proxy.transactions.create"),
        ("put", "/v1/payment-proxy/transactions/{id}", "payment-proxy.transactions.update"),
        ("patch", "/v1/payment-proxy/transactions/{id}", "payment-proxy.transactions.update"),
        ("post", "/v1/payment-proxy/transactions/{id}", "payment-proxy.transactions.update"),
        ("delete", "/v1/payment-proxy/transactions/{id}", "payment-proxy.transactions.delete"),
        ("post", "/v1/payment-proxy/transactions/authorize", "payment-proxy.transactions.authorize"),
        ("post", "/v1/payment-proxy/transactions/{id}/complete", "payment-proxy.transactions.complete"),
        ("post", "/v1/webhooks/business-units/{id}/webhooks", "webhooks.business-units-webhooks.create"),
        ("get", "/v2.1/shop/orderItems/{item_id}", "shop.order-items.read"),
        ("get", "/roles", "roles.roles.read"),
    ],
)
def test_a_call_is_named_by_its_service_its_resources_and_what_it_does(method: str, path: str, name: str) -> None:
    assert permission_name(method, path) == name


def test_two_resources_of_one_name_under_different_parents_are_two_permissions() -> None:
    assert permission_name("get", "/shop/orders/{id}/items") != permission_name("get", "/shop/carts/{id}/items")


@pytest.mark.parametrize("path", ["/", "/v1", "/{id}", "/v1/{tenant}", "/---/x"])
def test_a_path_that_names_nothing_must_say_its_permission(path: str) -> None:
    with pytest.raises(SettingsError, match="x-hatchpay-permission"):
        permission_name("get", path)


def test_what_a_document_says_itself_goes_before_what_is_derived() -> None:
    permissions, routes = derive(
        document(
            shop__orders={
                "x-hatchpay-business-unit": "query:unit",
                "get": {"x-hatchpay-permission": "shop.orders.list", "x-hatchpay-sensitive": False, "summary": "List"},
                "post": {"x-hatchpay-administrative": True},
            }
        )
    )

    assert permissions == (
        Permission(name="shop.orders.list", description="List", read_only=True),
        Permission(name="shop.orders.create", description="POST /shop/orders", sensitive=True, administrative=True),
    )
    assert routes == (
        Route(method="GET", template="/shop/orders", permission="shop.orders.list", unit=IN_QUERY),
        Route(method="POST", template="/shop/orders", permission="shop.orders.create", unit=IN_QUERY),
    )


def test_a_call_says_where_its_unit_and_its_fields_stand() -> None:
    _, (route,) = derive(
        document(
            units__x={
                "post": {
                    "x-hatchpay-business-unit": ["query:unit", "body:unit_id"],
                    "x-hatchpay-body-fields": {
                        "amount": {"pointer": "/items/*/amount", "type": "decimal", "times": "n"}
                    },
                }
            }
        )
    )
    assert route.unit == (UnitSource("query", "unit"), UnitSource("body", "unit_id"))
    assert route.fields == (BodyField("amount", "decimal", "/items/*/amount", "n"),)


def test_a_call_that_says_nothing_is_sensitive_and_closed() -> None:
    (permission,), (route,) = derive(document(shop__orders={"get": {}}))
    assert permission.sensitive
    assert (route.access, route.permission) == ("permission", "shop.orders.read")


def test_only_an_explicit_word_opens_a_call() -> None:
    permissions, (route,) = derive(document(health={"get": {"x-hatchpay-open": True}}))
    assert permissions == ()
    assert route.access == "open"


def test_a_permission_of_several_calls_counts_as_the_worst_of_them() -> None:
    shared = {"x-hatchpay-permission": "shop.orders.touch", "x-hatchpay-sensitive": False}
    permissions, _ = derive(document(a__b={"get": shared, "post": {**shared, "x-hatchpay-sensitive": True}}))
    assert [(one.read_only, one.sensitive) for one in permissions] == [(False, True)]


def test_what_is_no_call_is_passed_over() -> None:
    _, routes = derive(document(a__b={"parameters": [], "summary": "x", "options": {}, "head": {}, "get": {}}))
    assert [route.method for route in routes] == ["GET"]


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {"swagger": "2.0"},
        {"openapi": "4.0.0"},
        {"openapi": "3.0.0", "paths": []},
        {"openapi": "3.0.0", "paths": {"/a/b": []}},
        {"openapi": "3.0.0", "paths": {"/a/b": {"get": []}}},
        document(a__b={"get": {"x-hatchpay-permission": "Nonsense"}}),
        document(a__b={"get": {"x-hatchpay-permission": 5}}),
        document(a__b={"get": {"x-hatchpay-sensitive": "no"}}),
        document(a__b={"get": {"x-hatchpay-business-unit": 7}}),
        document(a__b={"get": {"x-hatchpay-business-unit": "header:x"}}),
        document(a__b={"get": {"x-hatchpay-business-unit": []}}),
        document(a__b={"get": {"x-hatchpay-business-unit": ["query:a", 7]}}),
        document(a__b={"get": {"x-hatchpay-business-unit": ["handler", "query:a"]}}),
        document(a__b={"post": {"x-hatchpay-body-fields": []}}),
        document(a__b={"post": {"x-hatchpay-body-fields": {"amount": "/amount"}}}),
        document(a__b={"post": {"x-hatchpay-body-fields": {"amount": {"pointer": "/amount"}}}}),
        document(a__b={"post": {"x-hatchpay-body-fields": {"amount": {"pointer": "/amount", "type": "float"}}}}),
        document(a__b={"post": {"x-hatchpay-body-fields": {"amount": {"pointer": "amount", "type": "long"}}}}),
        {"openapi": "3.0.0", "paths": {"/a/b{c}": {"get": {}}}},
    ],
)
def test_a_document_that_is_wrong_is_refused(wrong: object) -> None:
    with pytest.raises(SettingsError):
        catalogue.build(*derive(wrong))


_texts = st.text(max_size=40)
_names = st.sampled_from(["shop.orders.read", "shop.orders.create", "bank.accounts.close"])
_permissions = st.lists(
    st.builds(
        Permission,
        name=_names,
        description=_texts,
        read_only=st.booleans(),
        sensitive=st.booleans(),
        administrative=st.booleans(),
    ),
    unique_by=lambda permission: permission.name,
)


_units = st.sampled_from(
    [
        (),
        (UnitSource("handler"),),
        (UnitSource("body", "unit_id"),),
        (UnitSource("path", "id"), UnitSource("query", "u")),
    ]
)
_fields = st.sampled_from(
    [
        (),
        (BodyField("amount", "decimal", "/items/*/amount", "quantity"), BodyField("odd", "string", '/"\\~1\x7f')),
    ]
)


@given(_permissions, _units, _fields)
def test_what_is_written_as_toml_is_read_as_the_same(
    permissions: list[Permission], unit: tuple[UnitSource, ...], fields: tuple[BodyField, ...]
) -> None:
    routes = [
        Route(method="GET", template=f"/{place}/{{id}}", permission=permission.name, unit=unit, fields=fields)
        for place, permission in enumerate(permissions)
    ] + [Route(method="GET", template="/health", access="open")]

    read = catalogue.parse(tomllib.loads(catalogue.dump(permissions, routes)))

    assert list(read.permissions) == permissions
    assert list(read.routes.routes) == routes
