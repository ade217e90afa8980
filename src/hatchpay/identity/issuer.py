"""From the claims of another issuer's token to a user of the tenant that trusts it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from hatchpay.errors import InvalidToken
from hatchpay.ids import is_uuid
from hatchpay.tokens import jwt

__all__ = ["ClaimsMapping", "User", "grants_of", "user_of"]

_LONGEST_ID: Final = 255
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class ClaimsMapping(msgspec.Struct, frozen=True, kw_only=True):
    """Which claim says what; None: nothing says it.

    A claim is given by its name, or by a JSON Pointer (RFC 6901) that starts with `/`, such as `/realm_access/roles`.
    """

    user_id: str = "sub"
    roles: str | None = None
    permissions: str | None = None
    business_units: str | None = None


class User(msgspec.Struct, frozen=True, kw_only=True):
    """`business_unit_ids` None means all of the tenant's."""

    id: str
    role_names: tuple[str, ...]
    permissions: frozenset[str]
    business_unit_ids: frozenset[str] | None


def user_of(claims: Mapping[str, object], mapping: ClaimsMapping) -> User:
    """Raises InvalidToken where the claims do not say who it is, or say something unusable.

    A mapped claim of business units that a token lacks refuses it: nobody could tell which ones are meant.
    """
    user_id = _claim(claims, mapping.user_id)
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= _LONGEST_ID or _CONTROL.search(user_id):
        raise InvalidToken("the token does not say who its user is", code="token_user_missing")
    units = None
    if mapping.business_units is not None:
        units = frozenset(_strings(claims, mapping.business_units, split=False))
        if not units or not all(map(is_uuid, units)):
            raise InvalidToken("the token does not name its business units", code="token_business_units_missing")
    return User(
        id=user_id,
        role_names=tuple(dict.fromkeys(_strings(claims, mapping.roles, split=False))),
        permissions=frozenset(_strings(claims, mapping.permissions, split=True)),
        business_unit_ids=units,
    )


def grants_of(
    ceiling: frozenset[str], roles: Iterable[tuple[str, frozenset[str]]], permissions: frozenset[str]
) -> dict[str, str]:
    """What a user holds, and the rule that gives it: by name the first role, else the claim; never above `ceiling`."""
    grants = dict.fromkeys(permissions & ceiling, "claim:permissions")
    for name, held in sorted(roles, reverse=True):
        grants |= dict.fromkeys(held & ceiling, f"role:{name}")
    return grants


def _strings(claims: Mapping[str, object], name: str | None, *, split: bool) -> tuple[str, ...]:
    if name is None:
        return ()
    return jwt.strings_of({"claim": _claim(claims, name)}, "claim", split=split)


def _claim(claims: Mapping[str, object], name: str) -> object:
    if not name.startswith("/"):
        return claims.get(name)
    found: object = claims
    for part in name[1:].split("/"):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part.replace("~1", "/").replace("~0", "~"))
    return found
