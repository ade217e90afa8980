"""Which policies single out callers: whoever is not named by one could do what somebody named may not.

So handing a permission that such a policy concerns to somebody else, or changing who holds a role that it names, can
lift it, and counts as changing it. Policies that hold for every caller alike are lifted by no grant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hatchpay.access.directory import PolicyRow
from hatchpay.access.policy import parsed
from hatchpay.access.policy_source import Forbid

__all__ = ["SinglingPolicies"]

_CALLERS: Final = frozenset({"ApiKey", "User", "Role"})


class SinglingPolicies:
    """Of one tenant. A policy that cannot be read any more singles out anybody, for anything."""

    def __init__(self, rows: Iterable[PolicyRow]) -> None:
        texts = [parsed(row.text) for row in rows]
        self._unreadable = None in texts
        self._forbids = [forbid for forbids in texts for forbid in forbids or () if _singles_out(forbid)]

    def concern(self, permissions: frozenset[str]) -> bool:
        return self._unreadable or any(
            forbid.actions is None or not forbid.actions.isdisjoint(permissions) for forbid in self._forbids
        )

    def name(self, role_ids: Iterable[str]) -> bool:
        roles = {("Role", role_id) for role_id in role_ids}
        return bool(roles) and (
            self._unreadable or any(not forbid.entities.isdisjoint(roles) for forbid in self._forbids)
        )


def _singles_out(forbid: Forbid) -> bool:
    return "principal_id" in forbid.context or any(kind in _CALLERS for kind, _ in forbid.entities)
