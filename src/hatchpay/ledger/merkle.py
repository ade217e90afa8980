"""The Merkle tree of RFC 6962, section 2.1, over SHA-256: roots, inclusion proofs and consistency proofs.

A node is named by (level, index): it is the hash over the 2**level leaves from index * 2**level on, all of them there.
The hash over any other range of leaves is put together from such nodes, so they are all that has to be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Final

import msgspec

from hatchpay.errors import InvalidProof

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "MOST_LEAVES",
    "Frontier",
    "ReadNode",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "root_by_inclusion",
    "subtree_root",
    "verify_consistency",
    "verify_inclusion",
]

ReadNode = Callable[[int, int], bytes]
"""(level, index) to the 32 bytes of that node."""

HASH_BYTES: Final = 32
MOST_LEAVES: Final = 2**63 - 1
EMPTY_ROOT: Final = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Frontier(msgspec.Struct, frozen=True):
    """All that has to be known of a tree in order to append to it and to compute its root.

    `nodes` are the roots of the complete subtrees that the tree consists of, from left to right: as many as `size` has
    bits that are set, the largest first.
    """

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MOST_LEAVES or len(self.nodes) != self.size.bit_count():
            raise InvalidProof("the frontier does not fit its size", code="frontier_invalid")

    def extended(self, leaves: Iterable[bytes]) -> Frontier:
        """With leaves of these hashes (not entries) appended. Many at once are much cheaper than one by one."""
        row = list(leaves)
        size = self.size + len(row)
        kept = list(self.nodes)
        rest: list[bytes] = []
        level = 0
        # Level by level: a complete node that waited for its sibling goes before what is new, and pairs move up.
        while row:
            if self.size >> level & 1:
                row.insert(0, kept.pop())
            if len(row) & 1:
                rest.append(row.pop())
            row = _parents(row)
            level += 1
        return Frontier(size, (*kept, *reversed(rest)))

    def root(self) -> bytes:
        return _folded(self.nodes)


def subtree_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaves, or nodes of one level, of these hashes."""
    return Frontier().extended(leaves).root()


def inclusion_proof(index: int, size: int, node: ReadNode) -> list[bytes]:
    """That the leaf `index` is in the tree of `size` leaves, from its sibling up (RFC 6962, section 2.1.1)."""
    if not 0 <= index < size <= MOST_LEAVES:
        raise InvalidProof("there is no such leaf in a tree of this size", code="leaf_out_of_range")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_hash(middle, end, node))
            end = middle
        else:
            path.append(_range_hash(start, middle, node))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: ReadNode) -> list[bytes]:
    """That the tree of `old` leaves is the beginning of that of `new` (RFC 6962, section 2.1.2)."""
    if not 0 < old <= new <= MOST_LEAVES:
        raise InvalidProof("consistency is proved from a size of at least 1 to one not smaller", code="sizes_invalid")
    path: list[bytes] = []
    start, end = 0, new
    while old < end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_range_hash(middle, end, node))
            end = middle
        else:
            path.append(_range_hash(start, middle, node))
            start = middle
    if start:
        path.append(_range_hash(start, end, node))
    return path[::-1]


def root_by_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that `proof` leads to from the hash `leaf` (RFC 9162, section 2.1.3.2).

    Raises InvalidProof where no tree of this size has a proof of that form.
    """
    if not 0 <= index < size <= MOST_LEAVES:
        raise InvalidProof("there is no such leaf in a tree of this size", code="leaf_out_of_range")
    _require_hashes([leaf, *proof])
    at, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise InvalidProof("the inclusion proof is too long", code="inclusion_invalid")
        if at & 1 or at == last:
            root = node_hash(sibling, root)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise InvalidProof("the inclusion proof is too short", code="inclusion_invalid")
    return root


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raises InvalidProof unless the leaf of the hash `leaf` is proved to be at `index` under `root`."""
    if not compare_digest(root_by_inclusion(index, size, leaf, proof), root):
        raise InvalidProof("the inclusion proof leads to another root", code="inclusion_invalid")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raises InvalidProof unless `proof` shows the one tree to begin with the other (RFC 9162, section 2.1.4.2).

    From size 0 nothing is proved, so that is refused.
    """
    if not 0 < old <= new <= MOST_LEAVES:
        raise InvalidProof("consistency is proved from a size of at least 1 to one not smaller", code="sizes_invalid")
    _require_hashes([old_root, new_root, *proof])
    if old == new:
        if proof or not compare_digest(old_root, new_root):
            raise InvalidProof("two trees of one size have two roots", code="consistency_invalid")
        return
    # Where the old tree is complete, its root is a node of the new one, and the proof leaves it out.
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise InvalidProof("the consistency proof is too short", code="consistency_invalid")
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise InvalidProof("the consistency proof is too long", code="consistency_invalid")
        if at & 1 or at == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        at, last = at >> 1, last >> 1
    if last or not (compare_digest(older, old_root) and compare_digest(newer, new_root)):
        raise InvalidProof("the consistency proof leads to other roots", code="consistency_invalid")


def _parents(row: list[bytes]) -> list[bytes]:
    """Of an even number of siblings."""
    pairs = iter(row)
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]


def _folded(nodes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees, of which each is larger than the one behind it."""
    if not nodes:
        return EMPTY_ROOT
    *lefts, root = nodes
    for left in reversed(lefts):
        root = node_hash(left, root)
    return root


def _split(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def _range_hash(start: int, end: int, node: ReadNode) -> bytes:
    """Over the leaves from `start` to before `end`; `start` is where a subtree of that many leaves may begin."""
    nodes: list[bytes] = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append(node(level, start >> level))
        start += 1 << level
    return _folded(nodes)


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(one) != HASH_BYTES for one in hashes):
        raise InvalidProof("a hash is not 32 bytes long", code="hash_malformed")
