"""Tokens by access to the data directory: issued for a key, and inspected, by the same code as in a server."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

import msgspec

from hatchpay.admin.signing_keys import Signer
from hatchpay.admin.token_views import IssuedToken, TokenWish
from hatchpay.admin.tokens import Tokens
from hatchpay.app import own_tokens
from hatchpay.cli.ports import TokenInspection
from hatchpay.clock import wall_us
from hatchpay.errors import HatchPayError, InvalidInput, InvalidToken, NotFound, Unauthenticated
from hatchpay.identity.authenticator import (
    ApiKeyAuthenticator,
    Authenticated,
    Invalid,
    Rehash,
    Unsettled,
    judge_key,
)
from hatchpay.identity.ports import KeyEntry
from hatchpay.identity.tokens import TokenAuthenticator
from hatchpay.ids import PLATFORM_TENANT_ID, is_uuid, new_id
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.secrets import SecretFiles
from hatchpay.store.snapshots import DirectorySnapshots
from hatchpay.tokens import base64url, strict_json
from hatchpay.tokens.apikey import encode_id
from hatchpay.tokens.digest import Peppers

__all__ = ["FoundKey", "LocalTokens"]

_REFUSED: Final[Mapping[str, str]] = {
    "key_malformed": "this is neither the text of an API key nor the id of one; or it is mistyped or cut off",
    "key_unknown": "there is no API key of the id that stands in this one",
    "key_secret_wrong": "the secret in the API key is not that of the key with its id",
    "key_disabled": "the API key is disabled",
    "key_deleted": "the API key was deleted",
    "key_expired": "the API key has expired",
    "key_secret_ended": "the secret in the API key was replaced, and has ended",
}
_NO_PEPPERS: Final = Peppers(0, {})


class FoundKey(msgspec.Struct, frozen=True):
    """What a key's text or id has led to: the tenant whose log tells of it, what the record can `known`ly say, and
    whoever was proven, or the error that refuses.
    """

    tenant_id: str
    known: Mapping[str, object]
    outcome: Authenticated | HatchPayError


class LocalTokens:
    """`rehash` is told of a key that was proven under an old pepper."""

    def __init__(self, settings: Settings, directory: SqlDirectory, secrets: SecretFiles, rehash: Rehash) -> None:
        self._settings = settings
        self._directory = directory
        self._secrets = secrets
        self._rehash = rehash

    def find(self, key: str, tenant_id: str | None) -> FoundKey:
        """By a key's text, which names its own tenant; or by its id, which somebody at the machine may use as well.

        Raises InvalidInput for an id without a `tenant_id`.
        """
        if not is_uuid(key):
            return self._by_text(key, tenant_id)
        if tenant_id is None:
            raise InvalidInput("the id of a key counts within its tenant; name that", field="tenant")
        return self._by_id(key, tenant_id)

    def issue(self, found: FoundKey, wish: TokenWish, token_id: str) -> IssuedToken:
        """Raises the error that refuses, what Tokens.issue raises, and SettingsError where the signing keys cannot be
        opened any more.
        """
        if isinstance(found.outcome, HatchPayError):
            raise found.outcome
        url = self._url()
        own_tokens.prepare(self._directory, self._secrets.kek, url)
        self._snapshots.refresh()
        signer = Signer(lambda: self._snapshots.current.trust, wall_us, self._secrets.kek)
        tokens = Tokens(self._directory, signer, wall_us, new_id, lambda: url, self._settings.token_life_s)
        return tokens.issue(found.outcome, wish, token_id)

    def inspect(self, text: str) -> TokenInspection:
        """Never raises for what `text` is."""
        snapshot = DirectorySnapshots(self._directory, lambda: _NO_PEPPERS).current
        authenticator = TokenAuthenticator(
            lambda: snapshot, wall_us, lambda _: None, keep_s=self._settings.issuer_keys_keep_s
        )
        outcome = authenticator.authenticate(text)
        if isinstance(outcome, Unsettled):
            outcome = outcome.invalid
        parts = text.split(".", 2)
        header, claims = _object(parts, 0), _object(parts, 1)
        if isinstance(outcome, Authenticated):
            return TokenInspection(header=header, claims=claims, principal=outcome.principal)
        # What has no dot is nothing that the authenticator would look at.
        reason = outcome.reason if isinstance(outcome, Invalid) else "token_parts_wrong"
        return TokenInspection(header=header, claims=claims, reason=reason)

    @cached_property
    def _snapshots(self) -> DirectorySnapshots:
        return DirectorySnapshots(self._directory, self._secrets.peppers)

    def _by_text(self, text: str, tenant_id: str | None) -> FoundKey:
        snapshot = self._snapshots.current
        outcome = ApiKeyAuthenticator(lambda: snapshot, wall_us, self._rehash).authenticate(text)
        if isinstance(outcome, Authenticated):
            principal = outcome.principal
            known = {"key_id": principal.key_id, "secret_version": outcome.secret_version}
            if tenant_id not in {None, principal.tenant_id}:
                wrong = InvalidInput("the API key is of another tenant", field="tenant")
                return FoundKey(principal.tenant_id, known, wrong)
            return FoundKey(principal.tenant_id, known, outcome)
        claimed = outcome.claimed if isinstance(outcome, Invalid) else None
        refusal = _refusal(outcome.reason if isinstance(outcome, Invalid) else "key_malformed")
        if claimed is None:
            return FoundKey(tenant_id or PLATFORM_TENANT_ID, {}, refusal)
        return FoundKey(claimed.tenant_id, {"claimed_key_id": claimed.key_id}, refusal)

    def _by_id(self, key_id: str, tenant_id: str) -> FoundKey:
        entry = self._snapshots.current.keys.get(encode_id(key_id))
        if entry is None or entry.principal.tenant_id != tenant_id:
            return FoundKey(tenant_id, {}, NotFound("there is no such API key"))
        return FoundKey(tenant_id, {"claimed_key_id": key_id}, _newest(entry, wall_us()))

    def _url(self) -> str:
        """What new tokens name as their issuer: what callers are told, were told last, or would be told."""
        if self._settings.public_url is not None:
            return self._settings.public_url
        with self._directory.read() as view:
            served = view.served_urls()
        if served:
            return served[0]
        return own_tokens.url_of(self._settings, self._settings.host, self._settings.port)


def _newest(entry: KeyEntry, now: int) -> Authenticated | HatchPayError:
    """As if the key's newest secret had been shown."""
    secret = entry.secrets[0]
    refused = judge_key(entry, secret, lambda: now)
    if refused is not None:
        return _refusal(refused.reason)
    return Authenticated(entry.principal, secret.version, entry.ends_us(secret))


def _refusal(reason: str) -> Unauthenticated:
    return Unauthenticated(_REFUSED[reason], code=reason)


def _object(parts: list[str], index: int) -> Mapping[str, object] | None:
    """The JSON object in one part of a token, where it is one."""
    try:
        return strict_json.load_object(base64url.decode(parts[index]))
    except (InvalidToken, IndexError):
        return None
