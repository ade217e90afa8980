"""`/v1/access`: questions about what callers may."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.explain_views import ExplanationView
from hatchpay.control import examples
from hatchpay.control.answers import json_answer
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, read
from hatchpay.control.documentation import documented
from hatchpay.control.json_body import json_body
from hatchpay.control.models import ExplainAccess

__all__ = ["router"]

router: Final = APIRouter(tags=["Access"], default_response_class=Response)


@router.post(
    "/v1/access/explain",
    **documented(
        "explainAccess",
        "Explain what a caller may, and why, without sending the request",
        answer=ExplanationView,
        example=examples.EXPLANATION,
        body=(ExplainAccess, examples.EXPLAIN_ACCESS),
        problems=(404,),
    ),
)
async def explain(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    body: Annotated[ExplainAccess, Depends(json_body(ExplainAccess))],
) -> Response:
    return json_answer(await read(services.explanations.ask, who, body.question()))
