"""A directory beside a real ledger, into which tests write by hand what callers did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.directory import World
from tests.support.vaults import vault_beside

from hatchpay.admin.advice import Advice
from hatchpay.audit.record import Completion, Record
from hatchpay.ids import new_id
from hatchpay.store.ledger import Ledger, LedgerReader, create_ledger
from hatchpay.store.replay import LedgerReplay

__all__ = ["DAY", "Observed"]

DAY = 86_400_000_000


class Observed:
    """`advice` reads what `use` and `write` have put into the ledger of one tenant."""

    def __init__(self, world: World, tenant_id: str, folder: Path) -> None:
        self.world = world
        self.tenant_id = tenant_id
        path = folder / "ledger.db"
        vault = vault_beside(path)
        create_ledger(path)
        self.ledger = Ledger(path, "test", vault)
        self.advice = Advice(
            world.directory,
            LedgerReplay(path, vault),
            LedgerReader(path, vault),
            world.clock,
            new_id,
        )

    def write(self, at_us: int, permission: str | None, **fields: Any) -> None:
        """One request of the tenant, allowed by a role unless `fields` say otherwise."""
        known: dict[str, Any] = {"decision": "allow", "reason": "role_grants", "rule": "role:some"}
        record = Record(new_id(), self.tenant_id, "GET", "/", at_us, permission=permission, **(known | fields))
        self.ledger.write([Completion(record)])

    def use(self, key_id: str, permission: str, *days_ago: float, **fields: Any) -> None:
        """A key's requests, each so many days before now."""
        for days in days_ago:
            at = self.world.clock.now - int(days * DAY)
            self.write(at, permission, key_id=key_id, principal_id=key_id, secret_version=1, **fields)

    def use_often(self, key_id: str, permission: str, times: int, days_ago: float = 1) -> None:
        at = self.world.clock.now - int(days_ago * DAY)
        records = [
            Record(
                new_id(),
                self.tenant_id,
                "GET",
                "/",
                at + number,
                key_id=key_id,
                secret_version=1,
                decision="allow",
                rule="role:some",
                permission=permission,
            )
            for number in range(times)
        ]
        self.ledger.write([Completion(record) for record in records])

    def begin(self, days_ago: float) -> None:
        """The tenant's first request, which nobody was allowed."""
        at = self.world.clock.now - int(days_ago * DAY)
        self.write(at, None, decision="deny", reason="credential_unknown", rule=None)

    def close(self) -> None:
        self.ledger.close()
