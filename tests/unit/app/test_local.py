"""Commands act through the use cases, between a durable intent and a durable completion."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hatchpay.admin.views import Actor, NewKey, Onboarded
from hatchpay.app.local import Local, open_local
from hatchpay.audit.ports import HistoryFilter
from hatchpay.errors import AuditUnavailable, Conflict, InvalidInput, NotFound, SettingsError
from hatchpay.ids import PLATFORM_TENANT_ID
from hatchpay.settings import Settings
from hatchpay.store.ledger import LedgerReader

ME = f"local:{os.getuid()}"


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
    page = LedgerReader(settings.data_dir / "ledger.db").page(HistoryFilter(tenant_id=tenant_id), 100)
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
        return LedgerReader(settings.data_dir / "ledger.db").pending()

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
