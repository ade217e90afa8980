"""The bodies that the calls take. What a model cannot say, the use cases check."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, StringConstraints

from hatchpay.admin.views import KeyChanges, NewKey, RoleDraft
from hatchpay.control.fields import Moment, Uuid, time_us
from hatchpay.control.json_body import Body
from hatchpay.errors import InvalidInput

__all__ = [
    "MAX_GRACE_SECONDS",
    "ChangeKey",
    "CreateBusinessUnit",
    "CreateKey",
    "CreateTenant",
    "DefineRole",
    "RotateKey",
    "SetKeyRoles",
]

MAX_GRACE_SECONDS = 30 * 24 * 3600

Name = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Description = Annotated[str, StringConstraints(max_length=1000)]
Owner = Annotated[str, StringConstraints(min_length=1, max_length=200)]
UnitIds = Annotated[list[Uuid], Field(min_length=1, max_length=200)]
Cidrs = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=50)]], Field(min_length=1, max_length=50)
]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64)],
        Annotated[str, StringConstraints(max_length=500)],
    ],
    Field(max_length=20),
]


class CreateKey(Body):
    """A new API key. It holds no role, and may do nothing until one is attached."""

    name: Name
    description: Description = ""
    environment: Literal["live", "test"] = "live"
    owner: Owner | None = Field(default=None, description="Who answers for the key")
    expires_at: Moment | None = Field(default=None, description="In the future; null for never")
    business_unit_ids: UnitIds | None = Field(default=None, description="The only units it acts for; null for all")
    allowed_cidrs: Cidrs | None = Field(default=None, description="The only networks it works from; null for all")
    metadata: Metadata = Field(default={}, description="Free labels")

    def new_key(self) -> NewKey:
        return NewKey(
            name=self.name,
            description=self.description,
            environment=self.environment,
            owner=self.owner,
            expires_at_us=_us(self.expires_at),
            business_unit_ids=_tuple(self.business_unit_ids),
            allowed_cidrs=_tuple(self.allowed_cidrs),
            metadata=dict(self.metadata),
        )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _kept(description: str) -> Any:
    """A field that stays as it is where the body lacks it; null is refused unless the type allows it."""
    return Field(default=None, description=description, json_schema_extra=_without_default)


class ChangeKey(Body):
    """Changes to an API key. What is absent stays as it is; null lifts a limit."""

    name: Name = _kept("A new name")
    description: Description = _kept("A new description")
    status: Literal["enabled", "disabled"] = _kept("A disabled key is refused at once, and can be enabled again")
    owner: Owner | None = _kept("Who answers for the key; null for nobody")
    expires_at: Moment | None = _kept("In the future; null for never")
    business_unit_ids: UnitIds | None = _kept("The only units it acts for; null for all")
    allowed_cidrs: Cidrs | None = _kept("The only networks it works from; null for all")
    metadata: Metadata = _kept("Free labels; replaces all of them")

    def changes(self) -> KeyChanges:
        """Raises InvalidInput where there are none."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if not given:
            raise InvalidInput(f"the body must hold at least one of {', '.join(type(self).model_fields)}")
        if "expires_at" in given:
            given["expires_at_us"] = _us(given.pop("expires_at"))
        return msgspec.convert(given, KeyChanges)


class SetKeyRoles(Body):
    """The whole set of a key's roles, in place of those that it holds."""

    role_ids: list[Uuid] = Field(max_length=200)


class RotateKey(Body):
    """A new secret for a key."""

    grace_seconds: int = Field(default=0, ge=0, le=MAX_GRACE_SECONDS, description="How long the old one still works")


class DefineRole(Body):
    """A custom role, whole."""

    name: Name
    description: Description = ""
    permissions: list[Annotated[str, StringConstraints(min_length=1, max_length=200)]] = Field(max_length=1000)

    def draft(self) -> RoleDraft:
        return RoleDraft(name=self.name, description=self.description, permissions=tuple(self.permissions))


class CreateBusinessUnit(Body):
    """A department, branch or company inside the tenant."""

    name: Name
    timezone_name: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field(
        description="IANA name, such as Europe/Berlin"
    )


class CreateTenant(Body):
    """A new tenant, to be onboarded with its built-in roles and its first admin key."""

    name: Name


def _us(text: str | None) -> int | None:
    return None if text is None else time_us(text)


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
