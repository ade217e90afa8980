"""Receipts, the succession of keys, and commitments."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hatchpay.errors import InvalidProof
from hatchpay.ledger import note
from hatchpay.ledger.checkpoint import Checkpoint, sign_checkpoint
from hatchpay.ledger.commitment import commit
from hatchpay.ledger.merkle import inclusion_proof, leaf_hash, subtree_root
from hatchpay.ledger.note import Signer
from hatchpay.ledger.receipt import Receipt, parse_receipt, verify_receipt
from hatchpay.ledger.succession import follow, vouch

ORIGIN = "example.com/log"
KEYS = [Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in range(4)]
ENTRIES = [b"entry %d" % number for number in range(5)]
HASHES = [leaf_hash(entry) for entry in ENTRIES]


def node(level: int, index: int) -> bytes:
    return subtree_root(HASHES[index << level : (index + 1) << level])


def receipt(index: int, size: int = 5) -> bytes:
    checkpoint = sign_checkpoint(Checkpoint(ORIGIN, size, subtree_root(HASHES[:size])), [KEYS[0]])
    return Receipt(ENTRIES[index], index, tuple(inclusion_proof(index, size, node)), checkpoint).encode()


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidProof) as caught:
        call()
    return caught.value.code


def test_a_receipt_has_the_form_of_the_specification() -> None:
    lines = receipt(0, 1).decode().split("\n")
    assert lines[:5] == ["c2sp.org/tlog-proof@v1", "extra ZW50cnkgMA==", "index 0", "", ORIGIN]
    assert receipt(4).decode().split("\n")[2] == "index 4"


@pytest.mark.parametrize("index", range(5))
def test_a_receipt_proves_its_leaf(index: int) -> None:
    proved = verify_receipt(receipt(index), [KEYS[0].key])
    assert (proved.leaf, proved.index, proved.size, proved.origin) == (ENTRIES[index], index, 5, ORIGIN)


def test_another_leaf_or_place_or_key_is_refused() -> None:
    good = receipt(3)
    assert refused(lambda: verify_receipt(good.replace(b"index 3", b"index 2"), [KEYS[0].key])) == "inclusion_invalid"
    assert refused(lambda: verify_receipt(good.replace(b"index 3", b"index 5"), [KEYS[0].key])) == "leaf_out_of_range"
    swapped = good.replace(b"ZW50cnkgMw==", b"ZW50cnkgMg==")
    assert refused(lambda: verify_receipt(swapped, [KEYS[0].key])) == "inclusion_invalid"
    assert refused(lambda: verify_receipt(good, [KEYS[1].key])) == "log_signature_missing"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"@v1", b"@v2"),
        (b"extra ZW50cnkgMw==\n", b""),
        (b"extra ZW50cnkgMw==", b"extra "),
        (b"extra ZW50cnkgMw==", b"extra ZW50cnkgMx=="),
        (b"extra", b"Extra"),
        (b"index 3", b"index 03"),
        (b"index 3", b"index  3"),
        (b"index 3", b"index -3"),
        (b"index 3\n", b"index 3\nAAAA\n"),
        (b"index 3\n", b"index 3\r\n"),
        (b"\n\n", b"\n"),
    ],
)
def test_a_receipt_has_one_spelling(old: bytes, new: bytes) -> None:
    assert refused(lambda: verify_receipt(receipt(3).replace(old, new, 1), [KEYS[0].key])) == "receipt_malformed"


def test_a_receipt_is_bounded() -> None:
    hashes = b"\n".join([b"A" * 43 + b"="] * 64)
    assert refused(lambda: parse_receipt(receipt(0).replace(b"index 0\n", b"index 0\n" + hashes + b"\n"))) == (
        "receipt_malformed"
    )
    assert refused(lambda: parse_receipt(receipt(0) + b"x" * 500_000)) == "receipt_malformed"
    assert refused(lambda: Receipt(b"", 0, (), b"").encode()) == "receipt_malformed"
    assert refused(lambda: Receipt(b"x" * 65_536, 0, (), b"").encode()) == "receipt_malformed"


def test_whoever_knows_the_first_key_follows_to_the_last() -> None:
    statements = [vouch(KEYS[0], KEYS[1].key), vouch(KEYS[1], KEYS[2].key)]
    assert statements[0].startswith(f"hatchpay-log-key/v1\n{ORIGIN}\n{KEYS[1].key.vkey}\n\n".encode())
    assert follow(KEYS[0].key, statements) == (KEYS[0].key, KEYS[1].key, KEYS[2].key)
    assert follow(KEYS[1].key, statements) == (KEYS[1].key, KEYS[2].key)
    assert follow(KEYS[3].key, statements) == (KEYS[3].key,)


def test_a_statement_that_was_changed_is_refused() -> None:
    statement = vouch(KEYS[0], KEYS[1].key)
    forged = statement.replace(KEYS[1].key.vkey.encode(), KEYS[3].key.vkey.encode())
    assert refused(lambda: follow(KEYS[0].key, [forged])) == "signature_invalid"


def test_a_log_cannot_vouch_for_another_log() -> None:
    elsewhere = Signer("example.com/other", Ed25519PrivateKey.from_private_bytes(b"\7" * 32))
    assert refused(lambda: follow(KEYS[0].key, [vouch(KEYS[0], elsewhere.key)])) == "succession_malformed"
    statement = note.sign(f"hatchpay-log-key/v1\n{ORIGIN}\n{elsewhere.key.vkey}\n", [KEYS[0]]).encode()
    assert refused(lambda: follow(KEYS[0].key, [statement])) == "succession_malformed"


def test_a_checkpoint_is_no_statement_about_a_key() -> None:
    checkpoint = sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(32)), [KEYS[0]])
    assert refused(lambda: follow(KEYS[0].key, [checkpoint])) == "succession_malformed"


def test_a_commitment_is_what_the_format_says() -> None:
    salt = bytes(range(32))
    assert commit("url", salt, b'"/a"') == sha256(b"hatchpay/v1/url\0" + salt + b'"/a"').digest()
