"""`hatchpay keys`: the API keys of a tenant, from their making to their end."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

import typer

from hatchpay.admin.views import Actor, KeyChanges, KeyView, NewKey
from hatchpay.cli import options
from hatchpay.cli.options import Tenant
from hatchpay.cli.paging import everything
from hatchpay.cli.ports import Local
from hatchpay.cli.session import Session, command
from hatchpay.errors import NotFound

__all__ = ["app"]

app: Final = typer.Typer(help="API keys: make, read, limit, rotate and end them.")

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]


class Environment(StrEnum):
    """For Typer, which knows no better way to offer a choice."""

    live = "live"
    test = "test"


@command(app, "create")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    tenant: Tenant = None,
    description: Annotated[str, typer.Option("--description", metavar="TEXT")] = "",
    environment: Annotated[Environment, typer.Option("--environment")] = Environment.live,
    owner: Annotated[str | None, typer.Option("--owner", metavar="TEXT", help="Who answers for it.")] = None,
    expires_at: Annotated[
        int | None, typer.Option("--expires-at", metavar="TIME", parser=options.moment, help="RFC 3339.")
    ] = None,
    business_unit: Annotated[
        list[str] | None, typer.Option("--business-unit", metavar="ID", help="Works there only; repeatable.")
    ] = None,
    cidr: Annotated[
        list[str] | None, typer.Option("--cidr", metavar="NETWORK", help="Works from there only; repeatable.")
    ] = None,
    metadata: Annotated[list[str] | None, typer.Option("--metadata", metavar="NAME=VALUE", help="Repeatable.")] = None,
) -> None:
    """Make a key, which is shown this once. It may do nothing until it has a role."""
    wanted = NewKey(
        name=name,
        description=description,
        environment=environment.value,
        owner=owner,
        expires_at_us=expires_at,
        business_unit_ids=tuple(business_unit) if business_unit else None,
        allowed_cidrs=tuple(cidr) if cidr else None,
        metadata=options.pairs(metadata or ()),
    )
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        created = local.act("keys create", tenant_id, lambda actor: local.keys.create(actor, wanted))
    session.out.issued(created)


@command(app, "list")
def list_all(session: Session, tenant: Tenant = None) -> None:
    """List the tenant's keys, newest first."""
    with session.local() as local:
        actor = local.reader(session.tenant_id(local, tenant))
        keys = everything(lambda limit, cursor: local.keys.list(actor, limit, cursor))
    session.out.listing(
        keys,
        {
            "id": lambda key: key.id,
            "name": lambda key: key.name,
            "roles": lambda key: key.roles,
            "status": lambda key: key.status,
            "environment": lambda key: key.environment,
            "last_used_at": lambda key: key.last_used_at,
        },
    )


@command(app, "show")
def show(session: Session, key_id: KeyId, tenant: Tenant = None) -> None:
    """Show a key, its roles and its last use. Never its secret."""
    with session.local() as local:
        key = local.keys.get(local.reader(session.tenant_id(local, tenant)), key_id)
    session.out.one(key)


@command(app, "roles")
def roles(
    session: Session,
    key_id: KeyId,
    role: Annotated[list[str] | None, typer.Argument(metavar="[ROLE]...", help="Names or ids.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Detach all.")] = False,
    tenant: Tenant = None,
) -> None:
    """Replace the roles of a key; without any ROLE, show them."""
    if role and none:
        raise typer.BadParameter("give roles or --none, not both.", param_hint="--none")
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        if not (role or none):
            session.out.one(local.keys.get(local.reader(tenant_id), key_id))
            return

        def replace(actor: Actor) -> KeyView:
            return local.keys.set_roles(actor, key_id, _role_ids(local, actor, role or []))

        session.out.one(local.act("keys roles", tenant_id, replace))


@command(app, "disable")
def disable(session: Session, key_id: KeyId, tenant: Tenant = None) -> None:
    """Stop a key at once, until it is enabled again."""
    _set_status(session, tenant, key_id, "disabled")


@command(app, "enable")
def enable(session: Session, key_id: KeyId, tenant: Tenant = None) -> None:
    """Let a disabled key work again."""
    _set_status(session, tenant, key_id, "enabled")


@command(app, "rotate")
def rotate(
    session: Session,
    key_id: KeyId,
    grace_seconds: Annotated[
        int, typer.Option("--grace-seconds", metavar="N", help="How long the old secret works on, up to 30 days.")
    ] = 0,
    tenant: Tenant = None,
) -> None:
    """Give a key a new secret, which is shown this once."""
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        created = local.act("keys rotate", tenant_id, lambda actor: local.keys.rotate(actor, key_id, grace_seconds))
    session.out.issued(created)


@command(app, "delete")
def delete(session: Session, key_id: KeyId, tenant: Tenant = None) -> None:
    """End a key for good, and detach its roles."""
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        local.act("keys delete", tenant_id, lambda actor: local.keys.delete(actor, key_id))
    if session.out.as_json:
        session.out.document({"id": key_id, "status": "deleted"})
    else:
        session.out.line(f"Deleted {key_id}.")


def _set_status(session: Session, tenant: str | None, key_id: str, status: Literal["enabled", "disabled"]) -> None:
    verb = status.removesuffix("d")
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        changes = KeyChanges(status=status)
        key = local.act(f"keys {verb}", tenant_id, lambda actor: local.keys.update(actor, key_id, changes))
    session.out.one(key)


def _role_ids(local: Local, actor: Actor, wanted: list[str]) -> tuple[str, ...]:
    """Raises NotFound for what is neither the id nor the name of a role of the tenant."""
    known = everything(lambda limit, cursor: local.roles.list(actor, limit, cursor))
    by_text = {role.name: role.id for role in known} | {role.id: role.id for role in known}
    for text in wanted:
        if text not in by_text:
            raise NotFound(f"there is no role {text!r} in this tenant; hatchpay roles list shows them")
    return tuple(by_text[text] for text in wanted)
