"""Redaction of a request's target: the path as it came, the query's names without their values."""

from __future__ import annotations

import re
from typing import Final

from hatchpay.audit.redact.effort import Effort
from hatchpay.audit.redact.text import FAILED, redact_text

__all__ = ["DROPPED", "redact_url"]

DROPPED: Final = "[dropped]"

_KEPT_VALUES: Final = frozenset(
    [
        "limit",
        "from",
        "to",
        "method",
        "status",
        "min_ms",
        "route",
        "format",
        "days",
        "after",
        "upto",
        "header",
        "request_id",
        "key_id",
        "principal_id",
        "business_unit_id",
        "client_ip",
    ]
)
# Plain words, numbers too short for a card, and UUIDs: what most paths are made of and no detector knows.
_ORDINARY: Final = re.compile(
    r"(?:/(?:(?!xox|glpat|whsec)[a-z]{1,24}(?:[_\-][a-z]{1,9})?+|v?[0-9]{1,9}"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?=/|\Z))*+/?"
)
_EFFORT: Final = 3_000
_LONGEST_NAME: Final = 256
_MOST_PARAMETERS: Final = 256
# A parameter without "=" may be a bare secret; only what reads as a word is taken for a name.
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_.\-\[\]]{0,39}")


def redact_url(raw_path: bytes, query_string: bytes) -> str:
    """`/path?name=[dropped]&limit=20`: only values of a short list of names are kept, and those redacted."""
    path = raw_path.decode("utf-8", "backslashreplace")
    if _ORDINARY.fullmatch(path) is None:
        path = redact_text(path)
    if not query_string:
        return path
    try:
        effort = Effort(_EFFORT + len(query_string) / 4)
        return f"{path}?{_redact_query(query_string.decode('utf-8', 'backslashreplace'), effort)}"
    except Exception:  # a query that cannot be redacted is dropped, never kept and never raised
        return f"{path}?{FAILED}"


def _redact_query(query: str, effort: Effort) -> str:
    parameters = query.split("&")
    kept = [_redact_parameter(parameter, effort) for parameter in parameters[:_MOST_PARAMETERS]]
    if len(parameters) > _MOST_PARAMETERS:
        kept.append(DROPPED)
    joined = "&".join(kept)
    # Names side by side may make up what none of them is alone.
    names = joined.replace(f"={DROPPED}", "")
    return joined if redact_text(names, effort) == names else DROPPED


def _redact_parameter(parameter: str, effort: Effort) -> str:
    name, equals, value = parameter.partition("=")
    if not equals:
        return name if _WORD.fullmatch(name) and redact_text(name, effort) == name else DROPPED if name else ""
    shown = redact_text(name, effort) if len(name) <= _LONGEST_NAME else DROPPED
    return f"{shown}={redact_text(value, effort) if name in _KEPT_VALUES else DROPPED}"
