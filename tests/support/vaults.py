"""The keys of the record's personal parts: those of a data directory, or some beside a ledger that a test makes."""

from __future__ import annotations

import base64
from pathlib import Path

from hatchpay.store.vault import Vault

__all__ = ["vault_beside", "vault_of"]


def vault_beside(ledger: Path) -> Vault:
    """Under a secret that all tests share."""
    vault = Vault(ledger.parent / "payload.keys", lambda: bytes(32))
    vault.create()
    return vault


def vault_of(data_dir: Path) -> Vault:
    """That of a server's or a command's data directory, made where it has none yet."""
    secrets = data_dir / "secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    secret = secrets / "payload.key"
    if not secret.exists():
        secret.write_text(base64.b64encode(bytes(32)).decode())
        secret.chmod(0o600)
    vault = Vault(data_dir / "payload.keys", lambda: base64.b64decode(secret.read_text()))
    vault.create()
    return vault
