"""Durable records per second: the ledger's writer beside SQLite alone, with the same rows and batch sizes."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.vaults import vault_beside

from hatchpay.audit.record import Completion, Record
from hatchpay.clock import wall_us
from hatchpay.ids import new_id
from hatchpay.store import ledger as ledger_module
from hatchpay.store.ledger import Ledger, create_ledger
from hatchpay.store.recorder import ProcessRecorder

SIZES = (1, 32, 256, 1_000)
BODY = (
    b'{"customer_details":{"first_name":"Jane","last_name":"Doe","address":"1 Example Street"},'
    b'"payment_details":{"payment_method":"CREDIT_CARD","cc_token":"[redacted]"},"transaction":'
    b'{"payment_orchestrator_id":"orchestrator-1","merchant_id":"merchant-1","transaction_items":'
    b'[{"name":"Tea","amount":"12.50","quantity":2}]},"capture":true}'
)


def report(rounds: int = 5) -> list[str]:
    """Lines of a Markdown table. Raw: one INSERT per prepared row into the same table, in one thread."""
    lines = ["| batch | raw SQLite rows/s | ledger records/s | share | through the writer process /s | share |"]
    lines.append("|---|---|---|---|---|---|")
    for size in SIZES:
        total = size * max(10, min(200, 20_000 // size))
        raw, own, process = [], [], []
        for _ in range(rounds):
            raw.append(_rate(total, size, _raw))
            own.append(_rate(total, size, _ledger))
            process.append(_rate(total, size, _process))
        cells = [statistics.median(rates) for rates in (raw, own, process)]
        shares = [statistics.median(b / a for a, b in zip(raw, rates, strict=True)) for rates in (own, process)]
        lines.append(
            f"| {size} | {cells[0]:,.0f} | {cells[1]:,.0f} | {shares[0]:.0%} | {cells[2]:,.0f} | {shares[1]:.0%} |"
        )
    return lines


def _rate(total: int, size: int, write: Callable[[Path, list[list[Record]]], float]) -> float:
    records = [_record() for _ in range(total)]
    batches = [records[start : start + size] for start in range(0, total, size)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        create_ledger(path)
        return total / write(path, batches)


def _raw(path: Path, batches: list[list[Record]]) -> float:
    rows = [[ledger_module._row(record) for record in batch] for batch in batches]
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = FULL")
    began = time.perf_counter()
    for batch in rows:
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO records VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", batch)
        db.execute("COMMIT")
    took = time.perf_counter() - began
    db.close()
    return took


def _ledger(path: Path, batches: list[list[Record]]) -> float:
    ledger = Ledger(path, "bench", vault_beside(path))
    entries = [[Completion(record) for record in batch] for batch in batches]
    began = time.perf_counter()
    for batch in entries:
        ledger.write(batch)
    took = time.perf_counter() - began
    ledger.close()
    return took


def _process(path: Path, batches: list[list[Record]]) -> float:
    """As the gate does it: submit a batch, go on when all of it is durable."""

    async def run() -> float:
        recorder = ProcessRecorder(path, path.parent / "instances", new_id(), vault_beside(path))
        await recorder.start()
        began = time.perf_counter()
        for batch in batches:
            await asyncio.gather(*[recorder.submit(Completion(record)) for record in batch])
        took = time.perf_counter() - began
        await recorder.close()
        return took

    return asyncio.run(run())


def _record() -> Record:
    """About 1.2 kB, like the record of a POST."""
    key_id = "01a20b5c-93ef-733b-97ca-0a2b0d183354"
    return Record(
        request_id=new_id(),
        tenant_id="01a20b5c-93ef-733b-97ca-0a2b0d183355",
        method="POST",
        url="/v1/payment-proxy/transactions",
        started_us=wall_us(),
        client_ip="192.0.2.1",
        headers={
            "host": "api.example",
            "user-agent": "bench/1",
            "accept": "*/*",
            "content-type": "application/json",
        },
        business_unit_id=key_id,
        principal_id=key_id,
        key_id=key_id,
        secret_version=1,
        roles=("gl",),
        decision="allow",
        reason="role_grants",
        rule="role:gl",
        route="/v1/payment-proxy/transactions",
        permission="payment-proxy.transactions.create",
        body=BODY,
        body_size=577,
        status=201,
        response_size=620,
        response_time_us=900,
        state="completed",
    )
