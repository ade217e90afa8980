"""A witness never cosigns two histories of a log, and has on disk what it says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hatchpay.errors import InvalidProof, SettingsError
from hatchpay.ledger import note
from hatchpay.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from hatchpay.ledger.cosignature import WitnessKey
from hatchpay.ledger.merkle import EMPTY_ROOT, consistency_proof, leaf_hash, subtree_root
from hatchpay.ledger.note import Signer
from hatchpay.ledger.policy import WitnessPolicy, cosigners
from hatchpay.ledger.submission import Submission, origin_hash, parse_submission
from hatchpay.store.witness_state import Outdated, Witness, open_witness

LOG = Signer("example.com/log", Ed25519PrivateKey.from_private_bytes(bytes(32)))
NAME = "witness.example/w1"
NOW_US = 1_790_000_000_500_000
HASHES = [leaf_hash(b"%d" % number) for number in range(40)]
FORKED = [*HASHES[:3], *(leaf_hash(b"other %d" % number) for number in range(37))]


def submission(old: int, new: int, hashes: list[bytes] = HASHES, signer: Signer = LOG) -> bytes:
    def node(level: int, index: int) -> bytes:
        return subtree_root(hashes[index << level : (index + 1) << level])

    proof = consistency_proof(old, new, node) if 0 < old <= new else []
    checkpoint = sign_checkpoint(Checkpoint(LOG.key.name, new, subtree_root(hashes[:new])), [signer])
    return Submission(old, tuple(proof), checkpoint).encode()


def opened(folder: Path, clock: Callable[[], int] = lambda: NOW_US) -> Witness:
    return open_witness(folder, NAME, [LOG.key], clock)


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return opened(tmp_path)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidProof) as caught:
        call()
    return caught.value.code


def test_it_cosigns_a_log_that_only_grows(witness: Witness) -> None:
    key = WitnessKey.parse(witness.vkey)
    for old, new in [(0, 1), (1, 3), (3, 3), (3, 8), (8, 33)]:
        line = witness.add(submission(old, new))
        assert isinstance(line, bytes)
        (signature,) = note.signature_lines(line.decode())
        text = Checkpoint(LOG.key.name, new, subtree_root(HASHES[:new])).body().encode()
        assert key.verifies(text, signature.value)
        assert int.from_bytes(signature.value[:8]) == NOW_US // 1_000_000


def test_it_tells_the_size_that_it_knows(witness: Witness, tmp_path: Path) -> None:
    assert witness.add(submission(3, 8)) == Outdated(0)
    witness.add(submission(0, 8))
    assert witness.add(submission(0, 9)) == Outdated(8)
    assert witness.add(submission(7, 9)) == Outdated(8)
    assert witness.add(submission(3, 7)) == Outdated(8)
    assert opened(tmp_path).add(submission(0, 9)) == Outdated(8)


def test_another_history_is_refused(witness: Witness, caplog: pytest.LogCaptureFixture) -> None:
    witness.add(submission(0, 8))
    assert refused(lambda: witness.add(submission(8, 9, FORKED))) == "consistency_invalid"
    assert refused(lambda: witness.add(submission(8, 8, FORKED))) == "consistency_invalid"
    assert "shows two histories of size 8" in caplog.text
    bare = Submission(8, (), parse_submission(submission(8, 9)).checkpoint).encode()
    assert refused(lambda: witness.add(bare)) == "consistency_invalid"
    assert isinstance(witness.add(submission(8, 9)), bytes)


def test_from_nothing_there_is_nothing_to_prove(witness: Witness) -> None:
    proved = Submission(0, (bytes(32),), parse_submission(submission(0, 8)).checkpoint).encode()
    assert refused(lambda: witness.add(proved)) == "consistency_invalid"
    empty = sign_checkpoint(Checkpoint(LOG.key.name, 0, EMPTY_ROOT), [LOG])
    assert isinstance(witness.add(Submission(0, (), empty).encode()), bytes)
    assert isinstance(witness.add(submission(0, 8)), bytes)


def test_only_the_logs_own_key_counts(witness: Witness) -> None:
    stranger = Signer(LOG.key.name, Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
    assert refused(lambda: witness.add(submission(0, 8, signer=stranger))) == "log_signature_missing"
    unknown = submission(0, 8).replace(b"example.com/log\n", b"example.com/lag\n")
    assert refused(lambda: witness.add(unknown)) == "log_unknown"
    bent = submission(0, 8).replace(b"\n8\n", b"\n9\n")
    assert refused(lambda: witness.add(bent)) == "signature_invalid"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"old 0\n", b""),
        (b"old 0\n", b"old 00\n"),
        (b"old 0\n", b"old -1\n"),
        (b"old 0\n", b"old 9\n"),
        (b"old 0\n", b"old 0\r\n"),
        (b"old 0\n", b"old 0\nAAAA\n"),
        (b"old 0\n", b"old 0\n" + (b"A" * 43 + b"=\n") * 64),
        (b"old 0\n\n", b"old 0\n"),
        (b"old 0\n", b"\xff\n"),
    ],
)
def test_what_is_malformed_is_refused(witness: Witness, old: bytes, new: bytes) -> None:
    assert refused(lambda: witness.add(submission(0, 8).replace(old, new, 1))) == "submission_malformed"


def test_what_it_cosigned_last_is_shown_with_both_signatures(witness: Witness) -> None:
    assert witness.latest(origin_hash(LOG.key.name)) is None
    witness.add(submission(0, 3))
    witness.add(submission(3, 8))
    shown = witness.latest(origin_hash(LOG.key.name))
    assert shown is not None
    checkpoint, signed = open_checkpoint(shown, [LOG.key])
    assert checkpoint.size == 8
    assert len(cosigners(signed, WitnessPolicy((WitnessKey.parse(witness.vkey),), 1))) == 1


def test_a_clock_that_steps_back_makes_no_larger_tree_older(tmp_path: Path) -> None:
    times = iter([2_000_000_000_000_000, 1_000_000_000_000_000])
    witness = opened(tmp_path, lambda: next(times))
    witness.add(submission(0, 3))
    line = witness.add(submission(3, 8))
    assert isinstance(line, bytes)
    assert int.from_bytes(note.signature_lines(line.decode())[0].value[:8]) == 2_000_000_000


def test_of_many_at_once_on_one_state_one_history_is_cosigned(tmp_path: Path) -> None:
    """Two witnesses that share a directory, as two processes do, and a log that shows each another history."""
    witnesses = [opened(tmp_path), opened(tmp_path)]
    assert witnesses[0].vkey == witnesses[1].vkey
    given: list[tuple[int, bytes]] = []
    start = threading.Barrier(8)

    def submit(at: int) -> None:
        hashes = (HASHES, FORKED)[at % 2]
        start.wait()
        for size in range(4, 40, 3):
            line = witnesses[at % 2].add(submission(0, size, hashes))
            if isinstance(line, bytes):
                given.append((at % 2, line))

    threads = [threading.Thread(target=submit, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == 1


def test_a_witness_that_has_forgotten_does_not_begin_again(tmp_path: Path) -> None:
    opened(tmp_path).add(submission(0, 8))
    state = tmp_path / "witness.db"
    for file in tmp_path.glob("witness.db*"):
        file.rename(tmp_path / f"kept-{file.name}")
    assert code(lambda: opened(tmp_path)) == "witness_state_missing"
    for file in tmp_path.glob("witness.db*"):
        file.unlink()
    (tmp_path / "kept-witness.db").rename(state)
    (tmp_path / "witness.key").unlink()
    assert code(lambda: opened(tmp_path)) == "witness_key_missing"


def test_a_directory_is_one_witness(tmp_path: Path) -> None:
    opened(tmp_path)
    assert code(lambda: open_witness(tmp_path, "other", [LOG.key], lambda: NOW_US)) == "witness_other"
    assert code(lambda: open_witness(tmp_path / "new", "a b", [LOG.key], lambda: NOW_US)) == "key_name_invalid"
    (tmp_path / "witness.key").write_text("AAAA")
    assert code(lambda: opened(tmp_path)) == "witness_key_damaged"


def test_its_files_are_for_its_owner(tmp_path: Path, witness: Witness) -> None:
    assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}


def code(call: Callable[[], object]) -> str:
    with pytest.raises(SettingsError) as caught:
        call()
    return caught.value.code
