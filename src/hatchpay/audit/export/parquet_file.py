"""Parquet with typed columns, written row group by row group: what is held is one of them at the most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec
import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import parquet

from hatchpay.audit.export.fields import FIELDS, flat_line
from hatchpay.audit.ports import Kept

__all__ = ["SCHEMA", "ParquetFile"]

_encode: Final = msgspec.json.Encoder().encode
_ROWS: Final = 5_000
_BYTES: Final = 4 * 1024 * 1024
# What a row takes besides its texts of any length.
_ROW_BYTES: Final = 500

_TYPES: Final[dict[str, pa.DataType]] = {
    "roles": pa.list_(pa.string()),
    "headers": pa.map_(pa.string(), pa.string()),
    "status": pa.int32(),
    "started_at": pa.timestamp("us", tz="UTC"),
}
_BY_KIND: Final[dict[str, pa.DataType]] = {"text": pa.string(), "json": pa.string(), "number": pa.int64()}
_REQUIRED: Final = frozenset({"seq", "request_id", "tenant_id", "method", "started_at", "state", "decision"})
SCHEMA: Final = pa.schema(
    [
        pa.field(name, _TYPES.get(name) or _BY_KIND[kind], nullable=name not in _REQUIRED)
        for name, kind in FIELDS.items()
    ]
)
"""`body` and `changes` are JSON text; `leaf_hash` is hexadecimal."""


class ParquetFile:
    """`upto` is told in the file's metadata: where the next one begins."""

    media_type: Final = "application/vnd.apache.parquet"

    def __init__(self, upto: int) -> None:
        self._sink = _Sink()
        schema = SCHEMA.with_metadata({"hatchpay.upto": str(upto)})
        self._writer = parquet.ParquetWriter(pa.PythonFile(self._sink, mode="w"), schema, compression="zstd")
        self._columns: dict[str, list[object]] = {name: [] for name in FIELDS}
        self._rows = 0
        self._bytes = 0

    def begin(self) -> bytes:
        return self._sink.taken()

    def add(self, kept: Sequence[Kept]) -> bytes:
        for one in kept:
            row = _row(one)
            for name, column in self._columns.items():
                column.append(row[name])
            self._rows += 1
            self._bytes += _ROW_BYTES + len(one.record.body or b"") + len(cast(str, row["changes"]))
            if self._rows == _ROWS or self._bytes >= _BYTES:
                self._flush()
        return self._sink.taken()

    def end(self) -> bytes:
        self._flush()
        self._writer.close()
        return self._sink.taken()

    def _flush(self) -> None:
        if self._rows:
            arrays = [pa.array(self._columns[field.name], field.type) for field in SCHEMA]
            self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._writer.schema))
            self._columns = {name: [] for name in FIELDS}
            self._rows = self._bytes = 0


def _row(kept: Kept) -> dict[str, object]:
    row = flat_line(kept)
    row["headers"] = list(kept.record.headers.items())
    row["started_at"] = kept.record.started_us
    row["body"] = None if kept.record.body is None else kept.record.body.decode("utf-8", "replace")
    row["changes"] = _encode(kept.changes).decode()
    return row


class _Sink:
    """What has been written and not been taken yet; the least that pyarrow takes for a file."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
