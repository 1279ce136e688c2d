"""The public log as files (C2SP tlog-tiles): whoever has them needs neither the hub nor its database to check it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from consent.ledger.leaf import EventClass, Leaf
from consent.ledger.tile import ENTRIES, WIDTH, TileId, encode_bundle, tile_at
from hub.log_check.finding import wrong
from hub.log_check.snapshot import Snapshot, open_snapshot
from hub.store.sealing import event_id_bytes

_LEAVES: Final = """SELECT j.event_id, j.class, j.at, j.commitment, j.ciphertext_digest
FROM entry e JOIN journal j ON j.seq = e.seq ORDER BY e.leaf_index"""


def export_log(database: Path, folder: Path) -> tuple[int, int]:
    """Write the log of ``database`` into the new ``folder``; return how many leaves, in how many files.

    Raises ``MaillonError(CONFLICT)`` when the folder is there, ``CONFIGURATION`` for a database that is none, or whose
    log has no checkpoint yet.
    """
    try:
        folder.mkdir()
    except FileExistsError:
        raise MaillonError(ErrorKind.CONFLICT, f"{folder.name} is there already") from None
    with open_snapshot(database) as snapshot:
        newest = snapshot.one("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1")
        if newest is None:
            raise MaillonError(ErrorKind.CONFIGURATION, "the log has no checkpoint yet")
        size, note = newest
        lines = snapshot.rows("SELECT line FROM cosignature WHERE size = ? ORDER BY witness", (size,))
        (folder / "checkpoint").write_bytes(note + b"".join(line for (line,) in lines))
        files = 1
        for tile, data in _tiles(snapshot, size):
            path = folder / tile.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            files += 1
    return size, files


def _tiles(snapshot: Snapshot, size: int) -> Iterator[tuple[TileId, bytes]]:
    leaves = (_leaf(row) for row in snapshot.rows(_LEAVES))
    for index in range(-(-size // WIDTH)):
        tile = tile_at(ENTRIES, index, size)
        yield tile, encode_bundle(islice(leaves, tile.width))
    for level, index, hashes in snapshot.rows("SELECT level, idx, hashes FROM tile ORDER BY level, idx"):
        yield tile_at(level, index, size), hashes


def _leaf(row: tuple[str, str, int, bytes, bytes]) -> bytes:
    event_id, name, at, commitment, digest = row
    try:
        return Leaf(EventClass(name), event_id_bytes(event_id), at, commitment, digest).encode()
    except (ValueError, AttributeError, TypeError):
        wrong("journal", "-", "form")
