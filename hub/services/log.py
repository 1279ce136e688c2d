"""Reading the log: checkpoints, tiles, proofs; what is in it about one person.

Checkpoints, tiles, bundles and proofs tell nothing about anybody and are for everyone. An opening shows what an event
says: it is for the person the event is about, for the DPO, and for whoever may read the same through the access log.
Every function raises ``MaillonError(NOT_FOUND)`` for what is not in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from consent.ledger import merkle
from consent.ledger.exact import LedgerError
from consent.ledger.tile import ENTRIES, WIDTH, TileId, TileReader, encode_bundle, tile_at
from hub.store.log import StoredCheckpoint
from hub.store.sealing import Opening
from hub.store.session import UnitOfWork
from hub.store.subject import SubjectEvent, SubjectHead

KEPT: Final = timedelta(minutes=15)
"""How long every checkpoint is kept, for witnesses and receipts to come; afterwards the cosigned and one an hour."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Leaf ``index`` is in the tree of ``size`` leaves: the ``hashes`` (32 bytes each) from its sibling upwards."""

    index: int
    size: int
    hashes: tuple[bytes, ...]


def checkpoint(uow: UnitOfWork, size: int | None = None) -> bytes:
    """Return the newest signed note, or that of the tree of ``size`` leaves, with its cosignatures."""
    found = uow.log.newest() if size is None else uow.log.checkpoint(size)
    if found is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no such checkpoint")
    return with_cosignatures(uow, found)


def with_cosignatures(uow: UnitOfWork, found: StoredCheckpoint) -> bytes:
    """Return a checkpoint's note, the lines of its witnesses included."""
    return found.note + b"".join(each.line for each in uow.log.cosignatures(found.size))


def covering(uow: UnitOfWork, index: int) -> StoredCheckpoint | None:
    """Return the newest checkpoint over leaf ``index`` that a witness cosigned, else the newest over it, or None."""
    cosigned = uow.log.newest_cosigned()
    if cosigned is not None and cosigned.size > index:
        return cosigned
    found = uow.log.newest()
    return found if found is not None and found.size > index else None


def inclusion(uow: UnitOfWork, index: int, size: int | None = None) -> Inclusion:
    """Return the proof that leaf ``index`` is in the tree of ``size`` leaves (None: the newest).

    Raises ``MaillonError(SCHEMA)`` for an index or size outside the log.
    """
    size = _size(uow, size)
    try:
        return Inclusion(index, size, merkle.inclusion_proof(index, size, _reader(uow, size)))
    except LedgerError as error:
        raise MaillonError(ErrorKind.SCHEMA, "not in the log", pointer=f"/{error.code}") from None


def inclusion_of(uow: UnitOfWork, leaf_hash: bytes, size: int | None = None) -> Inclusion:
    """Return the proof that the leaf of this hash (32 bytes) is in the tree of ``size`` leaves (None: the newest).

    Raises ``MaillonError(NOT_FOUND)`` when that tree has no such leaf.
    """
    index, size = uow.log.index_of(leaf_hash), _size(uow, size)
    if index is None or index >= size:
        raise MaillonError(ErrorKind.NOT_FOUND, "no such leaf in this tree")
    return inclusion(uow, index, size)


def consistency(uow: UnitOfWork, old: int, new: int | None = None) -> tuple[bytes, ...]:
    """Return the proof that the tree of ``new`` leaves (None: the newest) only adds to that of ``old``.

    Raises ``MaillonError(SCHEMA)`` for sizes outside the log or out of order.
    """
    new = _size(uow, new)
    try:
        return merkle.consistency_proof(old, new, _reader(uow, new))
    except LedgerError as error:
        raise MaillonError(ErrorKind.SCHEMA, "not in the log", pointer=f"/{error.code}") from None


def tile(uow: UnitOfWork, wanted: TileId) -> bytes:
    """Return a tile of hashes, or a bundle of leaves (level ``ENTRIES``), exactly as wide as asked."""
    size = uow.log.size()
    try:
        # A wide tile may be asked for as it was when the tree was smaller.
        is_there = wanted.width <= tile_at(wanted.level, wanted.index, size).width
    except LedgerError:
        is_there = False
    if not is_there:
        raise MaillonError(ErrorKind.NOT_FOUND, "no such tile")
    if wanted.level == ENTRIES:
        first = wanted.index * WIDTH
        return encode_bundle(uow.log.leaves(first, first + wanted.width))
    return uow.log.tile(wanted)


def thin(uow: UnitOfWork) -> int:
    """Drop checkpoints nobody needs any more; return how many."""
    return uow.log.thin(uow.at - KEPT)


def subject_head(uow: UnitOfWork, person: PersonId) -> SubjectHead:
    """Return how many events there are about a person, and the leaf hash of the newest."""
    head = uow.subjects.head(person)
    if head is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no such person")
    return head


def events_of(uow: UnitOfWork, owner: str) -> list[SubjectEvent]:
    """Return every event about a person (or left to an erasure receipt), in order, opened."""
    return uow.subjects.events(owner)


def opening(uow: UnitOfWork, owner: str, seq: int) -> Opening:
    """Return what opens event ``seq``, which must be about ``owner`` and still have its content."""
    for event in uow.subjects.events(owner, only=seq):
        if event.opening is not None:
            return event.opening
    raise MaillonError(ErrorKind.NOT_FOUND, "no such event about this person")


def opening_about_no_one(uow: UnitOfWork, seq: int) -> Opening:
    """Return what opens event ``seq``, which must be about no one: policies, keys, erasures."""
    found = uow.subjects.about_no_one(seq)
    if found is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no such event about no one")
    return found


def _size(uow: UnitOfWork, size: int | None) -> int:
    newest = uow.log.size()
    if size is None:
        return newest
    if not 0 <= size <= newest:
        raise MaillonError(ErrorKind.SCHEMA, "not a size this log has had", pointer="/size")
    return size


def _reader(uow: UnitOfWork, size: int) -> merkle.SubtreeReader:
    return uow.subtrees.over(TileReader(size, uow.log.tile))
