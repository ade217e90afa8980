"""JSON request bodies, read so that no two readers could disagree about them.

Refused are: other media types (415), more than MAX_BODY bytes, or than a call takes in its place (413), what is not one
JSON value in UTF-8, NaN and infinities, nesting beyond MAX_DEPTH, a key given twice (400), NUL and lone surrogates, and
whatever the model does not describe (422). Every refusal names the field where it can; none repeats what was sent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from math import isfinite
from typing import Any, Final, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect

from hatchpay.control.fields import check_text, path_of, refusal_of
from hatchpay.errors import InvalidInput, MalformedRequest

__all__ = ["MAX_BODY", "MAX_DEPTH", "Body", "json_body", "parse_body", "parse_json", "read_body"]

MAX_BODY: Final = 256 * 1024
"""Bytes; far more than any call of the control API needs, and little enough to parse on the event loop."""
MAX_DEPTH: Final = 64

Path = tuple[int | str, ...]
_UNREADABLE: Final = object()


class Body(BaseModel):
    """Base of all request bodies: nothing is converted, nothing unknown is skipped."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


Model = TypeVar("Model", bound=Body)


def json_body(
    model: type[Model], *, optional: bool = False, most: int = MAX_BODY
) -> Callable[[Request], Awaitable[Model]]:
    """A dependency that reads the body, of `most` bytes, as `model`; where `optional`, an empty body counts as `{}`."""

    async def dependency(request: Request) -> Model:
        return await parse_body(request, model, optional=optional, most=most)

    return dependency


async def parse_body(request: Request, model: type[Model], *, optional: bool = False, most: int = MAX_BODY) -> Model:
    """Raises MalformedRequest and InvalidInput, as said above."""
    data = await read_body(request, most)
    if not data and optional:
        return _validated(model, {})
    _check_media_type(request)
    return _validated(model, parse_json(data))


def parse_json(data: bytes) -> Any:
    """Raises MalformedRequest (400) or, for NUL and lone surrogates, InvalidInput."""
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        value = _UNREADABLE
    # Out here, so that no traceback carries the parser's error along, which holds the body.
    if value is _UNREADABLE:
        raise _invalid_json()
    _inspect(value, ())
    return value


def _validated(model: type[Model], value: Any) -> Model:
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        refusal = refusal_of(error, unknown="unknown_field")
    # Out here, so that no traceback carries Pydantic's error along, which holds the input.
    raise refusal


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """Raises MalformedRequest: 413 `body_too_large` for more than `most` bytes, `body_incomplete`."""
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > most:
                raise MalformedRequest(
                    f"a body of the control API holds at most {most // 1024} KiB",
                    code="body_too_large",
                    status=413,
                )
    except ClientDisconnect:
        raise MalformedRequest("the connection ended within the body", code="body_incomplete") from None
    return bytes(data)


def _check_media_type(request: Request) -> None:
    types = request.headers.getlist("content-type")
    encodings = [value for value in request.headers.getlist("content-encoding") if value.lower() != "identity"]
    if len(types) > 1 or encodings or (types and not _is_json(types[0])):
        raise MalformedRequest("send the body as application/json", code="unsupported_media_type", status=415)


def _is_json(content_type: str) -> bool:
    name, _, parameters = content_type.lower().replace(" ", "").partition(";")
    return name == "application/json" and parameters in {"", "charset=utf-8", 'charset="utf-8"'}


class _Repeated(dict[str, Any]):
    """An object in which the key `name` stands twice; told apart here, refused where its path is known."""

    name: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    repeated = _Repeated(members)
    repeated.name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return repeated


def _inspect(value: Any, path: Path) -> None:
    if isinstance(value, str):
        check_text(value, path)
    elif isinstance(value, float):
        # 1e999 is within JSON's grammar and beyond every number.
        if not isfinite(value):
            raise _invalid_json()
    elif isinstance(value, dict | list):
        if len(path) >= MAX_DEPTH:
            raise _invalid_json()
        if isinstance(value, _Repeated):
            field = path_of((*path, value.name))
            raise MalformedRequest("a key stands twice in one object", code="duplicate_json_key", field=field)
        for name, member in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(name, str):
                check_text(name, (*path, name))
            _inspect(member, (*path, name))


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


def _invalid_json() -> MalformedRequest:
    return MalformedRequest(
        f"the body must be one JSON value in UTF-8, nested at most {MAX_DEPTH} deep", code="invalid_json"
    )
