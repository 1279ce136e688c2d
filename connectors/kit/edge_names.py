"""How common names are, as one edge tells it: one table, sealed in the edge store, the same for every record.

The hub compares a record's ``rarete`` with another's and is told of a record again when anything of it changed. So
shares are never counted on the fly: they are kept once, from a table somebody gave or counted in the edge's own records
as soon as these are enough to tell a rare name from a common one, and change on command alone. Every record then says
the same table's answer: those registered before are gone through, and only those whose answer changed are told again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final

from connectors.kit.edge_database import EdgeDatabase
from connectors.kit.identity import Identity, parse_identity
from connectors.kit.rarity import UNKNOWN_SHARES, NameCount, NameShares
from connectors.kit.row_seal import RowSeal
from connectors.kit.tokens import rarity_flags

ENOUGH_TO_COUNT: Final = 10_000
"""Persons from which the edge's own records say something. Below, a name borne by nobody else there is not rare, and a
given name seen once not misspelt: what such a count said could make a twin's name look like a slip."""
MOST_COUNTED: Final = 500_000
"""Persons beyond which more tell little, and their names would take the memory: that many are drawn, by their keys."""
COUNTED: Final = "counted"
"""``Kept.source`` of shares counted in the edge's own records; a table given is named by its file's."""
PAGE: Final = 500

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS name_shares (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL,"
    " at INTEGER NOT NULL, persons INTEGER NOT NULL, applied INTEGER, body BLOB NOT NULL)"
)
_ONE_OF_EACH: Final = (
    "SELECT i.rowid, i.key, i.format, i.body FROM identity i WHERE i.rowid > ? AND i.key < ?"
    " AND i.format = (SELECT min(format) FROM identity WHERE key = i.key) ORDER BY i.rowid LIMIT ?"
)
_EVERY: Final = "SELECT rowid, key, format, body FROM identity WHERE rowid > ? ORDER BY rowid LIMIT ?"
_KEY_BYTES: Final = 16

