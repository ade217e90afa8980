"""How an endpoint calls a use case: off the event loop, and a write is in force before it is answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, Final, ParamSpec, TypeVar, cast

import anyio
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Request

from hatchpay.control.fields import check_uuid
from hatchpay.control.problems import frames
from hatchpay.control.query import NoQuery, query
from hatchpay.control.services import Services
from hatchpay.errors import Unavailable

__all__ = [
    "CurrentServices",
    "NoParameters",
    "PathId",
    "read",
    "read_apart",
    "read_long",
    "write",
    "write_apart",
    "write_checked",
    "write_long",
]

Given = ParamSpec("Given")
Result = TypeVar("Result")
_log: Final = logging.getLogger("hatchpay.control")


def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


def _path_id(request: Request) -> str:
    return check_uuid(str(request.path_params["id"]), "id")


CurrentServices = Annotated[Services, Depends(_services)]
NoParameters = Annotated[NoQuery, Depends(query(NoQuery))]
PathId = Annotated[str, Depends(_path_id)]


async def read(use_case: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    return await run_sync(lambda: use_case(*args, **kwargs))


async def read_apart(
    services: Services, use_case: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """As `read`, for use cases that wait for others' servers: nobody else's calls wait for those."""
    return await run_sync(lambda: use_case(*args, **kwargs), limiter=services.fetching)


async def read_long(
    services: Services, use_case: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """As `read`, for use cases that walk through the record: few at a time, so that other calls keep their threads."""
    return await run_sync(lambda: use_case(*args, **kwargs), limiter=services.walking)


async def write_long(
    services: Services, use_case: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """As `write`, for use cases that walk through the record."""
    return await _write(services, lambda: use_case(*args, **kwargs), services.walking)


async def write_checked(
    services: Services, use_case: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """As `write`, for use cases that check a policy, for up to seconds: they wait for no walk through the record."""
    return await _write(services, lambda: use_case(*args, **kwargs), services.checking)


async def write_apart(
    services: Services, use_case: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """As `write`, for use cases that wait for others' servers: nobody else's calls wait for those."""
    return await _write(services, lambda: use_case(*args, **kwargs), services.fetching)


async def write(
    services: Services, use_case: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """Raises Unavailable `change_delayed` where the change is stored but not in force yet."""
    return await _write(services, lambda: use_case(*args, **kwargs), None)


async def _write(services: Services, call: Callable[[], Result], limiter: CapacityLimiter | None) -> Result:
    # A caller who hangs up must not leave a change behind that is stored and not in force.
    with anyio.CancelScope(shield=True):
        result = await run_sync(call, limiter=limiter)
        try:
            await services.changed()
        except Exception as error:
            _log.error("a stored change is not in force yet: %s\n%s", type(error).__name__, frames(error))
            raise Unavailable(
                "the change is stored, but not in force yet; look before you repeat it", code="change_delayed"
            ) from None
    return result
