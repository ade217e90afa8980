"""Why a request is allowed or denied: the engine's answer, and each step that led to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from hatchpay.access.decision import Decision, scope_of
from hatchpay.access.engine import conclude, decide, decide_network, granted, needs_fields
from hatchpay.access.routes import Match
from hatchpay.access.rules import FieldValue, Rules
from hatchpay.identity.principal import Principal

__all__ = ["CHECKS", "Check", "Explanation", "Facts", "Step", "Subject", "Target", "explain"]

Check = Literal["route", "credential", "role", "network", "business_unit", "policy"]
CHECKS: Final[tuple[Check, ...]] = ("route", "credential", "role", "network", "business_unit", "policy")
"""In the order in which the gate asks."""

_INVALID: Final = {
    "key_deleted": "the key was deleted",
    "key_disabled": "the key is disabled",
    "key_expired": "the key has expired",
    "key_secret_ended": "the key's newest secret has ended",
    "token_expired": "no token of the installation lives that long",
    "token_issuer_disabled": "the issuer of the user's tokens is disabled",
    "token_issuer_unknown": "the issuer of the user's tokens is not trusted any more",
    "token_key_deleted": "the key behind the token was deleted",
    "token_key_disabled": "the key behind the token is disabled, or was since the token was issued",
    "token_key_ended": "the key behind the token has expired, or its newest secret has ended",
}
_UNITS: Final = {
    "business_unit_archived": "the business unit is archived",
    "business_unit_missing": "the caller is of chosen business units, and the request names none",
    "business_unit_not_allowed": "the business unit is none of the caller's",
    "business_unit_not_separable": "the caller is of chosen business units, and the route does not say which",
    "business_unit_unclear": "the request must name one business unit, once, and where all readers find it",
    "business_unit_unknown": "the tenant has no such business unit",
}


class Target(msgspec.Struct, frozen=True):
    """Where a request goes: its decoded path, and its query as it was sent."""

    path: str
    query: bytes


class Subject(msgspec.Struct, frozen=True):
    """What a request concerns: the id of the business unit that it names, and the fields that its route declares.

    `unclear` is the code with which the gate refuses it where it cannot be read in one way only.
    """

    unit: str | None = None
    body: Mapping[str, FieldValue] = {}
    unclear: str | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the request says, and what is around it."""

    now_us: int
    client_ip: str | None = None
    subject: Subject = Subject()


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One check. `reason` is the code that it denies with; the facts after it are there where they bear on it.

    `route` is a path template, `networks` are those that the caller is bound to, `business_unit_id` is that which the
    request names.
    """

    check: Check
    outcome: Literal["pass", "fail", "skipped"]
    detail: str
    reason: str | None = None
    route: str | None = None
    permission: str | None = None
    rule: str | None = None
    roles: tuple[str, ...] | None = None
    client_ip: str | None = None
    networks: tuple[str, ...] | None = None
    business_unit_id: str | None = None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` is the code that the gate records; `rule` what decided; `missing` the permission to ask for.

    `trace` has one step for each of CHECKS, in their order.
    """

    decision: Literal["allow", "deny"]
    reason: str
    rule: str | None
    missing: str | None
    trace: tuple[Step, ...]


def explain(
    principal: Principal, match: Match | None, rules: Rules, facts: Facts, invalid: str | None = None
) -> Explanation:
    """What the gate says to this request of `principal`; `invalid` is why their credential is none, where it is.

    Pure. An open route lets everybody in, and one that authenticates its callers itself leaves them to its handler:
    there an invalid credential is the same as none, as at the gate.
    """
    steps = [_route(match), _credential(principal, match, invalid)]
    if invalid is not None and not _asks_nobody(match):
        return _ended(Decision("deny", invalid), steps)
    proven = principal if invalid is None else None
    decision = decide(proven, match)
    steps.append(_role(principal, match, decision))
    if decision.outcome == "deny" or proven is None or match is None:
        return _ended(decision, steps)
    denial = decide_network(proven, match, facts.client_ip)
    steps.append(_network(proven, match, facts, denial))
    denial = denial or _concluded(proven, match, rules, facts, steps)
    return _ended(denial or granted(decision, proven, match, facts.subject.unit)[0], steps)


def _concluded(principal: Principal, match: Match, rules: Rules, facts: Facts, steps: list[Step]) -> Decision | None:
    """The engine's conclusion, asked without the policies first: so it tells itself which of the two denies."""

    def ask(under: Rules) -> Decision | None:
        about = facts.subject
        return conclude(
            under, principal, match, about.unit, now_us=facts.now_us, client_ip=facts.client_ip, body=about.body
        )

    unclear = facts.subject.unclear
    if unclear == "business_unit_unclear":
        denial: Decision | None = Decision("deny", "business_unit_unclear")
    else:
        denial = ask(msgspec.structs.replace(rules, policies={}))
    steps.append(_unit(principal, match, facts, denial))
    if denial is None:
        hidden = unclear is not None and needs_fields(rules, principal, match)
        denial = Decision("deny", "body_unclear") if hidden else ask(rules)
        steps.append(_policy(principal, match, rules, denial))
    return denial


