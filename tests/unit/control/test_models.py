"""What a body says becomes what a use case takes, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from hatchpay.admin.views import KeyChanges, NewKey, RoleDraft
from hatchpay.clock import parse_time
from hatchpay.control.models import (
    ChangeKey,
    CreateBusinessUnit,
    CreateKey,
    CreateTenant,
    DefineRole,
    RotateKey,
    SetKeyRoles,
)
from hatchpay.errors import InvalidInput

UNIT = "019ab3c4-2f40-7b41-9c5d-7e8f90123456"


def test_a_name_is_enough_for_a_key() -> None:
    assert CreateKey.model_validate({"name": "Till"}).new_key() == NewKey(name="Till")


def test_every_field_of_a_key_arrives() -> None:
    body = CreateKey.model_validate(
        {
            "name": "Till",
            "description": "In the shop",
            "environment": "test",
            "owner": "Ada",
            "expires_at": "2030-01-01T00:00:00Z",
            "business_unit_ids": [UNIT],
            "allowed_cidrs": ["192.0.2.0/24"],
            "metadata": {"floor": "2"},
        }
    )
    assert body.new_key() == NewKey(
        name="Till",
        description="In the shop",
        environment="test",
        owner="Ada",
        expires_at_us=parse_time("2030-01-01T00:00:00Z"),
        business_unit_ids=(UNIT,),
        allowed_cidrs=("192.0.2.0/24",),
        metadata={"floor": "2"},
    )


def test_what_a_change_does_not_say_stays_as_it_is() -> None:
    assert ChangeKey.model_validate({"status": "disabled"}).changes() == KeyChanges(status="disabled")


def test_null_lifts_a_limit() -> None:
    limits: dict[str, Any] = dict.fromkeys(("owner", "expires_at", "business_unit_ids", "allowed_cidrs"))
    changes = ChangeKey.model_validate(limits).changes()
    assert changes == KeyChanges(owner=None, expires_at_us=None, business_unit_ids=None, allowed_cidrs=None)


@pytest.mark.parametrize("field", ["name", "description", "status", "metadata"])
def test_null_is_no_value_for_what_is_no_limit(field: str) -> None:
    with pytest.raises(ValidationError):
        ChangeKey.model_validate({field: None})


def test_every_field_of_a_change_arrives() -> None:
    changes = ChangeKey.model_validate(
        {
            "name": "a",
            "description": "b",
            "status": "enabled",
            "owner": "c",
            "expires_at": "2030-01-01T00:00:00Z",
            "business_unit_ids": [UNIT],
            "allowed_cidrs": ["192.0.2.0/24"],
            "metadata": {},
            "rate_limits": [],
        }
    ).changes()
    assert msgspec.UNSET not in msgspec.structs.astuple(changes)
    assert changes.expires_at_us == parse_time("2030-01-01T00:00:00Z")


def test_a_change_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one of name"):
        ChangeKey.model_validate({}).changes()


def test_a_role_arrives_whole() -> None:
    body = DefineRole.model_validate({"name": "Till", "permissions": ["a.b.c"]})
    assert body.draft() == RoleDraft(name="Till", permissions=("a.b.c",))


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (CreateKey, {}),
        (CreateKey, {"name": ""}),
        (CreateKey, {"name": "a" * 121}),
        (CreateKey, {"name": 1}),
        (CreateKey, {"name": "a", "description": "a" * 1001}),
        (CreateKey, {"name": "a", "environment": "production"}),
        (CreateKey, {"name": "a", "owner": ""}),
        (CreateKey, {"name": "a", "expires_at": 1}),
        (CreateKey, {"name": "a", "business_unit_ids": []}),
        (CreateKey, {"name": "a", "business_unit_ids": ["1"]}),
        (CreateKey, {"name": "a", "business_unit_ids": UNIT}),
        (CreateKey, {"name": "a", "allowed_cidrs": []}),
        (CreateKey, {"name": "a", "metadata": {"floor": 2}}),
        (CreateKey, {"name": "a", "metadata": {"a" * 65: ""}}),
        (CreateKey, {"name": "a", "metadata": {"a": "b" * 501}}),
        (CreateKey, {"name": "a", "metadata": {str(number): "" for number in range(21)}}),
        (CreateKey, {"name": "a", "id": UNIT}),
        (CreateKey, {"name": "a", "role_ids": []}),
        (ChangeKey, {"status": "deleted"}),
        (ChangeKey, {"environment": "live"}),
        (SetKeyRoles, {}),
        (SetKeyRoles, {"role_ids": None}),
        (SetKeyRoles, {"role_ids": [1]}),
        (SetKeyRoles, {"role_ids": [UNIT.upper()]}),
        (RotateKey, {"grace_seconds": -1}),
        (RotateKey, {"grace_seconds": 2_592_001}),
        (RotateKey, {"grace_seconds": True}),
        (RotateKey, {"grace_seconds": "60"}),
        (DefineRole, {"name": "a"}),
        (DefineRole, {"name": "a", "permissions": [""]}),
        (DefineRole, {"name": "a", "permissions": ["a.b.c"], "builtin": True}),
        (CreateBusinessUnit, {"name": "a"}),
        (CreateBusinessUnit, {"name": "a", "timezone_name": 1}),
        (CreateTenant, {"name": None}),
    ],
)
def test_what_a_model_does_not_describe_is_refused(model: Any, value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(value)


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (CreateKey, {"name": "a" * 120, "description": "a" * 1000}),
        (SetKeyRoles, {"role_ids": []}),
        (RotateKey, {"grace_seconds": 0}),
        (RotateKey, {"grace_seconds": 2_592_000}),
        (RotateKey, {}),
        (DefineRole, {"name": "a", "permissions": []}),
        (CreateBusinessUnit, {"name": "a", "timezone_name": "Europe/Berlin"}),
    ],
)
def test_bounds_are_within(model: Any, value: dict[str, Any]) -> None:
    assert model.model_validate(value)
