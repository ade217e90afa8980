"""A log as HatchPay writes it: records in a ledger, sealed, with receipts and record files."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests.support.vaults import vault_beside

from hatchpay.audit.record import Completion, Record
from hatchpay.store.ledger import Ledger, create_ledger
from hatchpay.store.log_keys import LogKeys
from hatchpay.store.receipts import LogReceipts
from hatchpay.store.sealer import Sealer
from hatchpay.store.seals import SealStore

__all__ = ["ORIGIN", "TENANT", "SealedLog", "record"]

TENANT = "0199a5c0-0000-7000-8000-000000000001"
ORIGIN = f"hatchpay.test/{TENANT}"


def record(number: int, **changes: object) -> Record:
    made = Record(
        f"0199a5c0-0000-7000-8000-{number:012}",
        TENANT,
        "POST",
        "/v1/payments?page=2",
        1_790_000_000_000_000 + number,
        client_ip="192.0.2.7",
        headers={"user-agent": "shop/1 «é\u2028»", "accept": "*/*"},
        principal_id="user-7@issuer.example",
        correlation_id="order-9",
        roles=("gl", "viewer"),
        decision="allow",
        reason="allowed",
        body=b'{"amount": 10.5, "note": "caf\xc3\xa9 \\n", "card": "411111******1111"}',
        body_size=70,
        body_digest="ab" * 32,
        status=201,
        response_size=2,
        response_time_us=1_500,
        state="completed",
    )
    return msgspec.structs.replace(made, **changes)


class SealedLog:
    """In `folder`. What is added is not sealed before `seal`. Its key is drawn, or made from `seed` of 32 bytes."""

    def __init__(self, folder: Path, seed: bytes = b"", host: str = "hatchpay.test") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.origin = f"{host}/{TENANT}"
        self.path = folder / "ledger.db"
        self.tiles = folder / "logs"
        self.vault = vault_beside(self.path)
        self.seals = SealStore(folder / "seals.db")
        self.clock_us = 1_790_000_100_000_000
        create_ledger(self.path)
        self.seals.create()
        self.keys = (
            LogKeys(folder / "keys", lambda: False, lambda count: seed)
            if seed
            else LogKeys(folder / "keys", lambda: False)
        )
        self._ledger = Ledger(self.path, "test", self.vault)
        self.sealer = Sealer(self.path, self.seals, self.tiles, self.keys, host, lambda: self.clock_us)
        self.receipts = LogReceipts(self.path, self.vault, self.seals, self.tiles)

    @property
    def vkey(self) -> str:
        return self.keys.current(self.origin).key.vkey

    def add(self, *records: Record) -> None:
        self._ledger.write([Completion(one) for one in records])

    def seal(self) -> int:
        return self.sealer.step()

    def receipt(self, number: int) -> bytes:
        found = self.receipts.receipt(TENANT, record(number).request_id)
        assert found is not None
        return found

    def record_file(self, number: int) -> bytes:
        """As `GET /v1/audit-log/records/{request_id}` answers it."""
        found = self.receipts.record(TENANT, record(number).request_id)
        assert found is not None
        return msgspec.json.encode({"record": found.record, "openings": found.openings})

    def close(self) -> None:
        self._ledger.close()
