"""`hatchpay audit`: the record of every request, those of this command included."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from hatchpay.cli import options, streams
from hatchpay.cli.options import Tenant
from hatchpay.cli.output import Output
from hatchpay.cli.ports import Local
from hatchpay.cli.session import Session, command
from hatchpay.ids import PLATFORM_TENANT_ID

if TYPE_CHECKING:
    from hatchpay.audit.ports import History, HistoryFilter

__all__ = ["app"]

app: Final = typer.Typer(help="The record of every request.")
app.add_typer(streams.app, name="streams", no_args_is_help=True)

Operator = Annotated[bool, typer.Option("--operator", help="The operator's log in place of a tenant's.")]

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
def history(
    session: Session,
    from_: Annotated[
        int | None, typer.Option("--from", metavar="TIME", parser=options.moment, help="That time or later.")
    ] = None,
    to: Annotated[
        int | None, typer.Option("--to", metavar="TIME", parser=options.moment, help="Before that time.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="METHOD", parser=options.method, help="LOCAL for commands.")
    ] = None,
    path: Annotated[str | None, typer.Option("--path", metavar="PATH", help="Exact, without query.")] = None,
    route: Annotated[str | None, typer.Option("--route", metavar="TEMPLATE", help="Such as /roles/{id}.")] = None,
    status: Annotated[
        Any, typer.Option("--status", metavar="STATUS", parser=options.status, help="Such as 403 or 4xx.")
    ] = None,
    principal_id: Annotated[
        str | None, typer.Option("--principal-id", metavar="ID", help="A key's id, or local:<uid>.")
    ] = None,
    key_id: Annotated[str | None, typer.Option("--key-id", metavar="ID")] = None,
    business_unit_id: Annotated[str | None, typer.Option("--business-unit-id", metavar="ID")] = None,
    request_id: Annotated[str | None, typer.Option("--request-id", metavar="ID")] = None,
    client_ip: Annotated[str | None, typer.Option("--client-ip", metavar="ADDRESS", parser=options.address)] = None,
    min_ms: Annotated[
        int | None,
        typer.Option("--min-ms", metavar="MS", parser=options.microseconds, help="Took at least so long."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=_MOST)] = 50,
    cursor: Annotated[
        int | None, typer.Option("--cursor", metavar="CURSOR", parser=options.sequence, help="Go on from there.")
    ] = None,
    tenant: Tenant = None,
    operator: Operator = False,
) -> None:
    """Show recorded requests, newest first. All given conditions must hold."""
    with session.local() as local:
        wanted = msgspec.structs.replace(
            _all_of(session, local, tenant, operator),
            from_us=from_,
            to_us=to,
            method=method,
            path=path,
            route=route,
            status=status,
            principal_id=principal_id,
            key_id=key_id,
            business_unit_id=business_unit_id,
            request_id=request_id,
            client_ip=client_ip,
            min_us=min_ms,
            before=cursor,
        )
        page = local.history.page(wanted, limit)
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
        wanted = _all_of(session, local, tenant, operator)
        for record in _latest(local.history, wanted, lines, follow):
            _print(session.out, record)


def _latest(history: History, wanted: HistoryFilter, count: int, follow: bool) -> Iterator[dict[str, Any]]:
    """Records that arrive between the two readings are neither lost nor shown twice: their sequence decides."""
    newest = history.page(wanted, 1).last or 0
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


def _all_of(session: Session, local: Local, tenant: str | None, operator: bool) -> HistoryFilter:
    # Its module waits on futures for the recorder's sake; asyncio is too slow an import for a help text.
    from hatchpay.audit.ports import HistoryFilter

    if operator and tenant is not None:
        raise typer.BadParameter("give --tenant or --operator, not both.", param_hint="--operator")
    return HistoryFilter(tenant_id=PLATFORM_TENANT_ID if operator else session.tenant_id(local, tenant))
