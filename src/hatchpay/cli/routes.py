"""`hatchpay routes`: the route table of an API, made from what it says of itself, and compared with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from hatchpay.cli.errors import FAILED
from hatchpay.cli.output import write
from hatchpay.cli.session import Session, command
from hatchpay.errors import Conflict

__all__ = ["app"]

app: Final = typer.Typer(help="Routes: which call of the protected API needs which permission.")

Source = Annotated[
    str, typer.Argument(metavar="API", help="An OpenAPI 3 document (JSON file), or an application as module:attribute.")
]


@command(app, "import", json=False)
def derive(
    session: Session,
    api: Source,
    over: Annotated[
        Path | None, typer.Option("--over", metavar="FILE", help="A route table whose entries go before derived ones.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Else standard output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output file where there is one.")] = False,
) -> None:
    """Make a route table from the API's own description."""
    table = session.ports.derive_routes(api, over)
    if output is None:
        write(table)
        return
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(table)
    except FileExistsError:
        raise Conflict(
            f"{output} is there already: replace it with --force, and let --over say what goes before derived entries",
            code="already_exists",
        ) from None
    session.out.line(f"Wrote {output}.")


@command(app, "check")
def check(
    session: Session,
    api: Source,
    routes: Annotated[
        Path | None,
        typer.Option("--routes", metavar="FILE", help="The route table; else routes.toml beside the application."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where they disagree.")] = False,
) -> None:
    """Say where route table and API disagree."""
    found = session.ports.check_routes(session.settings(routes=routes), api)
    if session.out.as_json:
        session.out.document(found)
    else:
        groups = {
            "Denied, since no route lists it": found.denied,
            "Listed, and not served": found.unserved,
            "Listed, and HatchPay serves this itself": found.clashes,
            "Permissions that no route needs": found.unused_permissions,
            "Both fit one path": [f"{winner}, which wins, and {other}" for winner, other in found.overlaps],
        }
        for title, items in groups.items():
            if items:
                session.out.line(f"{title}:")
            for item in items:
                session.out.line(f"  {item}")
        if found.clean:
            session.out.line("Route table and API agree.")
    if strict and not found.clean:
        raise typer.Exit(FAILED)
