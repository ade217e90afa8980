"""The keys that sign our own tokens: made, rotated, retired, and the one that signs now.

A new key is published before it signs, so that whoever verifies has it by then. The old one stays published until the
last token that it can have signed has ended. Retiring ends a key, and its tokens, at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

import msgspec

from hatchpay.access.directory import SigningKeyRow, signing_key_ends
from hatchpay.admin.ports import Directory
from hatchpay.admin.token_views import SigningKeyView
from hatchpay.admin.views import Actor
from hatchpay.admin.work import Changes, Work
from hatchpay.clock import Clock, format_time
from hatchpay.errors import Conflict, Forbidden, InvalidInput, SettingsError, Unavailable, UnusableKey
from hatchpay.identity.ports import Trust
from hatchpay.ids import PLATFORM_TENANT_ID, IdSource
from hatchpay.tokens import signing
from hatchpay.tokens.signing import SigningAlgorithm, SigningKey

__all__ = ["DEFAULT_ALGORITHM", "PUBLISH_FOR_S", "Signer", "SigningKeys"]

DEFAULT_ALGORITHM: Final[SigningAlgorithm] = "EdDSA"
PUBLISH_FOR_S: Final = 600
"""Twice as long as verifiers may cache the published keys."""

_LONGEST_PUBLISH_S: Final = 30 * 24 * 3600
_US: Final = 1_000_000
_NONCE: Final = 12


class SigningKeys:
    """For somebody at the machine who acts for the platform. Changes raise Forbidden for anybody else."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        new_id: IdSource,
        kek: Callable[[], bytes],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._changes = Changes(directory, clock, new_id)
        self._kek = kek
        self._random = random

    def list(self) -> list[SigningKeyView]:
        """The newest signer first."""
        with self._directory.read() as view:
            return _views(view.signing_keys(), self._clock())

    def exists(self) -> bool:
        """Whether any key signs, or will."""
        with self._directory.read() as view:
            return any(row.retired_us is None for row in view.signing_keys())

    def begin(self, actor: Actor) -> None:
        """Make the first key, which signs at once. Nothing where there is one."""
        with self._changing(actor) as work:
            if all(row.retired_us is not None for row in work.transaction.signing_keys()):
                self._add(work, DEFAULT_ALGORITHM, work.now)

    def rotate(
        self, actor: Actor, algorithm: SigningAlgorithm = DEFAULT_ALGORITHM, publish_for_s: int = PUBLISH_FOR_S
    ) -> SigningKeyView:
        """A new key, which signs once it has been published for so many seconds; at once where none signs now."""
        if not 0 <= publish_for_s <= _LONGEST_PUBLISH_S:
            raise InvalidInput(f"publish_for is 0 to {_LONGEST_PUBLISH_S} seconds", field="publish_for")
        with self._changing(actor) as work:
            rows = work.transaction.signing_keys()
            signs = any(row.retired_us is None and row.signs_from_us <= work.now for row in rows)
            row = self._add(work, algorithm, work.now + publish_for_s * _US if signs else work.now)
            return _view_of(row.kid, work)

    def retire(self, actor: Actor, kid: str, *, force: bool = False) -> SigningKeyView:
        """End a key and its tokens at once. Raises InvalidInput for an unknown one, Conflict (`signing_key_current`)
        for the one that signs: rotate first, or `force` it. Needs no private half, so that lost ones can be ended.
        """
        with self._changing(actor) as work:
            rows = {row.kid: row for row in work.transaction.signing_keys()}
            if kid not in rows:
                raise InvalidInput("there is no signing key with this kid", field="kid")
            if not force and _view_of(kid, work).status == "signing":
                raise Conflict(
                    "this key signs now; rotate first, with --publish-for 0, or add --force", code="signing_key_current"
                )
            if rows[kid].retired_us is None:
                work.transaction.save_signing_key(msgspec.structs.replace(rows[kid], retired_us=work.now))
                work.record("platform.signing_keys.retired", PLATFORM_TENANT_ID, {}, {"kid": kid})
            return _view_of(kid, work)

    def _add(self, work: Work, algorithm: SigningAlgorithm, signs_from_us: int) -> SigningKeyRow:
        key = signing.generate(algorithm)
        row = SigningKeyRow(
            kid=key.kid,
            algorithm=algorithm,
            public_jwk=msgspec.json.encode(key.public_jwk).decode(),
            sealed=signing.seal(key, self._kek(), self._random(_NONCE)),
            created_us=work.now,
            signs_from_us=signs_from_us,
        )
        work.transaction.add_signing_key(row)
        facts = {"kid": row.kid, "algorithm": algorithm, "signs_from": format_time(signs_from_us)}
        work.record("platform.signing_keys.added", PLATFORM_TENANT_ID, {}, facts)
        return row

    @contextmanager
    def _changing(self, actor: Actor) -> Iterator[Work]:
        with self._changes.by(actor, "platform.tenants.create") as work:
            if actor.principal.kind != "local":
                raise Forbidden("signing keys are for somebody at the machine itself", code="local_only")
            yield work


class Signer:
    """The key that signs now, opened once and kept while it does."""

    def __init__(self, trust: Callable[[], Trust], clock: Clock, kek: Callable[[], bytes]) -> None:
        self._trust = trust
        self._clock = clock
        self._kek = kek
        self._open: SigningKey | None = None

    def key(self) -> SigningKey:
        """Raises Unavailable where none signs, or its private half cannot be opened."""
        now = self._clock()
        own = next((key for key in reversed([*self._trust().own.values()]) if key.signs_from_us <= now), None)
        if own is None:
            raise Unavailable("no key signs tokens: run hatchpay signing-keys rotate", code="signing_key_missing")
        if self._open is None or self._open.kid != own.kid:
            try:
                self._open = signing.unseal(own.sealed, self._kek(), own.algorithm, own.kid)
            except (UnusableKey, SettingsError):
                raise Unavailable("the signing key cannot be opened", code="signing_key_unreadable") from None
        return self._open


def _view_of(kid: str, work: Work) -> SigningKeyView:
    return next(view for view in _views(work.transaction.signing_keys(), work.now) if view.kid == kid)


def _views(rows: list[SigningKeyRow], now: int) -> list[SigningKeyView]:
    ends = signing_key_ends(rows)
    signing_now = next((row.kid for row in reversed(rows) if row.retired_us is None and row.signs_from_us <= now), None)
    return [_view(row, ends.get(row.kid), signing_now, now) for row in reversed(rows)]


def _view(row: SigningKeyRow, ends_us: int | None, signing_now: str | None, now: int) -> SigningKeyView:
    status: Literal["next", "signing", "published", "ended", "retired"]
    if row.retired_us is not None:
        status, ends_us = "retired", row.retired_us
    elif row.signs_from_us > now:
        status = "next"
    elif row.kid == signing_now:
        status = "signing"
    else:
        status = "published" if ends_us is None or now < ends_us else "ended"
    return SigningKeyView(
        kid=row.kid,
        algorithm=row.algorithm,
        status=status,
        created_at=format_time(row.created_us),
        signs_from=format_time(row.signs_from_us),
        ends_at=None if ends_us is None else format_time(ends_us),
    )
