"""What the use cases accept. Every check returns it, or raises InvalidInput naming the field."""

from __future__ import annotations

import unicodedata
import zoneinfo
from functools import cache
from ipaddress import ip_network
from typing import Final
from urllib.parse import urlsplit

from hatchpay.access.rate_limit import MAX_REQUESTS, MAX_WINDOW_S
from hatchpay.errors import InvalidInput
from hatchpay.identity.principal import RateLimit
from hatchpay.ids import is_uuid

__all__ = [
    "MAX_GRACE_SECONDS",
    "MAX_RATE_LIMITS",
    "audience",
    "cidrs",
    "claim",
    "description",
    "distinct",
    "expiry",
    "grace",
    "identifier",
    "issuer_url",
    "metadata",
    "name",
    "owner",
    "rate_limits",
    "timezone",
]

MAX_GRACE_SECONDS: Final = 2_592_000
"""30 days."""

MAX_RATE_LIMITS: Final = 5
"""How many a key, or a role, has at most."""

_LONGEST_URL: Final = 2048
_MAX_ROLES: Final = 200
# The last microsecond that RFC 3339 can write.
_LAST_US: Final = 253_402_300_799_999_999


def name(value: str) -> str:
    return _text(value, "name", 1, 120)


def description(value: str) -> str:
    return _text(value, "description", 0, 1000)


def owner(value: str | None) -> str | None:
    return None if value is None else _text(value, "owner", 1, 200)


def metadata(value: dict[str, str]) -> dict[str, str]:
    if len(value) > 20:
        raise InvalidInput("metadata holds at most 20 entries", field="metadata")
    return {_text(key, "metadata", 1, 64): _text(text, "metadata", 0, 500) for key, text in value.items()}


def cidrs(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Networks in their usual spelling, such as `192.0.2.0/24`; a bare address is a network of one."""
    if value is None:
        return None
    if not 1 <= len(value) <= 50:
        raise InvalidInput("give 1 to 50 networks, or null for any address", field="allowed_cidrs")
    return distinct(tuple(_network(text) for text in value), "allowed_cidrs", "duplicate_network")


def expiry(value: int | None, now: int) -> int | None:
    """Both in microseconds since the epoch."""
    if value is not None and not now < value <= _LAST_US:
        raise InvalidInput("the time of expiry must be in the future", field="expires_at")
    return value


def rate_limits(value: tuple[RateLimit, ...]) -> tuple[RateLimit, ...]:
    """The shortest window first."""
    if len(value) > MAX_RATE_LIMITS:
        raise InvalidInput(f"there are at most {MAX_RATE_LIMITS} rate limits", field="rate_limits")
    for limit in value:
        if not (1 <= limit.requests <= MAX_REQUESTS and 1 <= limit.window_s <= MAX_WINDOW_S):
            raise InvalidInput(
                f"a rate limit is 1 to {MAX_REQUESTS} requests in 1 to {MAX_WINDOW_S} seconds", field="rate_limits"
            )
    if len({limit.window_s for limit in value}) < len(value):
        raise InvalidInput("two rate limits have the same window", code="duplicate_window", field="rate_limits")
    return tuple(sorted(value, key=lambda limit: limit.window_s))


def role_ids(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(value) > _MAX_ROLES:
        raise InvalidInput(f"a key holds at most {_MAX_ROLES} roles", field="role_ids")
    for role_id in value:
        identifier(role_id, "role_ids")
    return distinct(value, "role_ids", "duplicate_role")


def grace(seconds: int) -> int:
    if not 0 <= seconds <= MAX_GRACE_SECONDS:
        raise InvalidInput(f"a grace period is 0 to {MAX_GRACE_SECONDS} seconds", field="grace_seconds")
    return seconds


def timezone(value: str) -> str:
    if value not in _timezones():
        raise InvalidInput("not the name of an IANA time zone, such as Europe/Zurich", field="timezone_name")
    return value


def identifier(value: str, field: str) -> str:
    if not is_uuid(value):
        raise InvalidInput("an id is a UUID in lower case, with dashes", code="invalid_uuid", field=field)
    return value


def issuer_url(value: str, field: str, *, insecure: bool, query: bool = False) -> str:
    """An absolute https URL without user info and fragment (RFC 8414, section 2); `insecure` allows http."""
    schemes = {"https", "http"} if insecure else {"https"}
    try:
        url = urlsplit(value)
        usable = url.scheme in schemes and bool(url.hostname) and url.username is None and url.port != 0
    except ValueError:
        usable = False
    odd = not value.isascii() or not value.isprintable() or any(char in value for char in '\\ "<>^`{|}#')
    if not usable or odd or len(value) > _LONGEST_URL or (not query and "?" in value):
        raise InvalidInput(f"{field} is not an absolute https URL", code="invalid_url", field=field)
    return value


def audience(value: str) -> str:
    return _text(value, "audience", 1, _LONGEST_URL)


def claim(value: str | None, field: str) -> str | None:
    """A claim's name, or a JSON Pointer to it."""
    return None if value is None else _text(value, field, 1, 200)


def distinct(values: tuple[str, ...], field: str, code: str) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise InvalidInput("the same value stands twice", code=code, field=field)
    return values


def _text(value: str, field: str, least: int, most: int) -> str:
    if not least <= len(value) <= most:
        raise InvalidInput(f"{field} is {least} to {most} characters long", field=field)
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in value):
        raise InvalidInput(f"{field} holds a control character", field=field)
    if least and not value.strip():
        raise InvalidInput(f"{field} is nothing but white space", field=field)
    return value


def _network(text: str) -> str:
    address, slash, prefix = text.partition("/")
    # ipaddress also takes netmasks, host masks, digits that are not ASCII and scopes, which mean different
    # things to different programs.
    if not text.isascii() or "%" in address or (slash and not prefix.isdigit()):
        raise _no_network()
    try:
        return str(ip_network(text, strict=True))
    except ValueError:
        raise _no_network() from None


def _no_network() -> InvalidInput:
    return InvalidInput("not a network such as 192.0.2.0/24, with all host bits zero", field="allowed_cidrs")


@cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
