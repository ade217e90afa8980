"""`hatchpay audit`: the record of every request, those of this command included."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from hatchpay.cli import options, streams, trail
from hatchpay.cli.history_options import Conditions, Operator, all_of, with_conditions
from hatchpay.cli.options import Tenant
from hatchpay.cli.output import Output
from hatchpay.cli.session import Session, command

if TYPE_CHECKING:
    from hatchpay.audit.ports import History, HistoryFilter

__all__ = ["app"]

app: Final = typer.Typer(help="The record of every request.")
app.add_typer(streams.app, name="streams", no_args_is_help=True)

_MOST: Final = 200
_POLL_S: Final = 0.2
_COLUMNS: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "started_at": lambda record: record["started_at"],
    "method": lambda record: record["method"],
    "url": lambda record: record["url"],
    "status": lambda record: record["status"],
    "state": lambda record: record["state"],
    "reason": lambda record: record["reason"],
    "ms": lambda record: f"{record['response_time_us'] / 1000:.3f}",
    "principal_id": lambda record: record["principal_id"] or record["claimed_key_id"],
    "client_ip": lambda record: record["client_ip"],
    "request_id": lambda record: record["request_id"],
    "changes": lambda record: [change["event"] for change in record["changes"]],
}


@command(app, "history")
@with_conditions
def history(
    session: Session,
    conditions: Conditions,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=_MOST)] = 50,
    cursor: Annotated[
        int | None, typer.Option("--cursor", metavar="CURSOR", parser=options.sequence, help="Go on from there.")
    ] = None,
    tenant: Tenant = None,
    operator: Operator = False,
) -> None:
    """Show recorded requests, newest first. All given conditions must hold."""
    with session.local() as local:
        wanted = msgspec.structs.replace(conditions.on(all_of(session, local, tenant, operator)), before=cursor)
        page = local.act("audit history", wanted.tenant_id, lambda _: local.history.page(wanted, limit))
    session.out.listing(page.records, _COLUMNS, None if page.last is None else str(page.last))


@command(app, "tail")
def tail(
    session: Session,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=0, max=10_000, help="So many to begin with.")
    ] = 10,
    tenant: Tenant = None,
    operator: Operator = False,
) -> None:
    """Show the latest recorded requests, the newest last; with --json, one document per line."""
    with session.local() as local:
        wanted = all_of(session, local, tenant, operator)
        newest = local.act("audit tail", wanted.tenant_id, lambda _: local.history.page(wanted, 1).last or 0)
        for record in _latest(local.history, wanted, newest, lines, follow):
            _print(session.out, record)


trail.add_to(app)


def _latest(history: History, wanted: HistoryFilter, newest: int, count: int, follow: bool) -> Iterator[dict[str, Any]]:
    """Records that arrive between the two readings are neither lost nor shown twice: their sequence decides."""
    if count:
        yield from reversed(history.page(msgspec.structs.replace(wanted, before=newest + 1), count).records)
    while follow:
        page = history.page(msgspec.structs.replace(wanted, after=newest), _MOST)
        yield from page.records
        newest = page.last or newest
        if not page.records:
            time.sleep(_POLL_S)


def _print(out: Output, record: dict[str, Any]) -> None:
    if out.as_json:
        out.json_line(record)
        return
    out.line(
        f"{record['started_at']} {record['method']} {record['url']} {record['status'] or '-'} {record['state']} "
        f"{record['reason']} {record['response_time_us'] / 1000:.3f}ms "
        f"{record['principal_id'] or record['claimed_key_id'] or '-'} {record['client_ip'] or '-'} "
        f"{record['request_id']}"
    )
