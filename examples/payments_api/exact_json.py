"""JSON request bodies without a float in them: `12.10` arrives as the Decimal that was written."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, Final, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute

from .problems import Problem

__all__ = ["ExactRoute", "loads"]

_LARGEST_BODY: Final = 64 * 1024


def loads(body: bytes) -> Any:
    """Raises Problem 400 for what is not JSON in UTF-8, for a key given twice, for NaN and infinities."""
    try:
        return json.loads(body.decode(), parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_distinct)
    except (ValueError, ArithmeticError, RecursionError):
        raise Problem(400, "malformed_body", "The body must be one JSON value, no key given twice.") from None


class _ExactRequest(Request):
    async def body(self) -> bytes:
        """Kept, since FastAPI asks for it twice. Starlette's own limit would answer in plain text."""
        if not hasattr(self, "_body"):
            body = bytearray()
            async for chunk in self.stream():
                body += chunk
                if len(body) > _LARGEST_BODY:
                    raise Problem(413, "body_too_large", f"The body may have {_LARGEST_BODY} bytes.")
            self._body = bytes(body)
        return self._body

    async def json(self) -> Any:
        return loads(await self.body())


class ExactRoute(APIRoute):
    """FastAPI's own way with a body, its model and its schema; only the parsing of the text differs."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def exact(request: Request) -> Response:
            return await handle(_ExactRequest(request.scope, request.receive))

        return exact


def _refuse(constant: str) -> NoReturn:
    raise ValueError


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members
