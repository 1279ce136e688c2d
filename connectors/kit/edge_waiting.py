"""Beside the edge store's own tables: what waits for a person's decision, or for another record.

A record the hub refused; a record set aside because a known number came with another person; an answer by number alone
whose person is not known yet; the removals a complete file asks for. Sealed like the rest (``row_seal``), written in
the store's own transactions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from connectors.kit.edge_database import EdgeDatabase
from connectors.kit.port import Json, Quarantined, Reason
from connectors.kit.row_seal import RowSeal
from connectors.kit.runtime import b64url

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS refused (key BLOB PRIMARY KEY, changes INTEGER NOT NULL, reason TEXT NOT NULL)"
    " WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS renewed (key BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS retired (record_key TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS claim (entry INTEGER PRIMARY KEY, key BLOB NOT NULL, format TEXT NOT NULL,"
    " tag BLOB NOT NULL, body BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS accepted (key BLOB NOT NULL, format TEXT NOT NULL, tag BLOB NOT NULL,"
    " PRIMARY KEY (key, format)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS nameless (key BLOB NOT NULL, format TEXT NOT NULL, file TEXT NOT NULL,"
    " as_of INTEGER NOT NULL, entry INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (key, format))",
    "CREATE TABLE IF NOT EXISTS removal (format TEXT PRIMARY KEY, file BLOB NOT NULL, mapping TEXT NOT NULL,"
    " until INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID",
    # A number of the quarantine may be given again: nothing may stay tied to the entry that had it.
    "CREATE TRIGGER IF NOT EXISTS entry_gone AFTER DELETE ON quarantine BEGIN"
    " DELETE FROM claim WHERE entry = old.id; UPDATE nameless SET entry = 0 WHERE entry = old.id; END",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing set aside, under the number a person may name it by."""

    number: int
    format: str
    at: datetime
    entry: Quarantined
    is_claim: bool
    """Another person under a known number: somebody must decide."""
    is_nameless: bool
    """Kept until the person of its number is known."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A record set aside as another person under a known number: what it said of who that is."""

    local_id: str
    format: str
    traits: Json


@dataclass(frozen=True, slots=True)
class Nameless:
    """An answer kept until the person of its number is known. ``file`` is the hexadecimal digest of its file."""

    format: str
    file: str
    as_of: datetime
    entry: int
    fragment: Json


