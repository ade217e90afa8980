"""What somebody should look at: findings about keys and roles, each with a stable code and a sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from hatchpay.access.advisor import Need, Observation
from hatchpay.access.directory import KeyRow
from hatchpay.access.permission import Permission

__all__ = ["Finding", "key_findings", "role_findings", "weight"]

# What uses of these permissions have given away, their holder must hold to give it again.
_GRANTING: Final = frozenset(
    {
        "access.advice.apply",
        "access.policies.create",
        "access.policies.delete",
        "access.policies.update",
        "access.roles.create",
        "access.roles.update",
        "api-key.key-roles.update",
        "api-key.keys.create",
        "api-key.keys.rotate",
        "api-key.keys.update",
        "auth.issuers.create",
        "auth.issuers.update",
    }
)
_WEIGHTS: Final = {
    "admin_only_reads": 16,
    "admin_unused": 16,
    "key_unused": 8,
    "role_unused": 8,
    "permissions_unused": 4,
    "key_without_owner": 2,
    "role_unheld": 2,
}


class Finding(msgspec.Struct, frozen=True):
    code: str
    detail: str


def key_findings(
    key: KeyRow, need: Need, catalogue: Mapping[str, Permission], observation: Observation, last_used_us: int | None
) -> tuple[Finding, ...]:
    """The gravest first. `catalogue` is by name; `last_used_us` is when the key last proved anybody, for whatever."""
    found = []
    administrative = any(catalogue[name].administrative for name in need.held if name in catalogue)
    idle = not need.used and (last_used_us is None or last_used_us < observation.from_us)
    if administrative and need.used and all(_only_reads(catalogue.get(name)) for name in need.used):
        found.append(Finding("admin_only_reads", "The key may change access, and only ever read."))
    if idle and administrative:
        found.append(Finding("admin_unused", "The key may change access, and nobody used it."))
    if idle:
        since = "since it was made" if key.created_us >= observation.from_us else f"in {observation.days} days"
        found.append(Finding("key_unused", f"Nobody used the key {since}: disable or delete it."))
    elif need.unused:
        found.append(_unused(need))
    if key.owner is None:
        found.append(Finding("key_without_owner", "Nobody is named who answers for the key."))
    return (*found, *_cautions(need))


def role_findings(need: Need, keys: Sequence[KeyRow], users: bool) -> tuple[Finding, ...]:
    """`users` says whether any user of a trusted issuer was seen to hold the role."""
    found = []
    if not keys and not users:
        found.append(Finding("role_unheld", "No key holds the role, and no user was seen with it."))
    elif not need.used:
        found.append(Finding("role_unused", "Nobody who holds the role used any of its permissions."))
    elif need.unused:
        found.append(_unused(need))
    return (*found, *_cautions(need))


def weight(findings: Iterable[Finding]) -> int:
    """How bad they are together."""
    return sum(_WEIGHTS.get(finding.code, 0) for finding in findings)


def _unused(need: Need) -> Finding:
    return Finding("permissions_unused", f"{len(need.unused)} of {len(need.held)} permissions were not used.")


def _cautions(need: Need) -> list[Finding]:
    """What to think of before anything is taken away."""
    found = []
    if need.unused and not _GRANTING.isdisjoint(need.used):
        detail = "Access was given to others; to give it again, the giver must hold it, which counts as no use here."
        found.append(Finding("grants_to_others", detail))
    if need.used and need.unseen:
        detail = "No request asked for some of these; if your API asks inside its handlers, no record shows it."
        found.append(Finding("permissions_unseen", detail))
    return found


def _only_reads(permission: Permission | None) -> bool:
    return permission is not None and permission.read_only
