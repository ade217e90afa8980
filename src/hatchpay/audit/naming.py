"""How a principal is named in the record."""

from __future__ import annotations

from hatchpay.audit.redact import redact_text
from hatchpay.identity.principal import Principal

__all__ = ["recorded_id", "recorded_token_id"]


def recorded_id(principal: Principal) -> str:
    return _named(principal.id, principal.issuer_id)


def recorded_token_id(principal: Principal) -> str | None:
    token = principal.token
    return None if token is None or token.id is None else _named(token.id, token.issuer_id)


def _named(text: str, issuer_id: str | None) -> str:
    """What another issuer calls its users and tokens may be anything."""
    return text if issuer_id is None else redact_text(text)