@dataclass(frozen=True, slots=True)
class Removal:
    """A complete file that would take records away, waiting for a yes or a no."""

    format: str
    file: bytes
    mapping: str
    until: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """See the module. Whoever writes holds the ``batch()`` of ``db``."""

    db: EdgeDatabase
    rows: RowSeal

    def prepare(self) -> None:
        """Make the tables that are not there yet."""
        for statement in _TABLES:
            self.db.execute(statement)

    # --- entries of the quarantine --------------------------------------------------------------------------------

    def entries(self, *, file_digest: bytes | None = None, limit: int = -1) -> list[Entry]:
        """Return what was set aside, of one file or of all, in order, at most ``limit`` (-1: all)."""
        file = None if file_digest is None else self.rows.key("file", file_digest.hex())
        found = self.db.all(
            "SELECT q.id, q.format, q.at, q.position, q.path, q.reason, q.detail,"
            " EXISTS (SELECT 1 FROM claim c WHERE c.entry = q.id),"
            " EXISTS (SELECT 1 FROM nameless n WHERE n.entry = q.id)"
            " FROM quarantine q WHERE ?1 IS NULL OR q.file = ?1 ORDER BY q.id LIMIT ?2",
            *(file, limit),
        )
        return [
            Entry(
                *(number, format, datetime.fromtimestamp(at, UTC), Quarantined(where, path, Reason(reason), detail)),
                *(bool(claimed), bool(nameless)),
            )
            for number, format, at, where, path, reason, detail, claimed, nameless in found
        ]

    def number_of(self, file_digest: bytes, format: str, entry: Quarantined) -> int:
        """Return the number under which ``entry`` of that file stands in the quarantine."""
        ((number,),) = self.db.all(
            "SELECT id FROM quarantine WHERE file = ? AND format = ? AND position = ? AND path = ? AND reason = ?"
            " AND detail = ?",
            *(self.rows.key("file", file_digest.hex()), format, entry.position, entry.path, entry.reason.value),
            entry.detail,
        )
        return int(number)

    def dismiss(self, number: int) -> bool:
        """Drop an entry; say whether it was there."""
        return bool(self.db.execute("DELETE FROM quarantine WHERE id = ?", number).rowcount)

    def read_again(self, number: int) -> None:
        """Have the file of that entry read again when it is given again, as if it were new."""
        self.db.execute("DELETE FROM file WHERE key = (SELECT file FROM quarantine WHERE id = ?)", number)

    # --- what the hub refused -------------------------------------------------------------------------------------

    def local_ids(self) -> list[str]:
        """Return every local id there is, sorted."""
        return sorted(self._local_id(key, body) for key, body in self.db.all("SELECT key, body FROM subject"))

    def to_tell(self, limit: int) -> list[tuple[Any, ...]]:
        """Return (key, body, changes) of ``limit`` subjects to tell the hub of, but those it refused as they are."""
        return self.db.all(
            "SELECT key, body, changes FROM subject WHERE changes > 0 AND NOT EXISTS"
            " (SELECT 1 FROM refused r WHERE r.key = subject.key AND r.changes = subject.changes) LIMIT ?",
            limit,
        )

    def refuse(self, local_id: str, changes: int, reason: str) -> None:
        """Remember that the hub refused the record in the state ``changes``: it is offered again when it changes.

        Its ref goes: whoever the record is about now must not answer for whom it was about.
        """
        key = self.rows.key("subject", local_id)
        self.db.execute("INSERT OR REPLACE INTO refused VALUES (?, ?, ?)", key, changes, reason)
        self.detach(local_id)

    def settled(self, local_id: str) -> None:
        """Forget that the hub refused the record: it was told since."""
        self.db.execute("DELETE FROM refused WHERE key = ?", self.rows.key("subject", local_id))

    def was_told(self, local_id: str) -> bool:
        """Say whether the hub has heard of the record, whatever it answered."""
        known = "SELECT 1 FROM subject WHERE key = ?1 AND ref IS NOT NULL UNION SELECT 1 FROM refused WHERE key = ?1"
        return bool(self.db.all(known, self.rows.key("subject", local_id)))

    def nothing_to_tell(self, local_id: str, changes: int) -> None:
        """Leave out of what is pending a record the hub never heard of and of which nothing is held."""
        key = self.rows.key("subject", local_id)
        self.db.execute("UPDATE subject SET changes = 0 WHERE key = ? AND changes <= ?", key, changes)

    def refused(self) -> list[tuple[str, str]]:
        """Return (local id, reason) of each record the hub refused, by local id."""
        found = self.db.all("SELECT s.key, s.body, r.reason FROM refused r JOIN subject s USING (key)")
        return sorted((self._local_id(key, body), reason) for key, body, reason in found)

    def detach(self, local_id: str) -> None:
        """Forget the ref of the record, until the hub gives one again."""
        self.db.execute(
            "UPDATE subject SET ref_key = NULL, ref = NULL WHERE key = ?", self.rows.key("subject", local_id)
        )

    # --- another person under a known number ----------------------------------------------------------------------

    def claims(self, entry: int, local_id: str, format: str, traits: Mapping[str, object]) -> None:
        """Keep what the record of the quarantine's ``entry`` said of who it is about."""
        key, body = self.rows.key("subject", local_id), {"local_id": local_id, "traits": dict(traits)}
        sealed = self.rows.seal(body, b"claim", key, format.encode())
        self.db.execute(
            "INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?)",
            *(entry, key, format, self._tag(traits), sealed),
        )

    def claim(self, entry: int) -> Claim | None:
        """Return what that entry's record said; ``None`` when it is no such entry."""
        found = self.db.all("SELECT key, format, body FROM claim WHERE entry = ?", entry)
        if not found:
            return None
        key, format, body = found[0]
        said = self.rows.unseal(body, b"claim", key, format.encode())
        return Claim(said["local_id"], format, said["traits"])

    def accept(self, claim: Claim) -> None:
        """Remember a person's decision: under that number and format, exactly those traits are right."""
        key = self.rows.key("subject", claim.local_id)
        self.db.execute("INSERT OR REPLACE INTO accepted VALUES (?, ?, ?)", key, claim.format, self._tag(claim.traits))
        self.db.execute(
            "DELETE FROM claim WHERE key = ? AND format = ? AND tag = ?", key, claim.format, self._tag(claim.traits)
        )

    def is_accepted(self, local_id: str, format: str, traits: Mapping[str, object]) -> bool:
        """Say whether a person decided so."""
        key = self.rows.key("subject", local_id)
        row = (key, format, self._tag(traits))
        return bool(self.db.all("SELECT 1 FROM accepted WHERE key = ? AND format = ? AND tag = ?", *row))

    def start_anew(self, local_id: str) -> None:
        """Drop all that is held under a number that was given to someone else, and the name the hub knows it by.

        Nothing of the former person may answer for the new one; the hub is told that the former record is gone.
        """
        key = self.rows.key("subject", local_id)
        self.rename(local_id)
        for table in ("fragment", "identity", "history", "nameless", "subject"):
            self.db.execute(f"DELETE FROM {table} WHERE key = ?", key)  # noqa: S608 (our own names)

    def rename(self, local_id: str) -> None:
        """Have the hub know the record by a new name, as one it never saw, and told that the former one is gone."""
        key = self.rows.key("subject", local_id)
        if self.was_told(local_id):
            self.db.execute("INSERT OR IGNORE INTO retired VALUES (?)", self.record_key(local_id))
        self.db.execute("INSERT INTO renewed VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET times = times + 1", key)
        self.settled(local_id)
        self.detach(local_id)

    def record_key(self, local_id: str) -> str:
        """Return the name under which the hub knows this record: stable, and nothing without the edge's key."""
        found = self.db.all("SELECT times FROM renewed WHERE key = ?", self.rows.key("subject", local_id))
        name = f"{local_id}\0{found[0][0]}" if found else local_id
        return b64url.encode(self.rows.key("record", name))

    def retired(self, limit: int) -> list[str]:
        """Return up to ``limit`` record keys the hub must be told of."""
        return [str(name) for (name,) in self.db.all("SELECT record_key FROM retired LIMIT ?", limit)]

    def told_retired(self, record_key: str) -> None:
        """Forget a record key the hub was told of."""
        self.db.execute("DELETE FROM retired WHERE record_key = ?", record_key)

    # --- answers by number alone ----------------------------------------------------------------------------------

    def any_nameless(self) -> bool:
        """Say whether any answer waits for its person."""
        return bool(self.db.all("SELECT 1 FROM nameless LIMIT 1"))

    def keep_nameless(
        self, local_id: str, format: str, file: str, as_of: datetime, entry: int, fragment: Mapping[str, Any]
    ) -> None:
        """Keep an answer whose person is not known yet, in place of an earlier one."""
        key, moment = self.rows.key("subject", local_id), int(as_of.timestamp())
        sealed = self.rows.seal(dict(fragment), b"nameless", key, format.encode())
        self.db.execute(
            "INSERT INTO nameless VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key, format) DO UPDATE SET"
            " file = excluded.file, as_of = excluded.as_of, entry = excluded.entry, body = excluded.body"
            " WHERE excluded.as_of >= as_of",
            *(key, format, file, moment, entry, sealed),
        )

    def take_nameless(self, local_id: str) -> list[Nameless]:
        """Return the answers that waited for the person of this number, and forget them."""
        key = self.rows.key("subject", local_id)
        found = self.db.all("SELECT format, file, as_of, entry, body FROM nameless WHERE key = ?", key)
        if found:
            self.db.execute("DELETE FROM nameless WHERE key = ?", key)
        return [
            Nameless(
                format,
                file,
                datetime.fromtimestamp(as_of, UTC),
                entry,
                self.rows.unseal(body, b"nameless", key, format.encode()),
            )
            for format, file, as_of, entry, body in found
        ]

    # --- removals -------------------------------------------------------------------------------------------------

    def ask_removal(self, format: str, file_digest: bytes, mapping: str, until: datetime, at: datetime) -> None:
        """Remember that a complete file asks to take records away, in place of what an earlier one asked."""
        file = self.rows.key("file", file_digest.hex())
        self.db.execute(
            "INSERT OR REPLACE INTO removal VALUES (?, ?, ?, ?, ?)",
            *(format, file, mapping, int(until.timestamp()), int(at.timestamp())),
        )

    def removals(self) -> list[Removal]:
        """Return what is asked, by format."""
        found = self.db.all("SELECT format, file, mapping, until, at FROM removal ORDER BY format")
        return [
            Removal(format, file, mapping, until, datetime.fromtimestamp(at, UTC))
            for format, file, mapping, until, at in found
        ]

    def missing(self, asked: Removal) -> list[str]:
        """Return the local ids of the records that would go, sorted."""
        found = self.db.all(
            "SELECT s.key, s.body FROM fragment f JOIN subject s USING (key)"
            " WHERE f.format = ? AND f.file <> ? AND f.as_of <= ?",
            *(asked.format, asked.file, asked.until),
        )
        return sorted(self._local_id(key, body) for key, body in found)

    def answer_removal(self, asked: Removal, at: datetime) -> None:
        """Take the question away: the file was read to its end, whatever became of it."""
        self.db.execute("DELETE FROM removal WHERE format = ?", asked.format)
        self.db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", asked.file, asked.mapping, int(at.timestamp()))

    def drop_removal(self, format: str) -> None:
        """Forget what a file of ``format`` asked: a later one was ingested whole."""
        self.db.execute("DELETE FROM removal WHERE format = ?", format)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _tag(self, traits: Mapping[str, object]) -> bytes:
        return self.rows.tag("claim", dict(traits))

    def _local_id(self, key: bytes, body: bytes) -> str:
        return str(self.rows.unseal(body, b"subject", key)["local_id"])