_Row = tuple[int, bytes, str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Kept:
    """The shares in force: where they come from, since when, in how many own persons names were counted for them."""

    source: str
    at: datetime
    persons: int
    surnames: int
    givens: int
    is_applied: bool
    """Whether every record held says what these shares say."""


@dataclass(slots=True)
class Names:
    """See the module. Each write is a transaction, or part of one."""

    db: EdgeDatabase
    rows: RowSeal
    _latest: tuple[int, NameShares] = field(default=(0, UNKNOWN_SHARES), init=False, repr=False)

    def prepare(self) -> None:
        """Make the table if it is not there yet."""
        self.db.execute(_TABLE)

    def shares(self) -> NameShares:
        """Return the shares in force, those that know nothing when none are kept."""
        version = next((row[0] for row in self.db.all("SELECT version FROM name_shares")), 0)
        if version != self._latest[0]:
            content = self._content()
            self._latest = (version, NameShares(**content["shares"]))
        return self._latest[1]

    def kept(self) -> Kept | None:
        """Return what is in force; ``None`` when every name is still unknown."""
        for at, persons, applied in self.db.all("SELECT at, persons, applied FROM name_shares"):
            content, shares = self._content(), self.shares()
            sizes = len(shares.surnames), len(shares.givens)
            return Kept(content["source"], datetime.fromtimestamp(at, UTC), persons, *sizes, applied is None)
        return None

    def keep(self, shares: NameShares, persons: int, *, source: str, at: datetime) -> None:
        """Put ``shares`` in force, in place of any before; :meth:`apply` then brings the records held in line.

        ``persons`` is in how many of the records held names were counted, 0 for a table none of them completed.
        """
        said = {each.name: getattr(shares, each.name) for each in fields(shares)}  # ``asdict`` would copy every name
        body = self.rows.seal({"source": source, "shares": said}, b"name_shares")
        with self.db.batch():
            self.db.execute(
                "INSERT INTO name_shares VALUES (1, 1, ?, ?, 0, ?) ON CONFLICT (id) DO UPDATE SET"
                " version = version + 1, at = excluded.at, persons = excluded.persons, applied = 0,"
                " body = excluded.body",
                *(int(at.timestamp()), persons, body),
            )

    def count(self, most: int = MOST_COUNTED) -> tuple[NameShares, int]:
        """Return the shares counted in the records held, each local id once, and in how many.

        Of many more than ``most`` persons, about that many drawn at random: a file in the order of names says nothing
        of those further down.
        """
        count, persons = NameCount(), 0
        held = self.db.all("SELECT count(*) FROM subject")[0][0]
        # Keys are keyed digests: those below a bound are a random draw of persons.
        bound = 256**_KEY_BYTES * most // max(held, most)
        last = b"\xff" * (_KEY_BYTES + 1) if held <= most else bound.to_bytes(_KEY_BYTES, "big")
        for _, _, _, said in self._walk(_ONE_OF_EACH, last):
            count.add([_identity(said)])
            persons += 1
        return count.shares(), persons

    def count_once(self, at: datetime, enough: int = ENOUGH_TO_COUNT) -> bool:
        """Count the records held, unless that was done, and keep what they say; return whether that was done now.

        Without any shares in force, as soon as ``enough`` persons are held; a table given is completed by the given
        names of the first records there are, for no table has them all.
        """
        held = self.db.all("SELECT count(*) FROM subject")[0][0]
        counted_in = next((row[0] for row in self.db.all("SELECT persons FROM name_shares")), None)
        if counted_in is None:
            if held < enough:
                return False
            self.keep(*self.count(), source=COUNTED, at=at)
            return True
        if counted_in or not held:
            return False
        counted, persons = self.count()
        self.keep(self.shares().beside(counted), persons, source=self._content()["source"], at=at)
        return True

    def apply(self, progress: Callable[[int], None] = lambda _: None) -> int:
        """Have every record held say what the shares in force say; return how many changed: they are told again.

        Goes on where it stood when it was cut short, and does nothing when it was not. ``progress`` is called after
        each commit with the records gone through.
        """
        changed = through = 0
        while (cursor := self._applied()) is not None:
            with self.db.batch():
                page = list(self._walk(_EVERY, after=cursor, pages=1))
                changed += sum(self._bring_in_line(*row) for row in page)
                self.db.execute("UPDATE name_shares SET applied = ?", page[-1][0] if page else None)
            through += len(page)
            progress(through)
        return changed

    def _applied(self) -> int | None:
        return next((row[0] for row in self.db.all("SELECT applied FROM name_shares")), None)

    def _bring_in_line(self, rowid: int, key: bytes, format: str, said: dict[str, Any]) -> bool:
        flags = {**said["tokens"]["flags"], **rarity_flags(_identity(said), self.shares())}
        if flags == said["tokens"]["flags"]:
            return False
        said = {**said, "tokens": {**said["tokens"], "flags": flags}}
        body = self.rows.seal(said, b"identity", key, format.encode(), packed=False)
        tag = self.rows.tag("identity", said)
        self.db.execute("UPDATE identity SET tag = ?, body = ? WHERE rowid = ?", tag, body, rowid)
        self.db.execute("UPDATE subject SET changes = changes + 1 WHERE key = ?", key)
        return True

    def _walk(self, query: str, *given: Any, after: int = 0, pages: int | None = None) -> Iterator[_Row]:
        while rows := self.db.all(query, after, *given, PAGE):
            for rowid, key, format, body in rows:
                yield rowid, key, format, self.rows.unseal(body, b"identity", key, format.encode())
            after, pages = rows[-1][0], None if pages is None else pages - 1
            if pages == 0:
                return

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = self.rows.unseal(self.db.all("SELECT body FROM name_shares")[0][0], b"name_shares")
        return content


def _identity(said: Mapping[str, Any]) -> Identity:
    return parse_identity(said["identity"])
