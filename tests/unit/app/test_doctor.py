"""The doctor finds what is wrong, one check by one, and mends what a killed process left."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

from hatchpay.admin.views import NewKey, Onboarded
from hatchpay.app.doctor import diagnose
from hatchpay.app.local import open_local
from hatchpay.audit.record import Intent, Record
from hatchpay.cli.ports import Finding
from hatchpay.clock import wall_us
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.settings import Settings
from hatchpay.store.instance import InstanceLock
from hatchpay.store.ledger import Ledger

CHECKS = ["data_directory", "disk_space", "secret_files", "directory", "ledger"]
CHECKS += ["unfinished_requests", "outbox", "peppers", "administrators"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "var")


@pytest.fixture
def demo(settings: Settings) -> Onboarded:
    with open_local(settings) as local:
        return local.act("tenants onboard", PLATFORM_TENANT_ID, lambda actor: local.tenants.onboard(actor, "Demo"))


def finding(settings: Settings, check: str) -> Finding:
    return next(finding for finding in diagnose(settings) if finding.check == check)


def others(settings: Settings, *ill: str) -> set[str]:
    return {finding.status for finding in diagnose(settings) if finding.check not in ill}


@pytest.mark.usefixtures("demo")
def test_a_healthy_directory_passes_every_check(settings: Settings) -> None:
    findings = diagnose(settings)
    assert [finding.check for finding in findings] == CHECKS
    assert {finding.status for finding in findings} == {"ok"}


def test_a_directory_without_keys_is_healthy_and_gets_no_pepper(settings: Settings) -> None:
    with open_local(settings):
        pass
    assert {finding.status for finding in diagnose(settings)} == {"ok"}
    assert not (settings.data_dir / "secrets" / "pepper.json").exists()


def test_no_data_directory_is_a_failure_and_is_not_made(settings: Settings) -> None:
    assert [finding.status for finding in diagnose(settings)] == ["failed"]
    assert not settings.data_dir.exists()


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_pepper_that_others_can_read_is_a_failure(settings: Settings, mode: int) -> None:
    (settings.data_dir / "secrets" / "pepper.json").chmod(mode)
    found = finding(settings, "secret_files")
    assert (found.status, found.detail) == ("failed", "pepper.json is open to others; make its mode 0600")
    assert others(settings, "secret_files", "peppers") == {"ok"}


@pytest.mark.usefixtures("demo")
def test_a_pepper_that_is_lost_is_a_failure_and_is_not_replaced(settings: Settings) -> None:
    pepper = settings.data_dir / "secrets" / "pepper.json"
    pepper.unlink()
    assert finding(settings, "secret_files").status == "failed"
    assert finding(settings, "peppers").status == "failed"
    assert not pepper.exists()


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("name", ["", "directory.db", "ledger.db", "secrets"])
def test_what_others_can_look_into_is_a_warning(settings: Settings, name: str) -> None:
    path = settings.data_dir / name
    path.chmod(path.stat().st_mode | 0o040)
    found = finding(settings, "data_directory")
    assert (found.status, found.items) == ("warning", (str(path),))


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    ("name", "ill"),
    [
        ("ledger.db", {"ledger", "unfinished_requests"}),
        ("directory.db", {"directory", "outbox", "peppers", "administrators"}),
    ],
)
@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_a_database_that_is_lost_or_damaged_fails_its_checks_and_no_other(
    settings: Settings, name: str, ill: set[str], harm: str
) -> None:
    path = settings.data_dir / name
    for file in settings.data_dir.glob(f"{name}*"):
        file.unlink()
    if harm == "damaged":
        path.write_bytes(b"not a database " * 1000)
        path.chmod(0o600)
    findings = {finding.check: finding.status for finding in diagnose(settings)}
    assert {check for check, status in findings.items() if status == "failed"} == ill
    assert path.exists() == (harm == "damaged")


def test_a_request_of_a_process_that_is_gone_is_recovered(settings: Settings, demo: Onboarded) -> None:
    record = Record(new_id(), demo.tenant.id, "POST", "/v1/payments", wall_us())
    gone = Ledger(settings.data_dir / "ledger.db", new_id())
    gone.write([Intent(record)])
    gone.close()
    found = finding(settings, "unfinished_requests")
    assert (found.status, found.detail) == ("warning", "recovered as indeterminate: 1; in progress: 0")
    assert finding(settings, "unfinished_requests").status == "ok"


def test_a_request_of_a_process_that_lives_is_left_alone(settings: Settings, demo: Onboarded) -> None:
    instance = new_id()
    lock = InstanceLock(settings.data_dir / "instances", instance)
    ledger = Ledger(settings.data_dir / "ledger.db", instance)
    ledger.write([Intent(Record(new_id(), demo.tenant.id, "POST", "/v1/payments", wall_us()))])
    found = finding(settings, "unfinished_requests")
    ledger.close()
    lock.release()
    assert (found.status, found.detail) == ("ok", "recovered as indeterminate: 0; in progress: 1")


def test_changes_without_their_record_are_brought_into_the_ledger(settings: Settings, demo: Onboarded) -> None:
    with open_local(settings) as local:
        local.keys.create(local.reader(demo.tenant.id), NewKey(name="Till"))
    assert finding(settings, "outbox").detail == "changes brought into the ledger: 1"
    assert finding(settings, "outbox").detail == "changes brought into the ledger: 0"


def test_keys_under_an_old_pepper_are_listed(settings: Settings, demo: Onboarded) -> None:
    with open_local(settings) as local:
        local.rotate_pepper()
    found = finding(settings, "peppers")
    assert (found.status, found.detail) == ("warning", "keys not yet under pepper 2: 1")
    assert demo.api_key.view.id in found.items[0]


def test_keys_under_a_pepper_that_is_gone_are_a_failure_until_they_are_disabled(
    settings: Settings, demo: Onboarded
) -> None:
    with open_local(settings) as local:
        actor = local.reader(demo.tenant.id)
        local.keys.create(actor, NewKey(name="Till"))
        local.rotate_pepper()
        local.keys.rotate(actor, demo.api_key.view.id)
        pepper = settings.data_dir / "secrets" / "pepper.json"
        before = pepper.read_bytes()
        local.retire_pepper(1)
    assert finding(settings, "peppers").status == "ok"
    pepper.write_bytes(before)
    keys = msgspec.json.decode(before)
    pepper.write_bytes(msgspec.json.encode({"current": 1, "keys": {"1": keys["keys"]["1"]}}))
    found = finding(settings, "peppers")
    assert (found.status, found.detail) == ("failed", "keys under a pepper that is gone: 1")
    assert demo.api_key.view.id in found.items[0]


def test_a_tenant_that_nobody_can_administer_is_a_warning(settings: Settings, demo: Onboarded) -> None:
    db = sqlite3.connect(settings.data_dir / "directory.db")
    db.execute("DELETE FROM key_roles")
    db.commit()
    db.close()
    found = finding(settings, "administrators")
    assert (found.status, found.items) == ("warning", (f"Demo ({demo.tenant.id})",))
