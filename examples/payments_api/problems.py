"""Every error answer, in the one shape of RFC 9457. None of them repeats what the caller sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

__all__ = ["SCOPE_KEY", "Problem", "install"]

SCOPE_KEY: Final = "hatchpay"
"""Where HatchPay's middleware puts the request's id and principal."""

_CODES: Final = {
    400: "malformed_body",
    404: "not_found",
    405: "method_not_allowed",
}
_FIELD_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LONG_NUMBER: Final = re.compile(r"[0-9]{4}")


class Problem(HTTPException):
    """`code` is stable; `detail` is one sentence for people and may change."""

    def __init__(self, status: int, code: str, detail: str, *, field: str | None = None) -> None:
        super().__init__(status, detail)
        self.code = code
        self.field = field


def install(app: FastAPI) -> None:
    @app.exception_handler(HTTPException)
    async def _expected(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error, Problem):
            return _answer(request, error.status_code, error.code, error.detail, field=error.field)
        code = _CODES.get(error.status_code, "refused")
        return _answer(request, error.status_code, code, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return _answer(request, 422, "invalid_field", str(first["msg"]), field=_field(first["loc"]))

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        return _answer(request, 500, "internal_error", "Something went wrong on our side.")


def _answer(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    hatchpay = request.scope.get(SCOPE_KEY)
    body: dict[str, object] = {
        "type": f"urn:hatchpay:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": None if hatchpay is None else hatchpay.request_id,
    }
    if field is not None:
        body["field"] = field
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def _field(loc: Sequence[Any]) -> str:
    """`transaction.transaction_items.0.amount`; a name that the caller made up only where it is harmless."""
    parts = loc[1:] if len(loc) > 1 else loc
    return ".".join(str(part) if isinstance(part, int) or _harmless(part) else "?" for part in parts)


def _harmless(name: str) -> bool:
    return bool(_FIELD_NAME.fullmatch(name)) and not _LONG_NUMBER.search(name)
