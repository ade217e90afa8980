"""What the commands about the verifiable log work with, by access to the data directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from hatchpay.admin.views import Actor
from hatchpay.app.paths import DataDirectory
from hatchpay.app.sealing import log_keys_of, receipts_of, seals_of
from hatchpay.audit.record import Change
from hatchpay.audit.verifying import Flaw, Holds, Progress, VerifyWish
from hatchpay.clock import wall_us
from hatchpay.errors import Conflict
from hatchpay.ids import new_id
from hatchpay.settings import Settings
from hatchpay.store.receipts import LogReceipts
from hatchpay.store.trail_verifier import LedgerTrailVerifier
from hatchpay.store.vault import Vault

__all__ = ["LocalTrail"]

_ROTATED = "audit-log.log-key.rotated"


class LocalTrail:
    """Beside a running server it is safe: the sealer takes up the new key at its next step."""

    def __init__(self, settings: Settings, paths: DataDirectory, vault: Vault) -> None:
        self._settings = settings
        self._paths = paths
        self._vault = vault

    @property
    def receipts(self) -> LogReceipts:
        return receipts_of(self._settings, self._paths, self._vault)

    def verify(self, wish: VerifyWish) -> Iterator[Progress | Flaw | Holds]:
        seals = seals_of(self._paths)
        root = self._paths.logs(self._settings)
        return LedgerTrailVerifier(self._paths.ledger, self._vault, seals, root).verify(wish)

    def rotate_key(self, actor: Actor, write: Callable[[list[Change]], None]) -> list[tuple[str, str]]:
        """Let the successor of the log key sign from now on. Returns the vkey of each log, by its tenant.

        `write` puts the changes into the ledger, from where each log gets a leaf about it. Raises Conflict
        log_key_unused where there is no log yet, and SettingsError where the successor is gone.
        """
        seals = seals_of(self._paths)
        logs = seals.logs()
        if not logs:
            raise Conflict("nothing is sealed yet, so that there is no key to rotate", code="log_key_unused")
        keys = log_keys_of(self._paths, seals)
        after = [(log, keys.successor(log.origin).key.vkey) for log in logs]
        keys.advance()
        write(
            [
                Change(
                    id=new_id(),
                    request_id=actor.request_id,
                    tenant_id=log.tenant_id,
                    at_us=wall_us(),
                    actor=actor.principal.id,
                    event=_ROTATED,
                    subject_id=log.tenant_id,
                    detail=msgspec.json.encode({"before": log.vkey, "vkey": vkey}),
                )
                for log, vkey in after
            ]
        )
        return [(log.tenant_id, vkey) for log, vkey in after]
