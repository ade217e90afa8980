"""Streams of a tenant's record to other systems: made, read, changed, tested, ended.

A stream hands the record out for as long as it stands. So whoever makes one, or changes what it gives to whom, must
hold `audit-log.history.read` for all that it carries; a caller of chosen business units can stream only theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import UNSET

from hatchpay.admin import checks, stream_checks, units
from hatchpay.admin.paging import DEFAULT_LIMIT, chosen, page
from hatchpay.admin.ports import Directory, DirectoryView
from hatchpay.admin.stream_present import stream_facts, stream_view
from hatchpay.admin.stream_views import (
    CreatedStream,
    NewStream,
    StreamChanges,
    StreamTestView,
    StreamView,
)
from hatchpay.admin.versions import IfMatch, check
from hatchpay.admin.views import Actor, Page
from hatchpay.admin.work import Changes, Work, found, within_units
from hatchpay.audit.ports import Kept
from hatchpay.audit.record import Record
from hatchpay.audit.stream import webhook
from hatchpay.audit.stream.batches import encoded
from hatchpay.audit.stream.destination import Destination, read_destination
from hatchpay.audit.stream.event import event_of
from hatchpay.audit.stream.ports import Message, Outcome, StreamHealth
from hatchpay.audit.stream.row import Kind, StreamRow, StreamSecret, seal_headers, seal_secret
from hatchpay.clock import Clock
from hatchpay.errors import AuditUnavailable, Conflict, DeliveryFailed, InvalidInput, NotFound, UnusableKey
from hatchpay.identity.principal import Limits, Reach
from hatchpay.ids import IdSource
from hatchpay.tokens.sealed import NONCE_BYTES

__all__ = ["MAX_STREAMS", "StreamParts", "Streams"]

MAX_STREAMS: Final = 20
"""How many a tenant has at most."""

_MAX_SECRETS: Final = 5
_US: Final = 1_000_000
_READ: Final = "audit-log.history.read"
_TEST: Final = "audit-log.streams.test"
_NOUN: Final = "stream"


class Reads(Protocol):
    def __call__(self, rows: Sequence[StreamRow]) -> dict[str, StreamHealth]:
        """How each goes, by id."""
        ...


class Send(Protocol):
    def __call__(self, row: StreamRow, message: Message) -> Outcome:
        """One try, within seconds. Raises UnusableKey, SettingsError or InvalidInput where it cannot even begin."""
        ...


class StreamParts(msgspec.Struct, frozen=True, kw_only=True):
    """`newest` is the record's last sequence number; `check_host` raises DeliveryFailed for a host, named with the
    tenant, that no stream may connect to; `kek` and `random` seal secrets. `insecure` permits plain HTTP, for tests.
    """

    newest: Callable[[], int]
    healths: Reads
    check_host: Callable[[str, str], None]
    send: Send
    kek: Callable[[], bytes]
    random: Callable[[int], bytes]
    hostname: str = "-"
    insecure: bool = False


class Streams:
    """The use cases around streams. Where one raises, nothing has changed:

    - InvalidInput for bad input, and for a destination that may not be connected to
    - NotFound for a stream that the caller's tenant does not have
    - Conflict: `already_exists`, `too_many_streams`, `too_many_secrets`
    - PreconditionFailed where the stream is not as `expected`
    - Forbidden for what exceeds the caller (`grant_exceeds_caller`) or is not its to do (`permission_missing`)
    - Unauthenticated where the caller's own credential is no longer good; DirectoryUnavailable; AuditUnavailable
    """

    def __init__(self, directory: Directory, clock: Clock, new_id: IdSource, parts: StreamParts) -> None:
        self._directory = directory
        self._clock = clock
        self._new_id = new_id
        self._parts = parts
        self._changes = Changes(directory, clock, new_id)

    def create(self, actor: Actor, wanted: NewStream) -> CreatedStream:
        """It begins with what is recorded from now on, the call that made it included."""
        destination = self._read(wanted.kind, wanted.destination_url)
        headers = stream_checks.headers(wanted.kind, wanted.headers)
        drafted = StreamRow(
            id=self._new_id(),
            tenant_id=actor.principal.tenant_id,
            name=checks.name(wanted.name),
            kind=wanted.kind,
            destination_url=wanted.destination_url,
            business_unit_ids=wanted.business_unit_ids,
            event_types=stream_checks.event_types(wanted.event_types),
            header_names=tuple(sorted(headers)),
            ca_pem=stream_checks.ca_pem(wanted.ca_pem),
            start_seq=self._parts.newest(),
            created_us=0,
            updated_us=0,
        )
        with self._changes.by(actor, "audit-log.streams.create") as work:
            # Before any name is resolved for the caller, and once more when it is stored.
            _demand_room(work)
            _demand(work, drafted, None)
        self._check_host(actor, destination)
        with self._changes.by(actor, "audit-log.streams.create") as work:
            _demand_room(work)
            _demand(work, drafted, None)
            sealed = self._sealed(headers, drafted.id, destination)
            row = msgspec.structs.replace(drafted, sealed_headers=sealed, created_us=work.now, updated_us=work.now)
            secret = None
            if row.kind == "webhook":
                row, secret = self._with_secret(row, work.now)
            work.transaction.add_stream(row)
            work.record("audit-log.streams.created", row.id, {}, stream_facts(row))
        return CreatedStream(self._view(row), secret)

    def list(self, actor: Actor, limit: int = DEFAULT_LIMIT, cursor: str | None = None) -> Page[StreamView]:
        """Newest first; for a caller of chosen business units, those that carry theirs only."""
        with self._directory.read() as view:

            def fetch(count: int, last: str | None) -> Sequence[StreamRow]:
                return view.streams(actor.principal.tenant_id, count, last)

            return page(
                chosen(fetch, lambda row: _is_visible(actor, row), lambda row: row.id),
                self._views,
                lambda row: row.id,
                limit,
                cursor,
            )

    def get(self, actor: Actor, stream_id: str) -> StreamView:
        with self._directory.read() as view:
            return self._view(_seen(view, actor, stream_id))

    def update(
        self, actor: Actor, stream_id: str, changes: StreamChanges, expected: IfMatch | None = None
    ) -> StreamView:
        """Whatever could make it carry more, or to somebody else, hands the record out."""
        with self._directory.read() as view:
            before = _seen(view, actor, stream_id)
        destination = None
        if changes.destination_url is not UNSET:
            destination = self._read(before.kind, changes.destination_url)
        if destination is not None and changes.destination_url != before.destination_url:
            with self._changes.by(actor, "audit-log.streams.update") as work:
                # No name is resolved for a caller who will be refused.
                _demand(work, before, before)
            self._check_host(actor, destination)
        with self._changes.by(actor, "audit-log.streams.update") as work:
            old = _own(work, stream_id, expected)
            new = self._changed(work, old, changes, destination)
            if new == old:
                return self._view(old)
            if _hands_out(old, new):
                _demand(work, new, old)
            new = msgspec.structs.replace(new, updated_us=work.now)
            work.transaction.save_stream(new)
            work.record("audit-log.streams.updated", stream_id, stream_facts(old), stream_facts(new))
        return self._view(new)

    def delete(self, actor: Actor, stream_id: str, expected: IfMatch | None = None) -> None:
        """Nothing is sent any more, within a second."""
        with self._changes.by(actor, "audit-log.streams.delete") as work:
            row = _own(work, stream_id, expected)
            work.transaction.remove_stream(row)
            work.record("audit-log.streams.deleted", stream_id, stream_facts(row), {})

    def rotate_secret(
        self, actor: Actor, stream_id: str, overlap_seconds: int, expected: IfMatch | None = None
    ) -> CreatedStream:
        """A new secret for a webhook; the older ones sign beside it for so many seconds."""
        stream_checks.overlap(overlap_seconds)
        with self._changes.by(actor, "audit-log.streams.update") as work:
            old = _own(work, stream_id, expected)
            if old.kind != "webhook":
                raise InvalidInput("only webhooks have a secret", field="kind")
            _demand(work, old, old)
            ends = work.now + overlap_seconds * _US
            kept = tuple(
                msgspec.structs.replace(secret, ends_us=min(ends, secret.ends_us or ends))
                for secret in old.secrets
                if secret.ends_us is None or secret.ends_us > work.now
            )
            if len(kept) >= _MAX_SECRETS:
                raise Conflict("too many secrets of this stream still sign; let them end", code="too_many_secrets")
            row, text = self._with_secret(msgspec.structs.replace(old, updated_us=work.now), work.now, kept)
            work.transaction.save_stream(row)
            work.record("audit-log.streams.rotated", stream_id, {}, {"overlap_seconds": overlap_seconds})
        return CreatedStream(self._view(row), text)

    def test(self, actor: Actor, stream_id: str) -> StreamTestView:
        """Send one event that says that it is a test, now, and tell what came back."""
        with self._changes.by(actor, "audit-log.streams.update") as work:
            row = _own(work, stream_id, None)
            event = event_of(Kept(seq=0, record=_test_record(row, actor, self._new_id(), work.now), changes=[]))
        (message,) = encoded(row, [event], self._parts.hostname)
        began = self._clock()
        try:
            outcome = self._parts.send(row, message)
        except UnusableKey as error:
            outcome = Outcome(kind="failed", code=error.code)
        return StreamTestView(
            delivered=outcome.kind == "delivered" and not outcome.refused,
            code=outcome.code,
            status=outcome.status,
            duration_ms=max(self._clock() - began, 0) // 1000,
        )

    def gone(self, actor: Actor, stream_id: str) -> None:
        """Disable a stream whose receiver has answered that it wants nothing any more (410)."""
        with self._changes.by(actor, "audit-log.streams.update") as work:
            old = work.transaction.stream(work.tenant_id, stream_id)
            if old is None or not old.enabled:
                return
            new = msgspec.structs.replace(old, enabled=False, disabled_reason="stream_gone", updated_us=work.now)
            work.transaction.save_stream(new)
            work.record("audit-log.streams.updated", stream_id, stream_facts(old), stream_facts(new))

    def _changed(
        self, work: Work, old: StreamRow, changes: StreamChanges, destination: Destination | None
    ) -> StreamRow:
        wanted: dict[str, object] = {}
        if changes.name is not UNSET:
            wanted["name"] = checks.name(changes.name)
        if changes.business_unit_ids is not UNSET:
            wanted["business_unit_ids"] = units.limit(work, changes.business_unit_ids, old.business_unit_ids)
        if changes.event_types is not UNSET:
            wanted["event_types"] = stream_checks.event_types(changes.event_types)
        if changes.ca_pem is not UNSET:
            wanted["ca_pem"] = stream_checks.ca_pem(changes.ca_pem)
        if changes.status is not UNSET:
            wanted["enabled"] = changes.status == "enabled"
            wanted["disabled_reason"] = None if wanted["enabled"] or old.enabled else old.disabled_reason
        if destination is not None:
            wanted["destination_url"] = changes.destination_url
        wanted |= self._headers(old, changes, destination)
        return msgspec.structs.replace(old, **wanted)

    def _headers(self, old: StreamRow, changes: StreamChanges, destination: Destination | None) -> dict[str, object]:
        there = destination or self._read(old.kind, old.destination_url)
        if changes.headers is not UNSET:
            headers = stream_checks.headers(old.kind, changes.headers)
            return {
                "header_names": tuple(sorted(headers)),
                "sealed_headers": self._sealed(headers, old.id, there),
            }
        if old.sealed_headers is None or there.origin == self._read(old.kind, old.destination_url).origin:
            return {}
        # Whoever may change a stream, and does not know its headers, must not be able to have them sent to themselves.
        raise InvalidInput(
            "another host or port would get this stream's secret headers: give them anew",
            code="stream_headers_needed",
            field="headers",
        )

    def _sealed(self, headers: dict[str, str], stream_id: str, destination: Destination) -> bytes | None:
        if not headers:
            return None
        nonce = self._parts.random(NONCE_BYTES)
        return seal_headers(headers, self._parts.kek(), nonce, stream_id, destination.origin)

    def _with_secret(self, row: StreamRow, now: int, older: tuple[StreamSecret, ...] = ()) -> tuple[StreamRow, str]:
        version = 1 + max((secret.version for secret in row.secrets), default=0)
        secret = self._parts.random(webhook.SECRET_BYTES)
        sealed = seal_secret(secret, self._parts.kek(), self._parts.random(NONCE_BYTES), row.id, version)
        made = StreamSecret(version=version, sealed=sealed, created_us=now)
        return msgspec.structs.replace(row, secrets=(made, *older)), webhook.secret_text(secret)

    def _read(self, kind: Kind, url: str) -> Destination:
        return read_destination(kind, url, insecure=self._parts.insecure)

    def _check_host(self, actor: Actor, destination: Destination) -> None:
        try:
            self._parts.check_host(destination.host, actor.principal.tenant_id)
        except DeliveryFailed as error:
            raise InvalidInput(
                f"the destination cannot be used: {error.detail}", code=error.code, field="destination_url"
            ) from None

    def _view(self, row: StreamRow) -> StreamView:
        return self._views([row])[0]

    def _views(self, rows: Sequence[StreamRow]) -> Sequence[StreamView]:
        now = self._clock()
        try:
            healths = self._parts.healths(rows)
        except AuditUnavailable as error:
            # Whoever has just made a stream must get its secret, whatever else is out of order.
            unknown = StreamHealth(state="stopped", lag_records=0, lag_seconds=0.0, last_error=error.code)
            healths = dict.fromkeys([row.id for row in rows], unknown)
        return [stream_view(row, healths[row.id], now) for row in rows]


def _is_visible(actor: Actor, row: StreamRow) -> bool:
    return within_units(actor.principal.limits, row.business_unit_ids)


def _seen(view: DirectoryView, actor: Actor, stream_id: str) -> StreamRow:
    """Raises NotFound, also for a stream that carries more than the caller's business units."""
    checks.identifier(stream_id, "stream_id")
    row = found(view.stream(actor.principal.tenant_id, stream_id), _NOUN)
    if not _is_visible(actor, row):
        raise NotFound("there is no such stream")
    return row


