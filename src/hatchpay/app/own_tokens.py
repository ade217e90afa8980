"""What must be there before a process issues tokens: a key that signs, what opens it, and a URL that they name."""

from __future__ import annotations

import os
from collections.abc import Callable

from hatchpay.admin.local import local_actor
from hatchpay.admin.signing_keys import SigningKeys
from hatchpay.clock import wall_us
from hatchpay.errors import SettingsError
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory

__all__ = ["explained", "prepare", "shown", "url_of"]


def prepare(directory: SqlDirectory, kek: Callable[[], bytes], url: str) -> None:
    """Make the first signing key where there is none, and let every process accept tokens that name `url`.

    Raises SettingsError where the key-encryption key is damaged or lost, whether it would be used now or later.
    """
    kek = explained(kek)
    keys = SigningKeys(directory, wall_us, new_id, kek)
    if not keys.exists():
        with directory.read() as view:
            catalogue = view.catalogue()
        keys.begin(local_actor(os.getuid(), PLATFORM_TENANT_ID, new_id(), catalogue))
    kek()
    with directory.transaction() as transaction:
        transaction.serve_url(url, wall_us())


def url_of(settings: Settings, host: str, port: int) -> str:
    """That of the API on this address."""
    return f"{'http' if settings.tls_cert is None else 'https'}://{shown(host, port)}"


def shown(host: str, port: int) -> str:
    """As in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def explained(kek: Callable[[], bytes]) -> Callable[[], bytes]:
    """`kek`, whose SettingsError also says what to do where no backup is left."""

    def explaining() -> bytes:
        try:
            return kek()
        except SettingsError as error:
            detail = error.detail
        raise SettingsError(
            f"{detail}; where it is lost for good, end the signing keys (hatchpay signing-keys retire KID --force)"
        )

    return explaining
