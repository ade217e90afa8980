"""`hatchpay serve`: the control API and a protected ASGI application, on one address."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hatchpay.cli.session import Session, command

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    @command(app, "serve", json=False)
    def serve(
        session: Session,
        application: Annotated[
            str | None,
            typer.Argument(metavar="[APP]", help="The application to protect, as module:attribute."),
        ] = None,
        host: Annotated[str | None, typer.Option("--host", metavar="ADDRESS")] = None,
        port: Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="0 takes a free one.")] = None,
        admin_host: Annotated[
            str | None, typer.Option("--admin-host", metavar="ADDRESS", help="Of health checks and metrics.")
        ] = None,
        admin_port: Annotated[
            int | None, typer.Option("--admin-port", min=0, max=65_535, help="Of health checks and metrics.")
        ] = None,
        routes: Annotated[
            Path | None,
            typer.Option("--routes", metavar="FILE", help="TOML file with the application's route table."),
        ] = None,
        tls_cert: Annotated[
            Path | None, typer.Option("--tls-cert", metavar="FILE", help="PEM, with its chain.")
        ] = None,
        tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="PEM.")] = None,
        trusted_proxy: Annotated[
            list[str] | None,
            typer.Option("--trusted-proxy", metavar="NETWORK", help="Its forwarding headers count; repeatable."),
        ] = None,
    ) -> None:
        """Serve the control API, and APP behind it, until told to stop."""
        settings = session.settings(
            host=host,
            port=port,
            admin_host=admin_host,
            admin_port=admin_port,
            routes=routes,
            tls_cert=tls_cert,
            tls_key=tls_key,
            trusted_proxies=trusted_proxy or None,
        )
        session.ports.serve(settings, application, session.out.line)
