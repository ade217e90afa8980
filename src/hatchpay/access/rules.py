"""What decides besides a caller's own grants: a tenant's business units and its policies, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from hatchpay.access.decision import Decision
from hatchpay.access.routes import Match
from hatchpay.identity.principal import Principal

__all__ = ["NO_RULES", "Asked", "FieldValue", "Policies", "Rules", "UnitEntry"]

FieldValue = str | int | bool
"""A decimal is text, such as `500.00`."""


class UnitEntry(msgspec.Struct, frozen=True):
    """A business unit. `zone` is an IANA time zone."""

    id: str
    zone: str
    archived: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request to which a role has said yes, with all that a policy can ask about it.

    `body` has the fields that the route declares, without those that are missing or of another type. `unit` is the
    business unit that the request concerns, None where it concerns the whole tenant.
    """

    principal: Principal
    match: Match
    unit: UnitEntry | None
    now_us: int
    client_ip: str | None
    body: Mapping[str, FieldValue] = {}


class Policies(Protocol):
    """A tenant's policies, compiled."""

    def concern(self, permission: str) -> bool:
        """Whether any of them could forbid a request that needs this permission."""
        ...

    def judge(self, asked: Asked) -> Decision | None:
        """The denial, or None where nothing forbids it. Pure; what cannot be evaluated is denied."""
        ...


class Rules(msgspec.Struct, frozen=True):
    """Of every tenant: its business units by id, and its policies, where it has any."""

    units: Mapping[str, Mapping[str, UnitEntry]] = {}
    policies: Mapping[str, Policies] = {}


NO_RULES = Rules()
