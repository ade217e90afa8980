"""What the use cases around tokens take and give. Times in views are RFC 3339 text with `Z`, or None."""

from __future__ import annotations

from typing import Literal

import msgspec

from hatchpay.admin.views import Versioned
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.tokens.signing import SigningAlgorithm

__all__ = [
    "IssuedToken",
    "IssuerChanges",
    "IssuerKeyView",
    "IssuerView",
    "NewIssuer",
    "SigningKeyView",
    "TokenWish",
]


class TokenWish(msgspec.Struct, frozen=True, kw_only=True):
    """`scope` are permissions, by spaces apart (None: all there are); `expires_in` seconds (None: the default)."""

    scope: str | None = None
    expires_in: int | None = None


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 6749, section 5.1. `expires_in` in seconds."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    scope: str

    def __repr__(self) -> str:
        return f"IssuedToken(expires_in={self.expires_in})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("expires_in", self.expires_in)]


class SigningKeyView(msgspec.Struct, frozen=True, kw_only=True):
    """`next` is published and does not sign yet; `published` does not sign any more, but its tokens still count."""

    kid: str
    algorithm: SigningAlgorithm
    status: Literal["next", "signing", "published", "ended", "retired"]
    created_at: str
    signs_from: str
    ends_at: str | None


class NewIssuer(msgspec.Struct, frozen=True, kw_only=True):
    issuer: str
    audience: str
    jwks_url: str | None
    algorithms: tuple[str, ...]
    ceiling: tuple[str, ...]
    claims: ClaimsMapping


class IssuerChanges(msgspec.Struct, frozen=True, kw_only=True):
    """UNSET fields stay as they are; None as `jwks_url` chooses discovery."""

    audience: str | msgspec.UnsetType = msgspec.UNSET
    jwks_url: str | msgspec.UnsetType | None = msgspec.UNSET
    algorithms: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    ceiling: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    claims: ClaimsMapping | msgspec.UnsetType = msgspec.UNSET
    status: Literal["enabled", "disabled"] | msgspec.UnsetType = msgspec.UNSET


class IssuerKeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key that the issuer publishes. `problem` is the code of why it is not used, where it is not."""

    kid: str | None
    algorithms: tuple[str, ...]
    problem: str | None


class IssuerView(Versioned, frozen=True, kw_only=True):
    """`ceiling` are the permissions that its users hold at most. `keys_failure` is the code of what went wrong with the
    last try to fetch its keys.
    """

    id: str
    issuer: str
    audience: str
    jwks_url: str | None
    algorithms: tuple[str, ...]
    ceiling: tuple[str, ...]
    claims: ClaimsMapping
    status: Literal["enabled", "disabled"]
    keys: tuple[IssuerKeyView, ...]
    keys_fetched_at: str | None
    keys_failure: str | None
    created_at: str
    updated_at: str
