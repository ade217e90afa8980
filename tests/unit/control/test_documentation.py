"""The OpenAPI document says what the code does, with an example for everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest

from hatchpay.admin.advice_views import AppliedAdvice, KeyAdvice
from hatchpay.admin.erasures import ErasureView
from hatchpay.admin.explain_views import ExplanationView
from hatchpay.admin.rehearsal_views import RehearsalView
from hatchpay.admin.stream_views import StreamTestView, StreamView
from hatchpay.admin.token_views import IssuerView
from hatchpay.admin.views import BusinessUnitView, KeyView, Page, PermissionView, PolicyView, RoleView, TenantView
from hatchpay.audit.export.fields import FIELDS
from hatchpay.audit.export.ports import ExportView
from hatchpay.audit.record import Record, flat
from hatchpay.control import examples, models, stream_models
from hatchpay.control.answers import ExportedRecord, HistoryPageAnswer, IssuedKey, OnboardedAnswer
from hatchpay.control.app import create_control_app
from hatchpay.control.published import PublishedKeys
from hatchpay.control.receipts import RecordAnswer, TenantLogAnswer
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.control.services import Services
from hatchpay.control.streams import IssuedStream
from hatchpay.errors import MalformedToken
from hatchpay.identity.ports import Trust
from hatchpay.tokens import apikey

ANSWERS: dict[str, Any] = {
    "AppliedAdvice": AppliedAdvice,
    "ExportedRecord": ExportedRecord,
    "KeyAdvice": KeyAdvice,
    "BusinessUnitView": BusinessUnitView,
    "ExplanationView": ExplanationView,
    "HistoryPageAnswer": HistoryPageAnswer,
    "RecordAnswer": RecordAnswer,
    "TenantLogAnswer": TenantLogAnswer,
    "ErasureView": ErasureView,
    "IssuerView": IssuerView,
    "Page_IssuerView_": Page[IssuerView],
    "IssuedKey": IssuedKey,
    "KeyView": KeyView,
    "OnboardedAnswer": OnboardedAnswer,
    "Page_ExportView_": Page[ExportView],
    "Page_BusinessUnitView_": Page[BusinessUnitView],
    "Page_KeyView_": Page[KeyView],
    "Page_PermissionView_": Page[PermissionView],
    "Page_PolicyView_": Page[PolicyView],
    "Page_RoleView_": Page[RoleView],
    "Page_TenantView_": Page[TenantView],
    "RehearsalView": RehearsalView,
    "IssuedStream": IssuedStream,
    "Page_StreamView_": Page[StreamView],
    "PolicyView": PolicyView,
    "RoleView": RoleView,
    "StreamTestView": StreamTestView,
    "StreamView": StreamView,
}
OPERATION_IDS = {
    "applyAccessAdvice",
    "getAccessAdvice",
    "archiveBusinessUnit",
    "changeApiKey",
    "changeBusinessUnit",
    "changeIssuer",
    "createApiKey",
    "createBusinessUnit",
    "createPolicy",
    "createRole",
    "deleteApiKey",
    "deleteIssuer",
    "deletePolicy",
    "deleteRole",
    "endApiKeyGrace",
    "eraseRecords",
    "explainAccess",
    "exportAuditLog",
    "getApiKey",
    "getBusinessUnit",
    "getIssuer",
    "getJwks",
    "getOAuthMetadata",
    "getPolicy",
    "getRole",
    "introspectToken",
    "issueToken",
    "listApiKeys",
    "listBusinessUnits",
    "listExports",
    "listIssuers",
    "listPermissions",
    "listPolicies",
    "listRoles",
    "listTenants",
    "onboardTenant",
    "readHistory",
    "readLog",
    "readReceipt",
    "readRecord",
    "rehearse",
    "replacePolicy",
    "replaceRole",
    "revokeToken",
    "rotateApiKey",
    "setApiKeyRoles",
    "trustIssuer",
    "changeStream",
    "createStream",
    "deleteStream",
    "getStream",
    "listStreams",
    "rotateStreamSecret",
    "testStream",
}
OAUTH = ("/v1/auth/token", "/v1/auth/revoke", "/v1/auth/introspect")
WELL_KNOWN = ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_control_app(cast(Services, None)).openapi()


@pytest.fixture(scope="module")
def every_operation(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


@pytest.fixture(scope="module")
def operations(every_operation: dict[tuple[str, str], dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Those that need a permission."""
    return {call: one for call, one in every_operation.items() if call[1] not in (*OAUTH, *WELL_KNOWN)}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert set(document) == {"openapi", "info", "paths", "components", "security"}
    assert set(document["info"]) == {"title", "version", "description"}


