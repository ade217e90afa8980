"""Built-in roles as rules over the catalogue of permissions, so that a new permission finds its place by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, get_args

from hatchpay.access.permission import Permission

__all__ = ["BUILTIN_DESCRIPTIONS", "BUILTIN_ROLES", "BuiltinRole", "OPERATOR_ROLE", "builtin_permissions"]

BuiltinRole = Literal["admin", "viewer", "gl"]

BUILTIN_ROLES: Final[tuple[BuiltinRole, ...]] = get_args(BuiltinRole)
BUILTIN_DESCRIPTIONS: Final[dict[BuiltinRole, str]] = {
    "admin": "Everything in the tenant",
    "viewer": "Reads what is not sensitive",
    "gl": "General ledger: reads and updates what is neither sensitive nor administrative",
}
OPERATOR_ROLE: Final = "operator"
"""The role of the platform operator's key, in the platform's own tenant."""


def _viewer(permission: Permission) -> bool:
    return permission.read_only and not permission.sensitive


def _gl(permission: Permission) -> bool:
    return _viewer(permission) or not (permission.read_only or permission.sensitive or permission.administrative)


_RULES: Final[dict[BuiltinRole, Callable[[Permission], bool]]] = {
    "admin": lambda _: True,
    "viewer": _viewer,
    "gl": _gl,
}


def builtin_permissions(role: BuiltinRole, catalogue: Iterable[Permission]) -> frozenset[str]:
    """The names that `role` holds out of a tenant's catalogue (platform permissions are never in it)."""
    rule = _RULES[role]
    return frozenset(permission.name for permission in catalogue if rule(permission))
