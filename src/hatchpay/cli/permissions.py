"""`hatchpay permissions`: what roles can hold."""

from __future__ import annotations

from typing import Final

import typer

from hatchpay.cli.options import Tenant
from hatchpay.cli.paging import everything
from hatchpay.cli.session import Session, command
from hatchpay.ids import PLATFORM_TENANT_ID

__all__ = ["app"]

app: Final = typer.Typer(help="Permissions: what roles can hold.")


@command(app, "list")
def list_all(session: Session, tenant: Tenant = None) -> None:
    """List all permissions by name. They are the same for every tenant."""
    with session.local() as local:
        actor = local.reader(PLATFORM_TENANT_ID if tenant is None else session.tenant_id(local, tenant))
        permissions = everything(lambda limit, cursor: local.permissions.list(actor, limit, cursor))
    session.out.listing(
        permissions,
        {
            "name": lambda permission: permission.name,
            "read_only": lambda permission: permission.read_only,
            "sensitive": lambda permission: permission.sensitive,
            "administrative": lambda permission: permission.administrative,
            "description": lambda permission: permission.description,
        },
    )
