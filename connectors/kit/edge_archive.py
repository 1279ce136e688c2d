"""Beside the edge store's own tables: what records said before, who is gone from a complete file, where a feed stands.

Sealed like the rest (``row_seal``), written in the store's own transactions. Of each record and format the last
:data:`VERSIONS` states are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from connectors.kit.edge_database import EdgeDatabase
from connectors.kit.port import Json
from connectors.kit.row_seal import RowSeal

VERSIONS: Final = 12

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY, key BLOB NOT NULL, format TEXT NOT NULL,"
    " as_of INTEGER NOT NULL, until INTEGER NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS history_record ON history (key, format)",
    "CREATE TABLE IF NOT EXISTS cursor (name TEXT PRIMARY KEY, at INTEGER NOT NULL, body BLOB NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Version:
    """What one format said of a person, true from ``as_of`` until a state of ``until`` took its place."""

    format: str
    as_of: datetime
    until: datetime
    statements: Json


@dataclass(frozen=True, slots=True)
class Archive:
    """See the module. Whoever writes holds the ``batch()`` of ``db``."""

    db: EdgeDatabase
    rows: RowSeal

    def prepare(self) -> None:
        """Make the tables that are not there yet."""
        for statement in _TABLES:
            self.db.execute(statement)

    def keep(self, key: bytes, format: str, until: int) -> None:
        """Keep the present state of a record, about to go. One that only says "no answer" is not worth it."""
        held = self.db.all("SELECT as_of, body FROM fragment WHERE key = ? AND format = ? AND NOT weak", key, format)
        for as_of, body in held:
            said = self.rows.unseal(body, b"fragment", key, format.encode())
            sealed = self.rows.seal(said, b"history", key, format.encode(), str(as_of).encode())
            self.db.execute(
                "INSERT INTO history (key, format, as_of, until, body) VALUES (?, ?, ?, ?, ?)",
                *(key, format, as_of, until, sealed),
            )
            self.db.execute(
                "DELETE FROM history WHERE key = ?1 AND format = ?2 AND id NOT IN"
                " (SELECT id FROM history WHERE key = ?1 AND format = ?2 ORDER BY id DESC LIMIT ?3)",
                *(key, format, VERSIONS),
            )

    def versions(self, keys: Iterable[bytes]) -> list[Version]:
        """Return the earlier states of these records, the latest first."""
        found = [
            (number, key, format, as_of, until, body)
            for key in keys
            for number, format, as_of, until, body in self.db.all(
                "SELECT id, format, as_of, until, body FROM history WHERE key = ?", key
            )
        ]
        return [
            Version(
                format,
                datetime.fromtimestamp(as_of, UTC),
                datetime.fromtimestamp(until, UTC),
                self.rows.unseal(body, b"history", key, format.encode(), str(as_of).encode())["statements"],
            )
            for _, key, format, as_of, until, body in sorted(found, reverse=True, key=lambda row: row[0])
        ]

    def settle(self, format: str, file_digest: bytes, as_of: datetime, most: float) -> tuple[int, int]:
        """Take away the records of ``format`` a complete file no longer has; return (removed, left to be confirmed).

        All or none: none when they are more than the share ``most`` of all records of the format. A record of a later
        state than ``as_of``, the file's latest, is not gone: the file is the older one.
        """
        file, until = self.rows.key("file", file_digest.hex()), int(as_of.timestamp())
        gone = len(self._missing(format, file, until))
        ((held,),) = self.db.all("SELECT count(*) FROM fragment WHERE format = ?", format)
        return (0, gone) if gone > most * held else (self.take_away(format, file, until), 0)

    def take_away(self, format: str, file: bytes, until: int) -> int:
        """Take away what the file of that key no longer has, true until then; return how many records."""
        missing = self._missing(format, file, until)
        for key in missing:
            self.keep(key, format, until)
            self.db.execute("DELETE FROM fragment WHERE key = ? AND format = ?", key, format)
            self.db.execute("UPDATE subject SET changes = changes + 1 WHERE key = ?", key)
        return len(missing)

    def _missing(self, format: str, file: bytes, until: int) -> list[bytes]:
        rows = self.db.all(
            "SELECT key FROM fragment WHERE format = ? AND file <> ? AND as_of <= ?", format, file, until
        )
        return [key for (key,) in rows]

    def forget_file(self, file_digest: bytes) -> None:
        """Have the file of that SHA-256 read when it is given again, as if it were new."""
        self.db.execute("DELETE FROM file WHERE key = ?", self.rows.key("file", file_digest.hex()))

    def cursor(self, name: str) -> str | None:
        """Return where the feed ``name`` was left; ``None`` at the very beginning."""
        rows = self.db.all("SELECT body FROM cursor WHERE name = ?", name)
        return str(self.rows.unseal(rows[0][0], b"cursor", name.encode())["cursor"]) if rows else None

    def set_cursor(self, name: str, cursor: str, at: datetime) -> None:
        """Remember where the feed ``name`` was left."""
        body = self.rows.seal({"cursor": cursor}, b"cursor", name.encode())
        self.db.execute("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)", name, int(at.timestamp()), body)

    def drop_cursor(self, name: str) -> None:
        """Forget the feed ``name``."""
        self.db.execute("DELETE FROM cursor WHERE name = ?", name)
