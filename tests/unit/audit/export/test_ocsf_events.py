"""Every kind of record becomes an event that the published schema accepts, and that says what happened."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from tests.support.exported import KINDS, TENANT, kept

from hatchpay.audit.export.ocsf_events import SCHEMA_VERSION, OcsfEvents
from hatchpay.audit.ports import Kept

# The one that is stated, and those that came after it.
VERSIONS = ("1.6.0", "1.7.0", "1.8.0")


def validator(version: str) -> Draft202012Validator:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version))
    return Draft202012Validator(schema.get_class_schema("api_activity", ["security_control"]))


@pytest.fixture(scope="module")
def validators() -> dict[str, Draft202012Validator]:
    return {version: validator(version) for version in VERSIONS}


def event_of(record: Kept) -> dict[str, Any]:
    encoder = OcsfEvents("1.2.3")
    text = encoder.begin() + encoder.add([record]) + encoder.end()
    assert text.endswith(b"\n") and text.count(b"\n") == 1
    event: dict[str, Any] = json.loads(text)
    return event


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_schema_accepts_it(validators: dict[str, Draft202012Validator], kind: str) -> None:
    event = event_of(KINDS[kind])
    for version, one in validators.items():
        assert [error.message for error in one.iter_errors(event)] == [], version


def test_the_schema_would_find_a_mistake(validators: dict[str, Draft202012Validator]) -> None:
    event = event_of(kept())
    for wrong in ({"severity_id": 7}, {"anything": 1}, {"src_endpoint": {}}, {"http_request": {"http_method": "BREW"}}):
        assert not validators[SCHEMA_VERSION].is_valid(event | wrong), wrong
    del event["api"]["operation"]
    assert not validators[SCHEMA_VERSION].is_valid(event)


@pytest.mark.parametrize("kind", KINDS)
def test_class_category_and_type_belong_together(kind: str) -> None:
    event = event_of(KINDS[kind])
    assert (event["category_uid"], event["class_uid"]) == (6, 6003)
    assert event["type_uid"] == 600300 + event["activity_id"]
    assert event["metadata"]["version"] == "1.6.0"
    assert event["metadata"]["profiles"] == ["security_control"]
    assert event["metadata"]["product"] == {"name": "HatchPay Auth", "vendor_name": "HatchPay", "version": "1.2.3"}


@pytest.mark.parametrize(
    ("method", "activity", "name"),
    [
        ("POST", 1, "Create"),
        ("GET", 2, "Read"),
        ("HEAD", 2, "Read"),
        ("PUT", 3, "Update"),
        ("PATCH", 3, "Update"),
        ("DELETE", 4, "Delete"),
        ("OPTIONS", 99, "OPTIONS"),
        ("BREW", 99, "BREW"),
        ("LOCAL", 99, "LOCAL"),
    ],
)
def test_the_activity_follows_from_the_method(method: str, activity: int, name: str) -> None:
    event = event_of(kept(method=method))
    assert (event["activity_id"], event["activity_name"]) == (activity, name)


@pytest.mark.parametrize(
    ("kind", "status", "severity", "action"),
    [
        ("allowed", "Success", 1, "Allowed"),
        ("not found", "Failure", 2, "Allowed"),
        ("refused by its handler", "Failure", 2, "Allowed"),
        ("without the permission", "Failure", 2, "Denied"),
        ("without a credential", "Failure", 2, "Denied"),
        ("failed", "Failure", 3, "Allowed"),
        ("whose caller left", "Disconnected", 2, "Allowed"),
        ("indeterminate", "Unknown", 3, "Allowed"),
        ("a command", "Success", 1, "Allowed"),
    ],
)
def test_it_says_how_the_request_ended(kind: str, status: str, severity: int, action: str) -> None:
    event = event_of(KINDS[kind])
    ids = {"Success": 1, "Failure": 2, "Unknown": 0, "Disconnected": 99}
    assert (event["status"], event["status_id"]) == (status, ids[status])
    assert (event["severity_id"], event["action"]) == (severity, action)
    assert event["action_id"] == {"Allowed": 1, "Denied": 2}[action]


def test_a_request_is_told_whole() -> None:
    event = event_of(KINDS["a creation with its body, in a business unit"])
    assert (event["time"], event["end_time"], event["duration"]) == (1_764_035_442_000, 1_764_035_442_004, 4)
    assert event["metadata"]["original_time"] == "2025-11-25T01:50:42.000001Z"
    assert (event["metadata"]["sequence"], event["metadata"]["tenant_uid"]) == (7, TENANT)
    assert event["metadata"]["correlation_uid"] == "trace-1"
    assert event["api"]["operation"] == "POST /v1/payment-proxy/transactions"
    assert event["api"]["service"] == {"name": "payment-proxy"}
    assert event["api"]["request"]["data"] == {"amount": "12.50", "items": [{"name": "Tea"}], "note": None}
    assert event["http_request"]["url"] == {"path": "/v1/payment-proxy/transactions"}
    assert event["http_request"]["user_agent"] == "curl/8.5.0"
    assert event["http_response"] == {"code": 201, "status": "Created", "body_length": 612, "latency": 4}
    assert event["src_endpoint"] == {"ip": "192.0.2.10"}
    assert event["resources"] == [{"uid": "019ab3c4-2f40-7b41-9c5d-7e8f90123456", "type": "business unit"}]
    assert event["unmapped"]["permission"] == "payment-proxy.transactions.create"


def test_a_query_stands_apart_from_its_path() -> None:
    assert event_of(kept())["http_request"]["url"] == {"path": "/roles", "query_string": "limit=20"}


def test_a_refusal_says_why_and_what_was_missing() -> None:
    event = event_of(KINDS["without the permission"])
    assert (event["status_code"], event["status_detail"]) == ("403", "permission_missing")
    assert event["api"]["response"] == {"code": 403, "error": "permission_missing"}
    assert event["unmapped"]["missing"] == "access.roles.read"


def test_who_was_proven_is_the_actor_and_nobody_else() -> None:
    key = event_of(KINDS["allowed"])["actor"]
    assert key["user"]["type"] == "Service" and key["user"]["uid"] == key["user"]["credential_uid"]
    assert key["authorizations"] == [{"decision": "allow", "policy": {"name": "role:viewer", "is_applied": True}}]
    user = event_of(KINDS["of another issuer's user"])["actor"]
    assert (user["user"]["uid"], user["user"]["type"]) == ("jane@example.com", "User")
    assert user["session"]["uid"] == "jti-2" and user["idp"]["uid"] == user["session"]["issuer"]
    claimed = event_of(KINDS["with a key that was claimed"])
    assert claimed["actor"] == {"user": {"name": "anonymous", "type_id": 0, "type": "Unknown"}}
    assert claimed["unmapped"]["claimed_key_id"] == "019ab3c4-0d1e-7f20-8a3b-5c6d7e8f9012"


def test_a_command_is_no_http_request() -> None:
    event = event_of(KINDS["a command"])
    assert not {"http_request", "http_response"} & event.keys()
    assert event["api"]["operation"] == "hatchpay keys create"
    assert event["src_endpoint"] == {"name": "localhost"}
    assert event["actor"]["user"]["type"] == "Admin"
    assert event["unmapped"]["changes"][0]["event"] == "api-key.keys.created"


def test_what_is_sealed_has_its_leaf() -> None:
    assert event_of(KINDS["allowed"])["unmapped"]["leaf_index"] == 3
    assert event_of(KINDS["allowed"])["unmapped"]["leaf_hash"] == bytes(range(32)).hex()
    assert event_of(kept())["unmapped"]["leaf_index"] is None
