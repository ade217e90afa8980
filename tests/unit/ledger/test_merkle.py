"""The tree of RFC 6962, against the vectors of the certificate-transparency implementations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hatchpay.errors import InvalidProof
from hatchpay.ledger.merkle import (
    EMPTY_ROOT,
    Frontier,
    ReadNode,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    subtree_root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    bytes.fromhex("5051525354555657"),
    bytes.fromhex("606162636465666768696a6b6c6d6e6f"),
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): INCLUSION[0, 8],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
    (6, 7): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def node(level: int, index: int) -> bytes:
    return subtree_root(HASHES[index << level : (index + 1) << level])


@pytest.mark.parametrize("size", range(9))
def test_trees_of_up_to_eight_leaves_have_the_published_roots(size: int) -> None:
    assert subtree_root(HASHES[:size]).hex() == ROOTS[size]


def test_an_empty_tree_has_the_hash_of_nothing_as_its_root() -> None:
    assert ROOTS[0] == EMPTY_ROOT.hex() == Frontier().root().hex()


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_the_published_ones_and_verify(index: int, size: int) -> None:
    proof = inclusion_proof(index, size, node)
    assert [one.hex() for one in proof] == INCLUSION[index, size]
    verify_inclusion(index, size, HASHES[index], proof, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_proofs_are_the_published_ones_and_verify(old: int, new: int) -> None:
    proof = consistency_proof(old, new, node)
    assert [one.hex() for one in proof] == CONSISTENCY[old, new]
    verify_consistency(old, bytes.fromhex(ROOTS[old]), new, bytes.fromhex(ROOTS[new]), proof)


def test_nothing_is_proved_from_an_empty_tree() -> None:
    root = bytes.fromhex(ROOTS[8])
    assert refused(lambda: verify_consistency(0, EMPTY_ROOT, 8, root, [])) == "sizes_invalid"
    assert refused(lambda: consistency_proof(0, 8, node)) == "sizes_invalid"
    assert refused(lambda: verify_consistency(8, root, 7, bytes.fromhex(ROOTS[7]), [])) == "sizes_invalid"


def test_two_roots_of_one_size_are_two_histories() -> None:
    root = bytes.fromhex(ROOTS[8])
    verify_consistency(8, root, 8, root, [])
    assert refused(lambda: verify_consistency(8, root, 8, bytes(32), [])) == "consistency_invalid"
    assert refused(lambda: verify_consistency(8, root, 8, root, [bytes(32)])) == "consistency_invalid"


@pytest.mark.parametrize("index", [-1, 8, 2**63])
def test_a_leaf_beyond_the_tree_has_no_proof(index: int) -> None:
    unread: ReadNode = lambda level, at: b""  # noqa: E731
    assert refused(lambda: inclusion_proof(index, 8, unread)) == "leaf_out_of_range"
    assert refused(lambda: verify_inclusion(index, 8, HASHES[0], [], bytes(32))) == "leaf_out_of_range"


def test_a_hash_of_another_length_is_refused() -> None:
    root = bytes.fromhex(ROOTS[8])
    proof = inclusion_proof(0, 8, node)
    assert refused(lambda: verify_inclusion(0, 8, HASHES[0], [proof[0] + proof[1], proof[2]], root)) == "hash_malformed"
    assert refused(lambda: verify_consistency(1, HASHES[0], 8, root, [b"short"])) == "hash_malformed"


def test_a_frontier_that_does_not_fit_its_size_cannot_be() -> None:
    assert refused(lambda: Frontier(3, (bytes(32),))) == "frontier_invalid"
    assert refused(lambda: Frontier(-1)) == "frontier_invalid"


def test_a_proof_too_short_for_its_size_is_refused_even_where_its_root_is_right() -> None:
    beside = bytes(32)
    root = node_hash(HASHES[0], beside)
    assert refused(lambda: verify_inclusion(0, 8, HASHES[0], [beside], root)) == "inclusion_invalid"
    assert refused(lambda: verify_consistency(1, HASHES[0], 8, root, [beside])) == "consistency_invalid"


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidProof) as caught:
        call()
    return caught.value.code
