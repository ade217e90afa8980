"""The files of a log: C2SP tlog-tiles (https://c2sp.org/tlog-tiles). Hash tiles, entry bundles and their paths.

Frozen format:

    tile/<L>/<N>[.p/<W>]            256 (or W) hashes of 32 bytes: the nodes of level 8 * L from 256 * N on
    tile/entries/<N>[.p/<W>]        256 (or W) entries, each behind its length as a big-endian uint16

    <N> in groups of three digits, all but the last behind an x: 1234067 is x001/x234/067
    <L> from 0 to 63, <W> from 1 to 255, both without leading zeroes
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec

from hatchpay.errors import BrokenLog, InvalidProof
from hatchpay.ledger.merkle import (
    HASH_BYTES,
    MOST_LEAVES,
    Frontier,
    consistency_proof,
    inclusion_proof,
    subtree_root,
)

__all__ = [
    "MAX_ENTRY_BYTES",
    "TILE_WIDTH",
    "Edge",
    "Tile",
    "TileReader",
    "TileSource",
    "decode_entries",
    "encode_entries",
    "entries_path",
    "entry_bundles",
    "parse_path",
    "tile_path",
]

TILE_WIDTH: Final = 256
MAX_ENTRY_BYTES: Final = 65_535
_HEIGHT: Final = 8
_ENTRIES: Final = "entries"
_PATH: Final = re.compile(
    r"tile/(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)
_LONGEST_PATH: Final = 64


class TileSource(Protocol):
    """Where the files of one log are, such as a directory or a web server."""

    def read(self, path: str) -> bytes | None:
        """The bytes at `path`, such as `tile/0/x001/067`; None where there is no such file."""
        ...


class Tile(msgspec.Struct, frozen=True):
    """Which file it is: `level` is None for a bundle of entries; `width` is 256 for a full one."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        if self.level is None:
            return entries_path(self.index, self.width)
        return tile_path(self.level, self.index, self.width)


