"""`/v1/audit-log/export`: the record as a file; `/v1/audit-log/exports`: what was exported, and by whom."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.views import Page
from hatchpay.audit.export.ports import ExportView
from hatchpay.control import examples
from hatchpay.control.answers import ExportedRecord, json_answer
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, read
from hatchpay.control.documentation import documented
from hatchpay.control.export_answer import ExportAnswer
from hatchpay.control.export_query import ExportQuery
from hatchpay.control.query import PageQuery, query

__all__ = ["router"]

router: Final = APIRouter(tags=["Audit log"], default_response_class=Response)


@router.get(
    "/v1/audit-log/export",
    **documented(
        "exportAuditLog",
        "Export the record of requests as a file, oldest first: CSV, JSON lines, Parquet, or OCSF events",
        answer=ExportedRecord,
        example=examples.EXPORTED_RECORD,
        query=ExportQuery,
        problems=(429,),
        media_type="application/x-ndjson",
        files=("text/csv", "application/vnd.apache.parquet"),
    ),
)
async def export(
    who: CurrentActor,
    services: CurrentServices,
    wanted: Annotated[ExportQuery, Depends(query(ExportQuery))],
) -> Response:
    order = wanted.order_for(who)
    begun = await read(services.exporter.begin, order)
    return ExportAnswer(begun, services.export_slots, lambda: services.export_access.demand(who, order.wanted))


@router.get(
    "/v1/audit-log/exports",
    **documented(
        "listExports",
        "List the exports that delivered records, the newest first",
        answer=Page[ExportView],
        example=examples.EXPORTS,
        query=PageQuery,
    ),
)
async def exports(
    who: CurrentActor, services: CurrentServices, page: Annotated[PageQuery, Depends(query(PageQuery))]
) -> Response:
    return json_answer(await read(services.export_access.list, who, page.limit, page.cursor))
