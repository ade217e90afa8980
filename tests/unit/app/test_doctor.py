"""The doctor finds what is wrong, one check by one, and mends what a killed process left."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.support.vaults import vault_of

from hatchpay.access.directory import IssuerKeys, IssuerRow
from hatchpay.admin.views import NewKey, Onboarded
from hatchpay.app.doctor import diagnose
from hatchpay.app.local import open_local
from hatchpay.audit.record import Intent, Record
from hatchpay.cli.ports import Finding
from hatchpay.clock import wall_us
from hatchpay.identity.issuer import ClaimsMapping
from hatchpay.ids import PLATFORM_TENANT_ID, new_id
from hatchpay.settings import Settings
from hatchpay.store.directory import SqlDirectory
from hatchpay.store.instance import InstanceLock
from hatchpay.store.ledger import Ledger

CHECKS = ["data_directory", "disk_space", "secret_files", "directory", "ledger", "payload_keys"]
CHECKS += ["unfinished_requests", "outbox", "peppers", "administrators", "signing_keys", "issuers", "streams"]


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
        ("ledger.db", {"ledger", "payload_keys", "unfinished_requests"}),
        ("directory.db", {"directory", "outbox", "peppers", "administrators", "signing_keys", "issuers"} | {"streams"}),
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
    gone = Ledger(settings.data_dir / "ledger.db", new_id(), vault_of(settings.data_dir))
    gone.write([Intent(record)])
    gone.close()
    found = finding(settings, "unfinished_requests")
    assert (found.status, found.detail) == ("warning", "recovered as indeterminate: 1; in progress: 0")
    assert finding(settings, "unfinished_requests").status == "ok"


def test_a_request_of_a_process_that_lives_is_left_alone(settings: Settings, demo: Onboarded) -> None:
    instance = new_id()
    lock = InstanceLock(settings.data_dir / "instances", instance)
    ledger = Ledger(settings.data_dir / "ledger.db", instance, vault_of(settings.data_dir))
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


def rotate(settings: Settings, publish_for_s: int = 0) -> str:
    """Returns the new signing key's kid."""
    with open_local(settings) as local:
        actor = local.reader(PLATFORM_TENANT_ID)
        return local.signing_keys.rotate(actor, "EdDSA", publish_for_s).kid


def retire(settings: Settings, kid: str) -> None:
    with open_local(settings) as local:
        local.signing_keys.retire(local.reader(PLATFORM_TENANT_ID), kid, force=True)


@pytest.mark.usefixtures("demo")
def test_signing_keys_are_counted(settings: Settings) -> None:
    assert finding(settings, "signing_keys").detail == "none yet"
    assert not (settings.data_dir / "secrets" / "kek.key").exists()
    for publish_for_s in (0, 0, 600):
        rotate(settings, publish_for_s)
    assert finding(settings, "signing_keys").detail == "signing: 1; next: 1; published: 1"


@pytest.mark.usefixtures("demo")
def test_that_no_key_signs_is_a_warning(settings: Settings) -> None:
    first = rotate(settings)
    rotate(settings, 600)
    retire(settings, first)
    found = finding(settings, "signing_keys")
    assert (found.status, found.detail) == ("warning", "signing: 0; next: 1; published: 0")


def lose(kek: Path) -> None:
    kek.unlink()


def damage(kek: Path) -> None:
    kek.write_bytes(b"not base64!")


def open_to_others(kek: Path) -> None:
    kek.chmod(0o640)


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    ("harm", "said"),
    [(lose, "kek.key is gone"), (damage, "kek.key holds"), (open_to_others, "kek.key is open to others")],
)
def test_signing_keys_without_what_opens_them_are_a_failure_until_they_are_retired(
    settings: Settings, harm: Callable[[Path], None], said: str
) -> None:
    kid = rotate(settings)
    harm(settings.data_dir / "secrets" / "kek.key")
    found = finding(settings, "signing_keys")
    assert (found.status, found.detail.startswith(said)) == ("failed", True)
    assert "hatchpay signing-keys retire" in found.detail
    assert others(settings, "signing_keys") == {"ok"}
    retire(settings, kid)
    assert finding(settings, "signing_keys") == Finding("signing_keys", "ok", "none yet")


@pytest.mark.usefixtures("demo")
def test_a_private_half_that_another_key_has_sealed_is_a_failure_and_named(settings: Settings) -> None:
    rotate(settings)
    kek = settings.data_dir / "secrets" / "kek.key"
    right = kek.read_bytes()
    kek.write_bytes(base64.b64encode(b"\1" * 32))
    other = rotate(settings)
    kek.write_bytes(right)
    found = finding(settings, "signing_keys")
    assert found.status == "failed"
    assert found.items == (f"{other} (EdDSA)",)


def trust(settings: Settings, tenant_id: str, failure: str | None, *, enabled: bool = True) -> IssuerRow:
    row = IssuerRow(
        id=new_id(),
        tenant_id=tenant_id,
        issuer="https://id.example",
        audience=f"https://{new_id()}.example",
        jwks_url=None,
        algorithms=("EdDSA",),
        ceiling=frozenset(),
        claims=ClaimsMapping(),
        enabled=enabled,
        created_us=wall_us(),
        updated_us=wall_us(),
        keys=IssuerKeys(failure=failure),
    )
    directory = SqlDirectory(settings.data_dir / "directory.db")
    with directory.transaction() as transaction:
        transaction.add_issuer(row)
    directory.close()
    return row


def test_a_trusted_issuer_whose_keys_cannot_be_fetched_is_a_warning(settings: Settings, demo: Onboarded) -> None:
    trust(settings, demo.tenant.id, None)
    trust(settings, demo.tenant.id, "fetch_too_slow", enabled=False)
    assert finding(settings, "issuers") == Finding("issuers", "ok", "trusted issuers: 1")
    failing = trust(settings, demo.tenant.id, "fetch_too_slow")
    found = finding(settings, "issuers")
    assert (found.status, found.detail) == ("warning", "trusted issuers whose keys could not be fetched lately: 1")
    assert found.items == (f"https://id.example ({failing.id}) of tenant {demo.tenant.id}: fetch_too_slow",)
