"""Keeping the keys of trusted issuers fresh, for all processes of the machine: one of them fetches, all hear of it."""

from __future__ import annotations

import logging
from typing import Final

import msgspec

from hatchpay.access.directory import IssuerRow
from hatchpay.admin.issuers import FetchKeys
from hatchpay.admin.ports import Directory
from hatchpay.clock import Clock
from hatchpay.errors import FetchFailed, UnusableKey
from hatchpay.identity.ports import IssuerEntry, Trust
from hatchpay.tokens.jwks import KeySet

__all__ = ["ASK_AT_MOST_EVERY_S", "REFRESH_EVERY_S", "IssuerKeyRefresh"]

_log: Final = logging.getLogger("hatchpay.issuers")
_US: Final = 1_000_000
REFRESH_EVERY_S: Final = 300
ASK_AT_MOST_EVERY_S: Final = 60
"""How often tokens with an unknown `kid` may cause a fetch, whoever sends them."""

_RETRY_EVERY_S: Final = 60


class IssuerKeyRefresh:
    """No caller, so no event: which keys an issuer signs with is its own affair, within what the tenant has allowed."""

    def __init__(self, directory: Directory, clock: Clock, fetch: FetchKeys) -> None:
        self._directory = directory
        self._clock = clock
        self._fetch = fetch

    def due(self, trust: Trust) -> list[str]:
        """The ids of the issuers whose keys should be fetched by now."""
        now = self._clock()
        return [entry.id for entry in trust.issuers.values() if _is_due(entry, now)]

    def refresh(self, issuer_id: str, *, asked: bool = False) -> bool:
        """Fetch an issuer's keys, unless another process has just done so; returns whether it tried.

        `asked`: because of an unknown `kid`. A failure keeps the last good keys. Raises DirectoryUnavailable.
        """
        row = self._claimed(issuer_id, asked)
        if row is None:
            return False
        document, failure = None, None
        try:
            document = self._fetch(row.issuer, row.jwks_url)
            KeySet.load(document)
        except (FetchFailed, UnusableKey) as error:
            document, failure = None, error.code
            _log.warning("the keys of the issuer %s cannot be had: %s", issuer_id, error.code)
        self._store(row, document, failure)
        return True

    def _claimed(self, issuer_id: str, asked: bool) -> IssuerRow | None:
        """Takes the turn in one transaction, so that of several processes one fetches."""
        now = self._clock()
        with self._directory.transaction() as transaction:
            row = next(iter(transaction.load_issuers([issuer_id])), None)
            if row is None or not row.enabled:
                return None
            old = row.keys
            last, every_s = (old.asked_us, ASK_AT_MOST_EVERY_S) if asked else (old.tried_us, _RETRY_EVERY_S)
            if not _is_past(last, every_s, now):
                return None
            keys = msgspec.structs.replace(old, tried_us=now, asked_us=now if asked else old.asked_us)
            transaction.save_issuer_keys(issuer_id, keys)
            return msgspec.structs.replace(row, keys=keys)

    def _store(self, claimed: IssuerRow, document: bytes | None, failure: str | None) -> None:
        with self._directory.transaction() as transaction:
            row = next(iter(transaction.load_issuers([claimed.id])), None)
            if row is None or row.jwks_url != claimed.jwks_url:
                # It was changed meanwhile, and with it the place where its keys are.
                return
            keys = msgspec.structs.replace(row.keys, failure=failure)
            if document is not None:
                keys = msgspec.structs.replace(keys, document=document, fetched_us=self._clock())
            transaction.save_issuer_keys(claimed.id, keys)


def _is_due(entry: IssuerEntry, now: int) -> bool:
    if not entry.enabled:
        return False
    tried, fetched = entry.tried_us, entry.fetched_us
    failing = fetched is None or (tried is not None and tried > fetched)
    return _is_past(tried, _RETRY_EVERY_S if failing else REFRESH_EVERY_S, now)


def _is_past(last_us: int | None, seconds: int, now: int) -> bool:
    return last_us is None or now - last_us >= seconds * _US
