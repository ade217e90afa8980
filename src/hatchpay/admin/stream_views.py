"""What the use cases around streams take and give. Times in views are RFC 3339 text with `Z`, or None."""

from __future__ import annotations

from typing import Literal

import msgspec

from hatchpay.admin.views import Versioned
from hatchpay.audit.stream.ports import StreamCondition
from hatchpay.audit.stream.row import Kind

__all__ = [
    "CreatedStream",
    "NewStream",
    "StreamChanges",
    "StreamSecretView",
    "StreamTestView",
    "StreamView",
]


class NewStream(msgspec.Struct, frozen=True, kw_only=True):
    """`headers` are secret, and sent to the destination only; None as a list takes everything."""

    name: str
    kind: Kind
    destination_url: str
    business_unit_ids: tuple[str, ...] | None = None
    event_types: tuple[str, ...] | None = None
    headers: dict[str, str] = {}
    ca_pem: str | None = None

    def __repr__(self) -> str:
        return f"NewStream({self.kind})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("kind", self.kind)]


class StreamChanges(msgspec.Struct, frozen=True, kw_only=True):
    """UNSET fields stay as they are; `headers` replace all of them."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    destination_url: str | msgspec.UnsetType = msgspec.UNSET
    business_unit_ids: tuple[str, ...] | msgspec.UnsetType | None = msgspec.UNSET
    event_types: tuple[str, ...] | msgspec.UnsetType | None = msgspec.UNSET
    headers: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    ca_pem: str | msgspec.UnsetType | None = msgspec.UNSET
    status: Literal["enabled", "disabled"] | msgspec.UnsetType = msgspec.UNSET

    def __repr__(self) -> str:
        return "StreamChanges(…)"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return []


class StreamSecretView(msgspec.Struct, frozen=True):
    """A secret that signs; once replaced, until `expires_at`."""

    created_at: str
    expires_at: str | None


class StreamView(Versioned, frozen=True, kw_only=True):
    """`state` says whether records are on their way: `stopped` is a stream that is disabled, or that nobody ships.

    `disabled_reason` is the code of why the service itself has disabled it, `last_error` that of the last failure.
    """

    id: str
    name: str
    kind: Kind
    destination_url: str
    business_unit_ids: tuple[str, ...] | None
    event_types: tuple[str, ...] | None
    header_names: tuple[str, ...]
    secrets: tuple[StreamSecretView, ...]
    ca_pem: str | None
    status: Literal["enabled", "disabled"]
    disabled_reason: str | None
    state: StreamCondition
    lag_records: int
    lag_seconds: float
    delivered: int
    dead_letters: int
    last_success_at: str | None
    last_error: str | None
    last_error_at: str | None
    last_status: int | None
    retry_at: str | None
    created_at: str
    updated_at: str


class CreatedStream(msgspec.Struct, frozen=True):
    """The only value that carries a webhook's secret; shown once. None for the other kinds."""

    view: StreamView
    secret: str | None

    def __repr__(self) -> str:
        return f"CreatedStream({self.view.id})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("id", self.view.id)]


class StreamTestView(msgspec.Struct, frozen=True, kw_only=True):
    """What came back for one test event. `code` says why it was not taken, `status` is that of HTTP."""

    delivered: bool
    code: str | None
    status: int | None
    duration_ms: int
