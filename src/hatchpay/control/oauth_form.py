"""The forms of OAuth endpoints, read strictly, and their refusals (RFC 6749, sections 3.2 and 5.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from fastapi import Request, Response

from hatchpay.control.json_body import read_body
from hatchpay.control.query import pairs_of
from hatchpay.errors import HatchPayError, MalformedRequest

__all__ = ["OAuthRefusal", "read_form", "refusal_answer"]

_MAX_FORM: Final = 64 * 1024
_NEVER: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
# What the parser would leave as it stands.
_BROKEN: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Whoever asks for something wrong is not denied anything.
_DENIALS: Final = frozenset({"invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client"})


class OAuthRefusal(HatchPayError):
    """`code` is one of the RFC's error codes; `reason` is what the record says, where it can say more; `denied` whether
    the caller was not allowed, where the code does not say so by itself.
    """

    default_status = HTTPStatus.BAD_REQUEST
    default_code = "invalid_request"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        status: int | None = None,
        reason: str | None = None,
        denied: bool = False,
    ) -> None:
        super().__init__(detail, code=code, status=status)
        self.reason = reason or self.code
        self.denied = denied or self.code in _DENIALS


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields that have a value. Raises OAuthRefusal (`invalid_request`) for anything else than one clear form, and
    for parameters in the URL (RFC 6749, section 2.3.1).
    """
    if request.scope.get("query_string"):
        raise OAuthRefusal("send the parameters in the form, not in the URL")
    types = request.headers.getlist("content-type")
    media = types[0].partition(";")[0].strip().lower() if len(types) == 1 else ""
    encodings = [value for value in request.headers.getlist("content-encoding") if value.lower() != "identity"]
    if media != "application/x-www-form-urlencoded" or encodings:
        raise OAuthRefusal("send the parameters as application/x-www-form-urlencoded")
    fields: dict[str, str] = {}
    for name, value in _pairs(await _read(request)):
        if name in fields:
            raise OAuthRefusal("a parameter stands twice")
        fields[name] = value
    # A parameter without a value counts as left out.
    return {name: value for name, value in fields.items() if value}


def refusal_answer(refusal: OAuthRefusal) -> Response:
    headers = {"Pragma": "no-cache"}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="hatchpay"'
    body = msgspec.json.encode({"error": refusal.code, "error_description": refusal.detail})
    return Response(body, refusal.status, headers, media_type="application/json")


async def _read(request: Request) -> bytes:
    try:
        return await read_body(request, _MAX_FORM)
    except MalformedRequest as error:
        detail = "the form is too large" if error.status == 413 else "the connection ended within the form"
        raise OAuthRefusal(detail, status=error.status) from None


def _pairs(data: bytes) -> list[tuple[str, str]]:
    pairs = None if _BROKEN.search(data) else pairs_of(data)
    if pairs is None or any(_NEVER.search(name + value) for name, value in pairs):
        raise OAuthRefusal("the form cannot be read")
    return pairs
