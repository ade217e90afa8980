"""`hatchpay signing-keys`: the keys that sign our own tokens."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from hatchpay.cli.session import Session, command
from hatchpay.ids import PLATFORM_TENANT_ID

__all__ = ["app"]

_PUBLISH_FOR_S: Final = 600
_DASHED_KID: Final = re.compile("-[A-Za-z0-9_-]{42}")


class _Kids(TyperGroup):
    """A kid is a thumbprint, and one in 64 starts with a dash; that makes it no option."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, verb, given = super().resolve_command(ctx, args)
        kids = [] if "--" in given else list(filter(_DASHED_KID.fullmatch, given))
        if kids:
            given = [text for text in given if text not in kids] + ["--", *kids]
        return name, verb, given


app: Final = typer.Typer(help="Signing keys: the keys that sign tokens.", cls=_Kids)


class Algorithm(StrEnum):
    """For Typer, which knows no better way to offer a choice."""

    EdDSA = "EdDSA"
    ES256 = "ES256"
    RS256 = "RS256"


@command(app, "list")
def list_all(session: Session) -> None:
    """List the keys, the newest signer first. Never their private halves."""
    with session.local() as local:
        keys = local.signing_keys.list()
    session.out.listing(
        keys,
        {
            "kid": lambda key: key.kid,
            "algorithm": lambda key: key.algorithm,
            "status": lambda key: key.status,
            "signs_from": lambda key: key.signs_from,
            "ends_at": lambda key: key.ends_at,
        },
    )


@command(app, "rotate")
def rotate(
    session: Session,
    algorithm: Annotated[Algorithm, typer.Option("--algorithm")] = Algorithm.EdDSA,
    publish_for: Annotated[
        int,
        typer.Option(
            "--publish-for",
            metavar="SECONDS",
            min=0,
            help="How long it is published before it signs, so that whoever verifies has it by then; 0: signs at once.",
        ),
    ] = _PUBLISH_FOR_S,
) -> None:
    """Make a new key. The old one is published until the last token that it has signed has ended."""
    with session.local() as local:
        made = local.act(
            "signing-keys rotate",
            PLATFORM_TENANT_ID,
            lambda actor: local.signing_keys.rotate(actor, algorithm.value, publish_for),
        )
    session.out.one(made)


@command(app, "retire")
def retire(
    session: Session,
    kid: Annotated[str, typer.Argument(metavar="KID", help="As hatchpay signing-keys list shows it.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even the one that signs now; servers issue no token then until you rotate.")
    ] = False,
) -> None:
    """End a key and all tokens that it has signed, at once."""
    with session.local() as local:
        retired = local.act(
            "signing-keys retire",
            PLATFORM_TENANT_ID,
            lambda actor: local.signing_keys.retire(actor, kid, force=force),
        )
    session.out.one(retired)
