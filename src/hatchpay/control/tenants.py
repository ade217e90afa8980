"""`/v1/tenants`: for the platform's operator alone."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.views import Page, TenantView
from hatchpay.control import examples
from hatchpay.control.answers import OnboardedAnswer, json_answer, onboarded
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, read, write
from hatchpay.control.documentation import documented
from hatchpay.control.json_body import json_body
from hatchpay.control.models import CreateTenant
from hatchpay.control.query import PageQuery, query

__all__ = ["router"]

_TENANTS: Final = "/v1/tenants"

router: Final = APIRouter(tags=["Tenants"], default_response_class=Response)


@router.post(
    _TENANTS,
    **documented(
        "onboardTenant",
        "Onboard a tenant; its first admin key is in this answer only",
        status=201,
        answer=OnboardedAnswer,
        example=examples.ONBOARDED,
        body=(CreateTenant, examples.CREATE_TENANT),
        problems=(409,),
    ),
)
async def onboard(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    body: Annotated[CreateTenant, Depends(json_body(CreateTenant))],
) -> Response:
    return json_answer(onboarded(await write(services, services.tenants.onboard, who, body.name)), 201)


@router.get(
    _TENANTS,
    **documented(
        "listTenants",
        "List tenants",
        answer=Page[TenantView],
        example=examples.page(examples.TENANT),
        query=PageQuery,
    ),
)
async def list_all(
    who: CurrentActor, services: CurrentServices, wanted: Annotated[PageQuery, Depends(query(PageQuery))]
) -> Response:
    return json_answer(await read(services.tenants.list, who, wanted.limit, wanted.cursor))
