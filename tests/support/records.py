"""Reading the record in tests: over HTTP as its users do, or straight from a ledger that nobody serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from tests.support.vaults import vault_of

from hatchpay.audit.record import Record
from hatchpay.store.feed import LedgerFeed

__all__ = ["history", "stored"]


def history(client: httpx.Client, **filters: Any) -> list[dict[str, Any]]:
    answer = client.get("/v1/audit-log/history", params=filters)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def stored(data_dir: Path) -> list[Record]:
    """Every record in the file, in its order."""
    feed = LedgerFeed(data_dir / "ledger.db", vault_of(data_dir))
    return [kept.record for kept in feed.after(0, 1_000_000)]
