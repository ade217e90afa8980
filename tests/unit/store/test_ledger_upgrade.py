"""A ledger from before records were sealed: it is brought along whole, and nothing stays in plain sight."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
from tests.support.vaults import vault_beside

from hatchpay.audit.ports import HistoryFilter
from hatchpay.audit.record import Change, Completion, Record
from hatchpay.store.ledger import Ledger, LedgerReader
from hatchpay.store.ledger_upgrade import upgrade

# As version 1 made it.
SCHEMA = """
CREATE TABLE intents (request_id TEXT PRIMARY KEY, instance TEXT NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE records (seq INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL UNIQUE, tenant_id TEXT NOT NULL,
    started_us INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, route TEXT, status INTEGER,
    principal_id TEXT, key_id TEXT, business_unit_id TEXT, client_ip TEXT, response_time_us INTEGER NOT NULL,
    record BLOB NOT NULL);
CREATE INDEX records_by_tenant ON records (tenant_id, seq);
CREATE TABLE changes (id TEXT PRIMARY KEY, request_id TEXT NOT NULL, tenant_id TEXT NOT NULL, at_us INTEGER NOT NULL,
    actor TEXT NOT NULL, event TEXT NOT NULL, subject_id TEXT NOT NULL, detail BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX changes_by_request ON changes (request_id);
CREATE TABLE key_usage (key_id TEXT NOT NULL, secret_version INTEGER NOT NULL, used_us INTEGER NOT NULL,
    client_ip TEXT, PRIMARY KEY (key_id, secret_version)) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def old(path: Path) -> list[Record]:
    records = [
        Record(f"r{number}", "t", "POST", f"/old/{number}?x", number, body=b'{"name":"JANEWASHERE"}', state="completed")
        for number in range(1, 2_001)
    ]
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(SCHEMA)
    for seq, record in enumerate(records, 10):
        data = msgspec.msgpack.encode(record)
        values = (seq, record.request_id, "t", record.started_us, "POST", record.url.partition("?")[0], data)
        db.execute(
            """INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, NULL, NULL, NULL, NULL, NULL, 0, ?7)""", values
        )
    change = Change("c1", "r1", "t", 1, "local:0", "made", "it", b'{"by":"JANEWASHERE"}')
    db.execute("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", msgspec.structs.astuple(change))
    pending = msgspec.msgpack.encode(Record("open", "t", "POST", "/open", 5))
    db.execute("INSERT INTO intents VALUES ('open', 'gone', ?)", (pending,))
    db.commit()
    db.close()
    return records


def test_everything_is_brought_along_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    records = old(path)
    vault = vault_beside(path)
    assert upgrade(path, vault)
    assert not upgrade(path, vault)
    reader = LedgerReader(path, vault)
    page = reader.page(HistoryFilter(tenant_id="t", before=20), 100)
    assert [(one["request_id"], one["url"]) for one in page.records] == [
        (record.request_id, record.url) for record in reversed(records[:10])
    ]
    (first,) = reader.page(HistoryFilter(tenant_id="t", request_id="r1"), 1).records
    assert (first["payload"], [change["id"] for change in first["changes"]]) == ("kept", ["c1"])
    assert not [file for file in tmp_path.glob("ledger.db*") if b"JANEWASHERE" in file.read_bytes()]
    ledger = Ledger(path, "new", vault)
    assert ledger.recover(lambda instance: instance == "gone") == 1
    ledger.write([Completion(Record("later", "t", "GET", "/", 1))])
    assert reader.last() == 2_011
    ledger.close()
