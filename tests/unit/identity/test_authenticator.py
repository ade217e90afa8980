"""Every answer that a credential can get, against a snapshot made by hand."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable

import pytest
from rich.pretty import pretty_repr

from hatchpay.identity import authenticator
from hatchpay.identity.authenticator import ApiKeyAuthenticator, Authenticated, Invalid, NotMine
from hatchpay.identity.ports import KeyEntry, KeyState, SecretEntry, Snapshot
from hatchpay.identity.principal import Limits, Principal
from hatchpay.tokens.apikey import ApiKey, issue
from hatchpay.tokens.digest import Peppers

KEY_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
OTHER_ID = "017f22e2-79b0-7cc3-98c4-dc0c0c073990"
NOW = 1_790_000_000_000_000
PEPPER, NEWER = b"\x01" * 32, b"\x02" * 32

KEY = issue(KEY_ID, "live", random.Random(1).randrange)
OLD_KEY = issue(KEY_ID, "live", random.Random(2).randrange)
OTHER_KEY = issue(OTHER_ID, "live", random.Random(3).randrange)


def digest(key: ApiKey, pepper: bytes = PEPPER) -> bytes:
    return hmac.new(pepper, key.text.encode(), hashlib.sha256).digest()


def principal(key_id: str = KEY_ID, expires_at_us: int | None = None) -> Principal:
    return Principal(
        id=key_id,
        kind="api_key",
        tenant_id="tenant",
        key_id=key_id,
        roles=("viewer",),
        grants={"shop.orders.read": "role:viewer"},
        limits=Limits(expires_at_us=expires_at_us),
    )


def entry(
    state: KeyState = "enabled",
    *secrets: SecretEntry,
    expires_at_us: int | None = None,
) -> KeyEntry:
    return KeyEntry(principal(expires_at_us=expires_at_us), state, secrets or (SecretEntry(1, digest(KEY), 1, None),))


class Directory:
    """The snapshot in force, a clock that stands still, and what was asked to be hashed anew."""

    def __init__(self, found: KeyEntry | None = None, peppers: Peppers | None = None) -> None:
        self.peppers = peppers or Peppers(1, {1: PEPPER})
        self.now = NOW
        self.rehashed: list[tuple[str, str, int]] = []
        self.show(found or entry())
        self.authenticator = ApiKeyAuthenticator(
            lambda: self.snapshot, lambda: self.now, lambda *asked: self.rehashed.append(asked)
        )

    def show(self, found: KeyEntry | None, peppers: Peppers | None = None) -> None:
        """A new snapshot comes into force."""
        self.peppers = peppers or self.peppers
        self.snapshot = Snapshot(1, {KEY.locator: found} if found else {}, self.peppers)

    def ask(self, key: ApiKey | str = KEY) -> authenticator.Outcome:
        return self.authenticator.authenticate(key if isinstance(key, str) else key.text)


def test_a_key_that_is_in_force_is_its_principal() -> None:
    assert Directory().ask() == Authenticated(principal(), 1)


@pytest.mark.parametrize("credential", ["", "eyJhbGciOiJub25lIn0.e30.", "hp", "HP_live_x", " " + KEY.text, "sk_live_x"])
def test_another_schemes_credential_is_not_mine(credential: str) -> None:
    assert isinstance(Directory().ask(credential), NotMine)


def test_a_mistyped_key_is_told_so_and_claims_its_id() -> None:
    assert Directory().ask(KEY.text[:-1] + "z") == Invalid("key_malformed", "credential_malformed", principal())


@pytest.mark.parametrize("text", ["hp_", "hp_live_", "hp_live_" + "z" * 61, "hp_live_é", OTHER_KEY.text[:-1]])
def test_a_made_up_key_claims_nobody(text: str) -> None:
    assert Directory().ask(text) == Invalid("key_malformed", "credential_malformed", None)


def test_a_well_formed_key_with_an_id_that_nobody_has_is_unknown_and_claims_nobody() -> None:
    assert Directory().ask(OTHER_KEY) == Invalid("key_unknown", "credential_invalid", None)


def test_the_right_id_with_a_wrong_secret_is_refused_in_the_name_of_the_key() -> None:
    assert Directory().ask(OLD_KEY) == Invalid("key_secret_wrong", "credential_invalid", principal())


def test_an_unknown_id_costs_as_many_digests_as_a_wrong_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    verify = Peppers.verify

    def counted(self: Peppers, secret: str, digest: bytes, version: int) -> bool:
        asked.append(secret)
        return verify(self, secret, digest, version)

    monkeypatch.setattr(Peppers, "verify", counted)
    directory = Directory()
    directory.ask(OTHER_KEY)
    directory.ask(OLD_KEY)
    assert asked == [OTHER_KEY.text, OLD_KEY.text]


def test_a_malformed_key_costs_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Peppers, "verify", lambda *_: pytest.fail("a digest was computed"))
    Directory().ask(KEY.text[:-1] + "z")


@pytest.mark.parametrize("state", ["disabled", "deleted"])
def test_a_key_that_is_switched_off_says_why_to_the_record_only(state: KeyState) -> None:
    assert Directory(entry(state)).ask() == Invalid(f"key_{state}", "credential_invalid", principal())


@pytest.mark.parametrize("state", ["disabled", "deleted"])
def test_whoever_does_not_know_the_secret_learns_nothing_of_the_state(state: KeyState) -> None:
    assert Directory(entry(state)).ask(OLD_KEY) == Invalid("key_secret_wrong", "credential_invalid", principal())


def test_a_key_works_until_the_microsecond_of_its_expiry() -> None:
    directory = Directory(entry(expires_at_us=NOW + 1))
    assert isinstance(directory.ask(), Authenticated)
    directory.now = NOW + 1
    assert directory.ask() == Invalid("key_expired", "credential_expired", principal(expires_at_us=NOW + 1))


def test_a_replaced_secret_works_until_the_end_of_its_grace_and_the_new_one_beyond() -> None:
    secrets = (SecretEntry(2, digest(KEY), 1, None), SecretEntry(1, digest(OLD_KEY), 1, NOW + 5))
    directory = Directory(entry("enabled", *secrets))
    assert directory.ask(OLD_KEY) == Authenticated(principal(), 1, NOW + 5)
    directory.now = NOW + 5
    assert directory.ask(OLD_KEY) == Invalid("key_secret_ended", "credential_expired", principal())
    assert directory.ask(KEY) == Authenticated(principal(), 2)


@pytest.mark.parametrize(
    ("expires", "secret_ends", "ends"),
    [(None, None, None), (NOW + 9, None, NOW + 9), (None, NOW + 5, NOW + 5), (NOW + 9, NOW + 5, NOW + 5)],
)
def test_a_proof_says_when_it_ends_by_itself(expires: int | None, secret_ends: int | None, ends: int | None) -> None:
    secrets = (SecretEntry(1, digest(KEY), 1, secret_ends),)
    outcome = Directory(entry("enabled", *secrets, expires_at_us=expires)).ask()
    assert isinstance(outcome, Authenticated)
    assert outcome.ends_us == ends


def test_time_is_asked_of_the_clock_on_every_request() -> None:
    directory = Directory(entry(expires_at_us=NOW + 1))
    directory.ask()
    directory.now = NOW + 10**12
    assert isinstance(directory.ask(), Invalid)
    directory.now = NOW
    assert isinstance(directory.ask(), Authenticated)


def test_a_key_proven_under_an_old_pepper_is_hashed_anew_once() -> None:
    directory = Directory(peppers=Peppers(2, {1: PEPPER, 2: NEWER}))
    assert all(isinstance(directory.ask(), Authenticated) for _ in range(3))
    assert directory.rehashed == [(KEY_ID, KEY.text, 1)]


def test_a_key_under_the_current_pepper_is_not_hashed_anew() -> None:
    directory = Directory()
    directory.ask()
    assert directory.rehashed == []


def test_of_two_secrets_the_one_that_was_proven_is_hashed_anew() -> None:
    secrets = (SecretEntry(2, digest(KEY, NEWER), 2, None), SecretEntry(1, digest(OLD_KEY), 1, NOW + 5))
    directory = Directory(entry("enabled", *secrets), Peppers(2, {1: PEPPER, 2: NEWER}))
    directory.ask(KEY)
    directory.ask(OLD_KEY)
    assert directory.rehashed == [(KEY_ID, OLD_KEY.text, 1)]


@pytest.mark.parametrize("state", ["disabled", "deleted"])
def test_a_key_that_is_switched_off_is_not_hashed_anew(state: KeyState) -> None:
    directory = Directory(entry(state), Peppers(2, {1: PEPPER, 2: NEWER}))
    directory.ask()
    assert directory.rehashed == []


def test_a_wrong_secret_is_not_hashed_anew() -> None:
    directory = Directory(peppers=Peppers(2, {1: PEPPER, 2: NEWER}))
    directory.ask(OLD_KEY)
    assert directory.rehashed == []


def test_under_a_retired_pepper_a_key_proves_nothing() -> None:
    directory = Directory(peppers=Peppers(2, {2: NEWER}))
    assert directory.ask() == Invalid("key_secret_wrong", "credential_invalid", principal())


def test_retiring_the_pepper_ends_a_key_that_was_proven_a_moment_ago() -> None:
    directory = Directory(peppers=Peppers(2, {1: PEPPER, 2: NEWER}))
    assert isinstance(directory.ask(), Authenticated)
    directory.show(entry(), Peppers(2, {2: NEWER}))
    assert isinstance(directory.ask(), Invalid)


@pytest.mark.parametrize("gone", [None, entry("disabled"), entry("deleted")])
def test_no_proof_outlives_the_snapshot_that_it_was_made_against(gone: KeyEntry | None) -> None:
    directory = Directory()
    assert isinstance(directory.ask(), Authenticated)
    directory.show(gone)
    assert isinstance(directory.ask(), Invalid)
    directory.show(entry())
    assert isinstance(directory.ask(), Authenticated)


def test_a_new_snapshot_brings_new_roles_at_once() -> None:
    directory = Directory()
    directory.ask()
    changed = KeyEntry(Principal("p", "api_key", "tenant", KEY_ID, (), {}), "enabled", entry().secrets)
    directory.show(changed)
    assert directory.ask() == Authenticated(changed.principal, 1)


def test_a_proof_is_remembered_so_that_the_next_request_costs_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directory()
    directory.ask()
    monkeypatch.setattr(Peppers, "verify", lambda *_: pytest.fail("a digest was computed again"))
    assert isinstance(directory.ask(), Authenticated)


def test_a_refusal_is_not_remembered() -> None:
    directory = Directory()
    for _ in range(3):
        assert isinstance(directory.ask(OLD_KEY), Invalid)
    assert isinstance(directory.ask(KEY), Authenticated)


def test_a_full_memory_is_emptied_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "_CACHE_BOUND", 1)
    secrets = (SecretEntry(2, digest(KEY), 1, None), SecretEntry(1, digest(OLD_KEY), 1, NOW + 5))
    directory = Directory(entry("enabled", *secrets))
    for _ in range(3):
        assert directory.ask(KEY) == Authenticated(principal(), 2)
        assert directory.ask(OLD_KEY) == Authenticated(principal(), 1, NOW + 5)
        assert len(directory.authenticator._proofs) == 1


def test_what_is_remembered_holds_no_key() -> None:
    directory = Directory()
    directory.ask()
    assert list(directory.authenticator._proofs) == [hashlib.sha256(KEY.text.encode()).digest()]
    assert KEY.text[30:] not in repr(directory.authenticator._proofs)


@pytest.mark.parametrize("text", [KEY.text, f"Bearer {KEY.text}", KEY.text[:30], f"?q=1&k={KEY.text[:40]}"])
def test_a_failure_is_attributed_to_the_key_whose_id_it_names(text: str) -> None:
    assert Directory(entry("deleted")).authenticator.claimed(text) == principal()


def test_a_made_up_id_before_an_existing_one_does_not_hide_it() -> None:
    assert Directory().authenticator.claimed(f"{OTHER_KEY.text}\n{KEY.text}") == principal()


@pytest.mark.parametrize("text", ["", KEY.locator, OTHER_KEY.text, KEY.text[:29], "hp_prod_" + KEY.text[8:]])
def test_a_text_that_names_no_existing_key_is_attributed_to_nobody(text: str) -> None:
    assert Directory().authenticator.claimed(text) is None


@pytest.mark.parametrize("show", [repr, str, pretty_repr])
def test_no_outcome_and_no_part_of_a_snapshot_shows_a_secret(show: Callable[[object], str]) -> None:
    directory = Directory(entry("disabled"))
    outcomes = [directory.ask(), directory.ask(KEY.text[:-1] + "z"), directory.ask(OLD_KEY), Directory().ask()]
    for shown in map(show, [*outcomes, directory.snapshot, entry(), entry().secrets[0], directory.authenticator]):
        assert KEY.text[30:63] not in shown
        assert str(digest(KEY))[2:20] not in shown
        assert str(PEPPER)[2:-1] not in shown
        assert PEPPER.hex() not in shown
