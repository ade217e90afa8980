"""What shipping a stream asks of storage and of the network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from hatchpay.audit.stream.row import StreamRow

__all__ = [
    "Backlog",
    "BacklogReader",
    "Courier",
    "CourierFor",
    "DeadLetter",
    "Message",
    "Outcome",
    "OutcomeKind",
    "StreamCondition",
    "StreamHealth",
    "StreamSource",
    "StreamState",
    "StreamStates",
]

OutcomeKind = Literal["delivered", "failed", "rejected", "gone"]
StreamCondition = Literal["ok", "backing_off", "stopped"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent at once: `count` events, of which the records `first_seq` and `last_seq` are the outermost. `id` is
    that of a webhook's only event; `oldest_us` when the oldest of its records was complete.
    """

    payload: bytes
    count: int
    first_seq: int
    last_seq: int
    oldest_us: int
    id: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one try. `failed` may succeed later whatever was sent; `rejected` is what the receiver will not take
    of this message; `gone` is a receiver that wants nothing any more. `code` says why, `status` is that of HTTP.

    Of a delivered message, `refused` counts the records that the receiver has said not to have taken.
    """

    kind: OutcomeKind
    code: str | None = None
    status: int | None = None
    retry_after_s: float | None = None
    refused: int = 0


class Courier(Protocol):
    """Carries the messages of one stream, one at a time, and keeps its connection between them."""

    async def deliver(self, message: Message) -> Outcome:
        """Ends within the time that a try may take, and raises nothing but what cancels it."""
        ...

    def close(self) -> None: ...


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stream has come. Everything up to `cursor` has been dealt with: delivered, not asked for, or a dead
    letter. `failures` counts the tries that failed in a row, `failed` all of them; `retry_us` is when the next one is
    due. Times in microseconds since the epoch.
    """

    cursor: int
    delivered: int = 0
    failed: int = 0
    failures: int = 0
    last_success_us: int | None = None
    last_error: str | None = None
    last_error_us: int | None = None
    last_status: int | None = None
    retry_us: int | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Records that were given up: `count` of those from `first_seq` to `last_seq`. They stay in the ledger."""

    stream_id: str
    first_seq: int
    last_seq: int
    count: int
    code: str
    at_us: int


class StreamHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a stream goes. `lag_records` wait, counted up to a limit; the oldest of them has for `lag_seconds`.
    `dead_letters` counts the records that were given up, `failed` the tries that failed.
    """

    state: StreamCondition
    lag_records: int
    lag_seconds: float
    delivered: int = 0
    dead_letters: int = 0
    failed: int = 0
    last_success_us: int | None = None
    last_error: str | None = None
    last_error_us: int | None = None
    last_status: int | None = None
    retry_us: int | None = None


class StreamStates(Protocol):
    """Storage of states. Every call raises AuditUnavailable where it cannot be used."""

    def load(self) -> dict[str, StreamState]:
        """By the streams' ids; those without are new."""
        ...

    def save(self, states: Mapping[str, StreamState], dead_letters: Sequence[DeadLetter], now: int) -> None:
        """All of it or nothing; a cursor never goes back. `now` shows that somebody ships."""
        ...

    def forget(self, known: Collection[str]) -> None:
        """All streams but these."""
        ...


class StreamSource(Protocol):
    def version(self) -> object:
        """Differs once any stream may have changed. Raises DirectoryUnavailable."""
        ...

    def streams(self) -> list[StreamRow]:
        """Of every tenant, disabled ones included. Raises DirectoryUnavailable."""
        ...


class Backlog(msgspec.Struct, frozen=True):
    """How many records wait, up to the limit that was asked with, and when the oldest was complete."""

    records: int
    oldest_us: int | None


class BacklogReader(Protocol):
    def newest(self) -> int: ...

    def backlog(self, seq: int, tenant_id: str, unit_ids: tuple[str, ...] | None, most: int) -> Backlog:
        """What is behind `seq`, of a tenant, or of some of its business units. Raises AuditUnavailable."""
        ...


CourierFor = Callable[[StreamRow], Courier]
"""Raises UnusableKey or SettingsError where the stream's secrets cannot be opened."""
