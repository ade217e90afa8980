"""`/v1/api-key/keys`: API keys, their roles and their secrets."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.views import KeyView, Page
from hatchpay.control import examples
from hatchpay.control.answers import IssuedKey, issued, json_answer, no_content
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, PathId, read, write
from hatchpay.control.conditions import Expected
from hatchpay.control.documentation import documented
from hatchpay.control.json_body import json_body
from hatchpay.control.models import ChangeKey, CreateKey, RotateKey, SetKeyRoles
from hatchpay.control.query import PageQuery, query

__all__ = ["router"]

_KEYS: Final = "/v1/api-key/keys"
_ID: Final = "The key's id"

router: Final = APIRouter(tags=["API keys"], default_response_class=Response)


@router.post(
    _KEYS,
    **documented(
        "createApiKey",
        "Create an API key; its text is in this answer only",
        status=201,
        answer=IssuedKey,
        example=examples.ISSUED_KEY,
        body=(CreateKey, examples.CREATE_KEY),
        etag=True,
    ),
)
async def create(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    body: Annotated[CreateKey, Depends(json_body(CreateKey))],
) -> Response:
    created = await write(services, services.keys.create, who, body.new_key())
    return json_answer(issued(created), 201, location=f"{_KEYS}/{created.view.id}")


@router.get(
    _KEYS,
    **documented(
        "listApiKeys",
        "List API keys, newest first",
        answer=Page[KeyView],
        example=examples.page(examples.KEY_WITH_ROLE),
        query=PageQuery,
    ),
)
async def list_all(
    who: CurrentActor, services: CurrentServices, wanted: Annotated[PageQuery, Depends(query(PageQuery))]
) -> Response:
    return json_answer(await read(services.keys.list, who, wanted.limit, wanted.cursor))


@router.get(
    _KEYS + "/{id}",
    **documented(
        "getApiKey",
        "Read an API key, its roles and its last use",
        answer=KeyView,
        example=examples.KEY_WITH_ROLE,
        path_id=_ID,
        etag=True,
    ),
)
async def get(who: CurrentActor, services: CurrentServices, _: NoParameters, key_id: PathId) -> Response:
    return json_answer(await read(services.keys.get, who, key_id))


@router.patch(
    _KEYS + "/{id}",
    **documented(
        "changeApiKey",
        "Rename, disable, enable or limit an API key",
        answer=KeyView,
        example=examples.KEY_WITH_ROLE,
        body=(ChangeKey, examples.CHANGE_KEY),
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
    key_id: PathId,
    expected: Expected,
    body: Annotated[ChangeKey, Depends(json_body(ChangeKey))],
) -> Response:
    return json_answer(await write(services, services.keys.update, who, key_id, body.changes(), expected))


@router.delete(
    _KEYS + "/{id}",
    **documented(
        "deleteApiKey",
        "Delete an API key; it stops at once and its roles are detached",
        status=204,
        path_id=_ID,
        problems=(409,),
        if_match=True,
    ),
)
async def delete(
    who: CurrentActor, services: CurrentServices, _: NoParameters, key_id: PathId, expected: Expected
) -> Response:
    await write(services, services.keys.delete, who, key_id, expected)
    return no_content()


@router.put(
    _KEYS + "/{id}/roles",
    **documented(
        "setApiKeyRoles",
        "Replace the roles of an API key, each for the whole tenant or for chosen business units",
        answer=KeyView,
        example=examples.KEY_WITH_ROLE,
        body=(SetKeyRoles, examples.SET_KEY_ROLES),
        path_id=_ID,
        problems=(409,),
        etag=True,
        if_match=True,
    ),
)
async def set_roles(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    key_id: PathId,
    expected: Expected,
    body: Annotated[SetKeyRoles, Depends(json_body(SetKeyRoles))],
) -> Response:
    use_case, role_ids = services.keys.set_roles, tuple(body.role_ids)
    return json_answer(await write(services, use_case, who, key_id, role_ids, body.scopes(), expected))


@router.post(
    _KEYS + "/{id}/rotate",
    **documented(
        "rotateApiKey",
        "Give an API key a new secret; its text is in this answer only",
        answer=IssuedKey,
        example=examples.ROTATED_KEY,
        body=(RotateKey, examples.ROTATE_KEY),
        body_optional=True,
        path_id=_ID,
        problems=(409,),
        etag=True,
        if_match=True,
    ),
)
async def rotate(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    key_id: PathId,
    expected: Expected,
    body: Annotated[RotateKey, Depends(json_body(RotateKey, optional=True))],
) -> Response:
    rotated = await write(services, services.keys.rotate, who, key_id, body.grace_seconds, expected)
    return json_answer(issued(rotated))


@router.delete(
    _KEYS + "/{id}/previous-secrets",
    **documented(
        "endApiKeyGrace",
        "End the secrets that a rotation has replaced, at once",
        answer=KeyView,
        example=examples.KEY_WITH_ROLE,
        path_id=_ID,
        etag=True,
        if_match=True,
    ),
)
async def end_grace(
    who: CurrentActor, services: CurrentServices, _: NoParameters, key_id: PathId, expected: Expected
) -> Response:
    return json_answer(await write(services, services.keys.end_grace, who, key_id, expected))
