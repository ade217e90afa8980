"""`/permissions`: what roles can hold."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.views import Page, PermissionView
from hatchpay.control import examples
from hatchpay.control.answers import json_answer
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, read
from hatchpay.control.documentation import documented
from hatchpay.control.query import PageQuery, query

__all__ = ["router"]

router: Final = APIRouter(tags=["Permissions"], default_response_class=Response)


@router.get(
    "/permissions",
    **documented(
        "listPermissions",
        "List the permissions that roles can hold",
        answer=Page[PermissionView],
        example=examples.page(examples.PERMISSION),
        query=PageQuery,
    ),
)
async def list_all(
    who: CurrentActor, services: CurrentServices, wanted: Annotated[PageQuery, Depends(query(PageQuery))]
) -> Response:
    return json_answer(await read(services.permissions.list, who, wanted.limit, wanted.cursor))
