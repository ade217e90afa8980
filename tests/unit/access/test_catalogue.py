"""What a protected API declares in its TOML file, and how a wrong declaration is named."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hatchpay.access import catalogue
from hatchpay.access.catalogue import EMPTY, build, parse
from hatchpay.access.permission import Permission
from hatchpay.access.routes import BodyField, Route, UnitSource
from hatchpay.errors import SettingsError

READ = {"name": "shop.orders.read", "description": "Read orders", "read_only": True}


STRING = {"pointer": "/a", "type": "string"}
TWO_TYPES = [
    {
        "method": method,
        "path": "/x",
        "permission": "shop.orders.read",
        "body_fields": {"amount": {"pointer": "/amount", "type": kind}},
    }
    for method, kind in (("PUT", "decimal"), ("POST", "long"))
]


def document(*routes: dict[str, object], permissions: tuple[dict[str, object], ...] = (READ,)) -> dict[str, object]:
    return {"permissions": list(permissions), "routes": list(routes)}


def test_the_example_in_the_documentation_is_what_is_parsed() -> None:
    text = (catalogue.__doc__ or "").partition("    [[permissions]]")
    parsed = parse(tomllib.loads("[[permissions]]" + text[2]))
    assert parsed.permissions == (
        Permission(name="payment-proxy.transactions.read", description="Read transactions", read_only=True),
    )
    assert parsed.routes.routes == (
        Route(
            method="GET",
            template="/v1/payment-proxy/transactions/{id}",
            permission="payment-proxy.transactions.read",
            unit=(UnitSource("handler"),),
        ),
    )


def test_an_open_route_needs_no_permission() -> None:
    parsed = parse(document({"method": "GET", "path": "/status", "open": True}))
    match = parsed.routes.match("GET", "/status")
    assert match is not None
    assert (match.route.access, match.route.permission) == ("open", None)


def test_no_declaration_can_make_a_route_self_authenticating_or_ours() -> None:
    route = parse(document({"method": "GET", "path": "/x", "permission": "shop.orders.read"})).routes.routes[0]
    assert (route.access, route.control) == ("permission", False)
    for field in ("access", "control"):
        with pytest.raises(SettingsError, match=field):
            parse(document({"method": "GET", "path": "/x", "permission": "shop.orders.read", field: True}))


def test_the_flags_of_a_permission_are_off_unless_they_are_set() -> None:
    parsed = parse({"permissions": [{"name": "a.b.c", "description": "x", "sensitive": True}]})
    assert parsed.permissions == (Permission(name="a.b.c", description="x", sensitive=True),)


def test_an_empty_document_declares_nothing() -> None:
    assert parse({}).permissions == EMPTY.permissions == ()
    assert parse({}).routes.routes == EMPTY.routes.routes == ()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ([], "route table"),
        ({"route": []}, "route"),
        ({"routes": {}}, "routes"),
        (document({"method": "GET"}), "path"),
        (document({"path": "/x"}), "method"),
        (document({"method": "GET", "path": "/x"}), "/x"),
        (document({"method": "GET", "path": "/x", "permission": "shop.orders.read", "open": True}), "/x"),
        (document({"method": "GET", "path": "/x", "open": "yes"}), "open"),
        (document({"method": "GET", "path": "/x", "permissions": "shop.orders.read"}), "permissions"),
        (document({"method": "GRAB", "path": "/x", "open": True}), "GRAB"),
        (document({"method": "GET", "path": "x", "open": True}), "x"),
        (document({"method": "GET", "path": "/x", "permission": "shop.orders.write"}), "shop.orders.write"),
        (document({"method": "GET", "path": "/x", "permission": "Shop"}), "GET /x"),
        (document({"method": "GET", "path": "/x", "permission": "api-key.keys.read"}), "api-key.keys.read"),
        (document({"method": "GET", "path": "/x", "open": True, "business_unit": "header:x"}), "header:x"),
        (document({"method": "GET", "path": "/x", "open": True, "business_unit": []}), "GET /x"),
        (document({"method": "GET", "path": "/x", "open": True, "business_unit": ["query:a", "query:a"]}), "twice"),
        (document({"method": "GET", "path": "/x", "open": True, "business_unit": ["query:a", "handler"]}), "handler"),
        (document({"method": "GET", "path": "/x", "open": True, "body_fields": {"a": {"pointer": "/a"}}}), "type"),
        (document({"method": "GET", "path": "/x", "open": True, "body_fields": {"a": {**STRING, "a": 1}}}), "a"),
        (document({"method": "GET", "path": "/x", "open": True, "body_fields": {"A": STRING}}), "A"),
        (document(*TWO_TYPES), "amount of shop.orders.read"),
        (document(permissions=({"name": "shop.orders.read"},)), "description"),
        (document(permissions=({"name": "Shop", "description": "x"},)), "Shop"),
        (document(permissions=({**READ, "readonly": True},)), "readonly"),
        (document(permissions=({**READ, "read_only": "yes"},)), "read_only"),
        (document(permissions=(READ, READ)), "shop.orders.read"),
        (document(permissions=({"name": "access.roles.create", "description": "x"},)), "access.roles.create"),
        (document(permissions=({"name": "platform.tenants.create", "description": "x"},)), "platform.tenants.create"),
        (document(*[{"method": "GET", "path": "/x", "open": True}] * 2), "twice"),
    ],
)
def test_a_wrong_declaration_is_named(wrong: object, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        parse(wrong)


def test_a_route_names_several_places_of_its_unit_and_the_fields_of_its_body() -> None:
    parsed = parse(
        document(
            {
                "method": "PUT",
                "path": "/units/{id}",
                "permission": "shop.orders.read",
                "business_unit": ["path:id", "body:business_unit_id"],
                "body_fields": {
                    "amount": {"pointer": "/items/*/amount", "type": "decimal", "times": "quantity"},
                    "currency": {"pointer": "/currency", "type": "string"},
                },
            }
        )
    )
    assert parsed.routes.routes[0].unit == (UnitSource("path", "id"), UnitSource("body", "business_unit_id"))
    assert parsed.routes.routes[0].fields == (
        BodyField("amount", "decimal", "/items/*/amount", "quantity"),
        BodyField("currency", "string", "/currency"),
    )


def test_routes_of_one_permission_may_find_a_field_in_two_places_and_others_may_give_it_another_type() -> None:
    routes = [
        Route(method="PUT", template="/x", permission="a.b.c", fields=(BodyField("n", "long", "/n"),)),
        Route(method="POST", template="/x", permission="a.b.c", fields=(BodyField("n", "long", "/m"),)),
        Route(method="POST", template="/y", permission="a.b.d", fields=(BodyField("n", "string", "/n"),)),
    ]
    build([Permission(name=name, description="x") for name in ("a.b.c", "a.b.d")], routes)


def test_a_catalogue_can_be_built_without_a_file() -> None:
    read = Permission(name="shop.orders.read", description="Read orders", read_only=True)
    built = build([read], [Route(method="GET", template="/orders", permission="shop.orders.read")])
    assert built.permissions == (read,)


def test_the_sample_apis_route_table_is_well_formed() -> None:
    path = Path(__file__).parents[3] / "examples" / "payments_api" / "routes.toml"
    parsed = parse(tomllib.loads(path.read_text("utf-8")))
    assert {permission.service for permission in parsed.permissions} == {"payment-proxy"}
    assert all(route.access == "permission" for route in parsed.routes.routes)
    texts = dict.fromkeys(("currency", "merchant_id", "payment_method"), "string")
    asked = {"amount": "decimal", "capture": "boolean", **texts}
    refund = {"amount": "decimal", "requested_by": "string", "approved_by": "string"}
    assert {
        route.template: {field.name: field.type for field in route.fields}
        for route in parsed.routes.routes
        if route.fields
    } == {
        "/v1/payment-proxy/transactions": asked,
        "/v1/payment-proxy/transactions/authorize": asked,
        "/v1/payment-proxy/transactions/{id}/refund": refund,
    }
