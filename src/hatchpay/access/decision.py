"""May they? A pure function from principal and route to a decision that says why."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final, Literal

import msgspec

from hatchpay.access.routes import Match
from hatchpay.identity.principal import Principal

__all__ = ["Decision", "decide", "decide_unit", "scope_of"]


class Decision(msgspec.Struct, frozen=True, gc=False):
    """`reason` is a stable code; `rule` what decided, such as `role:viewer` or `policy:office-hours`.

    `missing` is the permission to ask for; for `policy_input_missing` the field that a policy needs, as `body.amount`.
    """

    outcome: Literal["allow", "deny"]
    reason: str
    rule: str | None = None
    missing: str | None = None


_OPEN: Final = Decision("allow", "open_route", "route:open")
_SELF: Final = Decision("allow", "self_authenticating", "route:self_authenticating")
_UNLISTED: Final = Decision("deny", "route_not_listed")
_ANONYMOUS: Final = Decision("deny", "credential_missing")


def decide(principal: Principal | None, match: Match | None) -> Decision:
    """Denied unless the table lists the request and, where it asks for a permission, a role of the caller grants it,
    be it for chosen business units only.
    """
    if match is not None and match.route.access != "permission":
        return _OPEN if match.route.access == "open" else _SELF
    if principal is None:
        return _ANONYMOUS
    if match is None:
        return _UNLISTED
    permission = match.route.permission or ""
    rule = principal.grants.get(permission)
    if rule is not None:
        return Decision("allow", "role_grants", rule)
    rules = scope_of(principal, match)
    if not rules:
        return Decision("deny", "permission_missing", missing=permission)
    return Decision("allow", "role_grants", min(rules.values()))


def scope_of(principal: Principal, match: Match) -> Mapping[str, str] | None:
    """The business units for which alone the caller holds what the route asks for, and what gives it there.

    None where it is held for all that the caller may act for, or nothing is asked for.
    """
    permission = match.route.permission
    if permission is None or not principal.scoped or permission in principal.grants:
        return None
    rules = principal.scoped.get(permission, {})
    units = principal.limits.business_unit_ids
    return rules if units is None else {unit: rule for unit, rule in rules.items() if unit in units}


def decide_unit(principal: Principal, match: Match, unit: str | None) -> Decision | None:
    """The denial for a caller of chosen business units, or one who holds the permission for chosen ones only, or None.

    What cannot be told apart is denied.
    """
    route, units = match.route, principal.limits.business_unit_ids
    if (units is None and not principal.scoped) or route.permission is None or route.names_unit_in("handler"):
        return None
    denial = _outside(units, match, unit)
    if denial is None:
        denial = _outside(scope_of(principal, match), match, unit, route.permission)
    return denial


def _outside(
    units: Container[str] | None, match: Match, unit: str | None, missing: str | None = None
) -> Decision | None:
    if units is None:
        return None
    if not match.route.unit:
        return Decision("deny", "business_unit_not_separable", missing=missing)
    if unit is None:
        return Decision("deny", "business_unit_missing", missing=missing)
    return None if unit in units else Decision("deny", "business_unit_not_allowed", missing=missing)
