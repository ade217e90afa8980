"""`hatchpay rehearse`: what a change of access would do to recorded requests, as a diff by principal and route."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hatchpay.cli import options
from hatchpay.cli.errors import FAILED
from hatchpay.cli.options import Tenant
from hatchpay.cli.output import Output
from hatchpay.cli.ports import Local
from hatchpay.cli.role_names import role_ids
from hatchpay.cli.session import Session, command
from hatchpay.errors import HatchPayError, InvalidInput

if TYPE_CHECKING:
    from hatchpay.admin.rehearsal_views import Change, DifferenceGroup, RehearsalView
    from hatchpay.admin.rehearse import Rehearsal
    from hatchpay.admin.views import Actor

__all__ = ["register"]

_UNKNOWN_ROUTES: Final = "route_no_longer_listed"
_OPTIONS: Final = {
    "change.key_id": "--key",
    "change.role_ids": "--roles",
    "change.role_id": "--role",
    "change.permissions": "--permissions",
    "change.policy": "--policy",
    "change.policy.name": "--policy",
    "change.policy.text": "--policy",
    "from": "--from",
}
"""By the field that a refusal names."""


def register(app: typer.Typer) -> None:
    @command(app, "rehearse")
    def rehearse(
        session: Session,
        key: Annotated[str | None, typer.Option("--key", metavar="ID", help="A key, with --roles.")] = None,
        roles: Annotated[
            str | None,
            typer.Option("--roles", metavar="ROLE,…", help="All that it would hold, names or ids; '' for none."),
        ] = None,
        role: Annotated[
            str | None, typer.Option("--role", metavar="ROLE", help="A custom role, name or id, with --permissions.")
        ] = None,
        permissions: Annotated[
            str | None,
            typer.Option("--permissions", metavar="NAME,…", help="All that it would hold; '' for none."),
        ] = None,
        policy: Annotated[
            tuple[str, Path] | None,
            typer.Option("--policy", metavar="NAME FILE", help="A policy, new or in the place of that name's."),
        ] = None,
        from_: Annotated[
            int | None,
            typer.Option("--from", metavar="TIME", parser=options.moment, help="Else 30 days before --to."),
        ] = None,
        to: Annotated[
            int | None, typer.Option("--to", metavar="TIME", parser=options.moment, help="Before then; else now.")
        ] = None,
        routes: Annotated[
            Path | None,
            typer.Option("--routes", metavar="FILE", help="The application's route table; else HATCHPAY_ROUTES."),
        ] = None,
        tenant: Tenant = None,
    ) -> None:
        """Try a change of access on recorded requests; exit with 1 where it would break what was used."""
        settings = session.settings(routes=routes)
        with _failing_as_input(), session.ports.open_local(settings, create=False) as local:
            actor = local.reader(session.tenant_id(local, tenant))
            change = _change(local, actor, (key, roles, role, permissions, policy))
            rehearsal = local.rehearsals.prepare(actor, change, from_, to)
            _run(rehearsal)
            result = rehearsal.result()
        if settings.routes is None and _UNKNOWN_ROUTES in result.skipped:
            raise typer.BadParameter(
                "there are recorded requests to the application, whose route table is not known.",
                param_hint="--routes",
            )
        _show(session.out, result)
        if result.denied.count:
            raise typer.Exit(FAILED)


def _change(
    local: Local,
    actor: Actor,
    wanted: tuple[str | None, str | None, str | None, str | None, tuple[str, Path] | None],
) -> Change:
    """Raises BadParameter unless exactly one change is asked for, or where its file cannot be read."""
    from hatchpay.admin.rehearsal_views import KeyRoles, PolicyText, RolePermissions

    match wanted:
        case (str() as key, str() as roles, None, None, None):
            return KeyRoles(key, role_ids(local, actor, _parts(roles)))
        case (None, None, str() as role, str() as permissions, None):
            return RolePermissions(role_ids(local, actor, [role])[0], _parts(permissions))
        case (None, None, None, None, (name, file)):
            return PolicyText(name, _content(file))
    raise typer.BadParameter("give exactly one: --key with --roles, --role with --permissions, or --policy.")


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text.strip() else ()


def _content(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise typer.BadParameter("the file cannot be read, or is not UTF-8.", param_hint="--policy") from None


def _run(rehearsal: Rehearsal) -> None:
    """With a progress bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        for _ in rehearsal.steps():
            pass
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Rehearsing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        for _ in rehearsal.steps():
            bar.update(task, completed=rehearsal.done, total=rehearsal.total)


def _show(out: Output, result: RehearsalView) -> None:
    if out.as_json:
        out.document(result)
        return
    out.line(f"--- as it is, {result.from_} to {result.to}")
    out.line("+++ with the change")
    callers: dict[str, list[str]] = {}
    for sign, differences in (("-", result.denied), ("+", result.allowed)):
        for group in differences.groups:
            callers.setdefault(_caller(group), []).append(f"{sign} {_line(group)}")
    for caller, lines in callers.items():
        out.line(f"@@ {caller} @@")
        for line in lines:
            out.line(line)
    for verb, differences in (("denied", result.denied), ("allowed", result.allowed)):
        if differences.more_groups:
            out.line(f"{differences.more_groups} more groups would be {verb}.")
    out.line(
        f"Of {result.requests} requests, {result.denied.count} would be denied and {result.allowed.count} allowed; "
        f"{result.undecided} are undecided{_because(result.undecided_because)}, "
        f"{sum(result.skipped.values())} skipped{_because(result.skipped)}."
    )


def _caller(group: DifferenceGroup) -> str:
    return group.principal_id if group.name is None else f"{group.name} {group.principal_id}"


def _line(group: DifferenceGroup) -> str:
    why = group.reason if group.missing is None else f"{group.reason} {group.missing}"
    return f"{group.method} {group.route} ×{group.count}: {why}, such as {group.samples[0]}"


def _because(reasons: dict[str, int]) -> str:
    return f" ({', '.join(f'{reason} {count}' for reason, count in reasons.items())})" if reasons else ""


@contextmanager
def _failing_as_input() -> Iterator[None]:
    """1 is to mean that something would break, and nothing else."""
    try:
        yield
    except HatchPayError as error:
        field = error.field and _OPTIONS.get(error.field, error.field)
        raise InvalidInput(error.detail, code=error.code, field=field, line=error.line, column=error.column) from None