class Edge(msgspec.Struct, frozen=True):
    """The right edge of a tree: of each tile level the hashes of its partial tile, joined; empty where it has none.

    It is what a log keeps in memory in order to append: it gives the tiles to write, and the root.
    """

    size: int = 0
    rows: tuple[bytes, ...] = ()

    @staticmethod
    def read(source: TileSource, size: int) -> Edge:
        """The edge of the tree of `size` leaves. Raises BrokenLog."""
        reader = TileReader(source, size)
        rows: list[bytes] = []
        level = 0
        while count := size >> _HEIGHT * level:
            rows.append(reader.tile(level, count // TILE_WIDTH) if count % TILE_WIDTH else b"")
            level += 1
        return Edge(size, tuple(rows))

    def extended(self, leaves: Sequence[bytes]) -> tuple[Edge, list[tuple[Tile, bytes]]]:
        """With leaves of these hashes (not entries) appended; and the tiles, full or partial, that this writes.

        Tiles that were full before are not among them. A partial one is written anew under its greater width; one of a
        smaller width may be deleted once no checkpoint needs it, or its full one is there.
        """
        if self.size + len(leaves) > MOST_LEAVES:
            raise InvalidProof("a tree has at most 2**63 - 1 leaves", code="sizes_invalid")
        rows: list[bytes] = []
        written: list[tuple[Tile, bytes]] = []
        added = b"".join(leaves)
        if len(added) != len(leaves) * HASH_BYTES:
            raise InvalidProof("a hash is not 32 bytes long", code="hash_malformed")
        level = 0
        while added:
            row = (self.rows[level] if level < len(self.rows) else b"") + added
            index = (self.size >> _HEIGHT * level) // TILE_WIDTH
            parents: list[bytes] = []
            full = TILE_WIDTH * HASH_BYTES
            while len(row) >= full:
                written.append((Tile(level, index), row[:full]))
                parents.append(subtree_root(_hashes(row[:full])))
                row, index = row[full:], index + 1
            if row:
                written.append((Tile(level, index, len(row) // HASH_BYTES), row))
            rows.append(row)
            added = b"".join(parents)
            level += 1
        return Edge(self.size + len(leaves), (*rows, *self.rows[level:])), written

    def frontier(self) -> Frontier:
        nodes: list[bytes] = []
        for row in reversed(self.rows):
            nodes.extend(Frontier().extended(_hashes(row)).nodes)
        return Frontier(self.size, tuple(nodes))

    def root(self) -> bytes:
        return self.frontier().root()


class TileReader:
    """Nodes and proofs of the tree of `size` leaves, out of its tiles. What it has read it keeps for its life.

    Raises BrokenLog where a tile is missing or has another length. It cannot know whether the hashes are right: proofs
    are to be verified against a root that somebody signed.
    """

    def __init__(self, source: TileSource, size: int) -> None:
        self._source = source
        self._size = size
        self._tiles: dict[tuple[int, int], bytes] = {}

    def tile(self, level: int, index: int) -> bytes:
        """The tile as it is in the tree of this size: full, or cut to its width there."""
        tile = self._tiles.get((level, index))
        if tile is None:
            width = min(TILE_WIDTH, (self._size >> _HEIGHT * level) - index * TILE_WIDTH)
            if index < 0 or width <= 0:
                raise InvalidProof("there is no such tile in a tree of this size", code="leaf_out_of_range")
            tile = self._tiles[level, index] = self._read(level, index, width)
        return tile

    def node(self, level: int, index: int) -> bytes:
        """As merkle.ReadNode."""
        tile_level, inside = divmod(level, _HEIGHT)
        count = 1 << inside
        tile_index, first = divmod(index * count, TILE_WIDTH)
        row = self.tile(tile_level, tile_index)[first * HASH_BYTES : (first + count) * HASH_BYTES]
        if len(row) != count * HASH_BYTES:
            raise InvalidProof("there is no such node in a tree of this size", code="leaf_out_of_range")
        return row if count == 1 else subtree_root(_hashes(row))

    def leaf(self, index: int) -> bytes:
        return self.node(0, index)

    def root(self) -> bytes:
        return Edge.read(self._source, self._size).root()

    def inclusion(self, index: int) -> list[bytes]:
        return inclusion_proof(index, self._size, self.node)

    def consistency(self, old: int) -> list[bytes]:
        """From the tree of `old` leaves to this one."""
        return consistency_proof(old, self._size, self.node)

    def entries(self, index: int) -> list[bytes]:
        """Those of the bundle `index`, as many as are in the tree of this size."""
        width = min(TILE_WIDTH, self._size - index * TILE_WIDTH)
        if index < 0 or width <= 0:
            raise InvalidProof("there is no such bundle in a tree of this size", code="leaf_out_of_range")
        full = self._source.read(entries_path(index))
        if full is not None:
            return decode_entries(full, TILE_WIDTH)[:width]
        partial = self._source.read(entries_path(index, width)) if width < TILE_WIDTH else None
        if partial is None:
            raise BrokenLog("an entry bundle is missing", code="bundle_missing")
        return decode_entries(partial, width)

    def _read(self, level: int, index: int, width: int) -> bytes:
        # A log may delete a partial tile once the full one is there, so that one comes first.
        for candidate in (TILE_WIDTH, width):
            tile = self._source.read(tile_path(level, index, candidate))
            if tile is None:
                continue
            if len(tile) != candidate * HASH_BYTES:
                raise BrokenLog("a tile has another length than its width says", code="tile_malformed")
            return tile[: width * HASH_BYTES]
        raise BrokenLog("a tile is missing", code="tile_missing")


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    if not 0 <= level <= 63:
        raise InvalidProof("a tile's level is from 0 to 63", code="tile_out_of_range")
    return _path(str(level), index, width)


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    return _path(_ENTRIES, index, width)


def parse_path(path: str) -> Tile | None:
    """None for everything but what `Tile.path` gives."""
    match = _PATH.fullmatch(path) if len(path) <= _LONGEST_PATH else None
    if match is None:
        return None
    level = None if match["level"] == _ENTRIES else int(match["level"])
    index = int(re.sub("[x/]", "", match["index"]))
    width = int(match["width"] or TILE_WIDTH)
    if index > MOST_LEAVES or (match["width"] and width >= TILE_WIDTH):
        return None
    tile = Tile(level, index, width)
    return tile if tile.path == path else None


def encode_entries(entries: Sequence[bytes]) -> bytes:
    """A bundle. Raises InvalidProof for an entry of more than 65,535 bytes."""
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise InvalidProof("an entry has more than 65,535 bytes", code="entry_too_large")
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def decode_entries(bundle: bytes, count: int) -> list[bytes]:
    """Exactly `count` entries. Raises BrokenLog where the bundle has more, fewer, or a part of one."""
    entries: list[bytes] = []
    at = 0
    while at < len(bundle) and len(entries) < count:
        start = at + 2
        at = start + int.from_bytes(bundle[at:start])
        if start > len(bundle) or at > len(bundle):
            raise BrokenLog("an entry bundle is cut off", code="bundle_malformed")
        entries.append(bundle[start:at])
    if at != len(bundle) or len(entries) != count:
        raise BrokenLog("an entry bundle has another number of entries than its width says", code="bundle_malformed")
    return entries


def entry_bundles(size: int, last: Sequence[bytes], entries: Sequence[bytes]) -> Iterator[tuple[Tile, bytes]]:
    """The bundles that appending `entries` to a log of `size` entries writes.

    `last` are the entries of the partial bundle that the log ends with: `size` modulo 256 of them.
    """
    if len(last) != size % TILE_WIDTH:
        raise InvalidProof("these are not the entries of the last bundle", code="sizes_invalid")
    if not entries:
        return
    rows = [*last, *entries]
    first = size // TILE_WIDTH
    for start in range(0, len(rows), TILE_WIDTH):
        row = rows[start : start + TILE_WIDTH]
        yield Tile(None, first + start // TILE_WIDTH, len(row)), encode_entries(row)


def _path(kind: str, index: int, width: int) -> str:
    if not 0 <= index <= MOST_LEAVES or not 1 <= width <= TILE_WIDTH:
        raise InvalidProof("there is no tile of this index and width", code="tile_out_of_range")
    name = f"{index % 1000:03}"
    while index := index // 1000:
        name = f"x{index % 1000:03}/{name}"
    return f"tile/{kind}/{name}" if width == TILE_WIDTH else f"tile/{kind}/{name}.p/{width}"


def _hashes(row: bytes) -> list[bytes]:
    return [row[at : at + HASH_BYTES] for at in range(0, len(row), HASH_BYTES)]
