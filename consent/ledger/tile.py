"""The tree cut into tiles 256 hashes wide (C2SP tlog-tiles): names, entry bundles, growing, reading back.

A :class:`Frontier` is all that is needed to append: the unfinished right-hand tile of each level. It can be rebuilt
from stored tiles alone, so that a process starting again compares its root with the checkpoint it signed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final, NamedTuple, Self

from consent.ledger.exact import HASH_BYTES, LedgerError, check_size, decimal
from consent.ledger.merkle import EMPTY_ROOT, node_hash

WIDTH: Final = 256
TILE_HEIGHT: Final = 8
"""A full tile is a complete subtree of this height."""
MAX_LEVEL: Final = 63
ENTRIES: Final = -1
"""The level, in a :class:`TileId`, of a bundle of entries: below the leaf hashes."""
_MAX_ENTRY: Final = 2**16 - 1
_PATH: Final = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([0-9]{1,3}))?")


@dataclass(frozen=True, slots=True, order=True)
class TileId:
    """Which tile: ``level`` 0 to 63 (or :data:`ENTRIES`), ``index`` in its level, ``width`` 1 to 256.

    Below 256 it is partial, as its ``path`` says.
    """

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Its address under the log's prefix: ``tile/<L>/<N>[.p/<W>]``, or ``tile/entries/…``."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[i : i + 3] for i in range(0, len(digits), 3)]
        name = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{name}" + (f".p/{self.width}" if self.width < WIDTH else "")

    @classmethod
    def parse(cls, path: str) -> Self:
        """Return the tile whose one address is ``path``; raises ``LedgerError("tile_path")``."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise LedgerError("tile_path")
        level, upper, last, width = match.groups()
        number = (upper.replace("x", "").replace("/", "") + last).lstrip("0") or "0"
        tile = cls(
            ENTRIES if level == "entries" else decimal(level, "tile_path", MAX_LEVEL),
            decimal(number, "tile_path"),
            WIDTH if width is None else decimal(width, "tile_path", WIDTH - 1),
        )
        if tile.width == 0 or tile.path != path:
            raise LedgerError("tile_path")
        return tile


