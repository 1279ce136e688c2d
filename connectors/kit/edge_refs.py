"""The hub's pseudonyms of this edge's records, and how former ones are understood while they go over to new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connectors.kit.edge_database import EdgeDatabase
from connectors.kit.row_seal import RowSeal
from connectors.kit.runtime.errors import ErrorKind, MaillonError

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS former_ref (key BLOB PRIMARY KEY, ref_key BLOB NOT NULL, ref BLOB NOT NULL,"
    " until INTEGER) WITHOUT ROWID",
)
_SET: Final = (
    "UPDATE subject SET ref_key = ?, ref = ?, changes = iif(changes > coalesce(?, changes), changes, 0) WHERE key = ?"
)
_LOCAL: Final = "SELECT key, body FROM subject WHERE ref_key = ? ORDER BY key LIMIT ?"
_FORMER: Final = "SELECT ref_key, ref FROM former_ref WHERE key = ?"
_KEEP: Final = (
    "INSERT INTO former_ref VALUES (?, ?, ?, NULL)"
    " ON CONFLICT (key) DO UPDATE SET ref_key = excluded.ref_key, ref = excluded.ref, until = NULL"
)


@dataclass(frozen=True, slots=True)
class Refs:
    """See the module. Each write is a transaction, or part of one."""

    db: EdgeDatabase
    rows: RowSeal

    def prepare(self) -> None:
        """Make the tables that are not there yet."""
        for statement in _TABLES:
            self.db.execute(statement)

    def set(self, key: bytes, ref: str, changes: int | None) -> None:
        """As ``EdgeStore.set_ref``, for the subject of this key. A former ref stands for the one it became: an answer
        may have been under way when the new ones came."""
        with self.db.batch():
            ref = self._present(ref)
            sealed = self.rows.seal({"ref": ref}, b"ref", key)
            if self.db.execute(_SET, self.rows.key("ref", ref), sealed, changes, key).rowcount == 0:
                raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "no such local id at this edge")

    def of(self, key: bytes) -> str | None:
        """As ``EdgeStore.ref_of``."""
        rows = self.db.all("SELECT ref FROM subject WHERE key = ?", key)
        return str(self.rows.unseal(rows[0][0], b"ref", key)["ref"]) if rows and rows[0][0] is not None else None

    def local_of(self, ref: str) -> str | None:
        """As ``EdgeStore.local_of``."""
        return next(iter(self.locals_of(ref, 1)), None)

    def locals_of(self, ref: str, limit: int = -1) -> list[str]:
        """As ``EdgeStore.locals_of``; a former ref is understood until it is forgotten."""
        ref_key = self.rows.key("ref", ref)
        rows = self.db.all(_LOCAL, ref_key, limit)
        # No transaction: whoever replaced it in between wrote down as what, in the same one.
        if not rows and (former := self.db.all(_FORMER, ref_key)):
            rows = self.db.all(_LOCAL, former[0][0], limit)
        return [str(self.rows.unseal(body, b"subject", key)["local_id"]) for key, body in rows]

    def replace(self, pairs: Sequence[tuple[str, str]]) -> int:
        """Put new refs in the place of former ones, ``(former, new)``, which are understood from then on: all in one
        transaction. Return how many subjects had one. Doing it again changes nothing."""
        replaced = 0
        with self.db.batch():
            for former, new in pairs:
                key, ref_key = self.rows.key("ref", former), self.rows.key("ref", new)
                self.db.execute(_KEEP, key, ref_key, self.rows.seal({"ref": new}, b"former_ref", key))
                for (subject,) in self.db.all("SELECT key FROM subject WHERE ref_key = ?", key):
                    sealed = self.rows.seal({"ref": new}, b"ref", subject)
                    self.db.execute("UPDATE subject SET ref_key = ?, ref = ? WHERE key = ?", ref_key, sealed, subject)
                    replaced += 1
        return replaced

    def keep_old_until(self, until: datetime) -> None:
        """Forget the former refs at ``until``: from then on the hub understands them no more either."""
        with self.db.batch():
            self.db.execute("UPDATE former_ref SET until = ? WHERE until IS NULL", int(until.timestamp()))

    def forget_expired(self, at: datetime) -> None:
        """Forget former refs whose time was over before ``at``."""
        with self.db.batch():
            self.db.execute("DELETE FROM former_ref WHERE until < ?", int(at.timestamp()))

    def _present(self, ref: str) -> str:
        key = self.rows.key("ref", ref)
        rows = self.db.all(_FORMER, key)
        return str(self.rows.unseal(rows[0][1], b"former_ref", key)["ref"]) if rows else ref
