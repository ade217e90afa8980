"""The options that several commands share, and how their texts become values. A wrong one is a usage error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final

import typer

from hatchpay.clock import parse_time
from hatchpay.identity.principal import RateLimit

__all__ = [
    "Config",
    "DataDirectory",
    "Json",
    "Tenant",
    "address",
    "method",
    "microseconds",
    "moment",
    "pairs",
    "rate_limit",
    "sequence",
    "status",
]

DataDirectory = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIRECTORY",
        help="Where databases, secrets and locks are; else HATCHPAY_DATA_DIR, else ./var.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="TOML file with settings; else HATCHPAY_CONFIG, else ./hatchpay.toml."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", metavar="NAME_OR_ID", help="The tenant; may be left out where there is one only."),
]

_METHOD: Final = re.compile(r"[A-Za-z]{1,20}\Z")
_STATUS: Final = re.compile(r"[1-5](?:[0-9]{2}|xx)\Z")
_MILLISECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,3})?\Z")
_RATE: Final = re.compile(r"([1-9][0-9]{0,9})/([1-9][0-9]{0,6})\Z")
_SEQUENCE: Final = re.compile(r"[1-9][0-9]{0,17}\Z")


def moment(text: str) -> int:
    """RFC 3339 to microseconds since the epoch."""
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter("a time has a date and an offset, as in 2026-01-31T09:30:00Z.") from None


def method(text: str) -> str:
    if not _METHOD.match(text):
        raise typer.BadParameter("a method is a word such as POST; LOCAL for commands.")
    return text.upper()


def status(text: str) -> tuple[int, int]:
    """The range that `403` or `4xx` stands for, both ends inclusive."""
    if not _STATUS.match(text):
        raise typer.BadParameter("a status is a number such as 403, or a class such as 4xx.")
    first = int(text.replace("x", "0"))
    return (first, first + 99) if text.endswith("xx") else (first, first)


def address(text: str) -> str:
    """An IP address in its usual spelling."""
    try:
        return str(ip_address(text))
    except ValueError:
        raise typer.BadParameter("not an IPv4 or IPv6 address.") from None


def microseconds(text: str) -> int:
    """From milliseconds with at most three decimals."""
    if not _MILLISECONDS.match(text):
        raise typer.BadParameter("milliseconds are a number from 0 on, with at most three decimals.")
    return int(Decimal(text) * 1000)


def rate_limit(text: str) -> RateLimit:
    parts = _RATE.match(text)
    if parts is None:
        raise typer.BadParameter("a rate limit is requests/seconds, such as 100/60.")
    return RateLimit(int(parts[1]), int(parts[2]))


def sequence(text: str) -> int:
    """A cursor of the audit history: the sequence number of the last record that was shown."""
    if not _SEQUENCE.match(text):
        raise typer.BadParameter("not a cursor that the history has given.")
    return int(text)


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """`name=value` each; a name stands once."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals) or name in found:
            raise typer.BadParameter("metadata is name=value, each name once.", param_hint="--metadata")
        found[name] = value
    return found
