"""`hatchpay audit verify`: whether a receipt holds, offline; or, without one, whether the whole log does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import msgspec
import typer

from hatchpay.cli import options
from hatchpay.cli.options import Tenant
from hatchpay.cli.session import Session, command
from hatchpay.cli.trail import verify_trail
from hatchpay.clock import format_time
from hatchpay.errors import InvalidProof

if TYPE_CHECKING:
    from hatchpay.ledger.policy import WitnessPolicy

__all__ = ["Proved", "register", "verify_receipt_command"]

Key = TypeVar("Key")
_LAST_S: Final = 253_402_300_799
_RECEIPT_ONLY: Final = "belongs to a receipt: name its file."
_TRAIL_ONLY: Final = "belongs to the whole record: name no receipt."


class Proved(msgspec.Struct, frozen=True):
    """What a receipt proves: the entry `index` of the log `origin`, which had `size` entries, is `leaf`.

    `cosigned` are the known witnesses that saw the log so, and when. The rest is None without a record file:
    `opened` are the parts of the record that the leaf's commitments prove, `withheld` those that it does not show, and
    `unproven` members that are in no leaf.
    """

    origin: str
    index: int
    size: int
    root: str
    leaf_hash: str
    cosigned: tuple[str, ...]
    leaf: str
    opened: tuple[str, ...] | None = None
    withheld: tuple[str, ...] | None = None
    unproven: tuple[str, ...] | None = None


def register(app: typer.Typer) -> None:
    @command(app, "verify")
    def verify(
        session: Session,
        receipt: Annotated[
            Path | None, typer.Argument(metavar="[RECEIPT]", help="A receipt's file; without one, the whole log.")
        ] = None,
        vkey: Annotated[
            list[str] | None, typer.Option("--vkey", metavar="VKEY", help="The log's public key, from whom you trust.")
        ] = None,
        keys: Annotated[
            Path | None, typer.Option("--keys", metavar="FILE", help="Statements of that key about its successors.")
        ] = None,
        witness: Annotated[
            list[str] | None, typer.Option("--witness", metavar="VKEY", help="A witness's public key; repeatable.")
        ] = None,
        quorum: Annotated[
            int | None,
            typer.Option("--quorum", metavar="K", min=0, help="So many of the witnesses; by default all of them."),
        ] = None,
        record: Annotated[
            Path | None, typer.Option("--record", metavar="FILE", help="The record, to compare with the leaf.")
        ] = None,
        from_: Annotated[
            int | None,
            typer.Option(
                "--from", metavar="TIME", parser=options.moment, help="Compare records of that time or later."
            ),
        ] = None,
        deep: Annotated[bool, typer.Option("--deep", help="Look also at the integrity of the database.")] = False,
        checkpoint: Annotated[
            list[Path] | None,
            typer.Option("--checkpoint", metavar="FILE", help="A checkpoint that a witness, or you, has kept."),
        ] = None,
        tenant: Tenant = None,
    ) -> None:
        """Check a receipt, offline; or the whole record: the first that was altered, inserted or removed is named.

        The exit code is 0 only where all of it holds.
        """
        of_trail = {"--from": from_, "--deep": deep, "--checkpoint": checkpoint, "--tenant": tenant}
        of_receipt = {"--keys": keys, "--witness": witness, "--record": record, "--quorum": quorum is not None}
        if receipt is not None:
            _refuse(of_trail, _TRAIL_ONLY)
            if vkey is None or len(vkey) != 1:
                raise typer.BadParameter("a receipt is checked against the log's one key.", param_hint="--vkey")
            verify_receipt_command(session, receipt, vkey[0], keys, witness or [], quorum, record)
            return
        _refuse(of_receipt, _RECEIPT_ONLY)
        verify_trail(session, tenant, from_, tuple(vkey or ()), tuple(checkpoint or ()), deep=deep)


def _refuse(given: Mapping[str, object], why: str) -> None:
    for name, value in given.items():
        if value:
            raise typer.BadParameter(why, param_hint=name)


def verify_receipt_command(
    session: Session,
    receipt: Path,
    vkey: str,
    keys: Path | None,
    witnesses: list[str],
    quorum: int | None,
    record: Path | None,
) -> None:
    """Print what is proved. Raises InvalidProof where it does not hold, BadParameter for a key that is none."""
    from hatchpay.ledger import base64
    from hatchpay.ledger.merkle import leaf_hash
    from hatchpay.ledger.note import VerifierKey
    from hatchpay.ledger.opening import open_leaf
    from hatchpay.ledger.receipt import verify_receipt
    from hatchpay.ledger.succession import follow, split_statements

    known = _parsed(VerifierKey.parse, vkey, "--vkey")
    policy = _policy(witnesses, quorum)
    chain = follow(known, split_statements(keys.read_bytes())) if keys else (known,)
    proved = verify_receipt(receipt.read_bytes(), chain, policy)
    opened = open_leaf(proved.leaf, record.read_bytes()) if record else None
    session.out.one(
        Proved(
            proved.origin,
            proved.index,
            proved.size,
            base64.encode(proved.root),
            base64.encode(leaf_hash(proved.leaf)),
            tuple(f"{one.witness.name} at {_moment(one.timestamp)}" for one in proved.cosigners),
            proved.leaf.decode("utf-8", "backslashreplace"),
            *((opened.shown, opened.withheld, opened.unproven) if opened else ()),
        )
    )


def _policy(witnesses: list[str], quorum: int | None) -> WitnessPolicy:
    from hatchpay.ledger.cosignature import WitnessKey
    from hatchpay.ledger.policy import WitnessPolicy

    known = tuple(_parsed(WitnessKey.parse, text, "--witness") for text in witnesses)
    try:
        return WitnessPolicy(known, len(known) if quorum is None else quorum)
    except InvalidProof as error:
        raise typer.BadParameter(f"{error.detail}.", param_hint="--quorum") from None


def _moment(seconds: int) -> str:
    """A witness may have any clock, and RFC 3339 ends with the year 9999."""
    return format_time(seconds * 1_000_000) if seconds <= _LAST_S else f"{seconds} s"


def _parsed(parse: Callable[[str], Key], text: str, option: str) -> Key:
    try:
        return parse(text)
    except InvalidProof as error:
        raise typer.BadParameter(f"{error.detail}.", param_hint=option) from None