def _own(work: Work, stream_id: str, expected: IfMatch | None) -> StreamRow:
    checks.identifier(stream_id, "stream_id")
    row = found(work.transaction.stream(work.tenant_id, stream_id), _NOUN)
    work.demand_units(row.business_unit_ids)
    check(row, expected)
    return row


def _demand_room(work: Work) -> None:
    if work.transaction.stream_count(work.tenant_id) >= MAX_STREAMS:
        raise Conflict(f"a tenant has at most {MAX_STREAMS} streams", code="too_many_streams")


def _demand(work: Work, row: StreamRow, before: StreamRow | None) -> None:
    """Raises Forbidden where the caller may not read all that the stream carries."""
    units.limit(work, row.business_unit_ids, None if before is None else before.business_unit_ids)
    scope = None if row.business_unit_ids is None else frozenset(row.business_unit_ids)
    work.demand(Reach(frozenset({_READ}), Limits(business_unit_ids=scope)))


def _hands_out(old: StreamRow, new: StreamRow) -> bool:
    """False only where it was renamed or disabled, or carries less."""
    same = msgspec.structs.replace(
        new,
        name=old.name,
        enabled=old.enabled,
        disabled_reason=old.disabled_reason,
        business_unit_ids=old.business_unit_ids,
        event_types=old.event_types,
    )
    return (
        same != old
        or (new.enabled and not old.enabled)
        or not _within(old.business_unit_ids, new.business_unit_ids)
        or not _within(old.event_types, new.event_types)
    )


def _within(old: tuple[str, ...] | None, new: tuple[str, ...] | None) -> bool:
    return old is None or (new is not None and set(new) <= set(old))


def _test_record(row: StreamRow, actor: Actor, event_id: str, now: int) -> Record:
    return Record(
        request_id=event_id,
        tenant_id=row.tenant_id,
        method="TEST",
        url=f"/v1/audit-log/streams/{row.id}/test",
        started_us=now,
        principal_id=actor.principal.id,
        decision="allow",
        reason="stream_test",
        permission=_TEST,
        status=200,
        state="completed",
    )
