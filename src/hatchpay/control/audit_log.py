"""`/v1/audit-log/history`: the tenant's own record of every request."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.control import examples
from hatchpay.control.answers import HistoryPageAnswer, json_answer
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, read
from hatchpay.control.documentation import documented
from hatchpay.control.history_query import HistoryQuery, encode_cursor
from hatchpay.control.query import query

__all__ = ["router"]

router: Final = APIRouter(tags=["Audit log"], default_response_class=Response)


@router.get(
    "/v1/audit-log/history",
    **documented(
        "readHistory",
        "Read the record of requests, newest first; all conditions must hold",
        answer=HistoryPageAnswer,
        example=examples.HISTORY_PAGE,
        query=HistoryQuery,
    ),
)
async def history(
    who: CurrentActor,
    services: CurrentServices,
    wanted: Annotated[HistoryQuery, Depends(query(HistoryQuery))],
) -> Response:
    found = await read(services.history.page, wanted.filter_for(who.principal), wanted.limit)
    return json_answer(HistoryPageAnswer(found.records, None if found.last is None else encode_cursor(found.last)))
