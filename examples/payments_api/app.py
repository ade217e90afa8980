"""The endpoints. Writes and lists run in worker threads; the read by id is quick enough for the loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Annotated, Final, cast

import uuid_utils
from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse

from . import problems
from .caller import caller_of
from .exact_json import ExactRoute
from .models import NewRefund, NewTransaction, State, Transaction, UuidText
from .problems import Problem
from .store import Store

__all__ = ["app", "create_app"]

_TRANSACTIONS: Final = "/v1/payment-proxy/transactions"

TransactionId = Annotated[str, Path(alias="id")]

_reads = APIRouter()
_writes = APIRouter(route_class=ExactRoute)


@_reads.get(_TRANSACTIONS + "/{id}")
async def read(request: Request, transaction_id: TransactionId) -> JSONResponse:
    caller = caller_of(request.scope)
    transaction = _store(request).get(transaction_id, caller.reach)
    if transaction is None:
        raise _not_found()
    return JSONResponse(transaction.shown(customer_in_clear=caller.sees_customers))


@_reads.get(_TRANSACTIONS)
def list_newest_first(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[UuidText | None, Query()] = None,
) -> JSONResponse:
    caller = caller_of(request.scope)
    found = _store(request).page(caller.reach, before=cursor, limit=limit + 1)
    page = found[:limit]
    data = [transaction.shown(customer_in_clear=caller.sees_customers) for transaction in page]
    return JSONResponse({"data": data, "next_cursor": page[-1].id if len(found) > limit else None})


@_writes.post(_TRANSACTIONS, status_code=201)
def create(request: Request, new: NewTransaction) -> JSONResponse:
    return _add(request, new, "authorized" if new.capture is False else "completed")


@_writes.post(_TRANSACTIONS + "/authorize", status_code=201)
def authorize(request: Request, new: NewTransaction) -> JSONResponse:
    if new.capture:
        raise Problem(422, "invalid_field", "An authorization is captured later.", field="capture")
    return _add(request, new, "authorized")


@_writes.post(_TRANSACTIONS + "/{id}/complete")
def complete(request: Request, transaction_id: TransactionId) -> JSONResponse:
    caller = caller_of(request.scope)
    store = _store(request)
    if store.get(transaction_id, caller.reach) is None:
        raise _not_found()
    transaction = store.complete(transaction_id, now=_now())
    if transaction is None:
        raise Problem(409, "not_authorized_state", "Only a transaction in the state authorized is completed.")
    return JSONResponse(transaction.shown(customer_in_clear=caller.sees_customers))


@_writes.post(_TRANSACTIONS + "/{id}/refund", status_code=201)
def refund(request: Request, transaction_id: TransactionId, new: NewRefund) -> JSONResponse:
    """That two persons stand behind a refund is for policies to demand."""
    store = _store(request)
    if store.get(transaction_id, caller_of(request.scope).reach) is None:
        raise _not_found()
    made = store.refund(transaction_id, new, id_=str(uuid_utils.uuid7()), now=_now())
    if made is None:
        raise Problem(409, "not_refundable", "Only what is left of a completed transaction is refunded.")
    return JSONResponse(made.shown(), status_code=201)


def create_app(directory: FilePath | None = None) -> FastAPI:
    """`directory` holds payments.db; by default HATCHPAY_DATA_DIR, or ./var."""
    store = Store(directory)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        store.open()
        try:
            yield
        finally:
            store.close()

    api = FastAPI(title="Sample payments API", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    api.state.store = store
    problems.install(api)
    api.include_router(_reads)
    api.include_router(_writes)
    return api


def _add(request: Request, new: NewTransaction, state: State) -> JSONResponse:
    caller = caller_of(request.scope)
    if not caller.reach.covers(caller.reach.tenant_id, new.business_unit_id):
        raise Problem(
            403,
            "business_unit_forbidden",
            "This caller writes only to its own business units; name one of them.",
            field="business_unit_id",
        )
    transaction = Transaction.of(new, caller.reach.tenant_id, id_=str(uuid_utils.uuid7()), state=state, now=_now())
    _store(request).add(transaction)
    return JSONResponse(
        transaction.shown(customer_in_clear=caller.sees_customers),
        status_code=201,
        headers={"Location": f"{_TRANSACTIONS}/{transaction.id}"},
    )


def _store(request: Request) -> Store:
    return cast(Store, request.app.state.store)


def _not_found() -> Problem:
    return Problem(404, "not_found", "There is no such transaction.")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


app = create_app()
