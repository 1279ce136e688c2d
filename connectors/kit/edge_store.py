"""The edge's own store: one SQLite file in which nothing personal can be read without the edge's key.

Every row is sealed to its place under the edge's ``store.key`` (``row_seal``); what SQLite must compare (local ids,
refs, content) stands as an HMAC. ``secure_delete`` overwrites what goes.

Several records of one person may stand here (a monthly stream and an API answer, under two local ids): the hub gives
them one ``ref``, and from then on they answer as one.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from connectors.kit.edge_archive import Archive, Version
from connectors.kit.edge_database import EdgeDatabase
from connectors.kit.edge_links import Links
from connectors.kit.edge_names import Names
from connectors.kit.edge_refs import Refs
from connectors.kit.edge_tables import SCHEMA_VERSION, TABLES
from connectors.kit.edge_waiting import Waiting
from connectors.kit.ledger.store import LogStore
from connectors.kit.port import Json, Quarantined, Reason
from connectors.kit.review.looks import Looks
from connectors.kit.row_seal import RowSeal
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import TokenSet

WEAK_ABSENCES = frozenset({"indisponible", "maintenance", "non_autorise"})
"""Absences that say something of the moment or of who asked (a token that ran out), not of the person: they never
replace what is already known."""


class Change(StrEnum):
    """What writing a fragment did."""

    NEW = "new"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    OLDER = "older"
    """The store already knows a later state; an older file never overwrites a newer one."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A subject the hub has not been told about, or not in its present state."""

    local_id: str
    record_key: str
    tokens: TokenSet
    sections: tuple[str, ...]
    changes: int
    """How many changes the hub has not been told of; names the state that is told."""


