"""`/v1/auth/issuers`: other issuers whose tokens the tenant trusts."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.token_views import IssuerView
from hatchpay.admin.views import Page
from hatchpay.control import examples
from hatchpay.control.answers import json_answer, no_content
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, PathId, read, write, write_apart
from hatchpay.control.conditions import Expected
from hatchpay.control.documentation import documented
from hatchpay.control.json_body import json_body
from hatchpay.control.models import ChangeIssuer, TrustIssuer
from hatchpay.control.query import PageQuery, query

__all__ = ["router"]

_ISSUERS: Final = "/v1/auth/issuers"
_ID: Final = "The trusted issuer's id"

router: Final = APIRouter(tags=["Trusted issuers"], default_response_class=Response)


@router.post(
    _ISSUERS,
    **documented(
        "trustIssuer",
        "Trust another issuer of tokens",
        status=201,
        answer=IssuerView,
        example=examples.ISSUER,
        body=(TrustIssuer, examples.TRUST_ISSUER),
        problems=(409,),
        etag=True,
    ),
)
async def create(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    body: Annotated[TrustIssuer, Depends(json_body(TrustIssuer))],
) -> Response:
    issuer = await write_apart(services, services.issuers.create, who, body.wanted())
    return json_answer(issuer, 201, location=f"{_ISSUERS}/{issuer.id}")


@router.get(
    _ISSUERS,
    **documented(
        "listIssuers",
        "List trusted issuers, newest first",
        answer=Page[IssuerView],
        example=examples.page(examples.ISSUER),
        query=PageQuery,
    ),
)
async def list_all(
    who: CurrentActor, services: CurrentServices, wanted: Annotated[PageQuery, Depends(query(PageQuery))]
) -> Response:
    return json_answer(await read(services.issuers.list, who, wanted.limit, wanted.cursor))


@router.get(
    _ISSUERS + "/{id}",
    **documented(
        "getIssuer",
        "Read a trusted issuer and its keys",
        answer=IssuerView,
        example=examples.ISSUER,
        path_id=_ID,
        etag=True,
    ),
)
async def get(who: CurrentActor, services: CurrentServices, _: NoParameters, issuer_id: PathId) -> Response:
    return json_answer(await read(services.issuers.get, who, issuer_id))


@router.patch(
    _ISSUERS + "/{id}",
    **documented(
        "changeIssuer",
        "Change a trusted issuer",
        answer=IssuerView,
        example=examples.ISSUER,
        body=(ChangeIssuer, examples.CHANGE_ISSUER),
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
    issuer_id: PathId,
    expected: Expected,
    body: Annotated[ChangeIssuer, Depends(json_body(ChangeIssuer))],
) -> Response:
    changed = await write_apart(services, services.issuers.update, who, issuer_id, body.changes(), expected)
    return json_answer(changed)


@router.delete(
    _ISSUERS + "/{id}",
    **documented(
        "deleteIssuer",
        "End the trust in an issuer; its tokens are refused at once",
        status=204,
        path_id=_ID,
        if_match=True,
    ),
)
async def delete(
    who: CurrentActor, services: CurrentServices, _: NoParameters, issuer_id: PathId, expected: Expected
) -> Response:
    await write(services, services.issuers.delete, who, issuer_id, expected)
    return no_content()
