"""`/v1/access/rehearse`: what a change of access would do to recorded requests."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.rehearsal_views import RehearsalView
from hatchpay.control import examples
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, read_long
from hatchpay.control.documentation import documented
from hatchpay.control.json_body import json_body
from hatchpay.control.rehearse_models import Rehearse
from hatchpay.control.streamed import MEDIA_TYPE, StreamedAnswer

__all__ = ["router"]

router: Final = APIRouter(tags=["Access"], default_response_class=Response)


@router.post(
    "/v1/access/rehearse",
    **documented(
        "rehearse",
        "Try a change of access on recorded requests; the last line is the result, those before it tell the progress",
        answer=RehearsalView,
        example=examples.REHEARSAL,
        body=(Rehearse, examples.REHEARSE),
        problems=(409,),
        media_type=MEDIA_TYPE,
    ),
)
async def rehearse(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    body: Annotated[Rehearse, Depends(json_body(Rehearse))],
) -> Response:
    rehearsal = await read_long(services, services.rehearsals.prepare, who, body.change.change(), *body.span())
    return StreamedAnswer(rehearsal, services.walking)
