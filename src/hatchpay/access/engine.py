"""The whole decision about a request, in steps: what its head tells, and what only its unit and body do.

    decide          by the route table and the caller's roles
    decide_network  by where the request comes from
    conclude        by the business unit that the request concerns, and by the tenant's policies
    granted         what comes of it: the rule, and the caller narrowed to where it holds

The gate, the explanation and the rehearsal all ask here, so that none of them can be of another opinion.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hatchpay.access.decision import Decision, decide, decide_unit, scope_of
from hatchpay.access.routes import Match
from hatchpay.access.rules import Asked, FieldValue, Rules
from hatchpay.identity.networks import allow
from hatchpay.identity.principal import Principal

__all__ = ["conclude", "decide", "decide_network", "granted", "needs_body", "needs_fields"]


def decide_network(principal: Principal, match: Match | None, client_ip: str | None) -> Decision | None:
    """The denial for a caller who is bound to networks and comes from none of them, or None. Open routes ask nobody."""
    if allow(principal.limits.networks, client_ip) or (match is not None and match.route.access == "open"):
        return None
    return Decision("deny", "network_not_allowed")


def needs_body(rules: Rules, principal: Principal | None, match: Match) -> bool:
    """Whether `conclude` wants to know what stands in the body."""
    return match.route.names_unit_in("body") or needs_fields(rules, principal, match)


def needs_fields(rules: Rules, principal: Principal | None, match: Match) -> bool:
    """Whether `conclude` wants the fields that the route declares."""
    route = match.route
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
    # Only now: a caller of chosen units must not learn which others there are.
    entry = None
    if unit is not None:
        entry = rules.units.get(principal.tenant_id, {}).get(unit)
        if entry is None:
            return Decision("deny", "business_unit_unknown")
        if entry.archived:
            return Decision("deny", "business_unit_archived")
    policies = rules.policies.get(principal.tenant_id)
    if policies is None or not policies.concern(match.route.permission):
        return None
    return policies.judge(
        Asked(principal=principal, match=match, unit=entry, now_us=now_us, client_ip=client_ip, body=body)
    )


def granted(decision: Decision, principal: Principal, match: Match, unit: str | None) -> tuple[Decision, Principal]:
    """What `decide` has allowed and `conclude` has not denied, by the rule that counts for the named unit; and the
    caller as the handler is to see it, narrowed to where it holds what the route asks for.
    """
    rules = scope_of(principal, match)
    if rules is None:
        return decision, principal
    if unit is not None:
        rules = {unit: rules[unit]}
    limits = principal.limits.within(frozenset(rules))
    rule = min(rules.values())
    return msgspec.structs.replace(decision, rule=rule), msgspec.structs.replace(principal, limits=limits)
