"""`hatchpay audit export`: the record as a file; `hatchpay audit exports`: what was exported, and by whom."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from hatchpay.cli import options
from hatchpay.cli.history_options import Conditions, Operator, all_of, with_conditions
from hatchpay.cli.options import Tenant
from hatchpay.cli.output import write_bytes
from hatchpay.cli.ports import Local
from hatchpay.cli.session import Session, command

if TYPE_CHECKING:
    from hatchpay.admin.views import Actor
    from hatchpay.audit.export.ports import ExportView
    from hatchpay.audit.export.run import Export, Order, Part
    from hatchpay.audit.ports import HistoryFilter
    from hatchpay.cli.export_file import Mark

__all__ = ["register"]

_MOST: Final = 200


class Format(StrEnum):
    """As audit.export.ports.Format, which is slow to import."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"
    ocsf = "ocsf"


class Done(msgspec.Struct, frozen=True):
    """`upto` is what the next export of the same kind gives as `--after`."""

    id: str
    format: str
    records: int
    after: int
    upto: int


_COLUMNS: Final[dict[str, Callable[[ExportView], object]]] = {
    "started_at": lambda export: export.started_at,
    "principal_id": lambda export: export.principal_id,
    "format": lambda export: export.format,
    "state": lambda export: export.state,
    "records": lambda export: export.records,
    "first_seq": lambda export: export.first_seq,
    "last_seq": lambda export: export.last_seq,
    "conditions": lambda export: export.conditions,
    "id": lambda export: export.id,
}


def register(app: typer.Typer) -> None:
    """`app` is that of `hatchpay audit`."""

    @command(app, "export")
    @with_conditions
    def export(
        session: Session,
        conditions: Conditions,
        format_: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.jsonl,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", metavar="FILE", help="Else to standard output.")
        ] = None,
        after: Annotated[
            int | None,
            typer.Option("--after", metavar="CURSOR", parser=options.sequence, help="Where the last export ended."),
        ] = None,
        force: Annotated[bool, typer.Option("--force", help="Replace FILE, and drop what was begun for it.")] = False,
        tenant: Tenant = None,
        operator: Operator = False,
    ) -> None:
        """Export recorded requests, oldest first. Given again after it was cut off, it goes on where it was."""
        if output is None and (session.out.as_json or sys.stdout.isatty()):
            raise typer.BadParameter("name the file to write.", param_hint="--output")
        with session.local() as local:
            wanted = conditions.on(all_of(session, local, tenant, operator))

            def run(actor: Actor) -> Done:
                order = _order(actor, wanted, format_, after)
                return _to_stdout(local, order) if output is None else _to_file(local, order, output, force)

            done = local.act("audit export", wanted.tenant_id, run)
        if session.out.as_json:
            session.out.document(done)
        elif output is not None:
            session.out.line(f"{done.records} records, up to {done.upto}")

    @command(app, "exports")
    def exports(
        session: Session,
        limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=_MOST)] = 50,
        cursor: Annotated[str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on from there.")] = None,
        tenant: Tenant = None,
        operator: Operator = False,
    ) -> None:
        """List the exports that delivered records, newest first."""
        with session.local() as local:
            tenant_id = all_of(session, local, tenant, operator).tenant_id
            page = local.act("audit exports", tenant_id, lambda actor: local.export_access.list(actor, limit, cursor))
        session.out.listing(page.data, _COLUMNS, page.next_cursor)


def _order(actor: Actor, wanted: HistoryFilter, format_: Format, after: int | None) -> Order:
    from hatchpay.audit.export.run import Order

    return Order(
        wanted=wanted,
        format=format_.value,
        request_id=actor.request_id,
        principal_id=actor.principal.id,
        after=after or 0,
    )


def _to_stdout(local: Local, order: Order) -> Done:
    export = local.exporter.begin(order)
    records = 0
    with closing(export.parts()) as parts:
        for part in parts:
            write_bytes(part.data)
            records = part.records
    return _done(export, records)


def _to_file(local: Local, order: Order, output: Path, force: bool) -> Done:
    from hatchpay.audit.export.encoder import goes_on
    from hatchpay.cli.export_file import ExportFile, Mark

    same = msgspec.json.encode((order.format, order.after, order.wanted), order="deterministic").decode()
    with ExportFile(output, same, continuable=goes_on(order.format), force=force) as file:
        begun = file.begun
        export = local.exporter.begin(order if begun is None else _continued(order, begun))
        mark = begun or Mark(order=same, export_id=export.id, upto=export.upto, seq=export.after)
        file.start(mark)
        with closing(export.parts()) as parts, _progress(export) as show:
            for part in parts:
                mark = msgspec.structs.replace(mark, seq=part.seq, records=part.records)
                file.write(part.data, mark)
                show(part)
        file.finish()
    return _done(export, mark.records, order.after)


def _continued(order: Order, begun: Mark) -> Order:
    return msgspec.structs.replace(
        order,
        id=begun.export_id,
        after=begun.seq,
        upto=begun.upto,
        records=begun.records,
        header=begun.size == 0,
    )


def _done(export: Export, records: int, after: int | None = None) -> Done:
    return Done(export.id, export.order.format, records, export.after if after is None else after, export.upto)


@contextmanager
def _progress(export: Export) -> Iterator[Callable[[Part], None]]:
    """A bar on standard error, where that is a terminal: how much of the ledger has been walked through."""
    if not sys.stderr.isatty():
        yield lambda part: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("Exporting"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[records]} records"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=export.upto - export.after, records=0)
        yield lambda part: bar.update(task, completed=part.seq - export.after, records=part.records)
