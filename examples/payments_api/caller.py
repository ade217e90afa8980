"""Who calls: what the sample reads of the object that HatchPay's middleware leaves in the ASGI scope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol, cast

from .models import Reach
from .problems import SCOPE_KEY, Problem

__all__ = ["Caller", "HatchPay", "Principal", "caller_of"]

_SEE_CUSTOMERS: Final = "payment-proxy.customer-details.read"


class Principal(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def tenant_id(self) -> str | None: ...

    @property
    def business_unit_ids(self) -> frozenset[str] | None: ...

    def may(self, permission: str) -> bool: ...


class HatchPay(Protocol):
    @property
    def request_id(self) -> str: ...

    @property
    def principal(self) -> Principal | None: ...


@dataclass(frozen=True, slots=True)
class Caller:
    reach: Reach
    sees_customers: bool


_LOCAL: Final = Caller(Reach("local", None), sees_customers=False)


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Without HatchPay in front, everyone is the tenant `local` and sees no customer: for trials only."""
    if SCOPE_KEY not in scope:
        return _LOCAL
    principal = cast(HatchPay, scope[SCOPE_KEY]).principal
    if principal is None or principal.tenant_id is None:
        raise Problem(403, "tenant_required", "Transactions belong to a tenant, and this caller has none.")
    return _caller(principal.tenant_id, principal.business_unit_ids, principal.may(_SEE_CUSTOMERS))


@lru_cache(maxsize=1024)
def _caller(tenant_id: str, business_unit_ids: frozenset[str] | None, sees_customers: bool) -> Caller:
    return Caller(Reach(tenant_id, business_unit_ids), sees_customers)
