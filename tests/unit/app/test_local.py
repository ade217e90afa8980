"""Commands act through the use cases, between a durable intent and a durable completion."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt as pyjwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.vaults import vault_of

from hatchpay.access.directory import IssuerKeys, IssuerRow
from hatchpay.admin.token_views import TokenWish
from hatchpay.admin.views import Actor, CreatedKey, KeyChanges, NewKey, Onboarded
from hatchpay.app import local_tokens
from hatchpay.app.local import Local, open_local
from hatchpay.audit.ports import HistoryFilter
from hatchpay.clock import wall_us
from hatchpay.errors import (
    AuditUnavailable,
    Conflict,
    HatchPayError,
    InvalidInput,
    NotFound,
    SettingsError,
    Unauthenticated,
)
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.settings import Settings
from hatchpay.store.ledger import LedgerReader
from hatchpay.tokens import apikey

ME = f"local:{os.getuid()}"
VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "var")


@pytest.fixture
def local(settings: Settings) -> Iterator[Local]:
    with open_local(settings) as local:
        yield local


@pytest.fixture
def demo(local: Local) -> Onboarded:
    return local.act("tenants onboard", PLATFORM_TENANT_ID, lambda actor: local.tenants.onboard(actor, "Demo"))


def records(settings: Settings, tenant_id: str = PLATFORM_TENANT_ID) -> list[dict[str, Any]]:
    """The oldest first."""
    page = LedgerReader(settings.data_dir / "ledger.db", vault_of(settings.data_dir)).page(
        HistoryFilter(tenant_id=tenant_id), 100
    )
    return list(reversed(page.records))


def events(record: dict[str, Any]) -> list[str]:
    return [change["event"] for change in record["changes"]]


def test_what_is_done_is_recorded_with_its_changes(settings: Settings, local: Local, demo: Onboarded) -> None:
    (record,) = records(settings)
    assert (record["method"], record["url"], record["principal_id"]) == ("LOCAL", "hatchpay tenants onboard", ME)
    assert (record["state"], record["status"], record["decision"]) == ("completed", 200, "allow")
    assert events(record) == ["platform.tenants.onboarded", "api-key.keys.created"]
    assert {change["actor"] for change in record["changes"]} == {ME}
    assert demo.api_key.key.encode() not in (settings.data_dir / "ledger.db-wal").read_bytes()


def test_the_intent_is_durable_before_the_use_case_runs(settings: Settings, local: Local, demo: Onboarded) -> None:
    def use(_: Actor) -> list[str]:
        return LedgerReader(settings.data_dir / "ledger.db", vault_of(settings.data_dir)).pending()

    assert len(local.act("keys create", demo.tenant.id, use)) == 1
    assert use(local.reader(demo.tenant.id)) == []


def test_a_refusal_is_recorded_as_one(settings: Settings, local: Local, demo: Onboarded) -> None:
    with pytest.raises(NotFound):
        local.act("keys delete", demo.tenant.id, lambda actor: local.keys.delete(actor, demo.tenant.id))
    (record,) = records(settings, demo.tenant.id)
    assert (record["state"], record["decision"], record["reason"], record["status"]) == (
        "refused",
        "deny",
        "not_found",
        404,
    )


def test_an_interrupted_command_is_recorded_as_failed(settings: Settings, local: Local, demo: Onboarded) -> None:
    def interrupted(_: Actor) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local.act("keys create", demo.tenant.id, interrupted)
    (record,) = records(settings, demo.tenant.id)
    assert (record["state"], record["status"]) == ("failed", 500)


def test_nothing_is_done_that_cannot_be_recorded(settings: Settings, local: Local, demo: Onboarded) -> None:
    (settings.data_dir / "ledger.db").unlink()
    with open_local(settings) as other, pytest.raises(AuditUnavailable) as refused:
        other.act("keys create", demo.tenant.id, lambda actor: other.keys.create(actor, NewKey(name="Till")))
    assert refused.value.code == "audit_unavailable"
    assert not (settings.data_dir / "ledger.db").exists()


def test_an_outcome_that_cannot_be_recorded_says_that_it_was_done(
    settings: Settings, local: Local, demo: Onboarded
) -> None:
    def use(actor: Actor) -> None:
        local.keys.create(actor, NewKey(name="Till"))
        (settings.data_dir / "ledger.db").rename(settings.data_dir / "elsewhere.db")

    with pytest.raises(AuditUnavailable) as failed:
        local.act("keys create", demo.tenant.id, use)
    assert failed.value.code == "outcome_unrecorded"
    assert "was done" in failed.value.detail


def test_changes_that_were_left_behind_come_with_the_next_command(
    settings: Settings, local: Local, demo: Onboarded
) -> None:
    left = local.reader(demo.tenant.id)
    local.keys.create(left, NewKey(name="Till"))
    local.act("keys create", demo.tenant.id, lambda actor: local.keys.create(actor, NewKey(name="Cash desk")))
    db = sqlite3.connect(settings.data_dir / "ledger.db")
    found = db.execute("SELECT count(*) FROM changes WHERE request_id = ?", (left.request_id,)).fetchone()
    db.close()
    assert found == (1,)


def test_reading_makes_no_data_directory(settings: Settings) -> None:
    with pytest.raises(SettingsError) as refused, open_local(settings, create=False):
        pass
    assert refused.value.code == "no_data"
    assert not settings.data_dir.exists()


def test_everything_is_for_its_owner_only(settings: Settings, local: Local, demo: Onboarded) -> None:
    for path in [settings.data_dir, *settings.data_dir.rglob("*")]:
        if path.suffix not in {".db-wal", ".db-shm"}:
            assert path.stat().st_mode & 0o077 == 0, path


def test_a_new_pepper_is_announced_to_every_process(settings: Settings, local: Local, demo: Onboarded) -> None:
    assert [pepper.version for pepper in local.peppers()] == [1]
    assert local.rotate_pepper() == 2
    assert [(pepper.version, pepper.current, pepper.secrets) for pepper in local.peppers()] == [
        (2, True, 0),
        (1, False, 1),
    ]
    assert events(records(settings)[-1]) == ["platform.peppers.changed"]
    db = sqlite3.connect(settings.data_dir / "directory.db")
    assert db.execute("SELECT count(*) FROM feed WHERE kind = 'pepper'").fetchone() == (1,)
    db.close()


def test_retiring_a_pepper_disables_the_keys_that_are_under_it(
    settings: Settings, local: Local, demo: Onboarded
) -> None:
    actor = local.reader(demo.tenant.id)
    stale = local.keys.create(actor, NewKey(name="Till")).view.id
    local.rotate_pepper()
    local.keys.rotate(actor, demo.api_key.view.id)
    assert local.retire_pepper(1) == (stale,)
    assert [pepper.version for pepper in local.peppers()] == [2]
    assert local.keys.get(actor, stale).status == "disabled"
    assert local.keys.get(actor, demo.api_key.view.id).status == "enabled"


def test_a_retirement_that_would_lock_a_tenant_out_changes_nothing(
    settings: Settings, local: Local, demo: Onboarded
) -> None:
    local.rotate_pepper()
    with pytest.raises(Conflict) as refused:
        local.retire_pepper(1)
    assert refused.value.code == "last_administrator"
    assert [pepper.version for pepper in local.peppers()] == [2, 1]
    assert local.keys.get(local.reader(demo.tenant.id), demo.api_key.view.id).status == "enabled"


def test_a_retirement_that_was_cut_off_can_be_given_again(
    local: Local, demo: Onboarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = local.reader(demo.tenant.id)
    stale = local.keys.create(actor, NewKey(name="Till")).view.id
    local.rotate_pepper()
    local.keys.rotate(actor, demo.api_key.view.id)
    with monkeypatch.context() as cut:
        cut.setattr(local._secrets, "retire", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            local.retire_pepper(1)
    assert local.keys.get(actor, stale).status == "disabled"
    assert local.retire_pepper(1) == ()
    assert [pepper.version for pepper in local.peppers()] == [2]


@pytest.mark.parametrize(("version", "error"), [(1, Conflict), (7, InvalidInput)])
def test_neither_the_current_pepper_nor_an_unknown_one_is_retired(
    local: Local, demo: Onboarded, version: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        local.retire_pepper(version)


def test_a_pepper_from_the_environment_is_changed_there(settings: Settings, tmp_path: Path) -> None:
    text = ",".join(f"{version}:{base64.b64encode(bytes([version]) * 32).decode()}" for version in (1, 2))
    with open_local(Settings(data_dir=tmp_path / "var", pepper=text)) as local:
        for change in (local.rotate_pepper, lambda: local.retire_pepper(1)):
            with pytest.raises(Conflict) as refused:
                change()
            assert refused.value.code == "pepper_from_variable"


ALL = TokenWish()


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = pyjwt.decode(token, options={"verify_signature": False})
    return claims


def till(local: Local, demo: Onboarded, **limits: Any) -> CreatedKey:
    return local.keys.create(local.reader(demo.tenant.id), NewKey(name="Till", **limits))


def refused(local: Local, key: str, tenant_id: str | None = None) -> HatchPayError:
    with pytest.raises(HatchPayError) as error:
        local.issue_token(key, tenant_id, ALL)
    assert key not in repr(error.value)
    return error.value


def test_a_token_is_issued_under_the_id_of_its_record(settings: Settings, local: Local, demo: Onboarded) -> None:
    issued = local.issue_token(demo.api_key.key, None, TokenWish(scope="access.roles.read", expires_in=60))
    claims = claims_of(issued.access_token)
    (record,) = records(settings, demo.tenant.id)
    assert claims["jti"] == record["request_id"]
    assert (record["url"], record["principal_id"]) == ("hatchpay token issue", ME)
    assert (record["state"], record["key_id"]) == ("completed", demo.api_key.view.id)
    assert (claims["client_id"], claims["tenant"]) == (demo.api_key.view.id, demo.tenant.id)
    assert (claims["scope"], claims["exp"] - claims["iat"]) == ("access.roles.read", 60)


def test_a_tokens_url_is_what_callers_are_told(tmp_path: Path, local: Local, demo: Onboarded) -> None:
    def issuer(**settings: Any) -> object:
        with open_local(Settings(data_dir=tmp_path / "var", **settings)) as other:
            claims = claims_of(other.issue_token(demo.api_key.key, None, ALL).access_token)
        assert claims["aud"] == claims["iss"]
        return claims["iss"]

    assert issuer(host="::1", port=9000, tls_cert=Path("c"), tls_key=Path("k")) == "https://[::1]:9000"
    assert issuer(port=9001) == "https://[::1]:9000"
    assert issuer(port=9001, public_url="https://auth.example.com") == "https://auth.example.com"
    assert issuer() == "https://auth.example.com"


def test_using_a_key_for_a_token_is_using_it_and_naming_it_is_not(local: Local, demo: Onboarded) -> None:
    key = till(local, demo)
    reader = local.reader(demo.tenant.id)
    local.issue_token(key.view.id, demo.tenant.id, ALL)
    assert local.keys.get(reader, key.view.id).last_used_at is None
    local.issue_token(key.key, demo.tenant.id, ALL)
    assert local.keys.get(reader, key.view.id).last_used_at is not None


def test_by_its_id_a_key_needs_no_text_and_its_newest_secret_counts(
    settings: Settings, local: Local, demo: Onboarded
) -> None:
    key = till(local, demo, expires_at_us=wall_us() + 300_000_000)
    local.keys.rotate(local.reader(demo.tenant.id), key.view.id)
    issued = local.issue_token(key.view.id, demo.tenant.id, ALL)
    assert claims_of(issued.access_token)["secret_version"] == 2
    assert issued.expires_in <= 300
    assert records(settings, demo.tenant.id)[-1]["claimed_key_id"] == key.view.id
    assert local.inspect_token(issued.access_token).reason is None


def test_an_id_counts_in_its_own_tenant_only(local: Local, demo: Onboarded) -> None:
    other = local.tenants.onboard(local.reader(PLATFORM_TENANT_ID), "Other")
    assert isinstance(refused(local, demo.api_key.view.id, other.tenant.id), NotFound)
    assert isinstance(refused(local, demo.tenant.id, demo.tenant.id), NotFound)
    assert refused(local, demo.api_key.view.id).field == "tenant"


def test_a_key_is_not_another_tenants(settings: Settings, local: Local, demo: Onboarded) -> None:
    other = local.tenants.onboard(local.reader(PLATFORM_TENANT_ID), "Other")
    error = refused(local, demo.api_key.key, other.tenant.id)
    assert isinstance(error, InvalidInput)
    assert error.field == "tenant"
    assert (records(settings, demo.tenant.id)[-1]["state"], records(settings, other.tenant.id)) == ("refused", [])


def wrong_secret(key: str) -> str:
    """The same key's id with another secret, and a checksum that fits."""
    return apikey.issue(apikey.parse(key).id, "live").text


