"""May they? A pure function from principal and route to a decision that says why."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from hatchpay.access.routes import Match
from hatchpay.identity.principal import Principal

__all__ = ["Decision", "decide", "decide_unit"]


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
    """Denied unless the table lists the request and, where it asks for a permission, a role of the caller grants it."""
    if match is not None and match.route.access != "permission":
        return _OPEN if match.route.access == "open" else _SELF
    if principal is None:
        return _ANONYMOUS
    if match is None:
        return _UNLISTED
    permission = match.route.permission or ""
    rule = principal.grants.get(permission)
    if rule is None:
        return Decision("deny", "permission_missing", missing=permission)
    return Decision("allow", "role_grants", rule)


def decide_unit(principal: Principal, match: Match, unit: str | None) -> Decision | None:
    """The denial for a caller of chosen business units, or None. What cannot be told apart is denied."""
    units = principal.limits.business_unit_ids
    source = match.route.unit
    if units is None or match.route.access != "permission" or (source is not None and source.place == "handler"):
        return None
    if source is None:
        return Decision("deny", "business_unit_not_separable")
    if unit is None:
        return Decision("deny", "business_unit_missing")
    return None if unit in units else Decision("deny", "business_unit_not_allowed")
