"""The life of a key's secrets: made, replaced, ended, brought under another pepper."""

from __future__ import annotations

from typing import Final

import msgspec

from hatchpay.access.directory import KeyRow, SecretRow
from hatchpay.errors import Conflict
from hatchpay.tokens import apikey
from hatchpay.tokens.digest import Peppers

__all__ = ["MAX_SECRETS", "ended", "ended_under", "issued", "rehashed", "rotated"]

MAX_SECRETS: Final = 10
"""How many secrets a key keeps; a request with a wrong secret costs one digest for each."""


def issued(key: KeyRow, peppers: Peppers, randbelow: apikey.Randomness, now: int) -> tuple[KeyRow, str]:
    """`key` with a new secret in front of those that it has, and its text, kept nowhere else."""
    made = apikey.issue(key.id, key.environment, randbelow)
    secret = SecretRow(
        version=1 + max((row.version for row in key.secrets), default=0),
        digest=peppers.digest(made.text),
        pepper_version=peppers.current,
        last_four=made.last_four,
        created_us=now,
    )
    return msgspec.structs.replace(key, secrets=(secret, *key.secrets)), made.text


def rotated(key: KeyRow, peppers: Peppers, randbelow: apikey.Randomness, now: int, ends_us: int) -> tuple[KeyRow, str]:
    """As `issued`; every older secret ends by `ends_us`. Raises Conflict where too many would still work."""
    key, text = issued(_ending(key, ends_us), peppers, randbelow, now)
    kept, dropped = key.secrets[:MAX_SECRETS], key.secrets[MAX_SECRETS:]
    if any(secret.ends_us is None or secret.ends_us > now for secret in dropped):
        raise Conflict("too many secrets of this key still work; end them first", code="too_many_secrets")
    return msgspec.structs.replace(key, secrets=kept), text


def ended(key: KeyRow, now: int) -> KeyRow:
    """`key` with its newest secret only; the older ones end now."""
    newest = key.secrets[:1]
    return msgspec.structs.replace(key, secrets=newest + _ending(key, now).secrets[1:])


def rehashed(key: KeyRow, text: str, version: int, peppers: Peppers) -> KeyRow:
    """`key` with the secret `version` under the current pepper, if `text` is that secret; else unchanged."""

    def renew(row: SecretRow) -> SecretRow:
        stale = row.version == version and row.pepper_version != peppers.current
        if not (stale and peppers.verify(text, row.digest, row.pepper_version)):
            return row
        return msgspec.structs.replace(row, digest=peppers.digest(text), pepper_version=peppers.current)

    return msgspec.structs.replace(key, secrets=tuple(map(renew, key.secrets)))


def ended_under(key: KeyRow, pepper_version: int, now: int) -> KeyRow:
    """`key` with the secrets under that pepper ending now, if they have not ended before."""

    def end(row: SecretRow) -> SecretRow:
        if row.pepper_version != pepper_version or (row.ends_us is not None and row.ends_us <= now):
            return row
        return msgspec.structs.replace(row, ends_us=now)

    return msgspec.structs.replace(key, secrets=tuple(map(end, key.secrets)))


def _ending(key: KeyRow, ends_us: int) -> KeyRow:
    ends = [ends_us if row.ends_us is None else min(row.ends_us, ends_us) for row in key.secrets]
    rows = zip(key.secrets, ends, strict=True)
    return msgspec.structs.replace(key, secrets=tuple(msgspec.structs.replace(row, ends_us=end) for row, end in rows))
