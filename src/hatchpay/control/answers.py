"""What the calls answer: the use cases' views as they are, and a key's text, once."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Response

from hatchpay.admin.views import CreatedKey, KeyView, Onboarded, TenantView, Versioned

__all__ = [
    "HistoryPageAnswer",
    "IssuedKey",
    "OnboardedAnswer",
    "issued",
    "json_answer",
    "no_content",
    "onboarded",
]


class IssuedKey(KeyView, frozen=True, kw_only=True):
    """An API key with its text, which is shown this once and kept nowhere."""

    key: str

    def __repr__(self) -> str:
        return f"IssuedKey({self.id})"


class OnboardedAnswer(msgspec.Struct, frozen=True):
    """A new tenant and its first admin key."""

    tenant: TenantView
    api_key: IssuedKey


class HistoryPageAnswer(msgspec.Struct, frozen=True):
    """Flat records, newest first. `next_cursor` is None on the last page; a cursor is opaque to callers."""

    data: list[dict[str, Any]]
    next_cursor: str | None


def issued(created: CreatedKey) -> IssuedKey:
    view = {name: getattr(created.view, name) for name in KeyView.__struct_fields__}
    return IssuedKey(**view, key=created.key).tagged(created.view.etag)


def onboarded(done: Onboarded) -> OnboardedAnswer:
    return OnboardedAnswer(done.tenant, issued(done.api_key))


def json_answer(value: msgspec.Struct, status: int = 200, *, location: str | None = None) -> Response:
    """`location` is the path of what a 201 has made. What has a version says it (RFC 9110, section 8.8.3)."""
    headers = {} if location is None else {"Location": location}
    if isinstance(value, Versioned):
        headers["ETag"] = f'"{value.etag}"'
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def no_content() -> Response:
    return Response(status_code=204)
