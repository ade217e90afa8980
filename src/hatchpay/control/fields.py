"""The field types that bodies and queries share, and how a wrong one is named without repeating it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError

from hatchpay.clock import parse_time
from hatchpay.errors import InvalidInput
from hatchpay.ids import is_uuid

__all__ = ["Cursor", "Ip", "Moment", "Uuid", "check_text", "check_uuid", "path_of", "refusal_of", "time_us"]

_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
_CURSOR: Final = r"^[A-Za-z0-9_-]{1,300}$"
_LATEST_US: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()) * 1_000_000
# Names that people give to fields, never the shape of a token, a key or a card number.
_HARMLESS: Final = re.compile(r"[A-Za-z]{1,24}(?:[_-][A-Za-z]{1,24}){0,4}[0-9]{0,2}\Z")
_CODES: Final = {"invalid_uuid": ("invalid_uuid", 422), "invalid_cursor": ("invalid_cursor", 400)}


def time_us(text: str) -> int:
    """RFC 3339 with an offset, from 1970 on, to microseconds since the epoch. Raises ValueError."""
    if re.fullmatch(_TIME, text) is None:
        raise ValueError("not RFC 3339")
    us = parse_time(text)
    if not 0 <= us <= _LATEST_US:
        raise ValueError("out of range")
    return us


def check_uuid(text: str, field: str) -> str:
    """Returns `text`. Raises InvalidInput unless it is a UUID in the form that we emit."""
    if not is_uuid(text):
        raise InvalidInput("must be a UUID in lower case with dashes", code="invalid_uuid", field=field)
    return text


def check_text(text: str, path: Sequence[int | str]) -> None:
    """Raises InvalidInput for NUL and lone surrogates: no store and no other reader takes them alike."""
    try:
        if b"\0" not in text.encode():
            return
    except UnicodeEncodeError:
        pass
    raise InvalidInput("must hold no NUL and no lone surrogate", field=path_of(path) or None)


def refusal_of(error: ValidationError, unknown: str) -> InvalidInput:
    """The first thing that is wrong, as our own error; `unknown` is the code for an unknown field."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = path_of(first["loc"])
    if first["type"] == "extra_forbidden":
        return InvalidInput("is not known to this call", code=unknown, field=field)
    code, status = _CODES.get(first["type"], ("invalid_field", 422))
    return InvalidInput(_sentence(first["msg"]), code=code, status=status, field=field or None)


def path_of(loc: Sequence[int | str]) -> str:
    """`role_ids.0`; a name that the caller made up stands there only where it is harmless, else as `?`."""
    parts = [part for part in loc if part != "[key]"]
    return ".".join(str(part) if isinstance(part, int) or _HARMLESS.match(part) else "?" for part in parts)


def _sentence(message: str) -> str:
    if message == "Field required":
        return "is required"
    return re.sub(r"^\w+ should ", "must ", message)


def _uuid(text: str) -> str:
    if not is_uuid(text):
        raise PydanticCustomError("invalid_uuid", "must be a UUID in lower case with dashes")
    return text


def _moment(text: str) -> str:
    try:
        time_us(text)
    except ValueError:
        raise PydanticCustomError(
            "invalid_time",
            "must be a time with an offset, as in 2026-01-31T09:30:00Z (in a query, + is written %2B)",
        ) from None
    return text


def _cursor(text: str) -> str:
    if re.fullmatch(_CURSOR, text) is None:
        raise PydanticCustomError("invalid_cursor", "must be a cursor that this list has given")
    return text


def _ip(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if isinstance(address, IPv6Address):
        address = None if address.scope_id is not None else address.ipv4_mapped or address
    if address is None:
        raise PydanticCustomError("invalid_ip", "must be an IPv4 or IPv6 address")
    return str(address)


Uuid = Annotated[str, AfterValidator(_uuid), Field(json_schema_extra={"format": "uuid"})]
Moment = Annotated[str, AfterValidator(_moment), Field(json_schema_extra={"format": "date-time", "pattern": _TIME})]
Cursor = Annotated[str, AfterValidator(_cursor), Field(json_schema_extra={"pattern": _CURSOR})]
Ip = Annotated[str, AfterValidator(_ip)]
