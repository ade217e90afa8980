"""Permissions: the smallest thing that can be granted, named `service.resource.action`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from hatchpay.errors import InvalidInput

__all__ = ["CONTROL_PERMISSIONS", "PLATFORM_PERMISSIONS", "Permission", "by_name", "check_name"]

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*(?:\.[a-z][a-z0-9]*(?:-[a-z0-9]+)*){2}\Z")


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """`sensitive` permissions reach personal data, secrets or the record; `administrative` ones change access."""

    name: str
    description: str
    read_only: bool = False
    sensitive: bool = False
    administrative: bool = False

    @property
    def service(self) -> str:
        return self.name.partition(".")[0]


def check_name(name: str) -> str:
    """Returns `name`. Raises InvalidInput unless it is `service.resource.action` in lower-case kebab words."""
    if len(name) > 200 or not _NAME.match(name):
        raise InvalidInput("a permission is named service.resource.action, in lower case", field="permission")
    return name


def _own(*rows: tuple[str, str, str]) -> tuple[Permission, ...]:
    return tuple(
        Permission(
            name=name,
            description=description,
            read_only="r" in flags,
            sensitive="s" in flags,
            administrative="a" in flags,
        )
        for name, flags, description in rows
    )


# Flags: r read-only, s sensitive, a administrative.
CONTROL_PERMISSIONS: Final[tuple[Permission, ...]] = _own(
    ("access.advice.apply", "a", "Take from keys and roles what was never used"),
    ("access.advice.read", "rs", "See what keys and roles have too much"),
    ("access.explanations.read", "rs", "Ask what a caller may, and why"),
    ("access.permissions.read", "r", "List the permissions that roles can hold"),
    ("access.policies.create", "a", "Create policies"),
    ("access.policies.delete", "a", "Delete policies"),
    ("access.policies.read", "rs", "Read policies"),
    ("access.policies.update", "a", "Change policies"),
    ("access.rehearsals.read", "rs", "Replay recorded requests against a change of access"),
    ("access.roles.create", "a", "Create custom roles"),
    ("access.roles.delete", "a", "Delete custom roles"),
    ("access.roles.read", "r", "List roles and what they hold"),
    ("access.roles.update", "a", "Change custom roles"),
    ("api-key.key-roles.update", "a", "Attach roles to API keys and detach them"),
    ("api-key.keys.create", "a", "Create API keys"),
    ("api-key.keys.delete", "a", "Delete API keys"),
    ("api-key.keys.read", "rs", "List API keys, their roles and their last use"),
    ("api-key.keys.rotate", "a", "Give an API key a new secret, and end the old one"),
    ("api-key.keys.update", "a", "Rename, disable, enable and limit API keys"),
    ("audit-log.erasures.create", "a", "Destroy the personal parts of records"),
    ("audit-log.exports.read", "rs", "Export the record of every request, and see what was exported"),
    ("audit-log.history.read", "rs", "Read the record of every request"),
    ("audit-log.receipts.read", "rs", "Get receipts that prove records to outsiders"),
    ("audit-log.streams.create", "a", "Stream the record to other systems"),
    ("audit-log.streams.delete", "a", "End streams of the record"),
    ("audit-log.streams.read", "rs", "List streams of the record, and how they go"),
    ("audit-log.streams.update", "a", "Change and test streams of the record"),
    ("auth.issuers.create", "a", "Trust other issuers of tokens"),
    ("auth.issuers.delete", "a", "End the trust in other issuers"),
    ("auth.issuers.read", "rs", "List the trusted issuers of tokens"),
    ("auth.issuers.update", "a", "Change trusted issuers, their ceiling and their mapping"),
    ("auth.tokens.read", "rs", "Inspect the tokens of other keys"),
    ("auth.tokens.revoke", "a", "Revoke the tokens of other keys"),
    ("business-unit.business-units.create", "a", "Create business units"),
    ("business-unit.business-units.read", "r", "List business units"),
    ("business-unit.business-units.update", "a", "Rename, move and archive business units"),
)
"""What HatchPay's own calls need; every tenant's roles may hold them."""

PLATFORM_PERMISSIONS: Final[tuple[Permission, ...]] = _own(
    ("platform.tenants.create", "a", "Onboard tenants"),
    ("platform.tenants.read", "rs", "List tenants"),
)
"""What the platform's operator may besides; no tenant's role can hold them."""


def by_name(permissions: Iterable[Permission]) -> dict[str, Permission]:
    return {permission.name: permission for permission in permissions}
