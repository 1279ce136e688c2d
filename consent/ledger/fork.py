"""Proof that a log told two stories: two checkpoints it signed that no one tree can hold. Anyone can check it offline.

Two roots for one size are proof by themselves. For two sizes, a leaf both trees have at one index, and not the same,
is shown in each: :func:`first_difference` finds it in tiles.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import rfc8785

from consent.ledger.checkpoint import KeyType, SignedCheckpoint, VerifierKey, open_note
from consent.ledger.exact import HASH_BYTES, LedgerError, check_size, from_base64, to_base64, utf8
from consent.ledger.merkle import EMPTY_ROOT, SubtreeReader, inclusion_proof, verify_inclusion

_TYPE: Final = "maillon/fork/v1"
_MAX_BYTES: Final = 1 << 22


@dataclass(frozen=True, slots=True)
class Branch:
    """What one of the trees holds at the index: the leaf's hash, and its inclusion proof."""

    leaf_hash: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Fork:
    """Two notes a log signed and, when their sizes differ, the ``index`` where their trees part, shown in each."""

    first: bytes
    second: bytes
    index: int | None = None
    branches: tuple[Branch, Branch] | None = None

    def verify(self, log_keys: Iterable[VerifierKey]) -> tuple[SignedCheckpoint, SignedCheckpoint]:
        """Return the two checkpoints, which a log having one of ``log_keys`` signed and cannot both hold.

        Raises ``LedgerError("no_fork")`` when nothing is proved, and as :func:`consent.ledger.checkpoint.open_note`.
        """
        keys = [key for key in log_keys if key.type is KeyType.ED25519]
        first, second = open_note(self.first, keys), open_note(self.second, keys)
        one, other = first.checkpoint, second.checkpoint
        if one.origin != other.origin:
            raise LedgerError("no_fork")
        impossible = any(each.size == 0 and each.root != EMPTY_ROOT for each in (one, other))
        if impossible or (one.size == other.size and one.root != other.root):
            return first, second
        if self.index is None or self.branches is None:
            raise LedgerError("no_fork")
        left, right = self.branches
        verify_inclusion(self.index, one.size, left.leaf_hash, left.proof, one.root)
        verify_inclusion(self.index, other.size, right.leaf_hash, right.proof, other.root)
        if left.leaf_hash == right.leaf_hash:
            raise LedgerError("no_fork")
        return first, second

    def encode(self) -> bytes:
        """Return the evidence as JSON (RFC 8785). Raises ``LedgerError("fork_form")`` for notes that are not text."""
        value: dict[str, Any] = {
            "type": _TYPE,
            "first": utf8(self.first, "fork_form"),
            "second": utf8(self.second, "fork_form"),
        }
        if self.index is not None and self.branches is not None:
            value["index"] = str(self.index)
            value["branches"] = [
                {"leaf_hash": to_base64(each.leaf_hash), "proof": [to_base64(step) for step in each.proof]}
                for each in self.branches
            ]
        return rfc8785.dumps(value)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the evidence whose one form is ``data``. Raises ``LedgerError("fork_form")``."""
        try:
            value = json.loads(utf8(data, "fork_form")) if len(data) <= _MAX_BYTES else None
            fork = cls._read(value or {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise LedgerError("fork_form") from None
        if fork.encode() != data:
            raise LedgerError("fork_form")
        return fork

    @classmethod
    def _read(cls, value: Mapping[str, Any]) -> Self:
        first, second = value["first"].encode(), value["second"].encode()
        if "index" not in value:
            return cls(first, second)
        left, right = (
            Branch(
                from_base64(each["leaf_hash"], "fork_form", HASH_BYTES),
                tuple(from_base64(step, "fork_form", HASH_BYTES) for step in each["proof"]),
            )
            for each in value["branches"]
        )
        return cls(first, second, int(value["index"]), (left, right))


def first_difference(size: int, one: SubtreeReader, other: SubtreeReader) -> int | None:
    """Return the first of ``size`` leaves that two trees, each of at least that size, do not share; None for none."""
    check_size(size, "size")
    start = 0
    while start < size:
        level = (size - start).bit_length() - 1
        index = start >> level
        if one(level, index) != other(level, index):
            while level:
                level, index = level - 1, index * 2
                index += one(level, index) == other(level, index)
            return index
        start += 1 << level
    return None


def evidence(
    first: SignedCheckpoint, second: SignedCheckpoint, one: SubtreeReader, other: SubtreeReader
) -> Fork | None:
    """Return the proof that the trees of two checkpoints part, None when the larger adds to the smaller.

    ``one`` and ``other`` read the trees that ``first`` and ``second`` sign.
    """
    sizes = first.checkpoint.size, second.checkpoint.size
    index = first_difference(min(sizes), one, other)
    if index is None:
        return None
    left, right = (
        Branch(reader(0, index), inclusion_proof(index, size, reader))
        for size, reader in zip(sizes, (one, other), strict=True)
    )
    return Fork(first.note, second.note, index, (left, right))
