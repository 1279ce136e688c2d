"""What the database's owner can do, having every key: change history, build the tree anew, sign it again."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path

from consent.ledger.checkpoint import Checkpoint, sign
from consent.ledger.leaf import EventClass, Leaf
from consent.ledger.merkle import leaf_hash
from consent.ledger.tile import Frontier, append
from hub.home import HubHome
from hub.settings import load_settings

DAY = 86_400 * 1_000_000


def rebuild(home: Path, change: Callable[[sqlite3.Connection], object]) -> int:
    """Apply ``change`` to the stopped hub's database and make the log fit: tiles, entries, one new signed checkpoint.

    Leaves stand in the order of their time, then of their number. Returns the new size.
    """
    signers = HubHome(home).log_signers(load_settings(home, {}).origin)
    db = sqlite3.connect(home / "hub.db")
    with db:
        triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for trigger, _ in triggers:
            db.execute(f'DROP TRIGGER "{trigger}"')
        change(db)
        rows = db.execute(
            'SELECT seq, class, event_id, "at", commitment, ciphertext_digest FROM journal ORDER BY "at", seq'
        ).fetchall()
        leaves = [
            Leaf(EventClass(name), uuid.UUID(event_id).bytes, at, bound, digest)
            for _, name, event_id, at, bound, digest in rows
        ]
        hashes = [leaf_hash(leaf.encode()) for leaf in leaves]
        frontier, tiles = append(Frontier(), hashes)
        for table in ("cosignature", "entry", "tile", "checkpoint", "inbox"):
            db.execute(f"DELETE FROM {table}")  # noqa: S608 (our own words)
        db.executemany("INSERT INTO tile VALUES (?, ?, ?)", [(tile.level, tile.index, held) for tile, held in tiles])
        db.executemany(
            "INSERT INTO entry VALUES (?, ?, ?)",
            [(index, row[0], hashed) for index, (row, hashed) in enumerate(zip(rows, hashes, strict=True))],
        )
        note = sign(Checkpoint(signers[0].name, frontier.size, frontier.root()), signers[:1])
        newest = max(row[3] for row in rows)
        db.execute("INSERT INTO checkpoint VALUES (?, ?, ?, ?)", (frontier.size, frontier.root(), note, newest))
        db.execute("UPDATE tree_head SET size = ?", (frontier.size,))
        for _, again in triggers:
            db.execute(again)
    db.close()
    # The hub's own memory of how far it came (``maillon restore``) is a file like another, and his.
    HubHome(home).log_seen.unlink(missing_ok=True)
    return frontier.size


def rewrite(db: sqlite3.Connection) -> None:
    """Say that another event happened in the place of the third."""
    db.execute("UPDATE journal SET commitment = randomblob(32) WHERE seq = 3")


def back_date(db: sqlite3.Connection) -> None:
    """Put an event of yesterday before all others."""
    db.execute(
        'INSERT INTO journal (event_id, class, "at", commitment, ciphertext_digest, sealed)'
        ' SELECT ?, class, "at" - ?, randomblob(32), randomblob(32), sealed FROM journal WHERE seq = 3',
        (str(uuid.uuid4()), DAY),
    )


def truncate(db: sqlite3.Connection) -> None:
    """Have the last two events never have happened."""
    (last,) = db.execute("SELECT max(seq) FROM journal").fetchone()
    db.execute("DELETE FROM journal WHERE seq > ?", (last - 2,))
