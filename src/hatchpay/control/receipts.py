"""`/v1/audit-log/records/{id}`, its receipt, and `/v1/audit-log/log`: what proves the record to an outsider."""

from __future__ import annotations

import base64
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Response

from hatchpay.audit.ports import RecordProof, TenantLog
from hatchpay.clock import format_time
from hatchpay.control import examples
from hatchpay.control.answers import json_answer
from hatchpay.control.caller import CurrentActor
from hatchpay.control.calls import CurrentServices, NoParameters, PathId, read
from hatchpay.control.documentation import documented
from hatchpay.errors import NotFound
from hatchpay.identity.principal import Principal

__all__ = ["RecordAnswer", "TenantLogAnswer", "WitnessAnswer", "log_answer", "record_answer", "router"]

router: Final = APIRouter(tags=["Audit log"], default_response_class=Response)
_RETRY_AFTER_S: Final = "1"


class RecordAnswer(msgspec.Struct, frozen=True):
    """`openings` has, for each part that the leaf commits to, the salt and the value; erased parts have none."""

    record: dict[str, Any]
    openings: dict[str, dict[str, Any]]
    leaf_index: int | None
    leaf_hash: str | None


class PendingReceipt(msgspec.Struct, frozen=True):
    """The record is kept, and not sealed yet."""

    status: str
    hint: str


class WitnessAnswer(msgspec.Struct, frozen=True):
    """`cosigned_size` is how many leaves the witness has vouched for; `failure` why its last answer did not count."""

    name: str
    cosigned_size: int
    tried_at: str
    failure: str | None


class TenantLogAnswer(msgspec.Struct, frozen=True):
    """The tenant's verifiable log. Checkpoints are signed notes; `key_statements` those of key successions."""

    origin: str
    vkey: str
    size: int
    root: str
    signed_at: str
    checkpoint: str
    cosigned_size: int
    cosigned_checkpoint: str | None
    key_statements: list[str]
    witnesses: list[WitnessAnswer]


PENDING: Final = PendingReceipt("pending", "the record is kept and will be sealed within a second or two; ask again")


@router.get(
    "/v1/audit-log/records/{id}",
    **documented(
        "readRecord",
        "Read one record, with what opens its leaf in the verifiable log",
        answer=RecordAnswer,
        example=examples.RECORD,
        path_id="request",
    ),
)
async def record(who: CurrentActor, services: CurrentServices, id: PathId, _: NoParameters) -> Response:  # noqa: A002
    return json_answer(record_answer(await _visible(services, who.principal, id)))


@router.get(
    "/v1/audit-log/records/{id}/receipt",
    **documented(
        "readReceipt",
        "Get the receipt of a record, in the format c2sp.org/tlog-proof@v1; 202 until it is sealed",
        answer=str,
        example=examples.RECEIPT,
        path_id="request",
        media_type="text/plain",
    ),
)
async def receipt(who: CurrentActor, services: CurrentServices, id: PathId, _: NoParameters) -> Response:  # noqa: A002
    await _visible(services, who.principal, id)
    made = await read(services.receipts.receipt, who.principal.tenant_id, id)
    if made is None:
        pending = json_answer(PENDING, 202)
        pending.headers["Retry-After"] = _RETRY_AFTER_S
        return pending
    headers = {"Content-Disposition": f'attachment; filename="{id}.tlog-proof"'}
    return Response(made, media_type="text/plain; charset=utf-8", headers=headers)


@router.get(
    "/v1/audit-log/log",
    **documented(
        "readLog",
        "Read the state of the tenant's verifiable log: its key, its newest checkpoint, its witnesses",
        answer=TenantLogAnswer,
        example=examples.TENANT_LOG,
        problems=(404,),
    ),
)
async def log(who: CurrentActor, services: CurrentServices, _: NoParameters) -> Response:
    found = await read(services.receipts.log, who.principal.tenant_id)
    if found is None:
        raise NotFound("nothing of this tenant is sealed yet", code="log_empty")
    return json_answer(log_answer(found))


def record_answer(proof: RecordProof) -> RecordAnswer:
    leaf = proof.leaf
    index, digest = (None, None) if leaf is None else (leaf.index, leaf.hash.hex())
    return RecordAnswer(proof.record, proof.openings, index, digest)


def log_answer(log: TenantLog) -> TenantLogAnswer:
    return TenantLogAnswer(
        log.origin,
        log.vkey,
        log.size,
        base64.b64encode(log.root).decode("ascii"),
        format_time(log.signed_us),
        log.checkpoint.decode(),
        log.cosigned_size,
        None if log.cosigned is None else log.cosigned.decode(),
        [statement.decode() for statement in log.successions],
        [WitnessAnswer(one.name, one.size, format_time(one.tried_us), one.failure) for one in log.witnesses],
    )


async def _visible(services: CurrentServices, principal: Principal, request_id: str) -> RecordProof:
    """Raises NotFound for a record that is not there, and alike for one outside the caller's business units."""
    found = await read(services.receipts.record, principal.tenant_id, request_id)
    units = principal.limits.business_unit_ids
    if found is None or (units is not None and found.business_unit_id not in units):
        raise NotFound("there is no such record")
    return found
