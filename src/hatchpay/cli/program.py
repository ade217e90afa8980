"""The whole command, put together."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hatchpay.cli import (
    advise,
    audit,
    doctor,
    explain,
    export,
    keys,
    operator,
    pepper,
    permissions,
    policies,
    rehearse,
    roles,
    routes,
    serve,
    settings,
    signing_keys,
    tenants,
    token,
    verify,
    witness,
)
from hatchpay.cli.options import Config, DataDirectory
from hatchpay.cli.output import write
from hatchpay.cli.ports import Ports
from hatchpay.cli.session import Common

__all__ = ["build"]


def build(ports: Ports) -> typer.Typer:
    """`hatchpay`, working with what `ports` gives it. Run it with cli.errors.run."""
    app = typer.Typer(
        cls=_Discreet,
        help="Who is calling an API, may they, and a durable record of every request.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )

    @app.callback()
    def start(
        ctx: typer.Context,
        data_dir: DataDirectory = None,
        config: Config = None,
        _version: Annotated[
            bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        ctx.obj = Common(ports, data_dir, config)

    serve.register(app)
    verify.register(audit.app)
    nouns = {
        "operator": operator.app,
        "tenants": tenants.app,
        "keys": keys.app,
        "roles": roles.app,
        "permissions": permissions.app,
        "policies": policies.app,
        "routes": routes.app,
        "audit": audit.app,
        "pepper": pepper.app,
        "token": token.app,
        "signing-keys": signing_keys.app,
        "witness": witness.app,
    }
    for name, noun in nouns.items():
        app.add_typer(noun, name=name, no_args_is_help=True)
    export.register(audit.app)
    rehearse.register(app)
    explain.register(app)
    advise.register(app)
    doctor.register(app)
    settings.register(app)
    return app


class _Discreet(TyperGroup):
    """A usage error repeats what it does not understand, and that may be a key or a token in the wrong place."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            context = getattr(error, "ctx", None)
            if context is None or error.message != context.get_help():
                # Imported only here: a help text needs none of it.
                from hatchpay.audit.redact import redact_text

                error.message = redact_text(error.message)
            raise


def _show_version(wanted: bool) -> None:
    if wanted:
        write(f"hatchpay {version('hatchpay')}\n")
        raise typer.Exit
