"""The one place where events become leaves: drains the inbox, grows the tree, signs what it has become (DESIGN §8).

On SQLite the writer calls it once a batch, just before the commit: leaves and signed checkpoint are in the commit
that acknowledges the events. Nothing here depends on that: the whole inbox is taken, ordered by sequence number
(never what is above a watermark: rows may become visible out of order), and the size moves by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.checkpoint import Checkpoint, SignerKey, open_note, sign
from consent.ledger.exact import LedgerError
from consent.ledger.leaf import EventClass
from consent.ledger.merkle import leaf_hash
from consent.ledger.tile import Frontier, append, restore
from hub.store.in_force import keys_in_force
from hub.store.log import newest_checkpoint, read_tile, tree_size
from hub.store.sealing import event_id_bytes, header_of
from hub.store.sql import Sql
from hub.store.tables import Instant

# The hottest statements of the hub: plain SQL, rows as tuples, one call for all of them.
_INBOX: Final = (
    'SELECT j.seq, j.class, j.event_id, j."at", j.commitment, j.ciphertext_digest '
    "FROM inbox i JOIN journal j ON j.seq = i.seq ORDER BY i.seq"
)
_ENTRY: Final = "INSERT INTO entry (leaf_index, seq, leaf_hash) VALUES (?, ?, ?)"
_TILE: Final = (
    "INSERT INTO tile (level, idx, hashes) VALUES (?, ?, ?) "
    "ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes"
)
# Those that became leaves just now, and no other: a row that came in the meantime stays.
_TAKEN: Final = "DELETE FROM inbox WHERE seq IN (SELECT seq FROM entry WHERE leaf_index >= ?)"
_MOVE: Final = "UPDATE tree_head SET size = ? WHERE size = ?"
_CHECKPOINT: Final = 'INSERT INTO checkpoint (size, root, note, "at") VALUES (?, ?, ?, ?)'
_KEY: Final = EventClass.KEY.value


class Sequencer:
    """Grows one log. Belongs to the thread that writes; :meth:`halt` may come from any."""

    def __init__(self, held: Sequence[SignerKey]) -> None:
        """``held`` are the log's private keys, all of one origin, oldest first; which of them sign, the log says."""
        self.held = tuple(held)
        self._frontier: Frontier | None = None
        self._signers: tuple[SignerKey, ...] | None = None
        self._halted: str | None = None

    @property
    def origin(self) -> str:
        """The log's constant name."""
        return self.held[0].name

    def halt(self, reason: str) -> None:
        """Sign nothing any more: every batch that holds an event fails with ``reason``, and acknowledges nothing."""
        self._halted = reason

    def integrate(self, connection: Connection, at: datetime) -> int:
        """Put every event of the inbox into the tree and sign its new size; return how many there were.

        Raises ``MaillonError``: ``LOG_STOPPED`` when it was halted, ``STORAGE`` when the stored tree is not the one
        that was signed, when somebody else added to it, or when a key that has to sign is not held.
        """
        sql = Sql(connection)
        rows = sql.rows(_INBOX)
        if not rows:
            return 0
        if self._halted is not None:
            raise MaillonError(ErrorKind.LOG_STOPPED, self._halted)
        before = self._frontier or self.check(connection)
        hashes = [
            leaf_hash(header_of(name, event_id_bytes(event_id), at_us) + bound + digest)
            for _, name, event_id, at_us, bound, digest in rows
        ]
        after, tiles = append(before, hashes)
        if sql.run(_MOVE, (after.size, before.size)) != 1:
            raise MaillonError(ErrorKind.STORAGE, "somebody else adds to this log")
        entries = [(before.size + n, row[0], hashed) for n, (row, hashed) in enumerate(zip(rows, hashes, strict=True))]
        sql.run_all(_ENTRY, entries)
        sql.run_all(_TILE, [(tile.level, tile.index, held) for tile, held in tiles])
        if self._signers is None or any(row[1] == _KEY for row in rows):
            self._signers = self._in_force(connection)
        root = after.root()
        note = sign(Checkpoint(self.origin, after.size, root), self._signers)
        sql.run(_CHECKPOINT, (after.size, root, note, Instant.to_microseconds(at)))
        sql.run(_TAKEN, (before.size,))
        self._frontier = after
        return len(rows)

    def forget(self) -> None:
        """Read tree and keys again before adding to it: the batch that changed them was not committed."""
        self._frontier = self._signers = None

    def check(self, connection: Connection) -> Frontier:
        """Return the stored tree's frontier, once its root is the one last signed with one of these keys.

        Raises ``MaillonError(STORAGE)``.
        """
        size, newest = tree_size(connection), newest_checkpoint(connection)
        try:
            frontier = restore(size, lambda tile: read_tile(connection, tile))
            if newest is None:
                signed = Checkpoint(self.origin, 0, frontier.root())
            else:
                opened = open_note(newest.note, [signer.verifier for signer in self.held])
                if not opened.signatures:
                    raise LedgerError("log_signature")
                signed = opened.checkpoint
        except LedgerError as error:
            raise MaillonError(ErrorKind.STORAGE, f"the log is not what was signed: {error.code}") from None
        if signed != Checkpoint(self.origin, size, frontier.root()):
            raise MaillonError(ErrorKind.STORAGE, "the log is not what was signed: maillon log fsck")
        return frontier

    def _in_force(self, connection: Connection) -> tuple[SignerKey, ...]:
        held = {signer.verifier.vkey: signer for signer in self.held}
        try:
            return tuple(held[vkey] for vkey in keys_in_force(connection)) or (self.held[0],)
        except KeyError:
            raise MaillonError(ErrorKind.STORAGE, "a key that has to sign the log is not held") from None
