"""`hatchpay operator`: the platform operator's own key."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from hatchpay.cli.session import Session, command
from hatchpay.ids import PLATFORM_TENANT_ID

__all__ = ["app"]

app: Final = typer.Typer(help="The platform's operator: make its key.")


@command(app, "key")
def key(
    session: Session,
    replace: Annotated[bool, typer.Option("--replace", help="Delete the one that exists, and make another.")] = False,
) -> None:
    """Make the operator's key, once; it is shown this once."""
    with session.local(create=True) as local:
        created = local.act(
            "operator key", PLATFORM_TENANT_ID, lambda actor: local.tenants.operator_key(actor, replace)
        )
    session.out.issued(created)
