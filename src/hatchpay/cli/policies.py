"""`hatchpay policies`: what a tenant's callers must not do, and tests of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from hatchpay.cli.errors import FAILED
from hatchpay.cli.options import Tenant
from hatchpay.cli.paging import everything
from hatchpay.cli.ports import CaseOutcome, PolicyText
from hatchpay.cli.session import Session, command
from hatchpay.errors import InvalidInput

__all__ = ["app"]

app: Final = typer.Typer(help="Policies: what callers must not do, whatever their roles say.")

_LARGEST: Final = 1024 * 1024
PolicyId = Annotated[str, typer.Argument(metavar="ID", help="The policy's id.")]
Routes = Annotated[
    Path | None,
    typer.Option("--routes", metavar="FILE", help="The served route table, which declares the fields of bodies."),
]


@command(app, "list")
def list_all(session: Session, tenant: Tenant = None) -> None:
    """List the tenant's policies, newest first."""
    with session.local() as local:
        actor = local.reader(session.tenant_id(local, tenant))
        policies = everything(lambda limit, cursor: local.policies.list(actor, limit, cursor))
    session.out.listing(
        policies,
        {
            "id": lambda policy: policy.id,
            "name": lambda policy: policy.name,
            "updated_at": lambda policy: policy.updated_at,
        },
    )


@command(app, "show")
def show(session: Session, policy_id: PolicyId, tenant: Tenant = None) -> None:
    """Show a policy's text."""
    with session.local() as local:
        policy = local.policies.get(local.reader(session.tenant_id(local, tenant)), policy_id)
    if session.out.as_json:
        session.out.document(policy)
        return
    for line in policy.text.splitlines():
        session.out.line(line)


@command(app, "create")
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Cedar: one or more forbid statements.")],
    tenant: Tenant = None,
    routes: Routes = None,
) -> None:
    """Make a policy. It holds at once."""
    text = _text(file)
    with session.local(routes=routes) as local:
        tenant_id = session.tenant_id(local, tenant)
        made = local.act("policies create", tenant_id, lambda actor: local.policies.create(actor, name, text))
    session.out.one(made)


@command(app, "update")
def update(
    session: Session,
    policy_id: PolicyId,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The new text; else it stays.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="The new name; else it stays.")] = None,
    tenant: Tenant = None,
    routes: Routes = None,
) -> None:
    """Replace a policy's text or its name."""
    if file is None and name is None:
        raise typer.BadParameter("give a FILE, a --name or both.")
    text = None if file is None else _text(file)
    with session.local(routes=routes) as local:
        tenant_id = session.tenant_id(local, tenant)
        old = local.policies.get(local.reader(tenant_id), policy_id)
        changed = local.act(
            "policies update",
            tenant_id,
            lambda actor: local.policies.update(
                actor, policy_id, old.name if name is None else name, old.text if text is None else text
            ),
        )
    session.out.one(changed)


@command(app, "delete")
def delete(session: Session, policy_id: PolicyId, tenant: Tenant = None) -> None:
    """Delete a policy: the way back in for a tenant that has locked itself out."""
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)
        local.act("policies delete", tenant_id, lambda actor: local.policies.delete(actor, policy_id))
    if session.out.as_json:
        session.out.document({"id": policy_id, "status": "deleted"})
    else:
        session.out.line(f"Deleted {policy_id}.")


@command(app, "test")
def test(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML with cases; docs/policies.md describes it.")],
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME_OR_ID", help="Test what this tenant has stored.")
    ] = None,
    policies: Annotated[
        Path | None, typer.Option("--policies", metavar="DIRECTORY", help="Test the .cedar files in there.")
    ] = None,
) -> None:
    """Say whether policies decide as expected; exit with 1 where they do not. Needs no data directory."""
    if tenant is not None and policies is not None:
        raise typer.BadParameter("give --tenant or --policies, not both.", param_hint="--policies")
    stored = None if tenant is None else _stored(session, tenant)
    outcomes = session.ports.test_policies(file, policies, stored)
    failed = sum(not outcome.passed for outcome in outcomes)
    if session.out.as_json:
        session.out.document({"data": outcomes, "passed": len(outcomes) - failed, "failed": failed})
    else:
        for outcome in outcomes:
            session.out.line(_line(outcome))
        session.out.line(f"{len(outcomes) - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(FAILED)


def _stored(session: Session, tenant: str) -> list[PolicyText]:
    """The oldest first, as a server judges by them."""
    with session.local() as local:
        actor = local.reader(session.tenant_id(local, tenant))
        policies = everything(lambda limit, cursor: local.policies.list(actor, limit, cursor))
    return [PolicyText(policy.name, policy.text) for policy in reversed(policies)]


def _line(outcome: CaseOutcome) -> str:
    if outcome.passed:
        return f"ok      {outcome.name}"
    decided = " ".join(filter(None, (outcome.decision, outcome.policy, outcome.reason, outcome.missing)))
    return f"FAILED  {outcome.name}: expected {outcome.expected}, decided {decided}"


def _text(file: Path) -> str:
    with file.open("rb") as opened:
        data = opened.read(_LARGEST + 1)
    try:
        # What is too large is refused as such, not for the character that the cut has halved.
        return data.decode(errors="strict" if len(data) <= _LARGEST else "replace")
    except UnicodeDecodeError:
        raise InvalidInput("the file is not UTF-8", code="policy_invalid", field="text") from None
