"""The body of a rehearsal: one supposed change, and the span of the record to try it on."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, StringConstraints

from hatchpay.admin.rehearsal_views import Change, KeyRoles, PolicyText, RolePermissions
from hatchpay.control.fields import Moment, Uuid, time_us
from hatchpay.control.json_body import Body
from hatchpay.errors import InvalidInput

__all__ = ["Rehearse", "SupposedChange", "SupposedPolicy"]

PermissionName = Annotated[str, StringConstraints(min_length=1, max_length=200)]

_FORMS: Final = ({"key_id", "role_ids"}, {"role_id", "permissions"}, {"policy"})


def _one_form(schema: dict[str, Any]) -> None:
    """A field may be absent, and is never null."""
    for field in schema["properties"].values():
        field.pop("default", None)
    schema["oneOf"] = [{"required": sorted(form)} for form in _FORMS]


class SupposedPolicy(Body):
    """A policy, new or in the place of that with this name."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    text: str


class SupposedChange(Body):
    """Exactly one of: `key_id` with `role_ids`, `role_id` with `permissions`, or `policy`."""

    model_config = ConfigDict(json_schema_extra=_one_form)

    key_id: Uuid = Field(default="", description="The key that would have other roles")
    role_ids: list[Uuid] = Field(default=[], max_length=200, description="All roles that it would hold")
    role_id: Uuid = Field(default="", description="The custom role that would hold other permissions")
    permissions: list[PermissionName] = Field(default=[], max_length=1000, description="All that it would hold")
    policy: SupposedPolicy | None = Field(default=None, description="The policy that there would be")

    def change(self) -> Change:
        """Raises InvalidInput where it is none of the forms, or more than one."""
        given = self.model_fields_set
        if given not in _FORMS:
            raise InvalidInput(
                "give exactly one of key_id with role_ids, role_id with permissions, or policy", field="change"
            )
        if "key_id" in given:
            return KeyRoles(self.key_id, tuple(self.role_ids))
        if "role_id" in given:
            return RolePermissions(self.role_id, tuple(self.permissions))
        if self.policy is None:
            raise InvalidInput("is required", field="change.policy")
        return PolicyText(self.policy.name, self.policy.text)


class Rehearse(Body):
    """A change of access that is tried on recorded requests, and not made."""

    change: SupposedChange
    from_: Moment | None = Field(default=None, alias="from", description="Requests that started then or later")
    to: Moment | None = Field(default=None, description="Requests that started before then; now, where it is absent")

    def span(self) -> tuple[int | None, int | None]:
        """In microseconds since the epoch."""
        return _us(self.from_), _us(self.to)


def _us(text: str | None) -> int | None:
    return None if text is None else time_us(text)
