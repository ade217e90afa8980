"""The parts of the verifiable log, put together for a data directory."""

from __future__ import annotations

from urllib.parse import urlsplit

from hatchpay.app.paths import DataDirectory
from hatchpay.clock import wall_us
from hatchpay.settings import Settings
from hatchpay.store.feed import LedgerFeed
from hatchpay.store.log_keys import LogKeys
from hatchpay.store.receipts import LogReceipts
from hatchpay.store.sealer import Sealer
from hatchpay.store.seals import SealStore
from hatchpay.store.secrets import SecretFiles
from hatchpay.store.vault import Vault
from hatchpay.store.witnesses import WitnessSubmitter, parse_witnesses

__all__ = ["feed_of", "log_keys_of", "receipts_of", "sealer_of", "seals_of", "submitter_of"]


def seals_of(paths: DataDirectory) -> SealStore:
    """Made where there is none yet. Raises AuditUnavailable."""
    seals = SealStore(paths.seals)
    if not seals.exists:
        seals.create()
    return seals


def feed_of(paths: DataDirectory, vault: Vault) -> LedgerFeed:
    """Whose records know their leaves."""
    return LedgerFeed(paths.ledger, vault, seals_of(paths))


def log_keys_of(paths: DataDirectory, seals: SealStore) -> LogKeys:
    return LogKeys(paths.secrets, lambda: bool(seals.logs()))


def sealer_of(settings: Settings, paths: DataDirectory, secrets: SecretFiles) -> Sealer:
    seals = seals_of(paths)
    return Sealer(paths.ledger, seals, paths.logs(settings), log_keys_of(paths, seals), _origin(settings), wall_us)


def submitter_of(settings: Settings, paths: DataDirectory) -> WitnessSubmitter | None:
    """None where there are no witnesses. Raises SettingsError for keys that are none."""
    known = parse_witnesses(settings.witnesses)
    if not known:
        return None
    quorum = len(known) if settings.witness_quorum is None else settings.witness_quorum
    return WitnessSubmitter(seals_of(paths), paths.logs(settings), known, quorum, wall_us)


def receipts_of(settings: Settings, paths: DataDirectory, vault: Vault) -> LogReceipts:
    return LogReceipts(paths.ledger, vault, seals_of(paths), paths.logs(settings))


def _origin(settings: Settings) -> str:
    """What the names of new logs begin with; a log keeps the name that it was given."""
    if settings.log_origin is not None:
        return settings.log_origin
    host = urlsplit(settings.public_url).hostname if settings.public_url is not None else None
    return f"{host or 'hatchpay.local'}/audit"
