"""`hatchpay tenants`: onboarded and listed by whoever runs the machine."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from hatchpay.cli.paging import everything
from hatchpay.cli.session import Session, command
from hatchpay.ids import PLATFORM_TENANT_ID

__all__ = ["app"]

app: Final = typer.Typer(help="Tenants: onboard and list them.")


@command(app, "onboard")
def onboard(session: Session, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Make a tenant with its first admin key, which is shown this once."""
    with session.local(create=True) as local:
        done = local.act("tenants onboard", PLATFORM_TENANT_ID, lambda actor: local.tenants.onboard(actor, name))
    if session.out.as_json:
        key = {"id": done.api_key.view.id, "key": done.api_key.key}
        session.out.document({"tenant": done.tenant, "api_key": key})
        return
    session.out.one(done.tenant)
    session.out.one(done.api_key.view)
    session.out.secret(done.api_key)


@command(app, "list")
def list_all(session: Session) -> None:
    """List all tenants, newest first."""
    with session.local() as local:
        actor = local.reader(PLATFORM_TENANT_ID)
        tenants = everything(lambda limit, cursor: local.tenants.list(actor, limit, cursor))
    session.out.listing(
        tenants,
        {
            "id": lambda tenant: tenant.id,
            "name": lambda tenant: tenant.name,
            "created_at": lambda tenant: tenant.created_at,
        },
    )
