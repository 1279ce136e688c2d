"""What an edge keeps of each look a reviewer had at masked traits of its persons: when, of whom, in which review."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connectors.kit.edge_database import EdgeDatabase
from connectors.kit.row_seal import RowSeal
from connectors.kit.runtime.clock import from_epoch, to_epoch

_TABLE: Final = "CREATE TABLE IF NOT EXISTS look (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, body BLOB NOT NULL)"


@dataclass(frozen=True, slots=True)
class Look:
    """One look. ``local_ids``: this partner's own numbers of the person; ``fields``: dossier paths shown masked."""

    number: int
    at: datetime
    review_id: str
    local_ids: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Looks:
    """See the module. Whoever writes holds the ``batch()`` of ``db``."""

    db: EdgeDatabase
    rows: RowSeal

    def prepare(self) -> None:
        """Make the table if it is not there yet."""
        self.db.execute(_TABLE)

    def keep(self, review_id: str, local_ids: Sequence[str], fields: Sequence[str], at: datetime) -> None:
        """Write one look down."""
        said = {"review_id": review_id, "local_ids": list(local_ids), "fields": list(fields)}
        sealed = self.rows.seal(said, b"look", str(to_epoch(at)).encode())
        self.db.execute("INSERT INTO look (at, body) VALUES (?, ?)", to_epoch(at), sealed)

    def since(self, at: datetime) -> int:
        """Return how many looks there were from ``at`` on."""
        return int(self.db.all("SELECT count(*) FROM look WHERE at >= ?", to_epoch(at))[0][0])

    def list(self, limit: int = -1) -> list[Look]:
        """Return up to ``limit`` looks (-1: all), the latest first."""
        found = []
        for number, at, body in self.db.all("SELECT number, at, body FROM look ORDER BY number DESC LIMIT ?", limit):
            said = self.rows.unseal(body, b"look", str(at).encode())
            found.append(
                Look(number, from_epoch(at), said["review_id"], tuple(said["local_ids"]), tuple(said["fields"]))
            )
        return found
