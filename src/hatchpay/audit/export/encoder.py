"""The formats, each by its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hatchpay.audit.export.csv_lines import CsvLines
from hatchpay.audit.export.json_lines import JsonLines
from hatchpay.audit.export.ocsf_events import OcsfEvents
from hatchpay.audit.export.ports import Format
from hatchpay.audit.ports import Kept

__all__ = ["Encoder", "encoder_for", "goes_on"]


class Encoder(Protocol):
    """The parts of one file, in this order: `begin`, `add` any number of times, `end`."""

    @property
    def media_type(self) -> str: ...

    def begin(self) -> bytes: ...

    def add(self, kept: Sequence[Kept]) -> bytes:
        """May be empty: what has been added then comes with a later part."""
        ...

    def end(self) -> bytes: ...


def goes_on(wanted: Format) -> bool:
    """Whether a file may be continued behind any of its records."""
    return wanted != "parquet"


def encoder_for(wanted: Format, *, upto: int, header: bool, version: str) -> Encoder:
    """`version` is HatchPay's; `header` is whether a CSV file begins with the names of its fields."""
    match wanted:
        case "csv":
            return CsvLines(header=header)
        case "jsonl":
            return JsonLines()
        case "ocsf":
            return OcsfEvents(version)
        case "parquet":
            # It takes longer to load than everything else, and few need it.
            from hatchpay.audit.export.parquet_file import ParquetFile

            return ParquetFile(upto)
