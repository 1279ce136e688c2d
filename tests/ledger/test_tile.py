"""Tiles: their names, bundles, growing leaf by leaf or all at once, and reading proofs back from them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.ledger.exact import LedgerError
from consent.ledger.merkle import consistency_proof, inclusion_proof, leaf_hash, root_from_hashes, verify_inclusion
from consent.ledger.tile import (
    ENTRIES,
    Frontier,
    TileId,
    TileReader,
    append,
    decode_bundle,
    encode_bundle,
    restore,
    right_edge,
    tile_at,
)
from tests.ledger.oracle import Tree
from tests.ledger.world import Log, make_leaf, make_log, refused

PATHS = [
    (TileId(0, 0), "tile/0/000"),
    (TileId(0, 999), "tile/0/999"),
    (TileId(0, 1000), "tile/0/x001/000"),
    (TileId(3, 1_234_067), "tile/3/x001/x234/067"),  # the example of c2sp.org/tlog-tiles
    (TileId(0, 273, 112), "tile/0/273.p/112"),
    (TileId(63, 5, 1), "tile/63/005.p/1"),
    (TileId(1, 1_000_000, 255), "tile/1/x001/x000/000.p/255"),
    (TileId(ENTRIES, 12_345, 7), "tile/entries/x012/345.p/7"),
    (TileId(ENTRIES, 0), "tile/entries/000"),
]


@pytest.mark.parametrize(("tile", "path"), PATHS)
def test_addresses(tile: TileId, path: str) -> None:
    assert tile.path == path
    assert TileId.parse(path) == tile


@given(st.integers(-1, 63), st.integers(0, 2**63 - 1), st.integers(1, 256))
def test_every_address_is_read_back(level: int, index: int, width: int) -> None:
    tile = TileId(level, index, width)
    assert TileId.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/0/x000/000",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/data/000",
        "tile/0/" + "x999/" * 7 + "999",
        "tile/0/../000",
    ],
)
def test_other_spellings_are_refused(path: str) -> None:
    with refused("tile_path"):
        TileId.parse(path)


def test_the_example_of_the_specification() -> None:
    size = 70_000
    assert right_edge(size) == [TileId(0, 273, 112), TileId(1, 1, 17), TileId(2, 0, 1)]
    assert tile_at(0, 272, size) == TileId(0, 272)
    assert tile_at(ENTRIES, 273, size) == TileId(ENTRIES, 273, 112)
    assert tile_at(1, 0, size) == TileId(1, 0)
    assert right_edge(256) == [TileId(1, 0, 1)]
    assert right_edge(0) == []


@pytest.mark.parametrize(
    ("level", "index", "size"), [(0, 274, 70_000), (3, 0, 70_000), (0, -1, 5), (64, 0, 5), (-2, 0, 5)]
)
def test_no_tile_beyond_the_tree(level: int, index: int, size: int) -> None:
    with refused("tile_absent"):
        tile_at(level, index, size)


def test_sizes_are_bounded() -> None:
    for call in (lambda: right_edge(-1), lambda: tile_at(0, 0, 2**63), lambda: TileReader(2**63, Log().fetch)):
        with refused("size"):
            call()
    with refused("size"):
        append(Frontier(size=2**63 - 1), [bytes(32)])


def test_bundles() -> None:
    entries = [b"", b"a", b"b" * 65_535]
    data = encode_bundle(entries)
    assert data[:5] == b"\0\0\0\x01a"
    assert decode_bundle(data, 3) == entries
    assert decode_bundle(b"", 0) == []
    with refused("entry_length"):
        encode_bundle([b"c" * 65_536])


@pytest.mark.parametrize(
    ("data", "width"),
    [(b"\0", 1), (b"\0\x01", 1), (b"\0\x02a", 1), (b"\0\x01a", 2), (b"\0\x01a", 0), (b"\0\x01a\0", 1)],
)
def test_bundles_are_read_exactly(data: bytes, width: int) -> None:
    with refused("bundle"):
        decode_bundle(data, width)


HASHES = [leaf_hash(i.to_bytes(4, "big")) for i in range(70_000)]


def test_growing_leaf_by_leaf_gives_every_root() -> None:
    tree, frontier = Tree(HASHES[:600]), Frontier()
    tiles: dict[tuple[int, int], bytes] = {}
    for size in range(1, 601):
        frontier, changed = append(frontier, [HASHES[size - 1]])
        tiles.update({(each.level, each.index): data for each, data in changed})
        assert frontier.root() == tree.mth(0, size)
        assert frontier == restore(size, lambda t: tiles[t.level, t.index][: t.width * 32])
        assert all(len(data) == each.width * 32 for each, data in changed)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 31, 255, 256, 257, 511, 513, 1000, 70_000]), max_size=6))
def test_batches_of_any_size_give_the_same_tree(batches: list[int]) -> None:
    frontier, tiles, start = Frontier(), dict[tuple[int, int], bytes](), 0
    for count in batches:
        fresh = HASHES[start : start + count]
        frontier, changed = append(frontier, fresh)
        names = [(each.level, each.index) for each, _ in changed]
        assert len(set(names)) == len(names)
        tiles |= dict(zip(names, (data for _, data in changed), strict=True))
        start += len(fresh)
    assert frontier.root() == root_from_hashes(HASHES[:start])
    for level in range(3):
        hashes = [root_from_hashes(HASHES[i : i + 256**level]) for i in range(0, start - 256**level + 1, 256**level)]
        stored = b"".join(tiles[level, i] for i in range(-(-len(hashes) // 256)))
        assert stored == b"".join(hashes)


def test_a_tree_of_70000_has_the_tiles_of_the_specification() -> None:
    _, changed = append(Frontier(), HASHES)
    widths = {level: [each.width for each, _ in changed if each.level == level] for level in range(3)}
    assert widths == {0: [256] * 273 + [112], 1: [256, 17], 2: [1]}


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33)])
def test_only_hashes_are_appended(wrong: bytes) -> None:
    with refused("hash_length"):
        append(Frontier(), [HASHES[0], wrong])


def test_a_frontier_comes_back_from_stored_tiles_alone() -> None:
    log = make_log(70)
    for size in range(71):
        assert restore(size, log.fetch).root() == root_from_hashes(leaf_hash(each) for each in log.leaves[:size])


def test_a_damaged_tile_shows() -> None:
    log = make_log(300)
    with refused("tile_length"):
        restore(300, lambda tile: log.fetch(tile)[:-1])
    with refused("tile_length"):
        log_reader = TileReader(300, lambda tile: log.fetch(tile) + b"\0")
        log_reader(0, 0)
    log.tiles[0, 1] = bytes(32) + log.tiles[0, 1][32:]
    assert restore(300, log.fetch).root() != log.frontier.root()


def test_swapped_tiles_show() -> None:
    log = make_log(800)
    checkpoint = log.checkpoint()
    log.tiles[0, 0], log.tiles[0, 1] = log.tiles[0, 1], log.tiles[0, 0]
    proof = inclusion_proof(5, 800, log.reader())
    with pytest.raises(LedgerError):
        verify_inclusion(5, 800, leaf_hash(log.leaves[5]), proof, checkpoint.root)
    rebuilt, _ = append(Frontier(), [log.tiles[0, i // 256][i % 256 * 32 :][:32] for i in range(800)])
    assert rebuilt.root() != checkpoint.root


def test_proofs_read_from_tiles() -> None:
    size = 70_000
    frontier, changed = append(Frontier(), HASHES)
    tiles = {(each.level, each.index): data for each, data in changed}
    tree, chance = Tree(HASHES), random.Random(1)  # noqa: S311
    for _ in range(300):
        some = chance.choice([size, chance.randint(1, size)])
        reader = TileReader(some, lambda t: tiles[t.level, t.index][: t.width * 32])
        index, old = chance.randrange(some), chance.randint(1, some)
        assert list(inclusion_proof(index, some, reader)) == tree.path(index, 0, some)
        assert list(consistency_proof(old, some, reader)) == tree.proof(old, some)
    assert frontier.root() == tree.mth(0, size)


def test_a_reader_gives_complete_subtrees_only() -> None:
    reader = make_log(300).reader()
    assert reader(8, 0) == root_from_hashes(leaf_hash(make_leaf(i).encode()) for i in range(256))
    for level, index in ((0, 300), (8, 1), (3, 37), (3, 38), (9, 0), (0, -1)):
        with refused("tile_absent"):
            reader(level, index)


def test_a_reader_fetches_a_tile_once() -> None:
    log, asked = make_log(300), list[TileId]()

    def fetch(tile: TileId) -> bytes:
        asked.append(tile)
        return log.fetch(tile)

    reader = TileReader(300, fetch)
    for index in range(300):
        inclusion_proof(index, 300, reader)
    assert sorted(asked) == [TileId(0, 0), TileId(0, 1, 44), TileId(1, 0, 1)]
