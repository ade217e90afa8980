"""The bodies that the calls about streams take. What a model cannot say, the use cases check."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, StringConstraints

from hatchpay.admin.stream_checks import MAX_EVENT_TYPES, MAX_HEADERS, MAX_OVERLAP_SECONDS
from hatchpay.admin.stream_views import NewStream, StreamChanges
from hatchpay.control.fields import Uuid
from hatchpay.control.json_body import Body
from hatchpay.errors import InvalidInput

__all__ = ["ChangeStream", "CreateStream", "RotateStreamSecret", "SecretHeader"]

Name = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
UnitIds = Annotated[list[Uuid], Field(min_length=1, max_length=200)]
Types = Annotated[
    list[Annotated[str, StringConstraints(min_length=1, max_length=200)]],
    Field(min_length=1, max_length=MAX_EVENT_TYPES),
]
Pem = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]

_UNITS = "The only business units whose records it carries; null for all"
_TYPES = "Permissions and changes, such as api-key.keys.created, that it carries; null for all"
_URL = "https://…, or tls://host:port for syslog; on a public address"
_HEADERS = "For otlp and http; sent to the destination, and never shown again"
_PEM = "Certificates of the only authorities that count, in PEM; null for the usual ones"


class SecretHeader(Body):
    """A header that goes with every request to the destination."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    # Under this name, the record of the request that brings it keeps nothing of it.
    secret: Annotated[str, StringConstraints(min_length=1, max_length=4096)] = Field(description="Its value")


Headers = Annotated[list[SecretHeader], Field(max_length=MAX_HEADERS)]


class CreateStream(Body):
    """A stream of the record, from now on."""

    name: Name
    kind: Literal["otlp", "syslog", "http", "webhook"]
    destination_url: Url = Field(description=_URL)
    business_unit_ids: UnitIds | None = Field(default=None, description=_UNITS)
    event_types: Types | None = Field(default=None, description=_TYPES)
    headers: Headers = Field(default=[], description=_HEADERS)
    ca_pem: Pem | None = Field(default=None, description=_PEM)

    def wanted(self) -> NewStream:
        """Raises InvalidInput for a header that stands twice."""
        return NewStream(
            name=self.name,
            kind=self.kind,
            destination_url=self.destination_url,
            business_unit_ids=None if self.business_unit_ids is None else tuple(self.business_unit_ids),
            event_types=None if self.event_types is None else tuple(self.event_types),
            headers=_headers(self.headers),
            ca_pem=self.ca_pem,
        )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _kept(description: str) -> Any:
    """A field that stays as it is where the body lacks it."""
    return Field(default=None, description=description, json_schema_extra=_without_default)


class ChangeStream(Body):
    """Changes to a stream. What is absent stays as it is."""

    name: Name = _kept("A new name")
    destination_url: Url = _kept(_URL + "; with headers, another host or port needs them anew")
    business_unit_ids: UnitIds | None = _kept(_UNITS)
    event_types: Types | None = _kept(_TYPES)
    headers: Headers = _kept("Replaces all of them")
    ca_pem: Pem | None = _kept(_PEM)
    status: Literal["enabled", "disabled"] = _kept("Enabled again, it goes on where it was disabled")

    def changes(self) -> StreamChanges:
        """Raises InvalidInput where there are none, and for a header that stands twice."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        if not given:
            raise InvalidInput(f"the body must hold at least one of {', '.join(type(self).model_fields)}")
        if "headers" in given:
            given["headers"] = _headers(given["headers"])
        return msgspec.convert(given, StreamChanges)


class RotateStreamSecret(Body):
    """A new secret for a webhook."""

    overlap_seconds: int = Field(
        default=86_400, ge=0, le=MAX_OVERLAP_SECONDS, description="How long the old one signs beside it"
    )


def _headers(headers: list[SecretHeader]) -> dict[str, str]:
    found = {header.name: header.secret for header in headers}
    if len(found) < len(headers):
        raise InvalidInput("the same header stands twice", code="duplicate_header", field="headers")
    return found
