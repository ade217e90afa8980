"""The whole command, put together."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from hatchpay.cli import audit, doctor, keys, operator, pepper, permissions, roles, serve, settings, tenants
from hatchpay.cli.options import Config, DataDirectory
from hatchpay.cli.output import write
from hatchpay.cli.ports import Ports
from hatchpay.cli.session import Common

__all__ = ["build"]


def build(ports: Ports) -> typer.Typer:
    """`hatchpay`, working with what `ports` gives it. Run it with cli.errors.run."""
    app = typer.Typer(
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
    nouns = {
        "operator": operator.app,
        "tenants": tenants.app,
        "keys": keys.app,
        "roles": roles.app,
        "permissions": permissions.app,
        "audit": audit.app,
        "pepper": pepper.app,
    }
    for name, noun in nouns.items():
        app.add_typer(noun, name=name, no_args_is_help=True)
    doctor.register(app)
    settings.register(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        write(f"hatchpay {version('hatchpay')}\n")
        raise typer.Exit
