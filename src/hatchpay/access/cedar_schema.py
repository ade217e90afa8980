"""The schema that policies are validated against, in Cedar's JSON form, and the fields of bodies that it knows.

entity Tenant; entity Role;
entity BusinessUnit in [Tenant]; entity ApiKey in [Role]; entity User in [Role];
action "<permission>" appliesTo {
  principal: [ApiKey, User], resource: [BusinessUnit, Tenant],
  context: {
    client_ip: ipaddr, time: datetime, environment: String, authentication_method: String, principal_id: String,
    token_age?: Long, local?: {hour: Long, minute: Long, weekday: Long, date: String},
    body: {…}  // the fields that the permission's routes declare; absent where none does
  }
};
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from hatchpay.access.routes import FieldType, Route
from hatchpay.errors import SettingsError

__all__ = ["NO_FIELDS", "BodyFields", "body_fields", "schema_document"]

BodyFields = Mapping[str, Mapping[str, FieldType]]
"""By permission, the types of the fields that its routes declare."""

NO_FIELDS: Final[BodyFields] = MappingProxyType({})
_Document = dict[str, object]
_TYPES: Final[dict[FieldType, _Document]] = {
    "decimal": {"type": "Extension", "name": "decimal"},
    "long": {"type": "Long"},
    "string": {"type": "String"},
    "boolean": {"type": "Boolean"},
}
_LONG, _STRING = _TYPES["long"], _TYPES["string"]
_LOCAL: Final[_Document] = {
    "type": "Record",
    "required": False,
    "attributes": {"hour": _LONG, "minute": _LONG, "weekday": _LONG, "date": _STRING},
}
_CONTEXT: Final[_Document] = {
    "client_ip": {"type": "Extension", "name": "ipaddr"},
    "time": {"type": "Extension", "name": "datetime"},
    "environment": _STRING,
    "authentication_method": _STRING,
    "principal_id": _STRING,
    "token_age": {**_LONG, "required": False},
    "local": _LOCAL,
}
_ENTITY_TYPES: Final[_Document] = {
    "Tenant": {},
    "Role": {},
    "BusinessUnit": {"memberOfTypes": ["Tenant"]},
    "ApiKey": {"memberOfTypes": ["Role"]},
    "User": {"memberOfTypes": ["Role"]},
}


def body_fields(routes: Iterable[Route]) -> BodyFields:
    """Raises SettingsError where two routes of a permission declare a field with two types."""
    found: dict[str, dict[str, FieldType]] = {}
    for route in routes:
        for field in route.fields:
            known = found.setdefault(route.permission or "", {})
            if known.setdefault(field.name, field.type) != field.type:
                raise SettingsError(f"the field {field.name} has two types on the routes that need {route.permission}")
    return MappingProxyType(found)


def schema_document(applied: Iterable[str], known: Iterable[str], fields: BodyFields) -> _Document:
    """`applied` are the permissions to be judged; `known` ones besides may be named, and apply to nothing."""
    actions: _Document = {name: {} for name in known}
    actions |= {name: {"appliesTo": _applies(fields.get(name, {}))} for name in applied}
    return {"": {"entityTypes": _ENTITY_TYPES, "actions": actions}}


def _applies(fields: Mapping[str, FieldType]) -> _Document:
    attributes = dict(_CONTEXT)
    if fields:
        attributes["body"] = {"type": "Record", "attributes": {name: _TYPES[kind] for name, kind in fields.items()}}
    return {
        "principalTypes": ["ApiKey", "User"],
        "resourceTypes": ["BusinessUnit", "Tenant"],
        "context": {"type": "Record", "attributes": attributes},
    }