@pytest.mark.parametrize("by", ["text", "id"])
@pytest.mark.parametrize("reason", ["key_disabled", "key_deleted", "key_expired"])
def test_a_key_that_does_not_work_gets_no_token(
    settings: Settings, local: Local, demo: Onboarded, by: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = till(local, demo, expires_at_us=wall_us() + 300_000_000)
    actor = local.reader(demo.tenant.id)
    if reason == "key_disabled":
        local.keys.update(actor, key.view.id, KeyChanges(status="disabled"))
    elif reason == "key_deleted":
        local.keys.delete(actor, key.view.id)
    else:
        monkeypatch.setattr(local_tokens, "wall_us", lambda: wall_us() + 300_000_001)
    error = refused(local, key.key if by == "text" else key.view.id, demo.tenant.id)
    assert isinstance(error, Unauthenticated)
    assert error.code == reason
    record = records(settings, demo.tenant.id)[-1]
    assert (record["state"], record["decision"], record["reason"]) == ("refused", "deny", reason)
    assert (record["key_id"], record["claimed_key_id"]) == (None, key.view.id)


def test_a_secret_that_is_wrong_or_has_ended_gets_no_token(settings: Settings, local: Local, demo: Onboarded) -> None:
    key = till(local, demo)
    local.keys.rotate(local.reader(demo.tenant.id), key.view.id)
    assert refused(local, key.key).code in {"key_secret_ended", "key_secret_wrong"}
    assert refused(local, wrong_secret(key.key)).code == "key_secret_wrong"
    assert [record["claimed_key_id"] for record in records(settings, demo.tenant.id)] == [key.view.id] * 2


@pytest.mark.parametrize("text", ["", "hp_live_", "hp_live_" + "0" * 61, "hunter2", "\ud800", "\0", "-", "a.b.c"])
def test_what_is_no_key_is_refused_in_the_operators_log(
    settings: Settings, local: Local, demo: Onboarded, text: str
) -> None:
    with pytest.raises(Unauthenticated) as error:
        local.issue_token(text, None, ALL)
    assert error.value.code == "key_malformed"
    record = records(settings)[-1]
    assert (record["state"], record["reason"]) == ("refused", "key_malformed")
    assert (record["key_id"], record["claimed_key_id"]) == (None, None)


def test_a_key_of_nobody_is_refused_in_the_log_of_the_tenant_that_is_named(
    settings: Settings, local: Local, demo: Onboarded
) -> None:
    stranger = apikey.issue(new_id(), "test").text
    assert refused(local, stranger).code == "key_unknown"
    assert records(settings)[-1]["reason"] == "key_unknown"
    assert refused(local, stranger, demo.tenant.id).code == "key_unknown"
    assert records(settings, demo.tenant.id)[-1]["reason"] == "key_unknown"


def test_a_refused_key_begins_no_signing_keys(settings: Settings, local: Local, demo: Onboarded) -> None:
    refused(local, wrong_secret(demo.api_key.key))
    assert local.signing_keys.list() == []
    assert not (settings.data_dir / "secrets" / "kek.key").exists()


def test_a_key_under_an_old_pepper_is_hashed_anew_as_at_a_server(local: Local, demo: Onboarded) -> None:
    local.rotate_pepper()
    local.issue_token(demo.api_key.key, None, ALL)
    assert [(pepper.version, pepper.secrets) for pepper in local.peppers()] == [(2, 1), (1, 0)]


def test_inspecting_makes_no_secrets_and_records_nothing(settings: Settings, local: Local) -> None:
    assert local.inspect_token("a.b.c").reason is not None
    assert not (settings.data_dir / "secrets").exists()
    assert records(settings) == []


def test_each_token_of_the_corpus_is_judged_as_a_server_would(
    local: Local, demo: Onboarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = json.loads((VECTORS / "tokens.json").read_text())
    now = 1_800_000_000_000_000
    monkeypatch.setattr(local_tokens, "wall_us", lambda: now)
    issuer = IssuerRow(
        id=new_id(),
        tenant_id=demo.tenant.id,
        issuer=corpus["issuer"],
        audience=corpus["audience"],
        jwks_url=None,
        algorithms=("EdDSA", "ES256", "PS256", "RS256"),
        ceiling=frozenset(),
        claims=ClaimsMapping(),
        created_us=now,
        updated_us=now,
        keys=IssuerKeys(document=(VECTORS / "jwks.json").read_bytes(), fetched_us=now),
    )
    with local._directory.transaction() as transaction:
        transaction.add_issuer(issuer)
    for case in corpus["accepted"]:
        found = local.inspect_token(case["token"])
        assert found.reason is None, case["name"]
        assert found.principal is not None
        assert (found.principal.id, found.principal.tenant_id) == ("user:alice", demo.tenant.id)
        assert found.claims == claims_of(case["token"])
    for case in corpus["refused"]:
        found = local.inspect_token(case["token"])
        assert (found.reason, found.principal) == (case["reason"], None), case["name"]
        msgspec.json.encode((found.header, found.claims))


def test_parts_are_shown_as_far_as_they_can_be_read(local: Local) -> None:
    def token(*parts: str) -> str:
        return ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)

    shown: dict[str, tuple[object, object]] = {
        token("{}", "[]", ""): ({}, None),
        token("x", '{"sub":"ada"}', "", "", ""): (None, {"sub": "ada"}),
        token('{"alg":"none"}'): ({"alg": "none"}, None),
        token('{"a":1,"a":2}', "", ""): (None, None),
        token('{"typ":"long"}', "{}", "x" * 20_000): ({"typ": "long"}, {}),
    }
    for text, (header, claims) in shown.items():
        found = local.inspect_token(text)
        assert (found.header, found.claims) == (header, claims)
        assert found.reason is not None


@pytest.fixture(scope="module")
def any_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    with open_local(Settings(data_dir=tmp_path_factory.mktemp("any") / "var")) as local:
        yield local


@given(st.text() | st.lists(st.text(), min_size=3, max_size=3).map(".".join))
def test_whatever_is_inspected_is_judged(any_local: Local, text: str) -> None:
    found = any_local.inspect_token(text)
    assert found.reason is not None
    assert found.principal is None