def _ended(decision: Decision, steps: list[Step]) -> Explanation:
    left = [
        Step(check=check, outcome="skipped", detail="it was decided before this could matter")
        for check in CHECKS[len(steps) :]
    ]
    return Explanation(
        decision=decision.outcome,
        reason=decision.reason,
        rule=decision.rule,
        missing=decision.missing,
        trace=(*steps, *left),
    )


def _asks_nobody(match: Match | None) -> bool:
    return match is not None and match.route.access != "permission"


def _route(match: Match | None) -> Step:
    if match is None:
        detail = "the route table lists nothing for this method and path, so nobody may call them"
        return Step(check="route", outcome="fail", detail=detail, reason="route_not_listed")
    route = match.route
    details = {
        "permission": "the route is listed, and needs a permission",
        "open": "the route is open to everybody",
        "self_authenticating": "the route authenticates its callers itself, and may still refuse them",
    }
    return Step(
        check="route",
        outcome="pass",
        detail=details[route.access],
        route=f"{route.method} {route.template}",
        permission=route.permission,
    )


def _credential(principal: Principal, match: Match | None, invalid: str | None) -> Step:
    if invalid is None:
        detail = "the key is good, for whoever has its newest secret"
        if principal.kind == "user":
            detail = (
                "a token of the user is good, if its issuer has signed it; only the roles that it names are known here"
            )
        elif principal.token is not None:
            detail = "a token of the key is good, if it was issued without a narrower scope and not revoked"
        return Step(check="credential", outcome="pass", detail=detail)
    detail = _INVALID.get(invalid, "the credential is not valid")
    if _asks_nobody(match):
        return Step(check="credential", outcome="skipped", detail=f"{detail}, but the route asks for none")
    return Step(check="credential", outcome="fail", detail=detail, reason=invalid)


def _role(principal: Principal, match: Match | None, decision: Decision) -> Step:
    if match is None or match.route.permission is None:
        return Step(check="role", outcome="skipped", detail="there is no permission to be held")
    permission, roles = match.route.permission, principal.roles
    if decision.outcome == "deny":
        detail = "no role of the caller holds the permission; ask for it, or for a role that holds it"
        if principal.kind == "user":
            detail = "no role of the user holds the permission within the issuer's ceiling"
        return Step(
            check="role", outcome="fail", detail=detail, reason=decision.reason, permission=permission, roles=roles
        )
    detail = "the caller holds the permission"
    return Step(check="role", outcome="pass", detail=detail, permission=permission, rule=decision.rule, roles=roles)


def _network(principal: Principal, match: Match, facts: Facts, denial: Decision | None) -> Step:
    bound = principal.limits.networks
    if bound is None:
        return Step(check="network", outcome="skipped", detail="the caller may come from anywhere")
    networks = tuple(map(str, bound))
    if denial is not None:
        detail = "the caller is bound to networks, and the address is in none of them"
        if facts.client_ip is None:
            detail = "the caller is bound to networks, and no address is given: say client_ip"
        return Step(
            check="network",
            outcome="fail",
            detail=detail,
            reason=denial.reason,
            client_ip=facts.client_ip,
            networks=networks,
        )
    if match.route.access == "open":
        return Step(check="network", outcome="skipped", detail="the route is open to every address")
    detail = "the address is in a network of the caller"
    return Step(check="network", outcome="pass", detail=detail, client_ip=facts.client_ip, networks=networks)


def _unit(principal: Principal, match: Match, facts: Facts, denial: Decision | None) -> Step:
    if denial is not None:
        return Step(
            check="business_unit",
            outcome="fail",
            detail=_UNITS.get(denial.reason, "the caller may not do this for the business unit"),
            reason=denial.reason,
            rule=denial.rule,
            permission=denial.missing,
            business_unit_id=facts.subject.unit,
        )
    asked = match.route.access == "permission" and not match.route.names_unit_in("handler")
    if not asked:
        detail = "whoever serves the route keeps to the caller's business units"
    elif principal.limits.business_unit_ids is None and scope_of(principal, match) is None:
        detail = "the caller is not limited to chosen business units"
    else:
        detail = "the business unit is one of the caller's"
    return Step(
        check="business_unit",
        outcome="pass" if asked else "skipped",
        detail=detail,
        business_unit_id=facts.subject.unit,
    )


def _policy(principal: Principal, match: Match, rules: Rules, denial: Decision | None) -> Step:
    permission = match.route.permission
    if denial is not None:
        return Step(
            check="policy",
            outcome="fail",
            detail="a policy forbids it, or could not be evaluated",
            reason=denial.reason,
            rule=denial.rule,
            permission=permission,
        )
    policies = rules.policies.get(principal.tenant_id)
    if policies is None or permission is None or not policies.concern(permission):
        return Step(check="policy", outcome="skipped", detail="no policy of the tenant concerns this")
    return Step(check="policy", outcome="pass", detail="no policy forbids it", permission=permission)
