"""The whole decision about a request, in three steps: what its head tells, and what only its unit and body do.

    decide          by the route table and the caller's roles
    decide_network  by where the request comes from
    conclude        by the business unit that the request concerns, and by the tenant's policies

The gate, the explanation and the rehearsal all ask here, so that none of them can be of another opinion.
"""

from __future__ import annotations

from collections.abc import Mapping

from hatchpay.access.decision import Decision, decide, decide_unit
from hatchpay.access.routes import Match
from hatchpay.access.rules import Asked, FieldValue, Rules
from hatchpay.identity.networks import allow
from hatchpay.identity.principal import Principal

__all__ = ["conclude", "decide", "decide_network", "needs_body"]


def decide_network(principal: Principal, match: Match | None, client_ip: str | None) -> Decision | None:
    """The denial for a caller who is bound to networks and comes from none of them, or None. Open routes ask nobody."""
    if allow(principal.limits.networks, client_ip) or (match is not None and match.route.access == "open"):
        return None
    return Decision("deny", "network_not_allowed")


def needs_body(rules: Rules, principal: Principal | None, match: Match) -> bool:
    """Whether `conclude` wants to know what stands in the body."""
    route = match.route
    if route.unit is not None and route.unit.place == "body":
        return True
    if not route.fields or principal is None or route.permission is None:
        return False
    policies = rules.policies.get(principal.tenant_id)
    return policies is not None and policies.concern(route.permission)


def conclude(
    rules: Rules,
    principal: Principal,
    match: Match,
    unit: str | None,
    *,
    now_us: int,
    client_ip: str | None,
    body: Mapping[str, FieldValue],
) -> Decision | None:
    """The denial of what `decide` has allowed, or None.

    `unit` is the id of the business unit that the request names; `body` has the fields that the route declares.
    """
    denial = decide_unit(principal, match, unit)
    if denial is not None or match.route.permission is None:
        return denial
    policies = rules.policies.get(principal.tenant_id)
    if policies is None or not policies.concern(match.route.permission):
        return None
    entry = None if unit is None else rules.units.get(principal.tenant_id, {}).get(unit)
    return policies.judge(
        Asked(principal=principal, match=match, unit=entry, now_us=now_us, client_ip=client_ip, body=body)
    )
