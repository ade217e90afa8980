"""Seconds of processor time to walk a tenant's record for advice on all of its keys."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.support.vaults import vault_beside

from hatchpay.access.advisor import Observation
from hatchpay.admin.observe import observe
from hatchpay.audit.record import Completion, Record
from hatchpay.clock import wall_us
from hatchpay.ids import new_id
from hatchpay.store.ledger import Ledger, create_ledger
from hatchpay.store.replay import LedgerReplay

TENANT = "01a20b5c-93ef-733b-97ca-0a2b0d183355"
_BATCH = 10_000


def report(count: int = 1_000_000, keys: int = 1_000, permissions: int = 30, rounds: int = 3) -> list[str]:
    """Lines of a Markdown table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ledger.db")
        now = wall_us()
        _fill(path, count, [new_id() for _ in range(keys)], permissions, now)
        replay = LedgerReplay(path, vault_beside(path))
        runs = [_walk(replay, now) for _ in range(rounds)]
    seconds = [took for took, _ in runs]
    seen = sum(use.count for uses in runs[0][1].keys.values() for use in uses.values())
    median = statistics.median(seconds)
    return [
        "| records | keys | seconds of processor time for one walk | range | records/s |",
        "|---|---|---|---|---|",
        f"| {seen:,} | {keys:,} | {median:.1f} | {min(seconds):.1f}–{max(seconds):.1f} | {seen / median:,.0f} |",
    ]


def _walk(replay: LedgerReplay, now: int) -> tuple[float, Observation]:
    began = time.process_time()
    observation = observe(replay, TENANT, 30, now)
    return time.process_time() - began, observation


def _fill(path: Path, count: int, keys: list[str], permissions: int, now: int) -> None:
    ledger = Ledger(path, "bench", vault_beside(path))
    create_ledger(path)
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        ledger.write([Completion(_record(number, keys, permissions, now - count + number)) for number in numbers])
    ledger.close()


def _record(number: int, keys: list[str], permissions: int, started_us: int) -> Record:
    """About 0.5 kB, like the record of a GET."""
    key_id = keys[number % len(keys)]
    return Record(
        request_id=new_id(),
        tenant_id=TENANT,
        method="GET",
        url="/v1/payment-proxy/transactions",
        started_us=started_us,
        client_ip="192.0.2.1",
        headers={"host": "api.example", "user-agent": "bench/1", "accept": "*/*"},
        principal_id=key_id,
        key_id=key_id,
        secret_version=1,
        roles=("gl",),
        decision="allow",
        reason="role_grants",
        rule="role:gl",
        route="/v1/payment-proxy/transactions",
        permission=f"payment-proxy.things-{number // len(keys) % permissions}.read",
        status=200,
        response_size=620,
        response_time_us=900,
        state="completed",
    )
