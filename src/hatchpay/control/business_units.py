"""`/v1/business-unit/business-units`: departments, branches and companies inside a tenant."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.views import BusinessUnitView, Page
from hatchpay.control import examples
from hatchpay.control.answers import json_answer
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, PathId, read, write
from hatchpay.control.conditions import Expected
from hatchpay.control.documentation import documented
from hatchpay.control.json_body import json_body
from hatchpay.control.models import ChangeBusinessUnit, CreateBusinessUnit
from hatchpay.control.query import PageQuery, query

__all__ = ["router"]

_UNITS: Final = "/v1/business-unit/business-units"
_ID: Final = "The business unit's id"

router: Final = APIRouter(tags=["Business units"], default_response_class=Response)


@router.post(
    _UNITS,
    **documented(
        "createBusinessUnit",
        "Create a business unit",
        status=201,
        answer=BusinessUnitView,
        example=examples.BUSINESS_UNIT,
        body=(CreateBusinessUnit, examples.CREATE_BUSINESS_UNIT),
        problems=(409,),
        etag=True,
    ),
)
async def create(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    body: Annotated[CreateBusinessUnit, Depends(json_body(CreateBusinessUnit))],
) -> Response:
    unit = await write(services, services.units.create, who, body.name, body.timezone_name)
    return json_answer(unit, 201, location=f"{_UNITS}/{unit.id}")


@router.get(
    _UNITS,
    **documented(
        "listBusinessUnits",
        "List business units",
        answer=Page[BusinessUnitView],
        example=examples.page(examples.BUSINESS_UNIT),
        query=PageQuery,
    ),
)
async def list_all(
    who: CurrentActor, services: CurrentServices, wanted: Annotated[PageQuery, Depends(query(PageQuery))]
) -> Response:
    return json_answer(await read(services.units.list, who, wanted.limit, wanted.cursor))


@router.get(
    _UNITS + "/{id}",
    **documented(
        "getBusinessUnit",
        "Read a business unit",
        answer=BusinessUnitView,
        example=examples.BUSINESS_UNIT,
        path_id=_ID,
        etag=True,
    ),
)
async def get(who: CurrentActor, services: CurrentServices, _: NoParameters, unit_id: PathId) -> Response:
    return json_answer(await read(services.units.get, who, unit_id))


@router.patch(
    _UNITS + "/{id}",
    **documented(
        "changeBusinessUnit",
        "Rename, move, archive or restore a business unit",
        answer=BusinessUnitView,
        example=examples.BUSINESS_UNIT,
        body=(ChangeBusinessUnit, examples.CHANGE_BUSINESS_UNIT),
        path_id=_ID,
        problems=(409,),
        etag=True,
        if_match=True,
    ),
)
async def change(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    unit_id: PathId,
    expected: Expected,
    body: Annotated[ChangeBusinessUnit, Depends(json_body(ChangeBusinessUnit))],
) -> Response:
    return json_answer(await write(services, services.units.update, who, unit_id, body.changes(), expected))


@router.post(
    _UNITS + "/{id}/archive",
    **documented(
        "archiveBusinessUnit",
        "Archive a business unit; nothing can be done for it until it is active again",
        answer=BusinessUnitView,
        example=examples.ARCHIVED_BUSINESS_UNIT,
        path_id=_ID,
        etag=True,
        if_match=True,
    ),
)
async def archive(
    who: CurrentActor, services: CurrentServices, _: NoParameters, unit_id: PathId, expected: Expected
) -> Response:
    return json_answer(await write(services, services.units.archive, who, unit_id, expected))
