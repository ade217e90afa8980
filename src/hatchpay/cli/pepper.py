"""`hatchpay pepper`: the secrets under which keys are hashed."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from hatchpay.cli.session import Session, command

__all__ = ["app"]

app: Final = typer.Typer(help="Peppers: the secrets under which keys are hashed.")


@command(app, "list")
def list_all(session: Session) -> None:
    """List the versions, and how many secrets are under each. Never the peppers."""
    with session.local() as local:
        versions = local.peppers()
    session.out.listing(
        versions,
        {
            "version": lambda pepper: pepper.version,
            "current": lambda pepper: pepper.current,
            "secrets": lambda pepper: pepper.secrets,
        },
    )


@command(app, "rotate")
def rotate(session: Session) -> None:
    """Make a new pepper. Each key is hashed anew at its next use; hatchpay doctor lists the rest."""
    with session.local() as local:
        version = local.rotate_pepper()
    if session.out.as_json:
        session.out.document({"version": version})
    else:
        session.out.line(f"Pepper {version} is current.")


@command(app, "retire")
def retire(session: Session, version: Annotated[int, typer.Argument(metavar="VERSION", min=1)]) -> None:
    """Destroy an old pepper, and disable the keys whose secret is still under it."""
    with session.local() as local:
        disabled = local.retire_pepper(version)
    if session.out.as_json:
        session.out.document({"version": version, "disabled_key_ids": disabled})
        return
    session.out.line(f"Pepper {version} is gone. Keys disabled by that: {len(disabled)}")
    for key_id in disabled:
        session.out.line(key_id)
