"""`hatchpay witness`: a witness of logs, run by somebody whom the log's owner cannot tell what to sign."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from hatchpay.cli.session import Session, command

__all__ = ["app"]

app: Final = typer.Typer(help="A witness: cosigns the checkpoints of logs that never show two histories.")

KeyName = Annotated[
    str, typer.Option("--key-name", metavar="NAME", help="The witness's own name, such as witness.example/w1.")
]


@command(app, "serve", json=False)
def serve(
    session: Session,
    key_name: KeyName,
    log: Annotated[list[str], typer.Option("--log", metavar="VKEY", help="A log's public key; repeatable.")],
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to serve; port 0 takes a free one.")
    ] = "127.0.0.1:8500",
) -> None:
    """Serve the witness until told to stop; its key and state are in the data directory."""
    session.ports.serve_witness(session.settings().data_dir, key_name, listen, log, session.out.line)


@command(app, "vkey", json=False)
def vkey(session: Session, key_name: KeyName) -> None:
    """Print the witness's public key; the first time, it is made."""
    session.out.line(session.ports.witness_vkey(session.settings().data_dir, key_name))
