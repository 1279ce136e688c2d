"""Where the reading of a long file stands, so that a killed process goes on from its last commit.

Kept in the same transaction as the records it counts, under the file's digest and the mapping's version: another file,
or another mapping, begins at the beginning.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from connectors.kit.edge_store import EdgeStore


@dataclass(frozen=True, slots=True)
class Bookmark:
    """One file's place in one store."""

    store: EdgeStore
    name: str

    @classmethod
    def of(cls, store: EdgeStore, digest: bytes, mapping: str) -> Bookmark:
        """Return the bookmark of the file of that SHA-256 read under ``mapping``."""
        return cls(store, f"file/{store.archive.rows.key('file', digest.hex()).hex()}/{mapping}")

    def found(self) -> tuple[int, datetime | None]:
        """Return how many records and entries of the file are committed, and the latest state among them."""
        kept = self.store.archive.cursor(self.name)
        if kept is None:
            return 0, None
        read, latest = json.loads(kept)
        return int(read), None if latest is None else datetime.fromisoformat(latest)

    def keep(self, read: int, latest: datetime | None, at: datetime) -> None:
        """Remember that ``read`` records and entries are committed; call it inside the batch that commits them."""
        told = json.dumps([read, None if latest is None else latest.isoformat()])
        self.store.archive.set_cursor(self.name, told, at)

    def drop(self) -> None:
        """Forget the place: the file was read to its end."""
        self.store.archive.drop_cursor(self.name)
