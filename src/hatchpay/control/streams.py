"""`/v1/audit-log/streams`: the tenant's record, sent to other systems as it grows."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from hatchpay.admin.stream_views import CreatedStream, StreamTestView, StreamView
from hatchpay.admin.views import Page
from hatchpay.control import examples, stream_examples
from hatchpay.control.answers import json_answer, no_content
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, PathId, read, read_apart, write, write_apart
from hatchpay.control.conditions import Expected
from hatchpay.control.documentation import documented
from hatchpay.control.json_body import json_body
from hatchpay.control.query import PageQuery, query
from hatchpay.control.stream_models import ChangeStream, CreateStream, RotateStreamSecret

__all__ = ["IssuedStream", "router"]

_STREAMS: Final = "/v1/audit-log/streams"
_ID: Final = "The stream's id"

router: Final = APIRouter(tags=["Streams"], default_response_class=Response)


class IssuedStream(StreamView, frozen=True, kw_only=True):
    """A stream with its webhook's secret, which is shown this once; null for the other kinds."""

    secret: str | None

    def __repr__(self) -> str:
        return f"IssuedStream({self.id})"


@router.post(
    _STREAMS,
    **documented(
        "createStream",
        "Stream the record to another system, from now on",
        status=201,
        answer=IssuedStream,
        example=stream_examples.CREATED_STREAM,
        body=(CreateStream, stream_examples.CREATE_STREAM),
        problems=(409,),
        etag=True,
    ),
)
async def create(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    body: Annotated[CreateStream, Depends(json_body(CreateStream))],
) -> Response:
    made = await write_apart(services, services.streams.create, who, body.wanted())
    return json_answer(_issued(made), 201, location=f"{_STREAMS}/{made.view.id}")


@router.get(
    _STREAMS,
    **documented(
        "listStreams",
        "List streams and how they go, newest first",
        answer=Page[StreamView],
        example=examples.page(stream_examples.STREAM),
        query=PageQuery,
    ),
)
async def list_all(
    who: CurrentActor, services: CurrentServices, wanted: Annotated[PageQuery, Depends(query(PageQuery))]
) -> Response:
    return json_answer(await read(services.streams.list, who, wanted.limit, wanted.cursor))


@router.get(
    _STREAMS + "/{id}",
    **documented(
        "getStream",
        "Read a stream and how it goes",
        answer=StreamView,
        example=stream_examples.STREAM,
        path_id=_ID,
        etag=True,
    ),
)
async def get(who: CurrentActor, services: CurrentServices, _: NoParameters, stream_id: PathId) -> Response:
    return json_answer(await read(services.streams.get, who, stream_id))


@router.patch(
    _STREAMS + "/{id}",
    **documented(
        "changeStream",
        "Change a stream",
        answer=StreamView,
        example=stream_examples.STREAM,
        body=(ChangeStream, stream_examples.CHANGE_STREAM),
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
    stream_id: PathId,
    expected: Expected,
    body: Annotated[ChangeStream, Depends(json_body(ChangeStream))],
) -> Response:
    changed = await write_apart(services, services.streams.update, who, stream_id, body.changes(), expected)
    return json_answer(changed)


@router.delete(
    _STREAMS + "/{id}",
    **documented(
        "deleteStream",
        "End a stream; nothing is sent any more within a second",
        status=204,
        path_id=_ID,
        if_match=True,
    ),
)
async def delete(
    who: CurrentActor, services: CurrentServices, _: NoParameters, stream_id: PathId, expected: Expected
) -> Response:
    await write(services, services.streams.delete, who, stream_id, expected)
    return no_content()


@router.post(
    _STREAMS + "/{id}/test",
    **documented(
        "testStream",
        "Send one test event now, and tell what came back within 10 seconds",
        answer=StreamTestView,
        example=stream_examples.STREAM_TEST,
        path_id=_ID,
    ),
)
async def test(who: CurrentActor, services: CurrentServices, _: NoParameters, stream_id: PathId) -> Response:
    return json_answer(await read_apart(services, services.streams.test, who, stream_id))


@router.post(
    _STREAMS + "/{id}/rotate-secret",
    **documented(
        "rotateStreamSecret",
        "Give a webhook a new secret",
        answer=IssuedStream,
        example=stream_examples.CREATED_STREAM,
        body=(RotateStreamSecret, stream_examples.ROTATE_STREAM_SECRET),
        body_optional=True,
        path_id=_ID,
        problems=(409,),
        etag=True,
        if_match=True,
    ),
)
async def rotate_secret(
    who: CurrentActor,
    services: CurrentServices,
    _: NoParameters,
    stream_id: PathId,
    expected: Expected,
    body: Annotated[RotateStreamSecret, Depends(json_body(RotateStreamSecret, optional=True))],
) -> Response:
    made = await write(services, services.streams.rotate_secret, who, stream_id, body.overlap_seconds, expected)
    return json_answer(_issued(made))


def _issued(made: CreatedStream) -> IssuedStream:
    view = {name: getattr(made.view, name) for name in StreamView.__struct_fields__}
    return IssuedStream(**view, secret=made.secret).tagged(made.view.etag)
