"""Reading the record in tests: over HTTP as its users do, or straight from a ledger that nobody serves."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import httpx
import msgspec

from hatchpay.audit.record import Record

__all__ = ["history", "stored"]


def history(client: httpx.Client, **filters: Any) -> list[dict[str, Any]]:
    answer = client.get("/v1/audit-log/history", params=filters)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def stored(data_dir: Path) -> list[Record]:
    """Every record in the file, in its order."""
    db = sqlite3.connect(data_dir / "ledger.db")
    try:
        rows = db.execute("SELECT record FROM records ORDER BY seq").fetchall()
    finally:
        db.close()
    return [msgspec.msgpack.decode(row[0], type=Record) for row in rows]
