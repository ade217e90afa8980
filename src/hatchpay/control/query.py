"""Query strings, read as strictly as bodies: a parameter that is unknown or stands twice is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from hatchpay.control.fields import Cursor, check_text, path_of, refusal_of
from hatchpay.errors import MalformedRequest

__all__ = ["MAX_LIMIT", "NoQuery", "PageQuery", "Query", "pairs_of", "parse_query", "query"]

MAX_LIMIT: Final = 200
_MAX_PARAMETERS: Final = 50


class Query(BaseModel):
    """Base of all queries. Values arrive as text; fields that are something else convert it themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _limit(text: object) -> int:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    raise PydanticCustomError("invalid_limit", f"must be a whole number from 1 to {MAX_LIMIT}")


Limit = Annotated[
    int,
    BeforeValidator(_limit),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}),
]


class PageQuery(Query):
    """What every list takes."""

    limit: Limit = Field(default=50, description="How many items to answer with at most")
    cursor: Cursor | None = Field(default=None, description="`next_cursor` of the page before; absent for the first")


class NoQuery(Query):
    """Of calls that take no parameter."""


Model = TypeVar("Model", bound=Query)


def query(model: type[Model]) -> Callable[[Request], Model]:
    """A dependency that reads the query string as `model`."""

    def dependency(request: Request) -> Model:
        return parse_query(request.scope.get("query_string", b""), model)

    return dependency


def parse_query(raw: bytes, model: type[Model]) -> Model:
    """Raises MalformedRequest (400) for what is unreadable or stands twice, InvalidInput for the rest."""
    values: dict[str, str] = {}
    pairs = pairs_of(raw)
    if pairs is None:
        raise MalformedRequest(
            "the query string must be name=value pairs in UTF-8, percent-encoded", code="invalid_query"
        )
    for name, value in pairs:
        if name in values:
            field = path_of((name,))
            raise MalformedRequest("a query parameter stands twice", code="duplicate_parameter", field=field)
        check_text(name + value, (name,))
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        refusal = refusal_of(error, unknown="unknown_parameter")
    # Out here, so that no traceback carries Pydantic's error along, which holds the input.
    raise refusal


def pairs_of(raw: bytes) -> list[tuple[str, str]] | None:
    """The name=value pairs of a query or a form, or None where it cannot be read: the parser's error holds it."""
    if not raw:
        return []
    try:
        return parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        return None
