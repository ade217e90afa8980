"""`hatchpay audit record|receipt|log|rotate-key`, and the walk of `hatchpay audit verify` through whole trails."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from hatchpay.cli.options import Tenant
from hatchpay.cli.output import write
from hatchpay.cli.ports import Local
from hatchpay.cli.session import Session, command
from hatchpay.errors import HatchPayError, NotFound, Unavailable
from hatchpay.ids import PLATFORM_TENANT_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hatchpay.audit.ports import RecordProof, TenantLog
    from hatchpay.audit.verifying import Flaw, Holds
    from hatchpay.audit.verifying import Progress as Done

__all__ = ["add_to", "verify_trail"]

RequestId = Annotated[str, typer.Argument(metavar="REQUEST_ID")]
ToFile = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write it there.")]
Operator = Annotated[bool, typer.Option("--operator", help="The operator's log in place of a tenant's.")]
_FLAWED: Final = 1


def add_to(app: typer.Typer) -> None:
    """Registers the commands with the group of `hatchpay audit`."""
    command(app, "record")(record)
    command(app, "receipt", json=False)(receipt)
    command(app, "log")(log)
    command(app, "rotate-key")(rotate_key)


def record(
    session: Session, request_id: RequestId, output: ToFile = None, tenant: Tenant = None, operator: Operator = False
) -> None:
    """Show one record with what opens its leaf, as JSON; a receipt's --record takes it."""
    with session.local() as local:
        found = local.trail.receipts.record(_tenant(session, local, tenant, operator), request_id)
    if found is None:
        raise NotFound("there is no such record")
    if output is None:
        session.out.document(_shown(found))
    else:
        _save(msgspec.json.format(msgspec.json.encode(_shown(found)), indent=2) + b"\n", output)


def receipt(
    session: Session, request_id: RequestId, output: ToFile = None, tenant: Tenant = None, operator: Operator = False
) -> None:
    """Get the receipt of a record, which proves it to an outsider (c2sp.org/tlog-proof@v1)."""
    with session.local() as local:
        receipts = local.trail.receipts
        tenant_id = _tenant(session, local, tenant, operator)
        if receipts.record(tenant_id, request_id) is None:
            raise NotFound("there is no such record")
        made = receipts.receipt(tenant_id, request_id)
    if made is None:
        raise Unavailable("the record is not sealed yet: a running server seals it within a second", code="not_sealed")
    if output is None:
        write(made.decode())
    else:
        _save(made, output)


def log(session: Session, tenant: Tenant = None, operator: Operator = False) -> None:
    """Show a tenant's verifiable log: its vkey, its newest checkpoint, its witnesses."""
    with session.local() as local:
        found = local.trail.receipts.log(_tenant(session, local, tenant, operator))
    if found is None:
        raise NotFound("nothing of this tenant is sealed yet", code="log_empty")
    shown = _log(found)
    if session.out.as_json:
        session.out.document(shown)
        return
    for name, value in shown.items():
        if name not in ("checkpoint", "cosigned_checkpoint", "key_statements", "witnesses"):
            session.out.line(f"{name:14} {value}")
    for one in found.witnesses:
        session.out.line(f"{'witness':14} {one.name} {one.size} {one.failure or 'ok'}")


def rotate_key(session: Session) -> None:
    """Sign the logs with the next key from now on, for which the old one, even if it is lost, has vouched."""
    with session.local() as local:
        rotated = local.rotate_log_key()
    session.out.listing(rotated, {"tenant_id": lambda one: one[0], "vkey": lambda one: one[1]})


def verify_trail(
    session: Session,
    tenant: str | None,
    from_us: int | None,
    keys: tuple[str, ...],
    checkpoints: tuple[Path, ...],
    *,
    deep: bool,
) -> None:
    """Walks through the trails and exits with 1 unless every one is whole."""
    from hatchpay.audit.verifying import Flaw, VerifyWish

    held = tuple(_read(file) for file in checkpoints)
    with session.local() as local:
        tenant_id = None if tenant is None else session.tenant_id(local, tenant)
        wish = VerifyWish(tenant_id=tenant_id, from_us=from_us, deep=deep, keys=keys, held=held)
        outcomes = list(_walked(local.trail.verify(wish), quiet=session.out.as_json))
    if session.out.as_json:
        session.out.document({"data": [_outcome(one) for one in outcomes]})
    else:
        for one in outcomes:
            session.out.line(_line(one))
        if not outcomes:
            session.out.line("there is nothing to verify yet")
    if any(isinstance(one, Flaw) for one in outcomes):
        raise typer.Exit(_FLAWED)


def _walked(steps: Iterator[Done | Flaw | Holds], *, quiet: bool) -> Iterator[Flaw | Holds]:
    # Too slow an import for a help text.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from hatchpay.audit.verifying import Progress as Done

    console = Console(stderr=True, quiet=quiet or not Console(stderr=True).is_terminal)
    columns = ("verifying", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("verifying", total=None)
        for step in steps:
            if isinstance(step, Done):
                bar.update(task, completed=step.done, total=step.total)
            else:
                yield step


def _outcome(one: Flaw | Holds) -> dict[str, object]:
    from hatchpay.audit.verifying import Flaw

    if isinstance(one, Flaw):
        return {"whole": False, **msgspec.structs.asdict(one)}
    return {"whole": True, **msgspec.structs.asdict(one), "root": base64.b64encode(one.root).decode("ascii")}


def _line(one: Flaw | Holds) -> str:
    from hatchpay.audit.verifying import Flaw

    if isinstance(one, Flaw):
        where = [f"leaf {one.leaf_index}" if one.leaf_index is not None else "", f"seq {one.seq}" if one.seq else ""]
        where.append(f"request {one.request_id}" if one.request_id else "")
        return f"{one.tenant_id}: {one.kind}: {one.detail} ({', '.join(part for part in where if part) or 'whole log'})"
    held = f", of which {one.held_size} are held by somebody else" if one.held_size else ""
    return f"{one.tenant_id}: whole: {one.size} leaves{held}; {one.unsealed} not sealed yet"


def _shown(found: RecordProof) -> dict[str, object]:
    leaf = found.leaf
    return {
        "record": found.record,
        "openings": found.openings,
        "leaf_index": None if leaf is None else leaf.index,
        "leaf_hash": None if leaf is None else leaf.hash.hex(),
    }


def _log(found: TenantLog) -> dict[str, object]:
    from hatchpay.clock import format_time

    return {
        "origin": found.origin,
        "vkey": found.vkey,
        "size": found.size,
        "root": base64.b64encode(found.root).decode("ascii"),
        "signed_at": format_time(found.signed_us),
        "checkpoint": found.checkpoint.decode(),
        "cosigned_size": found.cosigned_size,
        "cosigned_checkpoint": None if found.cosigned is None else found.cosigned.decode(),
        "key_statements": [statement.decode() for statement in found.successions],
        "witnesses": [msgspec.structs.asdict(one) for one in found.witnesses],
    }


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="--checkpoint") from None


def _save(data: bytes, file: Path) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:
        raise HatchPayError(f"{file} cannot be written: {error.strerror}", code="file_unwritable") from None


def _tenant(session: Session, local: Local, tenant: str | None, operator: bool) -> str:
    if operator and tenant is not None:
        raise typer.BadParameter("give --tenant or --operator, not both.", param_hint="--operator")
    return PLATFORM_TENANT_ID if operator else session.tenant_id(local, tenant)
