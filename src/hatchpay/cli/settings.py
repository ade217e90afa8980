"""`hatchpay settings`: every setting, its value and where that comes from."""

from __future__ import annotations

import typer

from hatchpay.cli.session import Session, command
from hatchpay.settings import describe

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    @command(app, "settings")
    def settings(session: Session) -> None:
        """List every setting, its value and where that comes from. A secret is never shown."""
        described = describe(*session.settings_with_sources())
        session.out.listing(
            described,
            {
                "name": lambda setting: setting.name,
                "variable": lambda setting: setting.variable,
                "value": lambda setting: setting.value,
                "source": lambda setting: setting.source,
                "default": lambda setting: setting.default,
                "description": lambda setting: setting.description,
            },
        )
