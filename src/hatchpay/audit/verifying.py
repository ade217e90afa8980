"""What verifying a whole trail tells: how far it is, what is wrong first, and what holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import msgspec

__all__ = ["Flaw", "FlawKind", "Holds", "Progress", "TrailVerifier", "VerifyWish"]

FlawKind = Literal[
    "altered", "inserted", "removed", "reordered", "cut_off", "rewritten", "erased_without_trace", "damaged"
]
"""`damaged` is a file of the log; `rewritten` a tree that is not the one a held checkpoint speaks of."""


class VerifyWish(msgspec.Struct, frozen=True, kw_only=True):
    """`tenant_id` None: every tenant's. `from_us`: records that began before are not looked at, only their hashes.

    `deep` looks besides at what nothing depends on: the databases' own integrity. `keys` are vkeys that the checkpoints
    must be signed by, itself or through statements of succession; none: the keys that the trail itself names.
    `held` are checkpoints, signed notes, that somebody else has kept: a witness, or whoever has a receipt.
    """

    tenant_id: str | None = None
    from_us: int | None = None
    deep: bool = False
    keys: tuple[str, ...] = ()
    held: tuple[bytes, ...] = ()


class Progress(msgspec.Struct, frozen=True):
    """Leaves looked at, of how many."""

    done: int
    total: int


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that is wrong in a tenant's trail. What is not known of it is None."""

    kind: FlawKind
    tenant_id: str
    detail: str
    leaf_index: int | None = None
    seq: int | None = None
    request_id: str | None = None


class Holds(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's trail that is whole: `size` leaves up to the checkpoint, and `unsealed` records behind it."""

    tenant_id: str
    origin: str
    vkey: str
    size: int
    root: bytes
    unsealed: int
    held_size: int


class TrailVerifier(Protocol):
    def verify(self, wish: VerifyWish) -> Iterator[Progress | Flaw | Holds]:
        """One Flaw or one Holds for each tenant. Raises AuditUnavailable, and InvalidProof for keys that are none."""
        ...


Outcomes = Sequence[Flaw | Holds]
