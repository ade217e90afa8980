"""Policies and requests, said shortly."""

from __future__ import annotations

from collections.abc import Mapping

from hatchpay.access.decision import Decision
from hatchpay.access.directory import PolicyRow
from hatchpay.access.policy import CompiledPolicies, compile_policies
from hatchpay.access.routes import BodyField, Match, Route
from hatchpay.access.rules import Asked, FieldValue, UnitEntry
from hatchpay.identity.principal import Limits, Principal, TokenUse

TENANT = "017f22e2-79b0-7cc3-98c4-dc0c0c073900"
KEY = "017f22e2-79b0-7cc3-98c4-dc0c0c073911"
UNIT = "017f22e2-79b0-7cc3-98c4-dc0c0c073922"
TILL, BOOKS = "017f22e2-79b0-7cc3-98c4-dc0c0c0739a1", "017f22e2-79b0-7cc3-98c4-dc0c0c0739a2"
ROLE_IDS = {"till": TILL, "books": BOOKS}
PAY = "shop.payments.create"
READ = "shop.payments.read"
MONDAY_NOON = 1_795_435_200_000_000
"""Monday 2026-11-23T12:00:00Z, in microseconds."""
AMOUNT = BodyField("amount", "decimal", "/amount")
CURRENCY = BodyField("currency", "string", "/currency")

__all__ = [
    "AMOUNT",
    "BOOKS",
    "CURRENCY",
    "KEY",
    "MONDAY_NOON",
    "PAY",
    "READ",
    "ROLE_IDS",
    "TENANT",
    "TILL",
    "UNIT",
    "asked",
    "judged",
    "policies",
    "till",
]


def policies(*texts: str, with_body: frozenset[str] = frozenset(), **named: str) -> CompiledPolicies:
    """Compiled; named `policy-0` and so on, or as the keyword says."""
    every = {f"policy-{number}": text for number, text in enumerate(texts)} | named
    rows = [
        PolicyRow(id=f"{number:036}", tenant_id=TENANT, name=name, text=text, created_us=0, updated_us=0)
        for number, (name, text) in enumerate(every.items())
    ]
    return compile_policies(rows, ROLE_IDS, with_body=with_body)


def till(*roles: str, token: TokenUse | None = None, key_id: str = KEY, environment: str = "live") -> Principal:
    limits = Limits(environment="test" if environment == "test" else "live")
    return Principal(key_id, "api_key", TENANT, key_id, roles or ("till",), {}, limits, token)


def asked(
    permission: str = PAY,
    principal: Principal | None = None,
    *,
    zone: str | None = None,
    now_us: int = MONDAY_NOON,
    client_ip: str | None = "192.0.2.10",
    fields: tuple[BodyField, ...] = (),
    body: Mapping[str, FieldValue] | None = None,
) -> Asked:
    """A request of a key with the role `till`; on the unit `UNIT` where there is a `zone`."""
    return Asked(
        principal=principal or till(),
        match=Match(Route(method="POST", template="/payments", permission=permission, fields=fields), ()),
        unit=None if zone is None else UnitEntry(UNIT, zone),
        now_us=now_us,
        client_ip=client_ip,
        body=body or {},
    )


def judged(decision: Decision | None) -> tuple[str, str | None, str | None] | None:
    """Reason, rule and what is missing; None for no denial."""
    if decision is None:
        return None
    assert decision.outcome == "deny"
    return decision.reason, decision.rule, decision.missing
