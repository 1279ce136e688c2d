"""A small log in memory, honest until told otherwise: what an edge witnesses and watches in these tests.

Its trees come from the naive definition of RFC 6962 over whole lists of leaves, so that a rewritten history is one
assignment away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.transport import FarSideError
from consent.ledger.checkpoint import Checkpoint, SignedCheckpoint, SignerKey, open_note, sign
from consent.ledger.merkle import consistency_proof, inclusion_proof, leaf_hash, root_from_hashes
from consent.ledger.proof import LogProof
from consent.ledger.witness import AddCheckpoint

ORIGIN = "hub.example/log"
LOG = SignerKey.from_seed(ORIGIN, b"l" * 32)


@dataclass
class FakeLog:
    """Leaves in order, and what a hub would answer about them (``connectors.kit.ledger.client.LogView``)."""

    leaves: list[bytes] = field(default_factory=list)
    key: SignerKey = LOG
    down: bool = False
    asked: list[str] = field(default_factory=list)

    def grow(self, count: int = 1, name: str = "leaf") -> FakeLog:
        self.leaves += [f"{name} {len(self.leaves) + number}".encode() for number in range(count)]
        return self

    def root(self, size: int | None = None) -> bytes:
        return root_from_hashes(map(leaf_hash, self.leaves[: self.size if size is None else size]))

    @property
    def size(self) -> int:
        return len(self.leaves)

    def note(self, size: int | None = None) -> bytes:
        size = self.size if size is None else size
        return sign(Checkpoint(self.key.name, size, self.root(size)), [self.key])

    def signed(self, size: int | None = None) -> SignedCheckpoint:
        return open_note(self.note(size), [self.key.verifier])

    def request(self, old: int, size: int | None = None) -> bytes:
        """What an honest log asks a witness that knows ``old`` leaves."""
        size = self.size if size is None else size
        return AddCheckpoint(old, self._proof(old, size), self.note(size)).encode()

    # --- LogView --------------------------------------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        self._answer("checkpoint")
        return self.note()

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        self._answer("consistency")
        return self._proof(old, new)

    def inclusion(self, leaf_hash_: bytes, size: int) -> LogProof | None:
        self._answer("inclusion")
        hashes = [leaf_hash(leaf) for leaf in self.leaves[:size]]
        if leaf_hash_ not in hashes:
            return None
        index = hashes.index(leaf_hash_)
        return LogProof(index, inclusion_proof(index, size, self.subtree), self.note())

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise FarSideError(ErrorKind.UNAVAILABLE, "down")

    def _proof(self, old: int, new: int) -> tuple[bytes, ...]:
        return consistency_proof(old, new, self.subtree) if old <= new else ()

    def subtree(self, level: int, index: int) -> bytes:
        first = index << level
        return root_from_hashes(map(leaf_hash, self.leaves[first : first + (1 << level)]))
