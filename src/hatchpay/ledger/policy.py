"""How many of the known witnesses must have cosigned a checkpoint before it counts: k of n."""

from __future__ import annotations

import msgspec

from hatchpay.errors import InvalidProof
from hatchpay.ledger import note
from hatchpay.ledger.cosignature import WitnessKey, timestamp_of
from hatchpay.ledger.note import Note

__all__ = ["NO_WITNESSES", "Cosigned", "WitnessPolicy", "cosigners"]


class WitnessPolicy(msgspec.Struct, frozen=True):
    """`quorum` of `witnesses`. One key under two names would count twice, so a key stands once."""

    witnesses: tuple[WitnessKey, ...] = ()
    quorum: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.quorum <= len(self.witnesses):
            raise InvalidProof("the quorum is from 0 to the number of witnesses", code="policy_invalid")
        if len({witness.public for witness in self.witnesses}) != len(self.witnesses):
            raise InvalidProof("a witness stands twice", code="policy_invalid")


NO_WITNESSES = WitnessPolicy()


class Cosigned(msgspec.Struct, frozen=True):
    """A witness that has cosigned, and when, in seconds since the epoch by its own clock."""

    witness: WitnessKey
    timestamp: int


def cosigners(opened: Note, policy: WitnessPolicy) -> tuple[Cosigned, ...]:
    """The known witnesses that have cosigned a checkpoint.

    Raises InvalidProof: signature_invalid where one of them is wrong, witnesses_missing where they are too few.
    """
    found = note.verified_by(opened, policy.witnesses)
    if len(found) < policy.quorum:
        raise InvalidProof("too few of the known witnesses have cosigned the checkpoint", code="witnesses_missing")
    return tuple(Cosigned(key, timestamp_of(opened, key)) for key in found)
