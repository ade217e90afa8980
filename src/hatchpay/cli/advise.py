"""`hatchpay advise`: what keys and roles hold that nobody used, and taking it away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from hatchpay.cli.options import Tenant
from hatchpay.cli.output import Output
from hatchpay.cli.role_names import role_ids
from hatchpay.cli.session import Session, command
from hatchpay.errors import Conflict

if TYPE_CHECKING:
    from hatchpay.admin.advice_views import AdviceOverview, AppliedAdvice, KeyAdvice, RoleAdvice
    from hatchpay.admin.views import Actor

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    @command(app, "advise")
    def advise(
        session: Session,
        key: Annotated[str | None, typer.Option("--key", metavar="ID", help="Advise on this key.")] = None,
        role: Annotated[
            str | None,
            typer.Option(
                "--role", metavar="ROLE", help="Advise on this role, name or id; with --key and --apply, attach it."
            ),
        ] = None,
        days: Annotated[
            int, typer.Option("--days", metavar="N", min=1, max=365, help="How many days of the record to look at.")
        ] = 30,
        apply: Annotated[
            bool, typer.Option("--apply", help="Take away what was not used, unless that breaks what was.")
        ] = False,
        force: Annotated[bool, typer.Option("--force", help="Apply even where the confidence is low.")] = False,
        tenant: Tenant = None,
    ) -> None:
        """Say what keys and roles hold that nobody used, and take it away with --apply."""
        if apply:
            _apply(session, tenant, key, role, days, force)
            return
        if force:
            raise typer.BadParameter("goes with --apply.", param_hint="--force")
        if key is not None and role is not None:
            raise typer.BadParameter("give --key or --role, not both, unless with --apply.", param_hint="--role")
        with session.local() as local:
            actor = local.reader(session.tenant_id(local, tenant))
            if key is not None:
                of_key = local.advice.of_key(actor, key, days)
                _show_one(session.out, of_key, dict.fromkeys(of_key.used_by_this_key_only, of_key.name))
            elif role is not None:
                of_role = local.advice.of_role(actor, role_ids(local, actor, [role])[0], days)
                only = {one.permission: one.key_name for one in of_role.used_by_one_key_only}
                _show_one(session.out, of_role, only)
            else:
                _show_all(session.out, local.advice.of_all(actor, days))


def _apply(session: Session, tenant: str | None, key: str | None, role: str | None, days: int, force: bool) -> None:
    # Its module is needed by nothing else here, and costs a help text its time.
    from hatchpay.admin.advice_views import AdviceWish

    if key is None and role is None:
        raise typer.BadParameter("say to what: --key ID or --role ROLE.", param_hint="--apply")
    with session.local() as local:
        tenant_id = session.tenant_id(local, tenant)

        def take_away(actor: Actor) -> AppliedAdvice:
            role_id = None if role is None else role_ids(local, actor, [role])[0]
            return local.advice.apply(actor, AdviceWish(key_id=key, role_id=role_id, days=days, force=force))

        try:
            done = local.act("advise", tenant_id, take_away)
        except Conflict as error:
            if error.code != "observation_too_short":
                raise
            raise Conflict(f"{error.detail}; --force applies it anyway", code="observation_too_short") from None
    if session.out.as_json:
        session.out.document(done)
        return
    verb = "made" if done.created else "attached" if done.key_id else "reduced"
    session.out.line(f"Role {done.role.name} ({done.role.id}) {verb}: {', '.join(done.role.permissions)}")
    session.out.line(f"Permissions: {done.permissions_before} before, {done.permissions_after} after.")


def _show_all(out: Output, advice: AdviceOverview) -> None:
    if out.as_json:
        out.document(advice)
        return
    out.listing(
        advice.data,
        {
            "key": lambda line: line.key_id,
            "name": lambda line: line.name,
            "roles": lambda line: line.roles,
            "held": lambda line: line.held,
            "unused": lambda line: line.unused,
            "requests": lambda line: line.requests,
            "confidence": lambda line: line.confidence,
            "last_used_at": lambda line: line.last_used_at,
            "findings": lambda line: [finding.code for finding in line.findings],
        },
    )
    left_out = advice.with_findings - len(advice.data)
    out.line(f"{advice.with_findings} of {advice.key_count} keys, {advice.days} days.")
    if left_out:
        out.line(f"{left_out} more are not shown; mend these first.")


def _show_one(out: Output, advice: KeyAdvice | RoleAdvice, only: Mapping[str, str]) -> None:
    """`only` says of a permission which one key has used it."""
    if out.as_json:
        out.document(advice)
        return
    seen = f"{advice.requests} requests in {advice.observed_days} days"
    out.line(f"{advice.name}: {seen}, confidence {advice.confidence}")
    out.line("")
    evidence = {use.permission: use for use in advice.used}
    out.listing(
        [(name, evidence.get(name)) for name in advice.held],
        {
            "permission": lambda row: row[0],
            "count": lambda row: row[1].count if row[1] else 0,
            "first_used_at": lambda row: row[1].first_used_at if row[1] else None,
            "last_used_at": lambda row: row[1].last_used_at if row[1] else None,
            "used_only_by": lambda row: only.get(row[0]),
        },
    )
    out.line("")
    for finding in advice.findings:
        out.line(f"{finding.code}: {finding.detail}")
    if advice.smallest_role is not None:
        smallest = advice.smallest_role
        out.line(
            f"Smallest existing role: {smallest.name} ({smallest.id}), {smallest.unused} of its permissions unused"
        )
    if advice.proposed_role is not None:
        out.line(f"Proposed role: {advice.proposed_role.name}: {', '.join(advice.proposed_role.permissions)}")