class EdgeStore:
    """See the module. One object per process; safe to share between threads."""

    def __init__(self, db: EdgeDatabase, rows: RowSeal) -> None:
        self._db = db
        self._rows = rows
        self.archive = Archive(db, rows)
        self.waiting = Waiting(db, rows)
        self.looks = Looks(db, rows)
        self.refs = Refs(db, rows)
        self.names = Names(db, rows)
        self.links = Links(db, rows)
        self.log = LogStore(db, rows)

    @classmethod
    def open(cls, path: Path, key: bytes) -> Self:
        """Open or create the store at ``path`` under the 32-byte ``key``.

        Raises ``MaillonError(CONFIGURATION)`` for a key of another length, another store's key or another schema
        version, and ``MaillonError(STORAGE)`` when the disk or SQLite refuses.
        """
        rows = RowSeal(key)
        store = cls(EdgeDatabase.open(path), rows)
        store._prepare()
        return store

    def close(self) -> None:
        """Fold the WAL into the file and close it."""
        self._db.close()

    def batch(self) -> AbstractContextManager[None]:
        """Make every write inside one transaction: durable when the block ends, undone when it raises. May nest."""
        return self._db.batch()

    # --- subjects -----------------------------------------------------------------------------------------------

    def upsert_subject(
        self, local_id: str, identity_traits: Mapping[str, object], tokens: TokenSet, *, format: str = ""
    ) -> bool:
        """Remember what ``format`` says of who ``local_id`` is; say whether anything changed.

        Each format keeps its own traits, so that two files with two spellings do not overwrite one another in turn;
        the tokens of all are offered to the hub. A change puts the subject back among :meth:`pending`.
        """
        key, wire = self._rows.key("subject", local_id), tokens.to_wire()
        said = {"identity": dict(identity_traits), "tokens": wire}
        tag = self._rows.tag("identity", said)
        with self._db.batch():
            if self._db.one("SELECT tag FROM identity WHERE key = ? AND format = ?", key, format) == (tag,):
                return False
            body = self._rows.seal(said, b"identity", key, format.encode(), packed=False)
            self._db.execute("INSERT OR REPLACE INTO identity VALUES (?, ?, ?, ?)", key, format, tag, body)
            self._db.execute(
                "INSERT INTO subject (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET changes = changes + 1",
                *(key, self._rows.seal({"local_id": local_id}, b"subject", key)),
            )
        return True

    def identity_of(self, local_id: str) -> Json | None:
        """Return the traits this partner holds of ``local_id``, later formats filling what earlier ones lack."""
        query, found = "SELECT key, format, body FROM identity WHERE key = ? ORDER BY format", Json()
        for key, format, body in self._db.all(query, self._subject(local_id)):
            for name, value in self._rows.unseal(body, b"identity", key, format.encode())["identity"].items():
                found.setdefault(name, value)
        return found or None

    def stated(self, local_id: str, format: str, file_digest: bytes) -> tuple[Json, bool] | None:
        """Return the traits ``format`` last gave of ``local_id``, and whether it was in that very file; else None."""
        key, file = self._subject(local_id), self._rows.key("file", file_digest.hex())
        held = "SELECT i.body, f.file FROM identity i LEFT JOIN fragment f USING (key, format)"
        row = self._db.one(f"{held} WHERE key = ? AND format = ?", key, format)
        return row and (self._rows.unseal(row[0], b"identity", key, format.encode())["identity"], row[1] == file)

    def tokens_of(self, local_id: str) -> TokenSet | None:
        """Return every token of the person behind ``local_id``, from all its records here; ``None`` when unknown."""
        return self._tokens(self._same_person(self._subject(local_id)))

    def record_key(self, local_id: str) -> str:
        """Return the name under which the hub knows this record: stable, and nothing without the edge's key."""
        return self.waiting.record_key(local_id)

    def pending(self, limit: int = 500) -> list[Pending]:
        """Return up to ``limit`` subjects the hub must still be told about: not those it refused as they are."""
        found = []
        rows = self.waiting.to_tell(limit)
        for key, body, changes in rows:
            local_id = self._rows.unseal(body, b"subject", key)["local_id"]
            tokens = self._tokens([key])
            sections = {path.split(".", 1)[0] for path in self._statements([key])}
            if tokens is not None:
                found.append(Pending(local_id, self.record_key(local_id), tokens, tuple(sorted(sections)), changes))
        return found

    # --- refs ---------------------------------------------------------------------------------------------------

    def set_ref(self, local_id: str, ref: str, changes: int | None = None) -> None:
        """Remember the hub's pseudonym of ``local_id``, and that the hub knows its present state.

        ``changes`` is that of the :class:`Pending` that was told: a change made meanwhile stays to be told. Raises
        ``MaillonError(UNKNOWN_SUBJECT)`` when this edge has no such subject.
        """
        self.refs.set(self._subject(local_id), ref, changes)

    def ref_of(self, local_id: str) -> str | None:
        """Return the hub's pseudonym of ``local_id``; ``None`` when unknown or not registered yet."""
        return self.refs.of(self._subject(local_id))

    def local_of(self, ref: str) -> str | None:
        """Return one local id behind ``ref`` (any of them answers for all); ``None`` when unknown."""
        return self.refs.local_of(ref)

    def locals_of(self, ref: str, limit: int = -1) -> list[str]:
        """Return up to ``limit`` (-1: all) local ids behind ``ref``: one person's."""
        return self.refs.locals_of(ref, limit)

    # --- fragments ----------------------------------------------------------------------------------------------

    def put_fragment(
        self,
        local_id: str,
        fragment: Mapping[str, Any],
        source_file_digest: bytes,
        *,
        format: str = "",
        as_of: datetime | None = None,
    ) -> Change:
        """Store what ``format`` says of ``local_id`` as of ``as_of``, in place of what it said before.

        The same content again changes nothing (``date_collecte`` does not count); an earlier state is left out; an
        answer that says nothing of the person (:data:`WEAK_ABSENCES`) never replaces one that does.
        """
        key, statements = self._rows.key("subject", local_id), fragment["statements"]
        moment, file = 0 if as_of is None else int(as_of.timestamp()), self._rows.key("file", source_file_digest.hex())
        weak = all(s.get("absence") in WEAK_ABSENCES for s in statements.values())
        content = {path: dict(statement) for path, statement in statements.items()}
        for statement in content.values():
            statement.pop("date_collecte", None)
        tag = self._rows.tag("fragment", content)
        sections = self._rows.tag("sections", sorted({path.split(".", 1)[0] for path in statements}))
        with self._db.batch():
            row = self._db.one(
                "SELECT tag, sections, as_of, weak FROM fragment WHERE key = ? AND format = ?", key, format
            )
            if row is not None:
                if (row[2] > moment and not row[3]) or (weak and not row[3]):
                    self._db.execute("UPDATE fragment SET file = ? WHERE key = ? AND format = ?", file, key, format)
                    return Change.OLDER
                if row[0] == tag:
                    self._db.execute(
                        "UPDATE fragment SET as_of = ?, file = ? WHERE key = ? AND format = ?",
                        *(moment, file, key, format),
                    )
                    return Change.UNCHANGED
                self.archive.keep(key, format, moment)
            body = self._rows.seal({"statements": dict(statements)}, b"fragment", key, format.encode())
            self._db.execute(
                "INSERT OR REPLACE INTO fragment VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                *(key, format, tag, sections, moment, weak, file, body),
            )
            if row is None or row[1] != sections:
                self._db.execute("UPDATE subject SET changes = changes + 1 WHERE key = ?", key)
        return Change.NEW if row is None else Change.UPDATED

    def fragment_of(self, local_id: str) -> Json | None:
        """Return the one fragment of the person behind ``local_id``, drawn from all formats and records held here.

        Of two statements on one field the later state stands; ``None`` when nothing is held.
        """
        statements = self._statements(self._same_person(self._subject(local_id)))
        return {"v": 1, "statements": statements} if statements else None

    def history_of(self, local_id: str) -> list[Version]:
        """Return what the records of the person behind ``local_id`` said before, the latest first."""
        return self.archive.versions(self._same_person(self._subject(local_id)))

    # --- files and quarantine -----------------------------------------------------------------------------------

    def has_file(self, digest: bytes, mapping: str) -> bool:
        """Say whether the file of that SHA-256 was wholly ingested under this ``mapping`` version."""
        row = self._db.one(
            "SELECT 1 FROM file WHERE key = ? AND mapping = ?", self._rows.key("file", digest.hex()), mapping
        )
        return row is not None

    def remember_file(self, digest: bytes, mapping: str, at: datetime) -> None:
        """Remember that the file was wholly ingested."""
        with self._db.batch():
            key = self._rows.key("file", digest.hex())
            self._db.execute("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", key, mapping, int(at.timestamp()))

    def quarantine(self, entry: Quarantined, file_digest: bytes, format: str, at: datetime) -> bool:
        """Keep ``entry``; say whether it was not already there."""
        with self._db.batch():
            done = self._db.execute(
                "INSERT OR IGNORE INTO quarantine (file, format, position, path, reason, detail, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                self._rows.key("file", file_digest.hex()),
                *(format, entry.position, entry.path, entry.reason.value, entry.detail),
                int(at.timestamp()),
            )
        return bool(done.rowcount)

    def forget_quarantined(self, file_digest: bytes) -> None:
        """Drop what was set aside of one file, which is about to be read again."""
        with self._db.batch():
            self._db.execute("DELETE FROM quarantine WHERE file = ?", self._rows.key("file", file_digest.hex()))

    def quarantined(self, file_digest: bytes | None = None, limit: int = -1) -> list[Quarantined]:
        """Return what was set aside, of one file or of all, in order, at most ``limit`` (-1: all)."""
        rows = self._db.all(
            "SELECT position, path, reason, detail FROM quarantine WHERE ?1 IS NULL OR file = ?1 ORDER BY id LIMIT ?2",
            *(None if file_digest is None else self._rows.key("file", file_digest.hex()), limit),
        )
        return [Quarantined(position, path, Reason(reason), detail) for position, path, reason, detail in rows]

    def count(self) -> int:
        """Return how many subjects are held."""
        return int(self._db.all("SELECT count(*) FROM subject")[0][0])

    # --- single-use values ----------------------------------------------------------------------------------------

    def remember_order(self, order_id: str, expires_at: datetime) -> bool:
        """Remember an order until ``expires_at``; ``False`` when it was seen before."""
        return self._first_time("order", order_id, expires_at)

    def remember_nonce(self, digest: bytes | str, expires_at: datetime) -> bool:
        """Remember the salted digest of a request's nonce until ``expires_at``; ``False`` when it was seen before."""
        return self._first_time("nonce", digest if isinstance(digest, str) else digest.hex(), expires_at)

    def forget_expired(self, at: datetime) -> None:
        """Drop single-use values that expired before ``at``: what they guarded is refused for its age by now."""
        with self._db.batch():
            self._db.execute("DELETE FROM seen WHERE expires_at < ?", int(at.timestamp()))
        self.refs.forget_expired(at)

    def keep_order(self, leaf: bytes, order: str, ref: str, at: datetime) -> bool:
        """Remember an order about ``ref`` whose ``leaf`` must be in the log; ``False``: another order had the same."""
        return self.log.keep_order(leaf, order, ref, at)

    # --- inside -------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        with self._db.batch():
            (version,) = self._db.all("PRAGMA user_version")[0]
            if version == 0:
                for statement in TABLES.split(";\n"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO meta VALUES ('key_check', ?)", self._rows.key("check", ""))
                self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                raise MaillonError(ErrorKind.CONFIGURATION, f"edge store of schema version {version}")
            self.archive.prepare()
            self.waiting.prepare()
            self.names.prepare()
            self.links.prepare()
            self.looks.prepare()
            self.refs.prepare()
            self.log.prepare()
            check = self._db.one("SELECT value FROM meta WHERE name = 'key_check'")
            if check is None or not hmac.compare_digest(check[0], self._rows.key("check", "")):
                raise MaillonError(ErrorKind.CONFIGURATION, "this key is not this edge store's")

    def _first_time(self, kind: str, value: str, expires_at: datetime) -> bool:
        with self._db.batch():
            row = (self._rows.key(kind, value), int(expires_at.timestamp()))
            return bool(self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", *row).rowcount)

    def _subject(self, local_id: str) -> bytes:
        return self._rows.key("subject", local_id)

    def _same_person(self, key: bytes) -> list[bytes]:
        rows = self._db.all(
            "SELECT key FROM subject WHERE key = ?1 OR ref_key = (SELECT ref_key FROM subject WHERE key = ?1)", key
        )
        return [row[0] for row in rows]

    def _statements(self, keys: Iterable[bytes]) -> Json:
        ranked = []
        for key in keys:
            for format, as_of, body in self._db.all("SELECT format, as_of, body FROM fragment WHERE key = ?", key):
                for path, statement in self._rows.unseal(body, b"fragment", key, format.encode())["statements"].items():
                    ranked.append((path, statement.get("absence") not in WEAK_ABSENCES, as_of, format, key, statement))
        return {row[0]: row[-1] for row in sorted(ranked, key=lambda row: row[:-1])}

    def _tokens(self, keys: Iterable[bytes]) -> TokenSet | None:
        sets = []
        for key in keys:
            for format, body in self._db.all("SELECT format, body FROM identity WHERE key = ? ORDER BY format", key):
                sets.append(TokenSet.from_wire(self._rows.unseal(body, b"identity", key, format.encode())["tokens"]))
        return TokenSet.merged(sets) if sets else None
