"""`/v1/audit-log/erasures`: what the record keeps of people, destroyed on demand."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.erasures import ErasureView
from hatchpay.control import examples
from hatchpay.control.answers import json_answer
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, write_long
from hatchpay.control.documentation import documented
from hatchpay.control.json_body import json_body
from hatchpay.control.models import EraseRecords

__all__ = ["router"]

_MOST: Final = 512 * 1024
EraseBody = Annotated[EraseRecords, Depends(json_body(EraseRecords, most=_MOST))]

router: Final = APIRouter(tags=["Audit log"], default_response_class=Response)


@router.post(
    "/v1/audit-log/erasures",
    **documented(
        "eraseRecords",
        "Destroy the personal parts of what was recorded about a subject, or of requests; receipts still verify",
        status=201,
        answer=ErasureView,
        example=examples.ERASURE,
        body=(EraseRecords, examples.ERASE_RECORDS),
    ),
)
async def erase(who: CurrentActor, services: CurrentServices, _: NoParameters, body: EraseBody) -> Response:
    done = await write_long(services, services.erasures.erase, who, body.subject, tuple(body.request_ids or ()))
    return json_answer(done, 201)
