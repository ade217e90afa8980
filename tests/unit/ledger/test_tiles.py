"""The files of a log: paths and contents as C2SP tlog-tiles has them."""

from __future__ import annotations

import pytest

from hatchpay.errors import BrokenLog, InvalidProof
from hatchpay.ledger.merkle import leaf_hash, subtree_root
from hatchpay.ledger.tiles import (
    Edge,
    Tile,
    TileReader,
    decode_entries,
    encode_entries,
    entries_path,
    entry_bundles,
    parse_path,
    tile_path,
)


class Files:
    """A log's files in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def grow(self, edge: Edge, entries: list[bytes], last: list[bytes]) -> Edge:
        longer, tiles = edge.extended([leaf_hash(entry) for entry in entries])
        for tile, data in [*tiles, *entry_bundles(edge.size, last, entries)]:
            self.files[tile.path] = data
        return longer


def log_of(count: int, step: int = 1_000) -> tuple[Files, Edge, list[bytes]]:
    files, edge = Files(), Edge()
    entries = [b"entry %d" % number for number in range(count)]
    for start in range(0, count, step):
        last = entries[start - start % 256 : start]
        edge = files.grow(edge, entries[start : start + step], last)
    return files, edge, entries


@pytest.mark.parametrize(
    ("path", "tile"),
    [
        ("tile/0/000", Tile(0, 0)),
        ("tile/0/x001/x234/067", Tile(0, 1_234_067)),
        ("tile/1/x001/000.p/1", Tile(1, 1_000, 1)),
        ("tile/63/999.p/255", Tile(63, 999, 255)),
        ("tile/entries/x001/x234/067", Tile(None, 1_234_067)),
        ("tile/entries/000.p/112", Tile(None, 0, 112)),
    ],
)
def test_paths_are_those_of_the_specification(path: str, tile: Tile) -> None:
    assert tile.path == path
    assert parse_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/1234",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/Entries/000",
        "tile/0/../000",
        "tile/0/" + "x999/" * 20 + "999",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "",
    ],
)
def test_any_other_path_is_none(path: str) -> None:
    assert parse_path(path) is None


def test_a_tile_out_of_range_has_no_path() -> None:
    for level, index, width in [(64, 0, 256), (-1, 0, 256), (0, -1, 256), (0, 2**63, 256), (0, 0, 0), (0, 0, 257)]:
        with pytest.raises(InvalidProof) as caught:
            tile_path(level, index, width)
        assert caught.value.code == "tile_out_of_range"


def test_a_log_that_grew_in_steps_has_the_tiles_of_one_that_grew_at_once() -> None:
    small, edge, _ = log_of(700, 37)
    large, whole, _ = log_of(700, 700)
    assert edge == whole
    assert set(large.files) == {
        *("tile/0/000", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"),
        *("tile/entries/000", "tile/entries/001", "tile/entries/002.p/188"),
    }
    assert large.files.items() <= small.files.items()


def test_a_tile_of_the_second_level_holds_the_roots_of_full_tiles() -> None:
    files, _, entries = log_of(600)
    hashes = [leaf_hash(entry) for entry in entries]
    assert files.files["tile/1/000.p/2"] == subtree_root(hashes[:256]) + subtree_root(hashes[256:512])


def test_the_edge_is_read_back_from_the_tiles() -> None:
    for count in (1, 255, 256, 257, 600):
        files, edge, _ = log_of(count)
        assert Edge.read(files, count) == edge
        assert TileReader(files, count).root() == edge.root()


def test_a_smaller_tree_is_read_from_full_tiles_once_its_partial_ones_are_gone() -> None:
    files, _, entries = log_of(600, 300)
    del files.files["tile/0/001.p/44"]
    del files.files["tile/entries/001.p/44"]
    reader = TileReader(files, 300)
    assert reader.root() == subtree_root([leaf_hash(entry) for entry in entries[:300]])
    assert reader.entries(1) == entries[256:300]


def test_a_missing_or_damaged_tile_is_named_so() -> None:
    files, _, _ = log_of(300)
    del files.files["tile/0/000"]
    assert broken(files, 300) == "tile_missing"
    files.files["tile/0/000"] = bytes(255 * 32)
    assert broken(files, 300) == "tile_malformed"


def test_nodes_and_bundles_beyond_the_tree_are_refused() -> None:
    files, _, _ = log_of(300)
    reader = TileReader(files, 300)
    for call in (
        lambda: reader.leaf(300),
        lambda: reader.node(8, 1),
        lambda: reader.node(1, 150),
        lambda: reader.entries(2),
        lambda: reader.entries(-1),
        lambda: reader.node(0, -1),
    ):
        with pytest.raises(InvalidProof) as caught:
            call()
        assert caught.value.code == "leaf_out_of_range"


def test_entries_stand_behind_their_length_in_two_bytes() -> None:
    assert encode_entries([b"one", b"", b"x" * 300]) == b"\0\3one\0\0\x01\x2c" + b"x" * 300
    assert decode_entries(b"\0\3one\0\0", 2) == [b"one", b""]
    longest = b"x" * 65_535
    assert decode_entries(encode_entries([longest]), 1) == [longest]
    with pytest.raises(InvalidProof) as caught:
        encode_entries([b"x" * 65_536])
    assert caught.value.code == "entry_too_large"


@pytest.mark.parametrize(
    "bundle", [b"", b"\0", b"\0\3on", b"\0\3one", b"\0\3one\0", b"\0\3one\0\0\0\0", b"\0\3one\0\1"]
)
def test_a_bundle_with_more_or_fewer_entries_is_malformed(bundle: bytes) -> None:
    with pytest.raises(BrokenLog) as caught:
        decode_entries(bundle, 2)
    assert caught.value.code == "bundle_malformed"


def test_a_missing_bundle_is_named_so() -> None:
    files, _, _ = log_of(300)
    del files.files[entries_path(1, 44)]
    with pytest.raises(BrokenLog) as caught:
        TileReader(files, 300).entries(1)
    assert caught.value.code == "bundle_missing"


def test_the_last_bundle_must_be_known_to_go_on() -> None:
    with pytest.raises(InvalidProof) as caught:
        list(entry_bundles(300, [b"x"] * 43, [b"y"]))
    assert caught.value.code == "sizes_invalid"
    assert list(entry_bundles(300, [b"x"] * 44, [])) == []


def broken(files: Files, size: int) -> str:
    with pytest.raises(BrokenLog) as caught:
        TileReader(files, size).leaf(0)
    return caught.value.code