def tile_at(level: int, index: int, size: int) -> TileId:
    """Return the tile ``index`` of ``level``, as wide as it is in a tree of ``size`` leaves.

    Raises ``LedgerError("tile_absent")`` when that tree has none.
    """
    check_size(size, "size")
    hashes = size >> TILE_HEIGHT * max(level, 0)
    width = min(WIDTH, hashes - index * WIDTH)
    if not (ENTRIES <= level <= MAX_LEVEL and index >= 0 and width > 0):
        raise LedgerError("tile_absent")
    return TileId(level, index, width)


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """Return the bundle of ``entries`` (each up to 65,535 bytes), each behind its length in two bytes.

    Raises ``LedgerError("entry_length")``.
    """
    parts = []
    for entry in entries:
        if len(entry) > _MAX_ENTRY:
            raise LedgerError("entry_length")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Return the ``width`` entries that ``data`` consists of, exactly; raises ``LedgerError("bundle")``."""
    entries, at = [], 0
    while at < len(data):
        start = at + 2
        end = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or end > len(data):
            raise LedgerError("bundle")
        entries.append(data[start:end])
        at = end
    if len(entries) != width:
        raise LedgerError("bundle")
    return entries


class Edge(NamedTuple):
    """The unfinished tile of one level: its hashes in a row, and the complete subtrees they make, largest first."""

    hashes: bytes
    peaks: tuple[bytes, ...]


_EMPTY: Final = Edge(b"", ())


@dataclass(frozen=True, slots=True)
class Frontier:
    """What a tree of ``size`` leaves needs to grow: the edge of each tile level, from the leaves up."""

    size: int = 0
    edges: tuple[Edge, ...] = ()

    def root(self) -> bytes:
        """Return the root of the tree."""
        root = None
        for edge in self.edges:  # what stands right of a level's edge is smaller than each subtree in it
            for peak in reversed(edge.peaks):
                root = peak if root is None else node_hash(peak, root)
        return EMPTY_ROOT if root is None else root


def right_edge(size: int) -> list[TileId]:
    """Return the partial tiles of a tree of ``size`` leaves, from the leaves up. Raises ``LedgerError("size")``."""
    check_size(size, "size")
    tiles, level = [], 0
    while size:
        if size % WIDTH:
            tiles.append(TileId(level, size // WIDTH, size % WIDTH))
        size, level = size // WIDTH, level + 1
    return tiles


def restore(size: int, fetch: Callable[[TileId], bytes]) -> Frontier:
    """Return the frontier of a tree of ``size`` leaves from its stored tiles; its root is the caller's to compare.

    ``fetch`` gives exactly the bytes of the tile asked for: 32 a hash, a prefix of what a later, wider one holds.
    Raises ``LedgerError``: ``size``, ``tile_length``.
    """
    edges: list[Edge] = []
    for tile in right_edge(size):
        data = fetch(tile)
        _check_tile(tile, data)
        edges += [_EMPTY] * (tile.level - len(edges))
        _, edge = _fill(_EMPTY, _split(data))
        edges.append(edge)
    return Frontier(size, tuple(edges))


def append(state: Frontier, leaf_hashes: Sequence[bytes]) -> tuple[Frontier, list[tuple[TileId, bytes]]]:
    """Return the frontier after ``leaf_hashes`` (32 bytes each), and every tile that changed, with its bytes.

    A tile that filled up comes once, full; the partial one at the right of each level it touched comes last of its
    level. Raises ``LedgerError``: ``hash_length``, ``size``.
    """
    check_size(state.size + len(leaf_hashes), "size")
    if any(len(each) != HASH_BYTES for each in leaf_hashes):
        raise LedgerError("hash_length")
    edges: list[Edge] = []
    changed: list[tuple[TileId, bytes]] = []
    coming: Sequence[bytes] = leaf_hashes
    before = state.size
    while coming:
        level = len(edges)
        edge = state.edges[level] if level < len(state.edges) else _EMPTY
        index = before // WIDTH
        room = iter(coming)
        above = []
        while fresh := list(islice(room, WIDTH - len(edge.hashes) // HASH_BYTES)):
            full, edge = _fill(edge, fresh)
            if full:
                above.append(edge.peaks[0])
                changed.append((TileId(level, index), edge.hashes))
                index, edge = index + 1, _EMPTY
        if edge.hashes:
            changed.append((TileId(level, index, len(edge.hashes) // HASH_BYTES), edge.hashes))
        edges.append(edge)
        coming, before = above, before // WIDTH
    return Frontier(state.size + len(leaf_hashes), (*edges, *state.edges[len(edges) :])), changed


class TileReader:
    """A ``reader(level, index)`` of :mod:`consent.ledger.merkle` over the tiles of a tree of ``size`` leaves."""

    def __init__(self, size: int, fetch: Callable[[TileId], bytes], *, kept: int = 1024) -> None:
        """Read through ``fetch``, which gives exactly the bytes of the tile asked for; up to ``kept`` tiles are kept
        hashed out (about 40 KB each). Raises ``LedgerError("size")``."""
        check_size(size, "size")
        self._size = size
        self._fetch = fetch
        self._hashed_out = lru_cache(maxsize=kept)(self._hash_out)

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree; raises ``LedgerError``: ``tile_absent``, ``tile_length``."""
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile = tile_at(tile_level, (index << height) // WIDTH, self._size)
        row = self._hashed_out(tile)[height]
        at = index - (tile.index * WIDTH >> height)
        if not 0 <= at < len(row):
            raise LedgerError("tile_absent")
        return row[at]

    def _hash_out(self, tile: TileId) -> list[list[bytes]]:
        data = self._fetch(tile)
        _check_tile(tile, data)
        rows = [_split(data)]
        for _ in range(1, TILE_HEIGHT):
            below = rows[-1]
            rows.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])
        return rows


def _fill(edge: Edge, fresh: list[bytes]) -> tuple[bool, Edge]:
    """Return ``edge`` with ``fresh`` hashes at its right, and whether that made it full (one peak: the tile's root)."""
    count, peaks, sha256 = len(edge.hashes) // HASH_BYTES, list(edge.peaks), hashlib.sha256
    for top in fresh:
        count += 1
        carry = count
        while not carry & 1:
            top = sha256(b"\x01" + peaks.pop() + top).digest()
            carry >>= 1
        peaks.append(top)
    return count == WIDTH, Edge(edge.hashes + b"".join(fresh), tuple(peaks))


def _split(data: bytes) -> list[bytes]:
    return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]


def _check_tile(tile: TileId, data: bytes) -> None:
    if len(data) != tile.width * HASH_BYTES:
        raise LedgerError("tile_length")
