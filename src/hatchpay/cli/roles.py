"""`hatchpay roles`: what keys can be given."""

from __future__ import annotations

from typing import Final

import typer

from hatchpay.cli.options import Tenant
from hatchpay.cli.paging import everything
from hatchpay.cli.session import Session, command

__all__ = ["app"]

app: Final = typer.Typer(help="Roles: what keys can be given.")


@command(app, "list")
def list_all(session: Session, tenant: Tenant = None) -> None:
    """List the tenant's roles with their permissions, the built-in ones first."""
    with session.local() as local:
        actor = local.reader(session.tenant_id(local, tenant))
        roles = everything(lambda limit, cursor: local.roles.list(actor, limit, cursor))
    session.out.listing(
        roles,
        {
            "id": lambda role: role.id,
            "name": lambda role: role.name,
            "builtin": lambda role: role.builtin,
            "permissions": lambda role: role.permissions,
        },
    )
