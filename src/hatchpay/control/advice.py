"""`/v1/access/advice`: what keys and roles hold that nobody used, and taking it away."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from hatchpay.admin.advice import DEFAULT_DAYS, MAX_DAYS
from hatchpay.admin.advice_views import AdviceOverview, AppliedAdvice, KeyAdvice, RoleAdvice
from hatchpay.control import examples
from hatchpay.control.answers import json_answer
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, read_long, write_long
from hatchpay.control.documentation import documented
from hatchpay.control.fields import Uuid
from hatchpay.control.json_body import json_body
from hatchpay.control.models import ApplyAdvice
from hatchpay.control.query import Query, query
from hatchpay.errors import InvalidInput

__all__ = ["AdviceQuery", "router"]

_PATH: Final = "/v1/access/advice"


def _days(text: object) -> int:
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_DAYS:
        return int(text)
    raise PydanticCustomError("invalid_days", f"must be a whole number from 1 to {MAX_DAYS}")


Days = Annotated[
    int,
    BeforeValidator(_days),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_DAYS, "default": DEFAULT_DAYS}),
]


class AdviceQuery(Query):
    """A key, a role, or neither of them for all keys."""

    key_id: Uuid | None = Field(default=None, description="The key to advise on")
    role_id: Uuid | None = Field(default=None, description="The role to advise on; not together with key_id")
    days: Days = Field(default=DEFAULT_DAYS, description="How many days of the record to look at")


router: Final = APIRouter(tags=["Least privilege"], default_response_class=Response)


@router.get(
    _PATH,
    **documented(
        "getAccessAdvice",
        "Say what a key or a role holds that was not used; without either, which keys need a look",
        answer=KeyAdvice | RoleAdvice | AdviceOverview,
        example=examples.ADVICE,
        query=AdviceQuery,
        problems=(404,),
    ),
)
async def get(
    who: CurrentActor, services: CurrentServices, wanted: Annotated[AdviceQuery, Depends(query(AdviceQuery))]
) -> Response:
    if wanted.key_id is not None and wanted.role_id is not None:
        raise InvalidInput("give key_id or role_id, not both", field="role_id")
    if wanted.key_id is not None:
        return json_answer(await read_long(services, services.advice.of_key, who, wanted.key_id, wanted.days))
    if wanted.role_id is not None:
        return json_answer(await read_long(services, services.advice.of_role, who, wanted.role_id, wanted.days))
    return json_answer(await read_long(services, services.advice.of_all, who, wanted.days))


@router.post(
    _PATH,
    **documented(
        "applyAccessAdvice",
        "Take from a key or a custom role what was not used, unless that would break what was",
        answer=AppliedAdvice,
        example=examples.APPLIED_ADVICE,
        body=(ApplyAdvice, examples.APPLY_ADVICE),
        problems=(404, 409),
    ),
)
async def apply(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    body: Annotated[ApplyAdvice, Depends(json_body(ApplyAdvice))],
) -> Response:
    return json_answer(await write_long(services, services.advice.apply, who, body.wish()))
