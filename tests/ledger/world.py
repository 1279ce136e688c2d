"""A small log of known keys, for the tests of the ledger: no clock, no randomness."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from consent.ledger import tile
from consent.ledger.checkpoint import Checkpoint, SignerKey, sign
from consent.ledger.exact import LedgerError
from consent.ledger.leaf import EventClass, Leaf, commitment
from consent.ledger.merkle import leaf_hash
from consent.ledger.note import KeyType
from consent.ledger.tile import Frontier, TileId, TileReader

ORIGIN = "journal.example/maillon"
START_US = 1_769_000_000_000_000


@contextmanager
def refused(code: str) -> Iterator[None]:
    """Expect a ``LedgerError`` of this code."""
    with pytest.raises(LedgerError) as caught:
        yield
    assert caught.value.code == code


def seed(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def log_key(name: str = "log", origin: str = ORIGIN) -> SignerKey:
    return SignerKey.from_seed(origin, seed(name))


def witness_key(name: str = "w1") -> SignerKey:
    return SignerKey.from_seed(f"{name}.example/witness", seed(name), KeyType.COSIGNATURE_V1)


LOG = log_key()
WITNESSES = [witness_key(f"w{i}") for i in range(1, 6)]


def make_leaf(
    number: int, story: str = "", event_class: EventClass = EventClass.ACCESS, at_us: int | None = None
) -> Leaf:
    """Return a leaf whose id and payload depend on ``number`` and ``story`` alone."""
    name = f"{story}/{number}".encode()
    return Leaf(
        event_class,
        hashlib.sha256(b"id" + name).digest()[:16],
        START_US + number * 1_000 if at_us is None else at_us,
        commitment(hashlib.sha256(b"salt" + name).digest(), name),
        hashlib.sha256(b"sealed" + name).digest(),
    )


class Log:
    """Leaves, the tiles that store them, and the notes that sign them."""

    def __init__(
        self, leaves: Sequence[Leaf] = (), signers: Sequence[SignerKey] = (LOG,), origin: str = ORIGIN
    ) -> None:
        self.signers = list(signers)
        self.origin = origin
        self.frontier = Frontier()
        self.leaves: list[bytes] = []
        self.tiles: dict[tuple[int, int], bytes] = {}
        self.append(leaves)

    def append(self, leaves: Sequence[Leaf]) -> None:
        encoded = [leaf.encode() for leaf in leaves]
        self.leaves += encoded
        self.frontier, changed = tile.append(self.frontier, [leaf_hash(each) for each in encoded])
        for each, data in changed:
            self.tiles[each.level, each.index] = data

    @property
    def size(self) -> int:
        return self.frontier.size

    def fetch(self, asked: TileId) -> bytes:
        return self.tiles[asked.level, asked.index][: asked.width * 32]

    def reader(self, size: int | None = None) -> TileReader:
        return TileReader(self.size if size is None else size, self.fetch)

    def root(self, size: int | None = None) -> bytes:
        return tile.restore(self.size if size is None else size, self.fetch).root()

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        return Checkpoint(self.origin, self.size if size is None else size, self.root(size))

    def note(self, size: int | None = None, signers: Sequence[SignerKey] | None = None) -> bytes:
        return sign(self.checkpoint(size), self.signers if signers is None else signers)


def make_log(size: int, story: str = "") -> Log:
    return Log([make_leaf(number, story) for number in range(size)])
