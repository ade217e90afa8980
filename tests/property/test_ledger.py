"""Trees of any size: what is proved holds, what was changed does not, and parsers take only what they emit."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given
from hypothesis import strategies as st

from hatchpay.errors import InvalidProof
from hatchpay.ledger import base64, note
from hatchpay.ledger.checkpoint import Checkpoint, parse_body, sign_checkpoint
from hatchpay.ledger.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    subtree_root,
    verify_consistency,
    verify_inclusion,
)
from hatchpay.ledger.note import Signer, VerifierKey
from hatchpay.ledger.receipt import Receipt, parse_receipt
from hatchpay.ledger.tiles import Edge, Tile, decode_entries, encode_entries, parse_path

MOST = 600
LEAVES = [leaf_hash(b"%d" % number) for number in range(MOST)]
SIGNER = Signer("log", Ed25519PrivateKey.from_private_bytes(bytes(32)))
SIZES = st.integers(1, MOST)


@functools.lru_cache(maxsize=100_000)
def naive(start: int, end: int) -> bytes:
    """RFC 6962, section 2.1, as it stands there: split at the largest power of two below the number of leaves."""
    if end - start == 1:
        return LEAVES[start]
    middle = 1
    while middle * 2 < end - start:
        middle *= 2
    return node_hash(naive(start, start + middle), naive(start + middle, end))


def node(level: int, index: int) -> bytes:
    return naive(index << level, (index + 1) << level)


def holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except InvalidProof:
        return False
    return True


def flipped(data: bytes, bit: int) -> bytes:
    at, inside = divmod(bit % (len(data) * 8), 8)
    return data[:at] + bytes([data[at] ^ 1 << inside]) + data[at + 1 :]


@given(st.lists(st.integers(0, 90), max_size=8))
def test_however_a_tree_grows_it_has_the_root_of_the_definition(steps: list[int]) -> None:
    frontier, edge, size = Frontier(), Edge(), 0
    for step in steps:
        added = LEAVES[size : size + step]
        size += len(added)
        frontier = frontier.extended(added)
        edge, _ = edge.extended(added)
        assume(size)
        assert frontier.root() == edge.root() == edge.frontier().root() == subtree_root(LEAVES[:size]) == naive(0, size)


@given(SIZES, st.data())
def test_an_inclusion_proof_holds_for_its_leaf_and_place_only(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(index, size, node), naive(0, size)
    verify_inclusion(index, size, LEAVES[index], proof, root)
    if other != index:
        assert not holds(lambda: verify_inclusion(other, size, LEAVES[index], proof, root))
        assert not holds(lambda: verify_inclusion(index, size, LEAVES[other], proof, root))
    bit = data.draw(st.integers(0, 255))
    assert not holds(lambda: verify_inclusion(index, size, flipped(LEAVES[index], bit), proof, root))
    assert not holds(lambda: verify_inclusion(index, size, LEAVES[index], proof, flipped(root, bit)))
    assert not holds(lambda: verify_inclusion(index, size, LEAVES[index], [*proof, root], root))
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]
        assert not holds(lambda: verify_inclusion(index, size, LEAVES[index], bent, root))
        assert not holds(lambda: verify_inclusion(index, size, LEAVES[index], proof[:-1], root))


@given(SIZES, st.data())
def test_a_consistency_proof_holds_for_its_two_trees_only(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    proof, older, newer = consistency_proof(old, new, node), naive(0, old), naive(0, new)
    verify_consistency(old, older, new, newer, proof)
    bit = data.draw(st.integers(0, 255))
    assert not holds(lambda: verify_consistency(old, flipped(older, bit), new, newer, proof))
    assert not holds(lambda: verify_consistency(old, older, new, flipped(newer, bit), proof))
    assert not holds(lambda: verify_consistency(old, older, new, newer, [*proof, newer]))
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]
        assert not holds(lambda: verify_consistency(old, older, new, newer, bent))
        assert not holds(lambda: verify_consistency(old, older, new, newer, proof[:-1]))


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_parsers_refuse_noise_with_our_error_only(data: bytes) -> None:
    for parse in (note.parse, parse_receipt):
        with contextlib.suppress(InvalidProof):
            parse(data)
    with contextlib.suppress(InvalidProof):
        VerifierKey.parse(data.decode("utf-8", "surrogateescape"))
    with contextlib.suppress(InvalidProof):
        parse_body(data.decode("utf-8", "surrogateescape"))
    parse_path(data.decode("latin-1"))
    base64.decode(data.decode("latin-1"))


CHECKPOINT = sign_checkpoint(Checkpoint("log", 5, naive(0, 5)), [SIGNER])
RECEIPT = Receipt(b"leaf", 3, tuple(inclusion_proof(3, 5, node)), CHECKPOINT).encode()


def bent(good: bytes) -> st.SearchStrategy[bytes]:
    """`good` with a piece of it replaced, at random."""
    places = st.integers(0, len(good))
    pieces = st.binary(max_size=3) | st.sampled_from([b"\n", b" ", b"=", b"0", b"\r\n", "—".encode()])
    return st.builds(
        lambda at, length, piece: good[:at] + piece + good[at + length :], places, st.integers(0, 3), pieces
    )


@given(bent(CHECKPOINT))
def test_a_note_that_is_read_is_what_is_written(data: bytes) -> None:
    try:
        opened = note.parse(data)
    except InvalidProof:
        return
    assert opened.encode() == data
    with contextlib.suppress(InvalidProof):
        assert parse_body(opened.text).body() == opened.text


@given(bent(RECEIPT))
def test_a_receipt_that_is_read_is_what_is_written(data: bytes) -> None:
    try:
        receipt = parse_receipt(data)
    except InvalidProof:
        return
    assert receipt.encode() == data


@given(bent(SIGNER.key.vkey.encode()))
def test_a_vkey_that_is_read_is_what_is_written(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        key = VerifierKey.parse(text)
    except InvalidProof:
        return
    assert key.vkey == text


@given(st.none() | st.integers(0, 63), st.integers(0, 2**63 - 1) | st.integers(0, 2_000), st.integers(1, 256))
def test_every_path_is_read_back(level: int | None, index: int, width: int) -> None:
    tile = Tile(level, index, width)
    assert parse_path(tile.path) == tile


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_every_bundle_is_read_back(entries: list[bytes]) -> None:
    assert decode_entries(encode_entries(entries), len(entries)) == entries


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff\xfe", bytes(32)])
def test_base64_has_one_spelling(data: bytes) -> None:
    text = base64.encode(data)
    assert base64.decode(text) == data
    for other in (text + "=", text + "\n", " " + text, text.rstrip("=") + "==="):
        assert base64.decode(other) is None
