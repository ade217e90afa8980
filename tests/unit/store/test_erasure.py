"""Erasure: what was kept of somebody is gone from every byte of the directory, and the tree stands as it stood."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.trail import NOW, TENANT, Trail

from hatchpay.audit.ports import Erased, HistoryFilter
from hatchpay.audit.record import Change, Completion, Intent, Record
from hatchpay.audit.verifying import Flaw, Holds
from hatchpay.ids import new_id
from hatchpay.ledger.note import VerifierKey
from hatchpay.ledger.receipt import verify_receipt
from hatchpay.store.erasure import LedgerErasure
from hatchpay.store.ledger import LedgerReader

OTHER = "01a20e03-0000-7496-b661-f05759a59e2d"


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    made = Trail(tmp_path)
    yield made
    made.close()


def erase(trail: Trail, *request_ids: str, subject: str | None = None, tenant_id: str = TENANT) -> Erased:
    change = Change(new_id(), new_id(), tenant_id, NOW, "local:0", "audit-log.records.erased", tenant_id, b"{}")
    return LedgerErasure(trail.path, trail.vault).erase(tenant_id, request_ids, subject, change)


def shown(trail: Trail, request_id: str) -> dict[str, Any]:
    reader = LedgerReader(trail.path, trail.vault)
    (record,) = reader.page(HistoryFilter(tenant_id=TENANT, request_id=request_id), 1).records
    return record


def holding(trail: Trail, text: bytes) -> set[str]:
    return {path.name for path in trail.folder.rglob("*") if path.is_file() and text in path.read_bytes()}


def test_only_what_was_asked_for_is_gone(trail: Trail) -> None:
    first, second = trail.write(2, correlation_id="c-1")
    erased = erase(trail, first)
    assert (erased.request_ids, erased.cleared) == ((first,), True)
    gone, kept = shown(trail, first), shown(trail, second)
    assert (gone["payload"], kept["payload"]) == ("erased", "kept")
    assert {name: gone[name] for name in ("url", "body", "headers", "client_ip", "correlation_id")} == {
        "url": "",
        "body": None,
        "headers": {},
        "client_ip": None,
        "correlation_id": None,
    }
    assert (gone["status"], gone["method"], gone["request_id"]) == (kept["status"], "POST", first)
    assert kept["client_ip"] == "192.0.2.7"


def test_old_receipts_still_verify_and_the_tree_is_whole(trail: Trail) -> None:
    first, _ = trail.write(2)
    trail.seal()
    receipt = trail.receipts.receipt(TENANT, first)
    log = trail.seals.log(TENANT)
    assert receipt is not None
    assert log is not None
    erase(trail, first)
    trail.seal()
    assert verify_receipt(receipt, [VerifierKey.parse(log.vkey)]).index == 0
    again = trail.receipts.receipt(TENANT, first)
    assert again is not None
    assert (
        verify_receipt(again, [VerifierKey.parse(log.vkey)]).leaf
        == verify_receipt(receipt, [VerifierKey.parse(log.vkey)]).leaf
    )
    assert isinstance(trail.outcome(deep=True), Holds)
    proof = trail.receipts.record(TENANT, first)
    assert proof is not None
    assert proof.openings == {}


def test_an_erasure_leaf_says_how_much_and_not_whose(trail: Trail) -> None:
    (first,) = trail.write(1)
    erase(trail, first)
    trail.seal()
    bundle = (trail.root / TENANT / "tile/entries/000.p/2").read_bytes()
    leaf = json.loads(bundle[bundle.index(b'{"actor"') :])
    expected = hashlib.sha256(f"{first}\n".encode()).hexdigest()
    assert (leaf["type"], leaf["event"], leaf["detail"]) == (
        "erasure",
        "audit-log.records.erased",
        {"count": 1, "digest": expected},
    )


def test_all_of_a_subject_goes_and_what_comes_later_is_kept(trail: Trail) -> None:
    jane = trail.write(3, subject="jane")
    (john,) = trail.write(1, subject="john")
    (elsewhere,) = trail.write(1, OTHER, subject="jane")
    erased = erase(trail, subject="jane")
    assert set(erased.request_ids) == set(jane)
    assert {shown(trail, one)["payload"] for one in jane} == {"erased"}
    assert shown(trail, john)["payload"] == "kept"
    other = trail.receipts.record(OTHER, elsewhere)
    assert other is not None
    assert other.record["payload"] == "kept"
    (later,) = trail.write(1, subject="jane")
    assert shown(trail, later)["payload"] == "kept"
    assert erase(trail, subject="nobody").request_ids == ()


def test_one_request_of_a_subject_goes_and_the_others_stay(trail: Trail) -> None:
    first, second = trail.write(2, subject="jane")
    erase(trail, first)
    assert [shown(trail, one)["payload"] for one in (first, second)] == ["erased", "kept"]


def test_another_tenants_requests_are_out_of_reach(trail: Trail) -> None:
    (first,) = trail.write(1)
    assert erase(trail, first, tenant_id=OTHER).request_ids == ()
    assert shown(trail, first)["payload"] == "kept"


def test_what_a_request_changed_goes_with_it(trail: Trail) -> None:
    record = Record(new_id(), TENANT, "POST", "/v1/api-key/keys", NOW)
    change = Change(new_id(), record.request_id, TENANT, NOW, "local:0", "made", "key", b'{"name":"Janes key"}')
    trail.ledger.write([change, Completion(record)])
    assert "Janes key" in str(bytes(shown(trail, record.request_id)["changes"][0]["detail"]))
    erase(trail, record.request_id)
    assert shown(trail, record.request_id)["changes"][0]["detail"] is None


@pytest.mark.parametrize("by_subject", [True, False])
def test_no_byte_is_left_in_the_directory(trail: Trail, by_subject: bool) -> None:
    marks = [b"JANEWASHERE", b"203.0.113.77", b"JaneAgent", b"janes-way"]
    for _ in range(20):
        trail.write(5, subject="somebody else")
    record = Record(
        new_id(),
        TENANT,
        "POST",
        "/janes-way?JANEWASHERE",
        NOW,
        client_ip="203.0.113.77",
        headers={"user-agent": "JaneAgent"},
        body=b'{"name":"JANEWASHERE","more":"' + b"x" * 20_000 + b'"}',
        key_id=new_id(),
        secret_version=1,
        subject="jane" if by_subject else None,
    )
    trail.ledger.write([Intent(record)])
    trail.ledger.write([Completion(record)])
    trail.seal()
    # Paths and addresses stand in columns by which the history is filtered: so the search sees something.
    assert holding(trail, b"203.0.113.77")
    erased = erase(trail, subject="jane") if by_subject else erase(trail, record.request_id)
    assert erased.cleared
    trail.seal()
    assert {mark: holding(trail, mark) for mark in marks} == {mark: set() for mark in marks}


def test_the_key_is_destroyed_and_not_only_forgotten(trail: Trail) -> None:
    """A copy of the ledger from before opens nothing any more."""
    (first,) = trail.write(1)
    before = trail.path.read_bytes(), trail.path.with_name("ledger.db-wal").read_bytes()
    erase(trail, first)
    trail.close()
    trail.path.write_bytes(before[0])
    trail.path.with_name("ledger.db-wal").write_bytes(before[1])
    trail.path.with_name("ledger.db-shm").unlink(missing_ok=True)
    assert shown(trail, first)["payload"] == "erased"


def test_clearing_without_the_leaf_that_accounts_for_it_is_found(trail: Trail) -> None:
    (first,) = trail.write(1)
    trail.seal()
    erase(trail, first)
    trail.seal()
    trail.sql("DELETE FROM erased")
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert flaw.kind == "erased_without_trace"


def test_marking_as_erased_what_no_erasure_counts_is_found(trail: Trail) -> None:
    first, _ = trail.write(2)
    trail.seal()
    erase(trail, first)
    trail.seal()
    trail.sql("UPDATE records SET encrypted = NULL, slot = NULL, path = NULL, client_ip = NULL WHERE seq = 2")
    trail.sql("INSERT INTO erased SELECT tenant_id, source, 2, erasure_id FROM erased")
    flaw = trail.outcome()
    assert isinstance(flaw, Flaw)
    assert flaw.kind == "erased_without_trace"
