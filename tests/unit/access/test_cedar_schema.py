"""The schema that policies are checked against is the one that the documentation shows."""

from __future__ import annotations

import json
import re

import cedarpy
import pytest
from tests.support.server import ROOT

from hatchpay.access.cedar_schema import body_fields, schema_document
from hatchpay.access.routes import BodyField, FieldType, Route
from hatchpay.errors import SettingsError

PAY = "payment-proxy.transactions.create"


def route(template: str, kind: FieldType | None = None) -> Route:
    fields = () if kind is None else (BodyField("amount", kind, "/amount"),)
    return Route(method="POST", template=template, permission=PAY, fields=fields)


def test_the_schema_is_as_it_is_documented() -> None:
    documented = re.search(r"```cedarschema\n(.*?)```", (ROOT / "docs/policies.md").read_text(), re.DOTALL)
    assert documented is not None
    generated = schema_document([PAY], [], {PAY: {"amount": "decimal"}})
    shown = str(cedarpy.Schema.from_json_str(json.dumps(generated))).replace("__cedar::", "")
    assert shown == str(cedarpy.Schema.from_str(documented[1]))


def test_the_fields_of_all_routes_of_a_permission_are_its_fields() -> None:
    other = Route(method="POST", template="/b", permission=PAY, fields=(BodyField("note", "string", "/note"),))
    assert body_fields([route("/a", "decimal"), other, route("/c")]) == {PAY: {"amount": "decimal", "note": "string"}}
    assert body_fields([route("/c")]) == {}


def test_a_field_has_one_type() -> None:
    with pytest.raises(SettingsError, match="amount"):
        body_fields([route("/a", "decimal"), route("/b", "long")])
