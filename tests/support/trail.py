"""A ledger with its sealer, without a server: what tests of the verifiable log write to, seal and verify."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.vaults import vault_beside

from hatchpay.audit.record import Change, Completion, Record
from hatchpay.audit.verifying import Flaw, Holds, Progress, VerifyWish
from hatchpay.ids import new_id
from hatchpay.store.ledger import Ledger, create_ledger
from hatchpay.store.log_keys import LogKeys
from hatchpay.store.receipts import LogReceipts
from hatchpay.store.sealer import Sealer
from hatchpay.store.seals import SealStore
from hatchpay.store.tile_files import TileFiles
from hatchpay.store.trail_verifier import LedgerTrailVerifier

__all__ = ["NOW", "TENANT", "Trail"]

TENANT = "01a20e03-66c0-7496-b661-f05759a59e2d"
NOW = 1_800_000_000_000_000


class Trail:
    """`folder` holds everything; a second one on the same folder is another process's view of it."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder
        self.path = folder / "ledger.db"
        if create:
            create_ledger(self.path)
        self.vault = vault_beside(self.path)
        self.ledger = Ledger(self.path, "test", self.vault)
        self.seals = SealStore(folder / "seals.db")
        if create:
            self.seals.create()
        self.root = folder / "logs"
        self.keys = LogKeys(folder / "secrets", lambda: bool(self.seals.logs()))
        self.sealer = self.another_sealer()
        self.receipts = LogReceipts(self.path, self.vault, self.seals, self.root)

    def another_sealer(self) -> Sealer:
        return Sealer(self.path, self.seals, self.root, self.keys, "log.example", lambda: NOW)

    def write(self, count: int, tenant_id: str = TENANT, **fields: Any) -> list[str]:
        """Records of so many requests; returns their ids."""
        given = {"body": b'{"name":"Jane"}', "client_ip": "192.0.2.7", "headers": {"user-agent": "test"}} | fields
        records = [Record(new_id(), tenant_id, "POST", "/payments?x", NOW + at, **given) for at in range(count)]
        self.ledger.write([Completion(record) for record in records])
        return [record.request_id for record in records]

    def change(self, event: str = "api-key.keys.create", tenant_id: str = TENANT, detail: bytes = b'{"a":1}') -> str:
        change = Change(new_id(), new_id(), tenant_id, NOW, "local:0", event, "subject", detail)
        self.ledger.write([change])
        return change.id

    def seal(self) -> int:
        count = 0
        while made := self.sealer.step():
            count += made
        return count

    def files(self, tenant_id: str = TENANT) -> TileFiles:
        return TileFiles(self.root, tenant_id)

    def checkpoint(self, tenant_id: str = TENANT) -> bytes:
        log = self.seals.log(tenant_id)
        assert log is not None
        return log.checkpoint

    def outcomes(self, **wish: Any) -> list[Flaw | Holds]:
        verifier = LedgerTrailVerifier(self.path, self.vault, self.seals, self.root)
        return [one for one in verifier.verify(VerifyWish(**wish)) if not isinstance(one, Progress)]

    def outcome(self, **wish: Any) -> Flaw | Holds:
        (only,) = self.outcomes(**wish)
        return only

    def sql(self, statement: str, values: Sequence[object] = ()) -> None:
        """As somebody would who can write to the ledger's file."""
        with sqlite3.connect(self.path) as db:
            db.execute(statement, values)
        db.close()

    def close(self) -> None:
        self.ledger.close()
        self.vault.close()
