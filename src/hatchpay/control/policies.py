"""`/v1/policies`: what the tenant's callers must not do, whatever their roles say."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.policies import MAX_POLICY_BYTES
from hatchpay.admin.views import Page, PolicyView
from hatchpay.control import examples
from hatchpay.control.answers import json_answer, no_content
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, PathId, read, write, write_checked
from hatchpay.control.conditions import Expected
from hatchpay.control.documentation import documented
from hatchpay.control.json_body import json_body
from hatchpay.control.models import DefinePolicy
from hatchpay.control.query import PageQuery, query

__all__ = ["router"]

_POLICIES: Final = "/v1/policies"
_ID: Final = "The policy's id"
_MOST: Final = 2 * MAX_POLICY_BYTES + 64 * 1024
"""A text of the largest size arrives though JSON escapes each of its characters."""
PolicyBody = Annotated[DefinePolicy, Depends(json_body(DefinePolicy, most=_MOST))]

router: Final = APIRouter(tags=["Policies"], default_response_class=Response)


@router.post(
    _POLICIES,
    **documented(
        "createPolicy",
        "Create a policy; it holds for the next request",
        status=201,
        answer=PolicyView,
        example=examples.POLICY,
        body=(DefinePolicy, examples.DEFINE_POLICY),
        problems=(409,),
        etag=True,
    ),
)
async def create(who: CurrentActor, services: CurrentServices, _: NoParameters, body: PolicyBody) -> Response:
    policy = await write_checked(services, services.policies.create, who, body.name, body.text)
    return json_answer(policy, 201, location=f"{_POLICIES}/{policy.id}")


@router.get(
    _POLICIES,
    **documented(
        "listPolicies",
        "List policies",
        answer=Page[PolicyView],
        example=examples.page(examples.POLICY),
        query=PageQuery,
    ),
)
async def list_all(
    who: CurrentActor, services: CurrentServices, wanted: Annotated[PageQuery, Depends(query(PageQuery))]
) -> Response:
    return json_answer(await read(services.policies.list, who, wanted.limit, wanted.cursor))


@router.get(
    _POLICIES + "/{id}",
    **documented("getPolicy", "Read a policy", answer=PolicyView, example=examples.POLICY, path_id=_ID, etag=True),
)
async def get(who: CurrentActor, services: CurrentServices, _: NoParameters, policy_id: PathId) -> Response:
    return json_answer(await read(services.policies.get, who, policy_id))


@router.put(
    _POLICIES + "/{id}",
    **documented(
        "replacePolicy",
        "Replace a policy",
        answer=PolicyView,
        example=examples.POLICY,
        body=(DefinePolicy, examples.DEFINE_POLICY),
        path_id=_ID,
        problems=(409,),
        etag=True,
        if_match=True,
    ),
)
async def replace(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    policy_id: PathId,
    expected: Expected,
    body: PolicyBody,
) -> Response:
    update = services.policies.update
    return json_answer(await write_checked(services, update, who, policy_id, body.name, body.text, expected))


@router.delete(
    _POLICIES + "/{id}",
    **documented("deletePolicy", "Delete a policy, and lift what it forbade", status=204, path_id=_ID, if_match=True),
)
async def delete(
    who: CurrentActor, services: CurrentServices, _: NoParameters, policy_id: PathId, expected: Expected
) -> Response:
    await write(services, services.policies.delete, who, policy_id, expected)
    return no_content()
