"""Reading the log: its tiles, its leaves, its signed checkpoints and what witnesses put under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, bindparam, delete, func, insert, select, type_coerce

from consent.ledger.tile import TileId
from hub.store.journal import leaf_of
from hub.store.tables import checkpoint, cosignature, entry, journal, log_key, tile, tree_head

_HOUR = 3600 * 1_000_000  # as instants are stored
# Written once: building a statement costs more than running it.
_SIZE = select(tree_head.c.size)
_NEWEST = select(checkpoint).order_by(checkpoint.c.size.desc()).limit(1)
_AT = select(checkpoint).where(checkpoint.c.size == bindparam("of"))
_COSIGNED = select(checkpoint).where(checkpoint.c.size == select(func.max(cosignature.c.size)).scalar_subquery())
_HASHES = select(func.substr(tile.c.hashes, 1, bindparam("length"))).where(
    tile.c.level == bindparam("of_level"), tile.c.idx == bindparam("of_index")
)
_INDEX_OF = select(entry.c.leaf_index).where(entry.c.leaf_hash == bindparam("of")).order_by(entry.c.leaf_index).limit(1)
_INDEX_OF_SEQ = select(entry.c.leaf_index).where(entry.c.seq == bindparam("of"))
_SEQ_OF = select(entry.c.seq).where(entry.c.leaf_index == bindparam("of"))
_LEAVES = (
    select(*(journal.c[name] for name in ("event_id", "class", "at", "commitment", "ciphertext_digest")))
    .join(entry, entry.c.seq == journal.c.seq)
    .where(entry.c.leaf_index >= bindparam("first"), entry.c.leaf_index < bindparam("end"))
    .order_by(entry.c.leaf_index)
)


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A tree as it was signed. ``note`` is the signed note, without the lines of witnesses."""

    size: int
    root: bytes
    note: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class Cosignature:
    """The signature line of one witness, its newline included."""

    witness: str
    line: bytes
    at: datetime


class Log:
    """Rows of ``tile``, ``entry``, ``checkpoint`` and ``cosignature``."""

    def __init__(self, connection: Connection, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._at = at

    def size(self) -> int:
        """Return how many leaves are in the tree."""
        return tree_size(self._connection)

    def newest(self) -> StoredCheckpoint | None:
        """Return the newest checkpoint; None before the first event."""
        return newest_checkpoint(self._connection)

    def checkpoint(self, size: int) -> StoredCheckpoint | None:
        """Return the checkpoint of the tree of ``size`` leaves, unless there never was one or it was thinned."""
        return _checkpoint(self._connection.execute(_AT, {"of": size}).one_or_none())

    def checkpoints_over(self, index: int, most: int = 1000) -> list[StoredCheckpoint]:
        """Return checkpoints that cover leaf ``index``: the first ``most``, and the cosigned ones after."""
        over = select(checkpoint).where(checkpoint.c.size > index).order_by(checkpoint.c.size)
        cosigned = over.where(checkpoint.c.size.in_(select(cosignature.c.size))).order_by(None)
        found = [*self._connection.execute(over.limit(most))]
        found += self._connection.execute(cosigned.order_by(checkpoint.c.size.desc()).limit(most))
        return list({row.size: StoredCheckpoint(row.size, row.root, row.note, row.at) for row in found}.values())

    def newest_cosigned(self) -> StoredCheckpoint | None:
        """Return the newest checkpoint a witness has put its signature under."""
        return _checkpoint(self._connection.execute(_COSIGNED).one_or_none())

    def tile(self, wanted: TileId) -> bytes:
        """Return the hashes of a tile of hashes, as wide as asked; fewer bytes when the tree does not reach there."""
        return read_tile(self._connection, wanted)

    def leaves(self, first: int, end: int) -> list[bytes]:
        """Return the encoded leaves ``[first, end)``, 105 bytes each; as many as there are."""
        rows = self._connection.execute(_LEAVES, {"first": first, "end": end})
        return [leaf_of(row).encode() for row in rows]

    def index_of(self, leaf_hash: bytes) -> int | None:
        """Return the index of the leaf with this hash."""
        return self._connection.execute(_INDEX_OF, {"of": leaf_hash}).scalar()

    def index_of_event(self, seq: int) -> int | None:
        """Return the index of the leaf of event ``seq``; None while it waits."""
        return self._connection.execute(_INDEX_OF_SEQ, {"of": seq}).scalar()

    def event_at(self, index: int) -> int | None:
        """Return the sequence number of the event whose leaf is number ``index``."""
        return self._connection.execute(_SEQ_OF, {"of": index}).scalar()

    def cosign(self, size: int, lines: Sequence[tuple[str, bytes]]) -> None:
        """Keep the signature lines of witnesses (name, line) under the checkpoint of ``size``; the first of each."""
        there = {each.witness for each in self.cosignatures(size)}
        rows = [
            {"size": size, "witness": witness, "line": line, "at": self._at}
            for witness, line in dict(lines).items()
            if witness not in there
        ]
        if rows:
            self._connection.execute(insert(cosignature), rows)

    def cosignatures(self, size: int) -> list[Cosignature]:
        """Return what witnesses put under the checkpoint of ``size``, by witness."""
        query = select(cosignature).where(cosignature.c.size == size).order_by(cosignature.c.witness)
        return [Cosignature(row.witness, row.line, row.at) for row in self._connection.execute(query)]

    def cosigned(self, witnesses: Sequence[str]) -> dict[str, int]:
        """Return the largest size each of ``witnesses`` (names) cosigned."""
        query = (
            select(cosignature.c.witness, func.max(cosignature.c.size))
            .where(cosignature.c.witness.in_(witnesses))
            .group_by(cosignature.c.witness)
        )
        return {row[0]: int(row[1]) for row in self._connection.execute(query)}

    def thin(self, before: datetime) -> int:
        """Drop checkpoints older than ``before``, but the newest, the cosigned ones, each hour's last, and the first
        over each change of the log's keys, which proves it."""
        hour = type_coerce(checkpoint.c.at, BigInteger) // _HOUR
        lasts = select(func.max(checkpoint.c.size)).group_by(hour)
        over = checkpoint.alias()
        proving = (
            select(select(func.min(over.c.size)).where(over.c.size > entry.c.leaf_index).scalar_subquery())
            .select_from(log_key)
            .join(entry, entry.c.seq == log_key.c.seq)
        )
        gone = delete(checkpoint).where(
            checkpoint.c.at < before,
            checkpoint.c.size.not_in(lasts),
            checkpoint.c.size.not_in(proving),
            checkpoint.c.size.not_in(select(cosignature.c.size)),
        )
        return self._connection.execute(gone).rowcount


def tree_size(connection: Connection) -> int:
    """Return how many leaves are in the tree."""
    return int(connection.execute(_SIZE).scalar_one())


def newest_checkpoint(connection: Connection) -> StoredCheckpoint | None:
    """Return the newest checkpoint; None before the first event."""
    return _checkpoint(connection.execute(_NEWEST).one_or_none())


def read_tile(connection: Connection, wanted: TileId) -> bytes:
    """Return the hashes of a tile, 32 bytes each, as wide as asked; fewer bytes when there are not so many."""
    values = {"length": 32 * wanted.width, "of_level": wanted.level, "of_index": wanted.index}
    found = connection.execute(_HASHES, values).scalar()
    return b"" if found is None else bytes(found)


def _checkpoint(row: Row[Any] | None) -> StoredCheckpoint | None:
    return None if row is None else StoredCheckpoint(row.size, row.root, row.note, row.at)
