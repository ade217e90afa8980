"""A request as Cedar sees it: who, what, on what, and of its context only what the statements ask for.

Each member of the context that is an address, a time or a decimal costs Cedar as much as a policy does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from hatchpay.access.routes import BodyField
from hatchpay.access.rules import Asked, FieldValue, UnitEntry
from hatchpay.clock import format_time
from hatchpay.identity.networks import parse_address
from hatchpay.identity.principal import Principal

__all__ = ["body_of", "context_of", "principal_of", "resource_of"]

Uid = dict[str, object]
_US: Final = 1_000_000
_MILLISECONDS: Final = len("2026-11-24T02:10:42.000")
_LONGEST: Final = 1_024
"""Characters of a text: what Cedar's `like` costs grows with them, times the length of the pattern."""
_LONGS: Final = range(-(2**63), 2**63)
# What Cedar's decimal holds: 64 bits, of which four decimals.
_DECIMAL: Final = re.compile(r"-?[0-9]{1,14}\.[0-9]{1,4}", re.ASCII)
_SMALLEST: Final = Decimal("0.0001")
# A number of JSON (RFC 8259, section 6), of a length that costs nothing.
_NUMBER: Final = re.compile(r"(?=.{1,64}\Z)-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)


def principal_of(principal: Principal) -> Uid:
    """A key, or a user, one behind an exchanged token included."""
    if principal.kind == "user":
        return _uid("User", principal.id.removeprefix("user:"))
    return _uid("ApiKey", principal.id)


def resource_of(tenant_id: str, unit: UnitEntry | None) -> Uid:
    return _uid("Tenant", tenant_id) if unit is None else _uid("BusinessUnit", unit.id)


def context_of(asked: Asked, wanted: frozenset[str], body: Mapping[str, object] | None) -> str:
    """The members of `wanted` that this request has, as JSON in Cedar's form. Raises where its zone is not usable."""
    found: dict[str, object] = {}
    principal = asked.principal
    if "client_ip" in wanted:
        address = None if asked.client_ip is None else _address(asked.client_ip)
        if address is not None:
            found["client_ip"] = _extension("ip", address)
    if "time" in wanted:
        found["time"] = _extension("datetime", format_time(asked.now_us)[:_MILLISECONDS] + "Z")
    if "environment" in wanted:
        found["environment"] = principal.limits.environment
    if "authentication_method" in wanted:
        found["authentication_method"] = "api_key" if principal.token is None else "token"
    if "principal_id" in wanted:
        found["principal_id"] = principal_of(principal)["id"]
    if "token_age" in wanted and principal.token is not None and principal.token.issued_us is not None:
        found["token_age"] = max(0, asked.now_us - principal.token.issued_us) // _US
    if "local" in wanted and asked.unit is not None:
        found["local"] = _local(asked.now_us, asked.unit.zone)
    if "body" in wanted and body is not None:
        found["body"] = body
    return msgspec.json.encode(found).decode()


def body_of(fields: tuple[BodyField, ...], values: Mapping[str, FieldValue]) -> dict[str, object]:
    """The declared fields that are there with the declared type, and not too long, in Cedar's form."""
    found = {field.name: _value(field, values[field.name]) for field in fields if field.name in values}
    return {name: value for name, value in found.items() if value is not None}


def _value(field: BodyField, value: FieldValue) -> object:
    match field.type:
        case "decimal":
            text = _decimal(value) if isinstance(value, str) else None
            return None if text is None else _extension("decimal", text)
        case "long":
            return value if isinstance(value, int) and not isinstance(value, bool) and value in _LONGS else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "string":
            return value if isinstance(value, str) and len(value) <= _LONGEST else None


def _decimal(text: str) -> str | None:
    """In the one form that Cedar takes; None for what it cannot hold exactly."""
    if _DECIMAL.fullmatch(text):
        return text
    if not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    try:
        exact = number.quantize(_SMALLEST)
    except InvalidOperation:
        return None
    return f"{exact:f}" if exact == number and abs(int(exact.scaleb(4))) in _LONGS else None


@lru_cache(4096)
def _address(text: str) -> str | None:
    address = parse_address(text)
    return None if address is None else str(address)


def _local(now_us: int, zone: str) -> dict[str, object]:
    moment = datetime.fromtimestamp(now_us / _US, ZoneInfo(zone))
    return {
        "hour": moment.hour,
        "minute": moment.minute,
        "weekday": moment.isoweekday(),
        "date": moment.date().isoformat(),
    }


def _uid(kind: str, name: str) -> Uid:
    return {"type": kind, "id": name}


def _extension(function: str, argument: str) -> dict[str, object]:
    return {"__extn": {"fn": function, "arg": argument}}
