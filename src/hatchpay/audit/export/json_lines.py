"""JSON lines: each record one flat JSON object on a line of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from hatchpay.audit.export.fields import flat_line
from hatchpay.audit.ports import Kept

__all__ = ["JsonLines", "lines_of"]

_encode: Final = msgspec.json.Encoder().encode


class JsonLines:
    media_type: Final = "application/x-ndjson"

    def begin(self) -> bytes:
        return b""

    def add(self, kept: Sequence[Kept]) -> bytes:
        return lines_of(map(flat_line, kept))

    def end(self) -> bytes:
        return b""


def lines_of(documents: Iterable[object]) -> bytes:
    return b"".join(_line(document) for document in documents)


def _line(document: object) -> bytes:
    text = _encode(document)
    if b"\n" in text or b"\r" in text:
        # Out of a body that was kept as it came. In JSON they stand between tokens only, as any white space.
        text = text.replace(b"\n", b" ").replace(b"\r", b" ")
    return text + b"\n"
