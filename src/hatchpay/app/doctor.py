"""What `hatchpay doctor` looks at, and the two things that it mends.

Requests that a killed process left without an outcome are recorded as `indeterminate`, and changes that it left in
the outbox are brought into the ledger.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

from hatchpay.access.directory import KeyRow, SigningKeyRow
from hatchpay.admin.signing_keys import SigningKeys
from hatchpay.app.local import import_changes
from hatchpay.app.own_tokens import explained
from hatchpay.app.paths import DataDirectory
from hatchpay.app.streams import stream_healths
from hatchpay.cli.ports import Finding
from hatchpay.clock import wall_us
from hatchpay.errors import HatchPayError, UnusableKey
from hatchpay.ids import new_id
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.instance import is_gone
from hatchpay.store.ledger import Ledger, LedgerReader, holds_parts
from hatchpay.store.secrets import SecretFiles
from hatchpay.store.vault import Vault
from hatchpay.tokens import signing

__all__ = ["diagnose"]

_LEAST_FREE: Final = 512 * 1024 * 1024
_MOST_ITEMS: Final = 100


def diagnose(settings: Settings) -> list[Finding]:
    """One finding per check. A check that cannot be made has failed, and stops no other."""
    if not settings.data_dir.is_dir():
        return [Finding("data_directory", "failed", f"{settings.data_dir} is not a directory")]
    doctor = _Doctor(settings)
    checks: dict[str, Callable[[], Finding]] = {
        "data_directory": doctor.data_directory,
        "disk_space": doctor.disk_space,
        "secret_files": doctor.secret_files,
        "directory": doctor.directory,
        "ledger": doctor.ledger,
        "payload_keys": doctor.payload_keys,
        "unfinished_requests": doctor.unfinished_requests,
        "outbox": doctor.outbox,
        "peppers": doctor.peppers,
        "administrators": doctor.administrators,
        "signing_keys": doctor.signing_keys,
        "issuers": doctor.issuers,
        "streams": doctor.streams,
    }
    return [_made(name, check) for name, check in checks.items()]


def _made(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except HatchPayError as error:
        return Finding(name, "failed", error.detail)
    except OSError as error:
        return Finding(name, "failed", f"{error.filename or name}: {error.strerror or error}")
    except sqlite3.Error as error:
        return Finding(name, "failed", str(error))


class _Doctor:
    """Every check opens what it needs, so that one thing which is broken hides no other."""

    def __init__(self, settings: Settings) -> None:
        self._alarm_s = settings.stream_lag_alarm_s
        self._paths = DataDirectory(settings.data_dir)
        # A key-encryption key is only asked for where something depends on it.
        self._secrets = SecretFiles(
            self._paths.secrets,
            settings.pepper,
            kek=settings.kek,
            kek_needed=lambda: True,
            payload_needed=self._paths.payload_keys.exists,
        )
        self._pepper_file = None if settings.pepper is not None else self._paths.secrets / "pepper.json"

    def data_directory(self) -> Finding:
        open_to_others = [path for path in self._private() if path.stat().st_mode & 0o077]
        if open_to_others:
            return Finding(
                "data_directory",
                "warning",
                "open to others; take their rights away (chmod go=)",
                tuple(map(str, open_to_others)),
            )
        return Finding("data_directory", "ok", str(self._paths.root))

    def disk_space(self) -> Finding:
        free = shutil.disk_usage(self._paths.root).free
        status: Literal["ok", "warning"] = "warning" if free < _LEAST_FREE else "ok"
        return Finding("disk_space", status, f"{free // (1024 * 1024)} MiB free")

    def secret_files(self) -> Finding:
        if self._pepper_file is not None and not self._pepper_file.exists():
            # Asking for it would make a new one, under which no existing key verifies.
            if self._keys():
                return Finding("secret_files", "failed", "pepper.json is missing: bring it back from a backup")
            return Finding("secret_files", "ok", "none yet")
        self._secrets.peppers()
        if (self._paths.secrets / "fingerprint.key").exists():
            self._secrets.fingerprint_key()
        return Finding("secret_files", "ok", "readable by their owner only")

    def directory(self) -> Finding:
        with closing(self._open_directory()) as directory, directory.connection() as connection:
            rows = connection.exec_driver_sql("PRAGMA quick_check(20)").scalars()
            problems = tuple(str(row) for row in rows if row != "ok")
        if problems:
            return Finding("directory", "failed", "its file is damaged", problems)
        return Finding("directory", "ok", f"keys: {len(self._keys())}")

    def ledger(self) -> Finding:
        history = self._history()
        problems = history.check()
        if problems:
            return Finding("ledger", "failed", "its file is damaged", tuple(problems))
        return Finding("ledger", "ok", f"records: {history.last()}")

    def payload_keys(self) -> Finding:
        if not self._paths.payload_keys.exists() and not holds_parts(self._paths.ledger):
            return Finding("payload_keys", "ok", "none yet")
        with closing(self._paths.vault(self._secrets)) as vault:
            vault.open()
        return Finding("payload_keys", "ok", "they open the personal parts of the record")

    def unfinished_requests(self) -> Finding:
        with closing(self._open_ledger()) as ledger:
            recovered = ledger.recover(lambda instance: is_gone(self._paths.instances, instance))
        running = len(self._history().pending())
        detail = f"recovered as indeterminate: {recovered}; in progress: {running}"
        return Finding("unfinished_requests", "warning" if recovered else "ok", detail)

    def outbox(self) -> Finding:
        with closing(self._open_directory()) as directory, closing(self._open_ledger()) as ledger:
            imported = import_changes(directory, ledger)
        return Finding("outbox", "ok", f"changes brought into the ledger: {imported}")

    def peppers(self) -> Finding:
        keys = self._keys()
        if self._pepper_file is not None and not self._pepper_file.exists():
            return Finding("peppers", "failed" if keys else "ok", "there is none")
        peppers = self._secrets.peppers()
        now = wall_us()
        stale = [key for key in keys if _versions(key, now) - {peppers.current}]
        lost = [key for key in stale if key.enabled and _versions(key, now) - set(peppers.keys)]
        if lost:
            return Finding("peppers", "failed", f"keys under a pepper that is gone: {len(lost)}", _items(lost))
        old = [key for key in stale if _versions(key, now) & set(peppers.keys) - {peppers.current}]
        if old:
            detail = f"keys not yet under pepper {peppers.current}: {len(old)}"
            return Finding("peppers", "warning", detail, _items(old))
        return Finding("peppers", "ok", f"all keys that work are under pepper {peppers.current}")

    def administrators(self) -> Finding:
        with closing(self._open_directory()) as directory, directory.read() as view:
            tenants, before = [], None
            while page := view.tenants(200, before):
                tenants += page
                before = page[-1].id
            without = tuple(f"{tenant.name} ({tenant.id})" for tenant in tenants if not view.administrators(tenant.id))
        if without:
            detail = f"tenants without a key that can administer them without limit: {len(without)}"
            return Finding("administrators", "warning", detail, without[:_MOST_ITEMS])
        return Finding("administrators", "ok", f"tenants: {len(tenants)}")

    def signing_keys(self) -> Finding:
        with closing(self._open_directory()) as directory:
            with directory.read() as view:
                living = [row for row in view.signing_keys() if row.retired_us is None]
            shown = SigningKeys(directory, wall_us, new_id, self._secrets.kek).list()
        if not living:
            return Finding("signing_keys", "ok", "none yet")
        kek = explained(self._secrets.kek)()
        closed = [f"{row.kid} ({row.algorithm})" for row in living if not _opens(row, kek)]
        if closed:
            detail = f"keys whose private half the key-encryption key does not open: {len(closed)}"
            return Finding("signing_keys", "failed", detail, _shortened(closed))
        count = Counter(view.status for view in shown)
        detail = f"signing: {count['signing']}; next: {count['next']}; published: {count['published']}"
        return Finding("signing_keys", "ok" if count["signing"] else "warning", detail)

    def issuers(self) -> Finding:
        with closing(self._open_directory()) as directory, directory.read() as view:
            trusted = [row for row in view.load_issuers(None) if row.enabled]
        failing = [row for row in trusted if row.keys.failure is not None]
        if failing:
            items = [f"{row.issuer} ({row.id}) of tenant {row.tenant_id}: {row.keys.failure}" for row in failing]
            detail = f"trusted issuers whose keys could not be fetched lately: {len(failing)}"
            return Finding("issuers", "warning", detail, _shortened(items))
        return Finding("issuers", "ok", f"trusted issuers: {len(trusted)}")

    def streams(self) -> Finding:
        with closing(self._open_directory()) as directory, directory.read() as view:
            rows = view.load_streams()
        healths = stream_healths(self._paths, self._paths.vault_to_read(self._secrets))(rows)
        ill = []
        for row in rows:
            health, named = healths[row.id], f"{row.name} ({row.id}) of tenant {row.tenant_id}"
            if row.disabled_reason is not None:
                ill.append(f"{named}: {row.disabled_reason}")
            elif row.enabled and health.lag_seconds > self._alarm_s:
                why = "nobody ships it" if health.state == "stopped" else health.last_error or "no failure"
                ill.append(f"{named}: {int(health.lag_seconds)} s behind, {why}")
        if ill:
            return Finding("streams", "warning", f"streams that are behind or disabled: {len(ill)}", _shortened(ill))
        lost = sum(health.dead_letters for health in healths.values())
        return Finding("streams", "ok", f"streams: {len(rows)}; records given up: {lost}")

    def _keys(self) -> list[KeyRow]:
        with closing(self._open_directory()) as directory, directory.read() as view:
            return [key for key in view.load_keys(None) if key.deleted_us is None]

    def _open_ledger(self) -> Ledger:
        # Of no instance: it writes no intents.
        return Ledger(self._paths.ledger, "", self._paths.vault_to_read(self._secrets), busy_timeout_s=15.0)

    def _history(self) -> LedgerReader:
        # Asked for nothing that is encrypted, and so no less whole for keys that are lost.
        return LedgerReader(self._paths.ledger, Vault(self._paths.payload_keys, self._secrets.payload_key))

    def _open_directory(self) -> SqlDirectory:
        # Opening makes the file where there is none, and would hide that it is lost.
        self._paths.directory.stat()
        return SqlDirectory(self._paths.directory)

    def _private(self) -> list[Path]:
        candidates = [
            self._paths.root,
            self._paths.directory,
            self._paths.ledger,
            self._paths.payload_keys,
            self._paths.secrets,
        ]
        candidates += [self._paths.streams, self._paths.seals, self._paths.exports]
        return [path for path in candidates if path.exists()]


def _versions(key: KeyRow, now: int) -> set[int]:
    """The peppers of its secrets that have not ended."""
    return {secret.pepper_version for secret in key.secrets if secret.ends_us is None or secret.ends_us > now}


def _opens(row: SigningKeyRow, kek: bytes) -> bool:
    try:
        signing.unseal(row.sealed, kek, row.algorithm, row.kid)
    except UnusableKey:
        return False
    return True


def _items(keys: list[KeyRow]) -> tuple[str, ...]:
    return _shortened([f"{key.name} ({key.id}) of tenant {key.tenant_id}" for key in keys])


def _shortened(named: list[str]) -> tuple[str, ...]:
    return tuple(named[:_MOST_ITEMS]) + ((f"and {len(named) - _MOST_ITEMS} more",) if len(named) > _MOST_ITEMS else ())
