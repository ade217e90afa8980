"""`/roles`: sets of permissions, built-in or the tenant's own."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.views import Page, RoleView
from hatchpay.control import examples
from hatchpay.control.answers import json_answer, no_content
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, PathId, read, write
from hatchpay.control.conditions import Expected
from hatchpay.control.documentation import documented
from hatchpay.control.json_body import json_body
from hatchpay.control.models import DefineRole
from hatchpay.control.query import PageQuery, query

__all__ = ["router"]

_ROLES: Final = "/roles"
_ID: Final = "The role's id"
DraftBody = Annotated[DefineRole, Depends(json_body(DefineRole))]

router: Final = APIRouter(tags=["Roles"], default_response_class=Response)


@router.get(
    _ROLES,
    **documented(
        "listRoles",
        "List roles",
        answer=Page[RoleView],
        example=examples.page(examples.ROLE),
        query=PageQuery,
    ),
)
async def list_all(
    who: CurrentActor, services: CurrentServices, wanted: Annotated[PageQuery, Depends(query(PageQuery))]
) -> Response:
    return json_answer(await read(services.roles.list, who, wanted.limit, wanted.cursor))


@router.post(
    _ROLES,
    **documented(
        "createRole",
        "Create a custom role",
        status=201,
        answer=RoleView,
        example=examples.ROLE,
        body=(DefineRole, examples.DEFINE_ROLE),
        problems=(409,),
        etag=True,
    ),
)
async def create(who: CurrentActor, services: CurrentServices, _: NoParameters, body: DraftBody) -> Response:
    role = await write(services, services.roles.create, who, body.draft())
    return json_answer(role, 201, location=f"{_ROLES}/{role.id}")


@router.get(
    _ROLES + "/{id}",
    **documented(
        "getRole",
        "Read a role",
        answer=RoleView,
        example=examples.ROLE,
        path_id=_ID,
        etag=True,
    ),
)
async def get(who: CurrentActor, services: CurrentServices, _: NoParameters, role_id: PathId) -> Response:
    return json_answer(await read(services.roles.get, who, role_id))


@router.put(
    _ROLES + "/{id}",
    **documented(
        "replaceRole",
        "Replace a custom role; keys that hold it are changed with it",
        answer=RoleView,
        example=examples.ROLE,
        body=(DefineRole, examples.DEFINE_ROLE),
        path_id=_ID,
        problems=(409,),
        etag=True,
        if_match=True,
    ),
)
async def replace(
    who: CurrentActor, services: CurrentServices, _: NoParameters, role_id: PathId, expected: Expected, body: DraftBody
) -> Response:
    return json_answer(await write(services, services.roles.update, who, role_id, body.draft(), expected))


@router.delete(
    _ROLES + "/{id}",
    **documented(
        "deleteRole",
        "Delete a custom role that no key holds",
        status=204,
        path_id=_ID,
        problems=(409,),
        if_match=True,
    ),
)
async def delete(
    who: CurrentActor, services: CurrentServices, _: NoParameters, role_id: PathId, expected: Expected
) -> Response:
    await write(services, services.roles.delete, who, role_id, expected)
    return no_content()
