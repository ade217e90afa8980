"""An export of any length takes the memory of a short one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.server import ROOT

_PROGRAM = """
import json, resource, sys
from pathlib import Path

from hatchpay.audit.export.run import Exporter, Order
from hatchpay.audit.ports import HistoryFilter
from hatchpay.audit.record import Completion, Record
from hatchpay.ids import new_id
from hatchpay.store.export_walk import LedgerWalk
from hatchpay.store.exports import ExportRegister
from hatchpay.store.feed import LedgerFeed
from hatchpay.store.ledger import Ledger, create_ledger
from hatchpay.store.vault import Vault

folder, count = Path(sys.argv[1]), int(sys.argv[2])
vault = Vault(folder / "payload.keys", lambda: bytes(32))
vault.create()
create_ledger(folder / "ledger.db")
ledger = Ledger(folder / "ledger.db", "test", vault, many=True)
for start in range(0, count, 10_000):
    ledger.write([
        Completion(Record(new_id(), "t", "GET", f"/{number}", number, status=200))
        for number in range(start, start + 10_000)
    ])
ledger.close()
feed = LedgerFeed(folder / "ledger.db", vault)
register = ExportRegister(folder / "exports.db", feed, lambda: 0)
exporter = Exporter(LedgerWalk(folder / "ledger.db", feed), register, lambda: 0, new_id, "1")

def size(wanted, upto):
    order = Order(wanted=HistoryFilter(tenant_id="t"), format=wanted, request_id="r", principal_id="p", upto=upto)
    return sum(len(part.data) for part in exporter.begin(order).parts())

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

# What is loaded once, and what SQLite and pyarrow keep, is no part of the growth.
for wanted in ("jsonl", "parquet"):
    size(wanted, 5_000)
before = peak()
sizes = {"jsonl": size("jsonl", count), "parquet": size("parquet", count // 10)}
print(json.dumps({"grown_mib": peak() - before, **sizes}))
"""
_COUNT = 100_000


def test_a_hundred_thousand_records_take_hardly_more_than_five_thousand(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path), str(_COUNT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["jsonl"] > 50 * 1024 * 1024
    assert measured["grown_mib"] < 32