def test_it_can_be_written_as_json_and_is_the_same_each_time(document: dict[str, Any]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(document)) == document
    assert create_control_app(cast(Services, None)).openapi() == document


def test_it_describes_every_call_that_needs_a_permission_and_names_it(
    operations: dict[tuple[str, str], dict[str, Any]],
) -> None:
    assert {call: operation["x-hatchpay-permission"] for call, operation in operations.items()} == {
        (route.method, route.template): route.permission for route in CONTROL_ROUTES if route.permission
    }


def test_the_calls_that_need_no_permission_are_described_as_such(
    every_operation: dict[tuple[str, str], dict[str, Any]],
) -> None:
    for path in OAUTH:
        operation = every_operation["POST", path]
        assert list(operation["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]
        assert {"200", "400", "401", "503"} <= operation["responses"].keys()
        assert {"basic": []} in operation["security"]
        assert "x-hatchpay-permission" not in operation
    for path in WELL_KNOWN:
        operation = every_operation["GET", path]
        assert operation["security"] == [{}]
        assert {"200", "304"} <= operation["responses"].keys()


@pytest.mark.parametrize(
    ("path", "required", "fields"),
    [
        (
            "/v1/auth/token",
            ["grant_type"],
            {
                *("grant_type", "scope", "expires_in", "client_id", "client_secret", "resource", "audience"),
                *("subject_token", "subject_token_type", "requested_token_type"),
            },
        ),
        ("/v1/auth/revoke", ["token"], {"token", "token_type_hint", "client_id", "client_secret"}),
        ("/v1/auth/introspect", ["token"], {"token", "token_type_hint", "client_id", "client_secret"}),
    ],
)
def test_a_form_names_its_parameters(
    every_operation: dict[tuple[str, str], dict[str, Any]], path: str, required: list[str], fields: set[str]
) -> None:
    operation = every_operation["POST", path]
    content = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]
    assert content["schema"]["required"] == required
    assert content["schema"]["properties"].keys() == fields
    assert set(required) <= content["example"].keys() <= fields
    assert all(way in operation["description"] for way in ("X-API-Key", "Basic", "client_secret", "Bearer"))


def test_the_token_endpoint_says_which_grants_there_are(
    every_operation: dict[tuple[str, str], dict[str, Any]],
) -> None:
    content = every_operation["POST", "/v1/auth/token"]["requestBody"]["content"]
    assert content["application/x-www-form-urlencoded"]["schema"]["properties"]["grant_type"]["enum"] == [
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ]


def test_the_metadata_shown_are_those_that_are_published() -> None:
    published = PublishedKeys(Trust, lambda: 0, "https://auth.example.com").metadata()
    assert msgspec.json.decode(msgspec.json.encode(published)) == examples.METADATA


def test_operation_ids_are_stable(every_operation: dict[tuple[str, str], dict[str, Any]]) -> None:
    ids = [operation["operationId"] for operation in every_operation.values()]
    assert sorted(ids) == sorted(OPERATION_IDS)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(references(document)):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference


def test_every_call_may_be_made_with_either_header(document: dict[str, Any]) -> None:
    assert document["security"] == [{"apiKey": []}, {"bearer": []}]
    assert document["components"]["securitySchemes"]["apiKey"] == {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
    }
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_every_request_body_has_an_example_that_its_model_accepts(
    operations: dict[tuple[str, str], dict[str, Any]],
) -> None:
    for (method, path), operation in operations.items():
        takes_one = method in {"POST", "PUT", "PATCH"} and not path.endswith(("/archive", "/test"))
        assert ("requestBody" in operation) == takes_one, path
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]["application/json"]
            name = content["schema"]["$ref"].rpartition("/")[2]
            model = getattr(stream_models if "Stream" in name else models, name)
            assert model.model_validate(content["example"])


def test_every_answer_has_an_example_that_is_exactly_of_its_type(
    operations: dict[tuple[str, str], dict[str, Any]],
) -> None:
    for call, operation in operations.items():
        for status, response in operation["responses"].items():
            assert response["description"]
            if status.startswith("2") and status != "204":
                # Files of other kinds have no example.
                (content,) = (one for one in response["content"].values() if "example" in one)
                # Of answers of several shapes, the example shows the first.
                (schema, *_) = content["schema"].get("anyOf", [content["schema"]])
                answer = ANSWERS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else str
                value = msgspec.convert(content["example"], answer)
                assert msgspec.json.decode(msgspec.json.encode(value)) == content["example"], call


