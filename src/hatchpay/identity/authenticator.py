"""Three answers to a credential: not mine, invalid, or a principal.

Nothing here asks a database: the snapshot is in memory, and a mistyped or made-up key fails its checksum before
even that is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final, Literal, Protocol

import msgspec

from hatchpay.clock import Clock
from hatchpay.errors import MalformedToken
from hatchpay.identity.ports import KeyEntry, SecretEntry, Snapshot
from hatchpay.identity.principal import Principal
from hatchpay.tokens import apikey

__all__ = [
    "NOT_MINE",
    "ApiKeyAuthenticator",
    "Authenticated",
    "Authenticator",
    "Invalid",
    "NotMine",
    "Outcome",
    "Rehash",
    "Unsettled",
    "judge_key",
]


Public = Literal["credential_malformed", "credential_expired", "credential_invalid", "invalid_token"]


class NotMine(msgspec.Struct, frozen=True):
    """Not this scheme's credential; another may know it."""


class Invalid(msgspec.Struct, frozen=True):
    """This scheme's credential, and no good.

    `reason` goes to the audit record; `public` to the caller, where it helps nobody guess.
    `claimed` is the owner of the key id that was named, without proof.
    """

    reason: str
    public: Public = "credential_invalid"
    claimed: Principal | None = None


class Authenticated(msgspec.Struct, frozen=True):
    """`secret_version` is that of the key's secret which proved it, itself or through a token that it was used for.

    `ends_us` is when the credential ends by itself, where it does.
    """

    principal: Principal
    secret_version: int | None
    ends_us: int | None = None


class Unsettled(msgspec.Struct, frozen=True):
    """`invalid` as far as is known. Once `wait` has returned, ask again, once: more may be known then."""

    invalid: Invalid
    wait: Callable[[], Awaitable[None]]


Outcome = NotMine | Invalid | Authenticated | Unsettled
Rehash = Callable[[str, str, int], None]
"""Told of a key (its id, its text, its secret's version) that was proven under an old pepper."""


class Authenticator(Protocol):
    """`bearer_only`: its credentials stand in `Authorization`, never in `X-API-Key`."""

    @property
    def bearer_only(self) -> bool: ...

    def authenticate(self, credential: str) -> Outcome: ...

    def claimed(self, text: str) -> Principal | None: ...


NOT_MINE: Final = NotMine()
_CACHE_BOUND: Final = 65_536
_CLAIM: Final = re.compile(r"hp_(?:live|test)_([0-9A-Za-z]{22})")


class _Proof(msgspec.Struct, frozen=True):
    entry: KeyEntry
    secret: SecretEntry
    authenticated: Authenticated


class ApiKeyAuthenticator:
    """Proves API keys against the current snapshot.

    A proof is remembered by the SHA-256 of the key's text, since HMAC and checksum cost ten times a look-up;
    the memory is bounded, and thrown away whole with its snapshot, so that no change is outlived by it.
    Expiry and state are judged on every request.
    """

    bearer_only: Final = False

    def __init__(self, snapshot: Callable[[], Snapshot], clock: Clock, rehash: Rehash) -> None:
        self._snapshot = snapshot
        self._clock = clock
        self._rehash = rehash
        self._proofs: dict[bytes, _Proof] = {}
        self._proofs_of: Snapshot | None = None

    def authenticate(self, credential: str) -> NotMine | Invalid | Authenticated:
        if not credential.startswith("hp_"):
            return NOT_MINE
        snapshot = self._snapshot()
        if snapshot is not self._proofs_of:
            self._proofs = {}
            self._proofs_of = snapshot
        memory = sha256(credential.encode("utf-8", "replace")).digest()
        proof = self._proofs.get(memory)
        if proof is None:
            found = self._prove(credential, snapshot)
            if isinstance(found, Invalid):
                return found
            proof = found
            if len(self._proofs) >= _CACHE_BOUND:
                self._proofs.clear()
            self._proofs[memory] = proof
        return self._judge(proof)

    def claimed(self, text: str) -> Principal | None:
        """The owner of the first existing key id that `text` names, without any proof; for attributing failures."""
        keys = self._snapshot().keys
        for found in _CLAIM.finditer(text):
            entry = keys.get(found[1])
            if entry is not None:
                return entry.principal
        return None

    def _prove(self, credential: str, snapshot: Snapshot) -> _Proof | Invalid:
        try:
            key = apikey.parse(credential)
        except MalformedToken:
            return Invalid("key_malformed", "credential_malformed", self.claimed(credential))
        entry = snapshot.keys.get(key.locator)
        if entry is None:
            # Costs what a known id costs, so that timing does not tell which ids exist.
            snapshot.peppers.verify(credential, b"\0" * 32, snapshot.peppers.current)
            return Invalid("key_unknown")
        for secret in entry.secrets:
            if snapshot.peppers.verify(credential, secret.digest, secret.pepper_version):
                if secret.pepper_version != snapshot.peppers.current and entry.state == "enabled":
                    self._rehash(key.id, credential, secret.version)
                return _Proof(entry, secret, Authenticated(entry.principal, secret.version, entry.ends_us(secret)))
        return Invalid("key_secret_wrong", claimed=entry.principal)

    def _judge(self, proof: _Proof) -> Invalid | Authenticated:
        return judge_key(proof.entry, proof.secret, self._clock) or proof.authenticated


def judge_key(entry: KeyEntry, secret: SecretEntry, clock: Clock) -> Invalid | None:
    """Why the key is refused to somebody who has its `secret`, or None."""
    if entry.state != "enabled":
        return Invalid(f"key_{entry.state}", claimed=entry.principal)
    expires = entry.principal.limits.expires_at_us
    ends = secret.ends_at_us
    if expires is not None or ends is not None:
        now = clock()
        if expires is not None and now >= expires:
            return Invalid("key_expired", "credential_expired", entry.principal)
        if ends is not None and now >= ends:
            return Invalid("key_secret_ended", "credential_expired", entry.principal)
    return None
