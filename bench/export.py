"""Records per second that an export delivers, by format, out of a ledger of records like that of a POST."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.support.vaults import vault_beside

from bench.ledger import _record
from hatchpay.audit.export.ports import Format
from hatchpay.audit.export.run import Exporter, Order
from hatchpay.audit.ports import HistoryFilter
from hatchpay.audit.record import Completion
from hatchpay.clock import wall_us
from hatchpay.ids import new_id
from hatchpay.store.export_walk import LedgerWalk
from hatchpay.store.exports import ExportRegister
from hatchpay.store.feed import LedgerFeed
from hatchpay.store.ledger import Ledger, create_ledger

FORMATS: tuple[Format, ...] = ("csv", "jsonl", "ocsf", "parquet")
_BATCH = 2_000


def report(records: int = 200_000) -> list[str]:
    """Lines of a Markdown table. The last row walks through all records for a condition that none of them meets."""
    lines = [f"| format, of {records:,} records | seconds | records /s | MB |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        create_ledger(path)
        ledger = Ledger(path, "bench", vault_beside(path), many=True)
        for _ in range(0, records, _BATCH):
            ledger.write([Completion(_record()) for _ in range(_BATCH)])
        ledger.close()
        everything = HistoryFilter(tenant_id=_record().tenant_id)
        for wanted in FORMATS:
            # The first takes what is loaded once, and is not counted.
            _export(Path(folder), wanted, everything, upto=1_000)
            lines.append(_row(wanted, records, *_export(Path(folder), wanted, everything)))
        nothing = HistoryFilter(tenant_id=everything.tenant_id, status=(404, 404))
        lines.append(_row("jsonl, no record", records, *_export(Path(folder), "jsonl", nothing)))
    return lines


def _row(name: str, records: int, seconds: float, size: int) -> str:
    return f"| {name} | {seconds:.1f} | {records / seconds:,.0f} | {size / 1e6:,.1f} |"


def _export(folder: Path, wanted: Format, conditions: HistoryFilter, upto: int | None = None) -> tuple[float, int]:
    feed = LedgerFeed(folder / "ledger.db", vault_beside(folder / "ledger.db"))
    register = ExportRegister(folder / "exports.db", feed, wall_us)
    exporter = Exporter(LedgerWalk(folder / "ledger.db", feed), register, wall_us, new_id, "bench")
    order = Order(wanted=conditions, format=wanted, request_id=new_id(), principal_id="bench", upto=upto)
    began = time.perf_counter()
    size = sum(len(part.data) for part in exporter.begin(order).parts())
    return time.perf_counter() - began, size