def test_every_call_says_how_it_is_refused(operations: dict[tuple[str, str], dict[str, Any]]) -> None:
    for (_, path), operation in operations.items():
        expected = {"400", "401", "403", "422", "503"}
        if "{id}" in path:
            expected |= {"404"}
        if "requestBody" in operation:
            expected |= {"413", "415"}
        assert expected <= set(operation["responses"]), path
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                assert response["content"]["application/problem+json"]["example"]["status"] == int(status)


def test_every_parameter_of_a_path_is_described(operations: dict[tuple[str, str], dict[str, Any]]) -> None:
    for (_, path), operation in operations.items():
        named = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"]
        assert named == (["id"] if "{id}" in path else [])


def test_what_can_be_changed_has_a_tag_and_every_change_of_it_a_condition(
    operations: dict[tuple[str, str], dict[str, Any]],
) -> None:
    tagged, conditional = set(), set()
    for call, operation in operations.items():
        if any("ETag" in response.get("headers", ()) for response in operation["responses"].values()):
            tagged.add(call)
        if any(one["name"] == "If-Match" for one in operation.get("parameters", ())):
            conditional.add(call)
            assert "412" in operation["responses"]
        else:
            assert "412" not in operation["responses"]
    # A new tenant cannot be changed by any call, nor can an erasure; and a question makes nothing.
    posts = {call for call in operations if call[0] == "POST" and "{id}" not in call[1]}
    made = {call for call in posts if not call[1].startswith("/v1/access/")} - {
        ("POST", "/v1/tenants"),
        ("POST", "/v1/audit-log/erasures"),
    }
    # Nor does it change what it tests.
    changed = {call for call in operations if call[0] != "GET" and "{id}" in call[1] and not call[1].endswith("/test")}
    read = {call for call in operations if call[0] == "GET" and "{id}" in call[1]}
    # The record is never changed.
    read = {call for call in read if not call[1].startswith("/v1/audit-log/records/")}
    assert conditional == changed
    assert tagged == made | read | {call for call in changed if "200" in operations[call]["responses"]}


def test_lists_say_how_they_are_paged(operations: dict[tuple[str, str], dict[str, Any]]) -> None:
    for call in (
        ("GET", "/roles"),
        ("GET", "/permissions"),
        ("GET", "/v1/api-key/keys"),
        ("GET", "/v1/tenants"),
    ):
        parameters = {parameter["name"]: parameter["schema"] for parameter in operations[call]["parameters"]}
        assert set(parameters) == {"limit", "cursor"}
        assert parameters["limit"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}


def test_the_history_names_all_its_conditions(operations: dict[tuple[str, str], dict[str, Any]]) -> None:
    parameters = operations["GET", "/v1/audit-log/history"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == {
        *("from", "to", "method", "path", "route", "status", "principal_id", "key_id", "business_unit_id"),
        *("request_id", "client_ip", "min_ms", "limit", "cursor"),
    }
    assert all(parameter["description"] and "anyOf" not in parameter["schema"] for parameter in parameters)


def test_the_record_shown_has_the_fields_of_a_record() -> None:
    record = Record("r", "t", "GET", "/", 0)
    assert set(examples.HISTORY_PAGE["data"][0]) == set(flat(record, []))


def test_the_exported_record_shown_has_its_fields_in_their_order(document: dict[str, Any]) -> None:
    assert list(examples.EXPORTED_RECORD) == list(FIELDS)
    assert list(document["components"]["schemas"]["ExportedRecord"]["properties"]) == list(FIELDS)


def test_an_export_takes_the_conditions_of_the_history_and_must_be_told_a_format(
    operations: dict[tuple[str, str], dict[str, Any]],
) -> None:
    exported = {one["name"]: one for one in operations["GET", "/v1/audit-log/export"]["parameters"]}
    read = {one["name"] for one in operations["GET", "/v1/audit-log/history"]["parameters"]}
    assert exported.keys() == read - {"limit", "cursor"} | {"format", "after", "upto", "header"}
    assert [name for name, one in exported.items() if one["required"]] == ["format"]
    assert exported["format"]["schema"]["enum"] == ["csv", "jsonl", "parquet", "ocsf"]


def test_unknown_fields_are_ruled_out_in_every_body(document: dict[str, Any]) -> None:
    for name in ("CreateKey", "ChangeKey", "SetKeyRoles", "RotateKey", "DefineRole", "CreateTenant"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False


def test_the_key_in_the_examples_is_none() -> None:
    with pytest.raises(MalformedToken, match="checksum"):
        apikey.parse(examples.ISSUED_KEY["key"])
