"""The ledger's tables.

`records` and `changes` are appended to; `intents` holds rows that leave only when their record arrives, in the same
transaction. A row's `record` or `change` never changes. Erasure and retention clear what is beside it: `slot`,
`encrypted`, `path`, `client_ip`, `principal_id`; `erased` says which of them accounts for which row. `subject_records`
finds all that was recorded about one subject. `key_usage` is a view of the records kept for quick reading.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SCHEMA", "SCHEMA_VERSION"]

SCHEMA_VERSION: Final = 2
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS intents (
    request_id TEXT PRIMARY KEY,
    instance TEXT NOT NULL,
    record BLOB NOT NULL,
    slot INTEGER NOT NULL,
    encrypted BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE,
    tenant_id TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    method TEXT NOT NULL,
    path TEXT,
    route TEXT,
    status INTEGER,
    principal_id TEXT,
    key_id TEXT,
    business_unit_id TEXT,
    client_ip TEXT,
    response_time_us INTEGER NOT NULL,
    record BLOB NOT NULL,
    commitments BLOB NOT NULL,
    slot INTEGER,
    encrypted BLOB
);
CREATE INDEX IF NOT EXISTS records_by_tenant ON records (tenant_id, seq);
CREATE TABLE IF NOT EXISTS changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    request_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    change BLOB NOT NULL,
    commitments BLOB NOT NULL,
    slot INTEGER,
    encrypted BLOB
);
CREATE INDEX IF NOT EXISTS changes_by_request ON changes (request_id);
CREATE TABLE IF NOT EXISTS subjects (
    tenant_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    slot INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, subject)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subject_records (
    slot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (slot, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS erased (
    tenant_id TEXT NOT NULL,
    source TEXT NOT NULL,
    seq INTEGER NOT NULL,
    erasure_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, source, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS key_usage (
    key_id TEXT NOT NULL,
    secret_version INTEGER NOT NULL,
    used_us INTEGER NOT NULL,
    client_ip TEXT,
    PRIMARY KEY (key_id, secret_version)
) WITHOUT ROWID;
"""
