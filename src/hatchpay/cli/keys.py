"""`hatchpay keys`: the API keys of a tenant, from their making to their end."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from hatchpay.admin.views import Actor, KeyChanges, KeyView, NewKey
from hatchpay.cli import options
from hatchpay.cli.options import Tenant
from hatchpay.cli.paging import everything
from hatchpay.cli.role_names import role_ids
from hatchpay.cli.session import Session, command
from hatchpay.errors import InvalidInput
from hatchpay.identity.principal import RateLimit

if TYPE_CHECKING:
    from hatchpay.admin.versions import IfMatch

__all__ = ["app"]

app: Final = typer.Typer(help="API keys: make, read, limit, rotate and end them.")

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]
RateLimits = Annotated[
    list[RateLimit] | None,
    typer.Option(
        "--rate-limit", metavar="REQUESTS/SECONDS", parser=options.rate_limit, help="Such as 100/60; repeatable."
    ),
]


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
    rate_limit: RateLimits = None,
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
        rate_limits=tuple(rate_limit or ()),
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
    business_unit: Annotated[
        list[str] | None,
        typer.Option("--business-unit", metavar="ID", help="Attach these roles for it only; repeatable."),
    ] = None,
    whole_tenant: Annotated[
        bool, typer.Option("--whole-tenant", help="Also those that are held for chosen business units now.")
    ] = False,
    none: Annotated[bool, typer.Option("--none", help="Detach all.")] = False,
    tenant: Tenant = None,
) -> None:
    """Replace the roles of a key; without any ROLE, show them."""
    if role and none:
        raise typer.BadParameter("give roles or --none, not both.", param_hint="--none")
    if business_unit and whole_tenant:
        raise typer.BadParameter("give --business-unit or --whole-tenant, not both.", param_hint="--whole-tenant")
    if not role and (business_unit or whole_tenant):
        raise typer.BadParameter("say which roles to attach.", param_hint="[ROLE]...")
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        if not (role or none):
            session.out.one(local.keys.get(local.reader(tenant_id), key_id))
            return

        def replace(actor: Actor) -> KeyView:
            wanted = role_ids(local, actor, role or [])
            expected = None
            if not (business_unit or whole_tenant):
                expected = _refuse_widening(local.keys.get(actor, key_id), wanted)
            units = dict.fromkeys(wanted, tuple(business_unit)) if business_unit else {}
            return local.keys.set_roles(actor, key_id, wanted, units, expected)

        session.out.one(local.act("keys roles", tenant_id, replace))


@command(app, "limit")
def limit(
    session: Session,
    key_id: KeyId,
    rate_limit: RateLimits = None,
    none: Annotated[bool, typer.Option("--none", help="Lift all.")] = False,
    tenant: Tenant = None,
) -> None:
    """Replace the key's own rate limits, which go beside those of its roles."""
    if bool(rate_limit) == none:
        raise typer.BadParameter("give either --rate-limit or --none.", param_hint="--rate-limit")
    changes = KeyChanges(rate_limits=tuple(rate_limit or ()))
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        key = local.act("keys limit", tenant_id, lambda actor: local.keys.update(actor, key_id, changes))
    session.out.one(key)


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


def _refuse_widening(key: KeyView, wanted: tuple[str, ...]) -> IfMatch:
    """Returns the key that was looked at, as a condition for changing it. Raises InvalidInput."""
    # Behind it is all of the directory, which no help text needs.
    from hatchpay.admin.versions import IfMatch

    for role in key.roles:
        if role.id in wanted and role.business_unit_ids is not None:
            raise InvalidInput(
                f"the key holds role {role.name!r} for chosen business units only: name them with --business-unit, "
                "or give --whole-tenant"
            )
    return IfMatch(frozenset({key.etag}))
