"""Every error of the control API in the one shape of RFC 9457. None repeats what the caller sent."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from hatchpay.access.routes import METHODS, RouteTable
from hatchpay.control.caller import SCOPE_KEY
from hatchpay.control.routes import CONTROL_ROUTES
from hatchpay.errors import HatchPayError, InvalidInput, NotFound, RateLimited, Refusal, problem
from hatchpay.identity.credential import challenge

__all__ = ["answer", "frames", "install", "internal_error", "last_words"]

_log: Final = logging.getLogger("hatchpay.control")
_DENIALS: Final = frozenset({401, 403, 409})
_table: Final = RouteTable(CONTROL_ROUTES)


def answer(error: HatchPayError, scope: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    shown = _shown(error)
    chosen = dict(headers or {})
    if shown.status == 401:
        chosen["WWW-Authenticate"] = challenge(shown.code)
    if shown.status == 503:
        chosen["Retry-After"] = "1"
    if isinstance(shown, RateLimited):
        chosen["Retry-After"] = str(shown.retry_after_s)
    caller = scope.get(SCOPE_KEY)
    refused = getattr(caller, "refused", None)
    if refused is not None and shown.status < 500:
        refused(shown.code, shown.status in _DENIALS)
    body = msgspec.json.encode(problem(shown, _request_id(scope)))
    return Response(body, shown.status, chosen, media_type="application/problem+json")


def last_words(error: Exception, scope: Mapping[str, Any]) -> dict[str, object]:
    """The problem that ends an answer which has begun well, and tells the record that it did not end so."""
    caller = scope.get(SCOPE_KEY)
    if isinstance(error, HatchPayError):
        shown = _shown(error)
    else:
        _log.error("unforeseen %s in request %s\n%s", type(error).__name__, _request_id(scope), frames(error))
        shown = _Unforeseen("something went wrong on our side")
    refused = getattr(caller, "refused", None)
    if refused is not None:
        refused(shown.code, shown.status in _DENIALS)
    return problem(shown, _request_id(scope))


def internal_error(error: Exception, scope: Mapping[str, Any]) -> Response:
    """For what nobody foresaw. The log gets where it happened, not the message: it may hold what was sent."""
    _log.error("unforeseen %s in request %s\n%s", type(error).__name__, _request_id(scope), frames(error))
    return answer(_Unforeseen("something went wrong on our side"), scope)


def _shown(error: HatchPayError) -> HatchPayError:
    if error.status < 500 or isinstance(error, Refusal):
        return error
    # Their details are for the operator: paths, and what the database said.
    _log.error("%s: %s", error.code, error.detail)
    return HatchPayError("a part of the service is out of order", code=error.code, status=error.status)


def _request_id(scope: Mapping[str, Any]) -> str | None:
    return getattr(scope.get(SCOPE_KEY), "request_id", None)


def frames(error: BaseException) -> str:
    """File, line and function of each frame."""
    return "".join(traceback.format_tb(error.__traceback__))


def install(app: FastAPI) -> None:
    """Make every error that the framework knows, and every one of ours, come out in our shape."""

    async def ours(request: Request, error: Exception) -> Response:
        return answer(cast(HatchPayError, error), request.scope)

    async def the_frameworks(request: Request, error: Exception) -> Response:
        return _translated(cast(HTTPException, error).status_code, request)

    async def unreadable(request: Request, _: Exception) -> Response:
        return answer(InvalidInput("a field of the request is wrong"), request.scope)

    app.add_exception_handler(HatchPayError, ours)
    app.add_exception_handler(HTTPException, the_frameworks)
    app.add_exception_handler(RequestValidationError, unreadable)


class _Unforeseen(Refusal):
    default_status = HatchPayError.default_status
    default_code = HatchPayError.default_code


def _translated(status: int, request: Request) -> Response:
    if status == 404:
        return answer(NotFound("the control API has no such path"), request.scope)
    if status == 405:
        allowed = sorted(method for method in (*METHODS, "HEAD") if _table.match(method, request.scope["path"]))
        error = HatchPayError("this path has no such method", code="method_not_allowed", status=405)
        return answer(error, request.scope, {"Allow": ", ".join(allowed)})
    return answer(HatchPayError("the request was refused", code="refused", status=status), request.scope)
