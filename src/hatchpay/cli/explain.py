"""`hatchpay explain`: what a caller may, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import msgspec
import typer

from hatchpay.cli import options
from hatchpay.cli.errors import FAILED
from hatchpay.cli.options import Tenant
from hatchpay.cli.output import Output
from hatchpay.cli.session import Session, command
from hatchpay.errors import NotFound

if TYPE_CHECKING:
    from hatchpay.access.explain import Step
    from hatchpay.admin.explain_views import ExplanationView

__all__ = ["register"]

_LARGEST_BODY: Final = 16 * 1024 * 1024
_METHODS: Final = ("api_key", "token")
_TOLD: Final = {"check", "outcome", "detail"}


def register(app: typer.Typer) -> None:
    @command(app, "explain")
    def explain(
        session: Session,
        principal: Annotated[
            str, typer.Argument(metavar="PRINCIPAL", help="The id of a key, or user:ID for a user of a trusted issuer.")
        ],
        method: Annotated[str, typer.Argument(metavar="METHOD", parser=options.method)],
        path: Annotated[str, typer.Argument(metavar="PATH", help="As callers send it, with the query.")],
        body: Annotated[
            str | None, typer.Option("--body", metavar="FILE", help="The JSON body; - reads standard input.")
        ] = None,
        ip: Annotated[
            str | None,
            typer.Option("--ip", metavar="ADDRESS", parser=options.address, help="Where the request comes from."),
        ] = None,
        time: Annotated[
            int | None, typer.Option("--time", metavar="TIME", parser=options.moment, help="When it comes; else now.")
        ] = None,
        method_of_auth: Annotated[
            str | None,
            typer.Option("--method-of-auth", metavar="api_key|token", help="By default a key itself.", parser=_way),
        ] = None,
        token_age: Annotated[
            int | None, typer.Option("--token-age", metavar="SECONDS", min=0, help="How old the token is.")
        ] = None,
        role: Annotated[
            list[str] | None,
            typer.Option(
                "--role", metavar="NAME", help="A role that the user's token names; once for each. Else the last seen."
            ),
        ] = None,
        issuer_id: Annotated[
            str | None, typer.Option("--issuer-id", metavar="ID", help="That of the user's token. Else the last seen.")
        ] = None,
        routes: Annotated[
            Path | None,
            typer.Option("--routes", metavar="FILE", help="The API's route table; else that of the settings."),
        ] = None,
        tenant: Tenant = None,
    ) -> None:
        """Say whether a caller may send a request, and why, without sending it; exits with 1 where it is denied."""
        # Behind its types is all of authentication, which no help text needs.
        from hatchpay.admin.explain_views import Circumstances, Question

        question = Question(
            principal=principal,
            method=method,
            path=path,
            body=None if body is None else _read(body),
            context=Circumstances(
                client_ip=ip,
                time_us=time,
                authentication_method=cast(Literal["api_key", "token"] | None, method_of_auth),
                token_age_s=token_age,
                roles=tuple(role) if role else None,
                issuer_id=issuer_id,
            ),
        )
        with session.local() as local:
            tenant_id = session.tenant_id(local, tenant)
            try:
                found = local.explain(tenant_id, question, routes)
            except NotFound as error:
                # Whom nobody knows is wrong input, and must not look like a denial.
                raise typer.BadParameter(_unknown(principal, error)) from None
        if session.out.as_json:
            session.out.document(found)
        else:
            _print(session.out, found)
        if found.decision == "deny":
            raise typer.Exit(FAILED)


def _unknown(principal: str, error: NotFound) -> str:
    if error.code != "principal_unknown":
        return f"{error.detail}."
    key = "" if principal.startswith("user:") else "there is no key of this id, and "
    return f"{key}no user of this id has called; for a user, say --role and --issuer-id."


def _print(out: Output, found: ExplanationView) -> None:
    out.line(f"{found.decision}: {found.reason}{'' if found.rule is None else f', by {found.rule}'}")
    if found.missing is not None:
        out.line(f"missing {found.missing}")
        for role in found.roles_that_grant:
            out.line(f"granted by {role.name} ({role.id}), with {role.more_permissions} permissions more")
    out.line("")
    out.listing(
        found.trace,
        {
            "check": lambda step: step.check,
            "outcome": lambda step: step.outcome,
            "detail": lambda step: step.detail,
            "facts": _facts,
        },
    )


def _facts(step: Step) -> str:
    facts = {name: value for name, value in msgspec.to_builtins(step).items() if name not in _TOLD}
    return ", ".join(
        f"{name} {' '.join(value) or '-' if isinstance(value, list | tuple) else value}"
        for name, value in facts.items()
    )


def _way(text: str) -> str:
    if text not in _METHODS:
        raise typer.BadParameter("api_key or token.")
    return text


def _read(name: str) -> bytes:
    if name == "-":
        if sys.stdin is None:
            raise typer.BadParameter("standard input is closed.", param_hint="--body")
        data = sys.stdin.buffer.read(_LARGEST_BODY + 1)
    else:
        with Path(name).open("rb") as file:
            data = file.read(_LARGEST_BODY + 1)
    if len(data) > _LARGEST_BODY:
        raise typer.BadParameter("a body holds at most 16 MiB.", param_hint="--body")
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        readable = False
    else:
        readable = True
    if not readable:
        raise typer.BadParameter("the body is not JSON.", param_hint="--body")
    return data
