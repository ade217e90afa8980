"""Redaction of request headers: an allow-list, and of credentials no more than their scheme."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from hatchpay.audit.redact.text import redact_text

__all__ = ["redact_headers"]

_KEPT: Final = {
    name.encode(): name
    for name in ("accept", "content-length", "content-type", "host", "user-agent", "idempotency-key")
}
_CREDENTIALS: Final = {b"authorization": "authorization", b"proxy-authorization": "proxy-authorization"}
_SECRET: Final = {b"x-api-key": "x-api-key", b"cookie": "cookie"}
_SCHEMES: Final = {
    scheme.lower().encode(): f"{scheme} [redacted]"
    for scheme in ("Bearer", "Basic", "Digest", "DPoP", "Negotiate", "AWS4-HMAC-SHA256")
}
_REDACTED: Final = "[redacted]"
_LONGEST_VALUE: Final = 1024
_SCHEME_WITHIN: Final = 24


def redact_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """What may be kept of `headers`; names that are not on the list leave no trace."""
    kept: dict[str, str] = {}
    repeated = False
    for raw_name, raw_value in headers:
        raw = raw_name.lower()
        name = _KEPT.get(raw)
        if name is not None:
            value = _redact_value(raw_value) if len(raw_value) <= _LONGEST_VALUE else _redact_long(raw_value)
        elif raw in _CREDENTIALS:
            name = _CREDENTIALS[raw]
            scheme = raw_value[:_SCHEME_WITHIN].lstrip(b" \t").partition(b" ")[0]
            value = _SCHEMES.get(scheme.lower(), _REDACTED)
        elif raw in _SECRET:
            name = _SECRET[raw]
            value = _REDACTED
        else:
            continue
        if name in kept:
            repeated = True
            value = f"{kept[name]}, {value}"
        kept[name] = value
    if repeated:
        # Values joined may make up what none of them is alone.
        return {name: redact_text(value) if name in _KEPT_NAMES else value for name, value in kept.items()}
    return kept


_KEPT_NAMES: Final = frozenset(_KEPT.values())


@lru_cache(maxsize=1024)
def _redact_value(value: bytes) -> str:
    return redact_text(value.decode("latin-1"))


def _redact_long(value: bytes) -> str:
    # Redacted before it is cut, or the cut could leave half a secret that nothing recognises.
    return redact_text(value[: 4 * _LONGEST_VALUE].decode("latin-1"))[:_LONGEST_VALUE]
