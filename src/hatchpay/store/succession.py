"""Keeps, for every log, the statements by which its keys vouch for their successors."""

from __future__ import annotations

from hatchpay.errors import AuditUnavailable
from hatchpay.ledger.note import VerifierKey
from hatchpay.ledger.succession import follow, vouch
from hatchpay.store.log_keys import LogKeys
from hatchpay.store.seals import SealStore

__all__ = ["Successions"]


class Successions:
    """Before a log's first checkpoint its key has vouched for the key after it, and so on."""

    def __init__(self, seals: SealStore, keys: LogKeys) -> None:
        self._seals = seals
        self._keys = keys
        self._kept: dict[str, str] = {}

    def keep(self, tenant_id: str, origin: str, first_known: str | None) -> None:
        """To be called before signing. `first_known` is the vkey that signed last, None for a new log.

        Raises AuditUnavailable where the key in use is none that the log's keys have vouched for.
        """
        current = self._keys.current(origin)
        if self._kept.get(tenant_id) == current.key.vkey:
            return
        statements = self._seals.successions(tenant_id)
        if first_known is not None and first_known != current.key.vkey:
            chain = follow(VerifierKey.parse(first_known), statements)
            if current.key not in chain:
                raise AuditUnavailable("the key that signs the logs is none that the log's last key has vouched for")
        successor = self._keys.successor(origin).key
        if not statements or successor not in follow(current.key, statements):
            self._seals.add_succession(tenant_id, len(statements), vouch(current, successor))
        self._kept[tenant_id] = current.key.vkey
