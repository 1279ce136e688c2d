"""The whole log computed again from its leaves: what is the first thing wrong?"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from consent.ledger import tile
from consent.ledger.checkpoint import Checkpoint, SignedCheckpoint, open_note
from consent.ledger.exact import HASH_BYTES, LedgerError
from consent.ledger.keychange import KeyChange, KeyHistory
from consent.ledger.leaf import CLASS_BYTES, LEAF_BYTES, SALT_BYTES, TAG, EventClass, commitment
from consent.ledger.merkle import leaf_hash
from consent.ledger.note import VerifierKey, split_note

SKEW_US: Final = 10_000_000
"""How far back in time a leaf may stand behind an earlier one, in microseconds: the life of an order."""
_BATCH: Final = 4096
_FIELDS: Final = struct.Struct(f">{len(TAG)}sB16sq{HASH_BYTES}s{HASH_BYTES}s")
_KEY: Final = CLASS_BYTES[EventClass.KEY]
_CLASSES: Final = frozenset(CLASS_BYTES.values())


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing wrong: ``code``, and where: the index of a leaf, or the size a checkpoint states."""

    code: str
    index: int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Reveal:
    """What opens a key-change leaf: the salt of its commitment, and its payload."""

    r32: bytes
    payload: bytes


class _Found(Exception):  # noqa: N818 (carries the answer out of the passes, and is no error)
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.code)
        self.fault = fault


def replay(
    leaves: Iterable[bytes],
    checkpoints: Iterable[bytes],
    history: KeyHistory,
    key_changes: Mapping[int, Reveal] | None = None,
    *,
    witnesses: Iterable[VerifierKey] = (),
    skew_us: int = SKEW_US,
) -> Fault | None:
    """Return the first thing wrong with a log, None when all holds.

    ``leaves`` are the encoded leaves from the first; ``checkpoints`` signed notes by growing size, the last one
    covering every leaf; ``history`` the keys trusted before the first leaf, and ``key_changes`` what opens the
    key-change leaves, by index. Codes of leaves: ``leaf_length``, ``leaf_tag``, ``leaf_class``, ``leaf_twice`` (an
    event id seen before), ``leaf_time`` (more than ``skew_us`` behind an earlier leaf: back-dated), ``key_change``,
    ``key_order``, ``log_key``; of checkpoints: any of :func:`consent.ledger.checkpoint.open_note`, ``origin``,
    ``log_signature`` (a key that has to sign did not), ``checkpoint_order``, ``truncated`` (states more leaves than
    there are), ``checkpoint_root``, ``witness_time`` (cosigned before a leaf it covers); ``unsigned_leaves``.
    """
    try:
        _Replay(iter(leaves), history, key_changes or {}, frozenset(witnesses), skew_us).run(checkpoints)
    except _Found as found:
        return found.fault
    return None


class _Replay:
    def __init__(
        self,
        leaves: Iterator[bytes],
        history: KeyHistory,
        key_changes: Mapping[int, Reveal],
        witnesses: frozenset[VerifierKey],
        skew_us: int,
    ) -> None:
        self.leaves = leaves
        self.history = history
        self.key_changes = key_changes
        self.witnesses = witnesses
        self.skew_us = skew_us
        self.tree = tile.Frontier()
        self.latest = -(2**63)
        self.seen: set[bytes] = set()

    def run(self, checkpoints: Iterable[bytes]) -> None:
        for note in checkpoints:
            size = self._stated_size(note)
            while self.tree.size < size:
                if not self._take(min(_BATCH, size - self.tree.size)):
                    raise _Found(Fault("truncated", self.tree.size, size))
            self._check(note, size)
        if self._take(1):
            raise _Found(Fault("unsigned_leaves", self.tree.size - 1))
        later = min((index for index in self.key_changes if index >= self.tree.size), default=None)
        if later is not None:
            raise _Found(Fault("key_change", later))

    def _stated_size(self, note: bytes) -> int:
        """Return the size a checkpoint states, to know which keys have to sign it; nothing is believed yet."""
        try:
            size = Checkpoint.parse(split_note(note)[0]).size
        except LedgerError as error:
            raise _Found(Fault(error.code, size=self.tree.size)) from None
        if size < self.tree.size:
            raise _Found(Fault("checkpoint_order", size=size))
        return size

    def _take(self, count: int) -> int:
        """Take in up to ``count`` leaves; return how many there were."""
        batch = list(islice(self.leaves, count))
        start = self.tree.size
        whole = next((i for i, leaf in enumerate(batch) if len(leaf) != LEAF_BYTES), len(batch))
        for index, fields in enumerate(_FIELDS.iter_unpack(b"".join(batch[:whole])), start):
            tag, kind, event_id, at_us, bound, _ = fields
            if tag != TAG:
                raise _Found(Fault("leaf_tag", index))
            if kind not in _CLASSES:
                raise _Found(Fault("leaf_class", index))
            if event_id in self.seen:
                raise _Found(Fault("leaf_twice", index))
            self.seen.add(event_id)
            if at_us > self.latest:
                self.latest = at_us
            elif at_us < self.latest - self.skew_us:
                raise _Found(Fault("leaf_time", index))
            if index in self.key_changes:
                self._change_keys(index, kind, bound)
        if whole < len(batch):
            raise _Found(Fault("leaf_length", start + whole))
        self.tree, _tiles = tile.append(self.tree, [leaf_hash(leaf) for leaf in batch])
        return len(batch)

    def _change_keys(self, index: int, kind: int, bound: bytes) -> None:
        reveal = self.key_changes[index]
        if kind != _KEY or len(reveal.r32) != SALT_BYTES or commitment(reveal.r32, reveal.payload) != bound:
            raise _Found(Fault("key_change", index))
        try:
            self.history = self.history.after(KeyChange.parse(reveal.payload), index)
        except LedgerError as error:
            raise _Found(Fault(error.code, index)) from None

    def _check(self, note: bytes, size: int) -> None:
        keys = self.history.at(size)
        try:
            signed = open_note(note, keys | self.witnesses)
        except LedgerError as error:
            raise _Found(Fault(error.code, size=size)) from None
        if signed.checkpoint.origin != self.history.origin:
            raise _Found(Fault("origin", size=size))
        if len(signed.signed_by(keys)) < len(keys):
            raise _Found(Fault("log_signature", size=size))
        if signed.checkpoint.root != self.tree.root():
            raise _Found(Fault("checkpoint_root", size=size))
        self._check_times(signed)

    def _check_times(self, signed: SignedCheckpoint) -> None:
        for cosignature in signed.signed_by(self.witnesses):
            if (cosignature.time or 0) * 1_000_000 + self.skew_us < self.latest:
                raise _Found(Fault("witness_time", size=signed.checkpoint.size))
