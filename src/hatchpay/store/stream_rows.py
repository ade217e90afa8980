"""The directory's rows about streams, within one transaction."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Executable, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from hatchpay.audit.stream.row import StreamRow, StreamSecret
from hatchpay.errors import Conflict
from hatchpay.store.schema import streams
from hatchpay.store.token_rows import tell

__all__ = ["StreamChanges", "StreamView"]

_LISTS: Final = ("business_unit_ids", "event_types", "header_names", "secrets")
_strings: Final = msgspec.json.Decoder(tuple[str, ...] | None).decode
_secrets: Final = msgspec.json.Decoder(tuple[StreamSecret, ...]).decode


class StreamView:
    """What one transaction sees. Whatever takes a `tenant_id` finds nothing of another tenant."""

    _connection: Connection

    def stream(self, tenant_id: str, stream_id: str) -> StreamRow | None:
        query = select(streams).where(streams.c.tenant_id == tenant_id, streams.c.id == stream_id)
        return next(iter(map(_stream, self._connection.execute(query))), None)

    def streams(self, tenant_id: str, limit: int | None = None, before: str | None = None) -> list[StreamRow]:
        """Newest first; all of the tenant's without a `limit`."""
        query = select(streams).where(streams.c.tenant_id == tenant_id).order_by(streams.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(streams.c.id < before)
        return list(map(_stream, self._connection.execute(query)))

    def stream_count(self, tenant_id: str) -> int:
        query = select(func.count()).select_from(streams).where(streams.c.tenant_id == tenant_id)
        return int(self._connection.execute(query).scalar_one())

    def load_streams(self) -> list[StreamRow]:
        """Of every tenant."""
        return list(map(_stream, self._connection.execute(select(streams).order_by(streams.c.id))))


class StreamChanges(StreamView):
    """Each change is named in the feed. Raises Conflict where the tenant has another stream of this name."""

    def add_stream(self, stream: StreamRow) -> None:
        self._save_stream(insert(streams).values(_columns(stream)), stream)

    def save_stream(self, stream: StreamRow) -> None:
        """Replace what is stored, secrets included."""
        self._save_stream(update(streams).where(streams.c.id == stream.id).values(_columns(stream)), stream)

    def remove_stream(self, stream: StreamRow) -> None:
        self._connection.execute(delete(streams).where(streams.c.id == stream.id))
        tell(self._connection, "stream", stream.id, stream.tenant_id)

    def _save_stream(self, statement: Executable, stream: StreamRow) -> None:
        try:
            self._connection.execute(statement)
        except IntegrityError as error:
            raise Conflict("the name is taken already", code="already_exists", field="name") from error
        tell(self._connection, "stream", stream.id, stream.tenant_id)


def _columns(stream: StreamRow) -> dict[str, Any]:
    columns = msgspec.structs.asdict(stream)
    for name in _LISTS:
        value = columns[name]
        columns[name] = None if value is None else msgspec.json.encode(value).decode()
    return columns


def _stream(row: Row[Any]) -> StreamRow:
    columns = dict(row._mapping)
    for name in _LISTS:
        decode = _secrets if name == "secrets" else _strings
        columns[name] = None if columns[name] is None else decode(columns[name])
    return StreamRow(**columns)
