"""`hatchpay audit streams`: the record, sent to other systems as it grows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from hatchpay.cli.errors import FAILED
from hatchpay.cli.options import Tenant
from hatchpay.cli.paging import everything
from hatchpay.cli.session import Session, command

if TYPE_CHECKING:
    from hatchpay.admin.stream_views import CreatedStream

__all__ = ["app"]

app: Final = typer.Typer(help="Streams of the record to other systems.")

StreamId = Annotated[str, typer.Argument(metavar="ID", help="The stream's id.")]
Units = Annotated[
    list[str] | None, typer.Option("--business-unit", metavar="ID", help="Carries only theirs; repeatable.")
]
Types = Annotated[
    list[str] | None,
    typer.Option("--event-type", metavar="TYPE", help="Such as api-key.keys.created; all without; repeatable."),
]
HeaderFile = Annotated[
    Path | None,
    typer.Option("--header-file", metavar="FILE", help="One secret header per line, as Name: value. For otlp, http."),
]
CaFile = Annotated[
    Path | None, typer.Option("--ca-file", metavar="FILE", help="PEM of the only certificate authorities that count.")
]


class Kind(StrEnum):
    """For Typer, which knows no better way to offer a choice."""

    otlp = "otlp"
    syslog = "syslog"
    http = "http"
    webhook = "webhook"


class Status(StrEnum):
    """Likewise."""

    enabled = "enabled"
    disabled = "disabled"


@command(app, "list")
def list_all(session: Session, tenant: Tenant = None) -> None:
    """List the tenant's streams and how they go, newest first."""
    with session.local() as local:
        actor = local.reader(session.tenant_id(local, tenant))
        streams = everything(lambda limit, cursor: local.streams.list(actor, limit, cursor))
    session.out.listing(
        streams,
        {
            "id": lambda stream: stream.id,
            "name": lambda stream: stream.name,
            "kind": lambda stream: stream.kind,
            "destination": lambda stream: stream.destination_url,
            "state": lambda stream: stream.state,
            "lag": lambda stream: f"{stream.lag_records} records, {stream.lag_seconds:.0f} s",
            "dead_letters": lambda stream: stream.dead_letters,
            "last_error": lambda stream: stream.last_error,
        },
    )


@command(app, "add")
def add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="otlp, syslog, http or webhook.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="https://…, or tls://host:port for syslog.")],
    business_unit: Units = None,
    event_type: Types = None,
    header_file: HeaderFile = None,
    ca_file: CaFile = None,
    tenant: Tenant = None,
) -> None:
    """Stream the record from now on. A webhook's secret is shown this once."""
    from hatchpay.admin.stream_views import NewStream

    wanted = NewStream(
        name=name,
        kind=kind.value,
        destination_url=url,
        business_unit_ids=tuple(business_unit) if business_unit else None,
        event_types=tuple(event_type) if event_type else None,
        headers={} if header_file is None else _headers(header_file),
        ca_pem=None if ca_file is None else _text(ca_file),
    )
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        made = local.act("audit streams add", tenant_id, lambda actor: local.streams.create(actor, wanted))
    _issued(session, made)


@command(app, "update")
def update(
    session: Session,
    stream_id: StreamId,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME")] = None,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Another destination.")] = None,
    business_unit: Units = None,
    whole_tenant: Annotated[bool, typer.Option("--whole-tenant", help="Carries all business units.")] = False,
    event_type: Types = None,
    all_types: Annotated[bool, typer.Option("--all-types", help="Carries all types.")] = False,
    header_file: HeaderFile = None,
    ca_file: CaFile = None,
    status: Annotated[Status | None, typer.Option("--status", help="Stop it, or go on where it was stopped.")] = None,
    rotate_secret: Annotated[
        int | None,
        typer.Option("--rotate-secret", metavar="SECONDS", help="New webhook secret; so long the old one signs too."),
    ] = None,
    tenant: Tenant = None,
) -> None:
    """Change a stream. What is not given stays as it is."""
    from hatchpay.admin.stream_views import StreamChanges

    if (business_unit and whole_tenant) or (event_type and all_types):
        raise typer.BadParameter("give what it carries, or that it carries all.", param_hint="--whole-tenant")
    given: dict[str, Any] = {"name": name, "destination_url": url, "status": None if status is None else status.value}
    given |= {"headers": None if header_file is None else _headers(header_file)}
    given |= {"ca_pem": None if ca_file is None else _text(ca_file)}
    given = {field: value for field, value in given.items() if value is not None}
    if business_unit or whole_tenant:
        given["business_unit_ids"] = tuple(business_unit or ()) or None
    if event_type or all_types:
        given["event_types"] = tuple(event_type or ()) or None
    if not given and rotate_secret is None:
        raise typer.BadParameter("say what is to change.", param_hint="--name")
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        if given:
            changes = msgspec.convert(given, StreamChanges)
            view = local.act(
                "audit streams update", tenant_id, lambda actor: local.streams.update(actor, stream_id, changes)
            )
        if rotate_secret is not None:
            overlap = rotate_secret
            made = local.act(
                "audit streams update",
                tenant_id,
                lambda actor: local.streams.rotate_secret(actor, stream_id, overlap),
            )
            _issued(session, made)
            return
    session.out.one(view)


@command(app, "remove")
def remove(session: Session, stream_id: StreamId, tenant: Tenant = None) -> None:
    """End a stream for good."""
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        local.act("audit streams remove", tenant_id, lambda actor: local.streams.delete(actor, stream_id))
    if session.out.as_json:
        session.out.document({"id": stream_id, "status": "deleted"})
    else:
        session.out.line(f"Removed {stream_id}.")


@command(app, "test")
def test(session: Session, stream_id: StreamId, tenant: Tenant = None) -> None:
    """Send one test event now, and tell what came back. Fails where it was not taken."""
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        outcome = local.act("audit streams test", tenant_id, lambda actor: local.streams.test(actor, stream_id))
    session.out.one(outcome)
    if not outcome.delivered:
        raise typer.Exit(FAILED)


def _issued(session: Session, made: CreatedStream) -> None:
    if session.out.as_json:
        session.out.document({**msgspec.to_builtins(made.view), "secret": made.secret})
        return
    session.out.one(made.view)
    if made.secret is not None:
        session.out.line("")
        session.out.line("The webhook's secret, shown once:")
        session.out.line(made.secret)


def _headers(file: Path) -> dict[str, str]:
    """Raises BadParameter, which repeats nothing of the file."""
    found: dict[str, str] = {}
    for line in filter(str.strip, _text(file).splitlines()):
        name, colon, value = line.partition(":")
        if not colon or name.strip() in found:
            raise typer.BadParameter("the file has a line for each header, as Name: value.", param_hint="--header-file")
        found[name.strip()] = value.strip()
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter("the file cannot be read.", param_hint="FILE") from None
