"""Sealing: what is in the ledger becomes leaves of one tree per tenant, whoever else seals, whatever goes wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.trail import TENANT, Trail

from hatchpay.audit.verifying import Holds
from hatchpay.errors import AuditUnavailable
from hatchpay.ledger.checkpoint import open_checkpoint
from hatchpay.ledger.note import VerifierKey
from hatchpay.ledger.receipt import verify_receipt
from hatchpay.ledger.succession import follow

OTHER = "01a20e03-0000-7496-b661-f05759a59e2d"


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    made = Trail(tmp_path)
    yield made
    made.close()


def naive_root(entries: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it stands there."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    half = 1
    while half * 2 < len(entries):
        half *= 2
    return hashlib.sha256(b"\1" + naive_root(entries[:half]) + naive_root(entries[half:])).digest()


def entries(trail: Trail, count: int, tenant_id: str = TENANT) -> list[bytes]:
    """Read as the C2SP specification says, by hand: a big-endian length before each."""
    found: list[bytes] = []
    for index in range((count + 255) // 256):
        width = min(256, count - index * 256)
        name = f"tile/entries/{index:03}" + ("" if width == 256 else f".p/{width}")
        data = (trail.root / tenant_id / name).read_bytes()
        while data:
            length = int.from_bytes(data[:2])
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
    assert len(found) == count
    return found


def test_a_checkpoint_has_the_root_of_all_entries(trail: Trail) -> None:
    for count in (1, 2, 300, 7, 256):
        trail.write(count)
        trail.change()
        assert trail.seal() == count + 1
    size = 1 + 2 + 300 + 7 + 256 + 5
    origin, size_line, root, *_ = trail.checkpoint().decode().split("\n")
    assert (origin, size_line) == (f"log.example/{TENANT}", str(size))
    assert base64.b64decode(root) == naive_root(entries(trail, size))
    assert (trail.root / TENANT / "checkpoint").read_bytes() == trail.checkpoint()


def test_every_tenant_has_a_tree_of_its_own(trail: Trail) -> None:
    trail.write(3)
    trail.write(2, OTHER)
    trail.seal()
    assert {json.loads(entry)["tenant_id"] for entry in entries(trail, 3)} == {TENANT}
    assert {json.loads(entry)["tenant_id"] for entry in entries(trail, 2, OTHER)} == {OTHER}


def test_a_leaf_shows_no_personal_part(trail: Trail) -> None:
    trail.write(1, principal_id="user:jane@example.com", correlation_id="jane-1")
    trail.change(detail=b'{"owner":"Jane"}')
    trail.seal()
    request, change = entries(trail, 2)
    assert set(json.loads(request)["commitments"]) == {
        "body",
        "client_ip",
        "correlation_id",
        "headers",
        "principal_id",
        "url",
    }
    assert set(json.loads(change)["commitments"]) == {"detail"}
    assert not any(word in request + change for word in (b"ane", b"192.0.2.7", b"payments", b"user-agent"))


def test_sealers_that_work_at_once_seal_everything_once(trail: Trail) -> None:
    failures: list[BaseException] = []
    writing = threading.Event()

    def work() -> None:
        sealer = trail.another_sealer()
        try:
            while writing.is_set() or sealer.step():
                sealer.step()
        except BaseException as error:
            failures.append(error)

    writing.set()
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        trail.write(25)
    writing.clear()
    for thread in threads:
        thread.join()
    trail.seal()
    assert not failures
    outcome = trail.outcome()
    assert isinstance(outcome, Holds)
    assert (outcome.size, outcome.unsealed) == (1_000, 0)


def test_a_disk_that_is_full_delays_sealing_and_breaks_nothing(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    trail.write(300)
    trail.seal()
    before = trail.checkpoint()
    trail.write(300)
    real = Path.replace
    left = iter([True, False])

    def full(self: Path, target: Path) -> Path:
        if next(left, False):
            return real(self, target)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(AuditUnavailable, match="No space left"):
        trail.seal()
    assert trail.checkpoint() == before
    monkeypatch.undo()
    assert trail.seal() == 300
    outcome = trail.outcome(held=(before,))
    assert isinstance(outcome, Holds)
    assert outcome.size == 600


def test_a_sealer_that_starts_anew_goes_on_where_the_last_one_ended(trail: Trail) -> None:
    for _ in range(5):
        trail.write(70)
        trail.sealer = trail.another_sealer()
        trail.seal()
    assert isinstance(trail.outcome(), Holds)
    entries(trail, 350)


def test_a_checkpoints_file_that_was_left_behind_is_put_right(trail: Trail) -> None:
    trail.write(1)
    trail.seal()
    (trail.root / TENANT / "checkpoint").write_bytes(b"old")
    trail.another_sealer().step()
    assert (trail.root / TENANT / "checkpoint").read_bytes() == trail.checkpoint()


def test_the_last_entries_are_not_built_upon_once_they_were_changed(trail: Trail) -> None:
    trail.write(3)
    trail.seal()
    file = trail.root / TENANT / "tile/entries/000.p/3"
    file.write_bytes(file.read_bytes().replace(b'"POST"', b'"GET "'))
    trail.write(1)
    with pytest.raises(AuditUnavailable, match="changed"):
        trail.another_sealer().step()


class TestKeys:
    def test_a_log_goes_on_under_a_key_that_the_old_one_has_vouched_for(self, trail: Trail) -> None:
        trail.write(2)
        trail.seal()
        log = trail.seals.log(TENANT)
        assert log is not None
        first = VerifierKey.parse(log.vkey)
        trail.keys.advance()
        (one, *_) = trail.write(2)
        trail.seal()
        with pytest.raises(Exception, match="no known key"):
            open_checkpoint(trail.checkpoint(), [first])
        chain = follow(first, trail.seals.successions(TENANT))
        checkpoint, _ = open_checkpoint(trail.checkpoint(), chain)
        assert checkpoint.size == 4
        receipt = trail.receipts.receipt(TENANT, one)
        assert receipt is not None
        assert verify_receipt(receipt, chain).index == 2
        assert isinstance(trail.outcome(keys=(first.vkey,)), Holds)

    def test_a_key_that_is_lost_stops_sealing_until_its_successor_is_taken(self, trail: Trail) -> None:
        trail.write(1)
        trail.seal()
        log = trail.seals.log(TENANT)
        assert log is not None
        (trail.folder / "secrets" / "log.key").unlink()
        trail.write(1)
        with pytest.raises(Exception, match="rotate-key"):
            trail.another_sealer().step()
        trail.keys.advance()
        assert trail.seal() == 1
        assert isinstance(trail.outcome(keys=(log.vkey,)), Holds)

    def test_a_key_that_nobody_vouched_for_signs_nothing(self, trail: Trail) -> None:
        trail.write(1)
        trail.seal()
        for name in ("log.key", "log-next.key"):
            (trail.folder / "secrets" / name).write_bytes(base64.b64encode(name.encode().ljust(32)))
        trail.write(1)
        with pytest.raises(AuditUnavailable, match="vouched"):
            trail.another_sealer().step()
