"""Tokens → candidates. Look-up is one indexed query on 64 bits; the 128-bit value decides.

Two tables. ``token_set`` has one row for a record and epoch: all of its tokens side by side (``hub.store.token_set``),
whose they are, under a random number. ``token`` has one row for each token that is looked up: its 64 bits, and that
number. So a record costs one row, and a small one for each look-up, in the one tree whose places are far apart; moving
a record to another person changes one row. A token of another epoch is re-wrapped from ``token_set`` alone
(``Packed.unpack``), and its ``token`` rows are those ``Packed.lookups`` names.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import orjson
from sqlalchemy import Connection

from connectors.kit.runtime.ids import PersonId
from hub.store.reviews import Reviews
from hub.store.sql import Sql
from hub.store.token_set import IndexedToken as IndexedToken
from hub.store.token_set import Packed, pack, values_of

# Plain SQL (ADR 0017): every registration goes through here, for dozens of rows a record. Lists travel as JSON: one
# text for any number of values, which SQLite sorts before it walks the tree.
_ADD_SET: Final = (
    "INSERT INTO token_set (number, record_id, person_id, epoch, kinds, looked_up, tokens) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_ADD: Final = "INSERT INTO token (lookup, number) VALUES (?, ?)"
_SETS: Final = (
    "SELECT number, epoch, kinds, looked_up, tokens FROM token_set "
    "WHERE person_id = ? AND record_id = ? ORDER BY number"
)
_FORGET: Final = "DELETE FROM token WHERE lookup = ? AND number = ?"
_FORGET_SET: Final = "DELETE FROM token_set WHERE number = ?"
_THERE: Final = "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM token WHERE lookup = value)"
# The 64 bits find the rows, and are those of one kind and epoch alone; on the 128 the rules decide.
# A partner's column gone wrong gives thousands the same name and date: so many of them are enough to know it by, were
# they all of persons whom every partner registered a crowd of times.
_MOST: Final = 2048
# Read as they stand, and no further than is wanted: to sort a crowd is to read it all first.
_HOLDERS: Final = (
    "FROM (SELECT DISTINCT t.number FROM json_each(?) j CROSS JOIN token t ON t.lookup = j.value "  # noqa: S608
    f"LIMIT {_MOST}) n CROSS JOIN token_set s ON s.number = n.number"
)
_SHARING: Final = f"SELECT DISTINCT s.person_id {_HOLDERS} LIMIT ?"
_SHARING_WITHOUT: Final = (
    f"SELECT DISTINCT s.person_id {_HOLDERS} CROSS JOIN record r ON r.record_id = s.record_id "
    "WHERE r.flags NOT LIKE ? ESCAPE '/' LIMIT ?"
)
_RECORDS: Final = (
    "SELECT s.person_id, s.record_id, s.kinds, s.tokens, r.flags "
    "FROM token_set s JOIN record r ON r.record_id = s.record_id"
)
_OF_PERSONS: Final = f"{_RECORDS} WHERE s.person_id IN (SELECT value FROM json_each(?))"  # noqa: S608
_OTHERS: Final = f"{_RECORDS} WHERE s.person_id = ? AND s.record_id <> ?"
_OTHERS_AT: Final = f"{_OTHERS} AND r.partner = ?"


@dataclass(frozen=True, slots=True)
class IndexedRecord:
    """One record of a person: kind → its 128-bit values, and the flags its connector sent."""

    tokens: Mapping[str, frozenset[bytes]]
    flags: Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class IndexedPerson:
    """A person with all of its records, and who of those loaded with it already stands before a reviewer with it."""

    person_id: PersonId
    records: tuple[IndexedRecord, ...]
    settled: frozenset[str]


class Index:
    """Rows of ``token_set`` and ``token``."""

    def __init__(self, connection: Connection, sql: Sql, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._sql = sql
        self._at = at
        self._asked: set[int] = set()
        self._there: set[int] = set()

    def expect(self, tokens: Iterable[IndexedToken]) -> None:
        """Find out in one query which of ``tokens`` stand in the index at all: the others are not looked for again.

        For the ``tokens`` of a whole request: most are nobody's yet.
        """
        wanted = {token.lookup for token in tokens} - self._asked
        self._there.update(lookup for (lookup,) in self._sql.rows(_THERE, (orjson.dumps(sorted(wanted)).decode(),)))
        self._asked |= wanted

    def add(
        self,
        person_id: PersonId,
        record_id: str,
        tokens: Iterable[IndexedToken],
        looked_up: Collection[str],
        *,
        is_new: bool = False,
    ) -> None:
        """Replace the record's tokens by ``tokens``, to be found by those of the kinds ``looked_up``; a new record has
        none to replace."""
        if not is_new:
            self.forget(person_id, record_id)
        for packed in pack(tokens, looked_up):
            number = secrets.randbits(64) - 2**63
            columns = (packed.epoch, packed.kinds, packed.looked_up, packed.tokens)
            self._sql.run(_ADD_SET, (number, record_id, person_id, *columns))
            lookups = sorted(set(packed.lookups()))
            self._sql.run_all(_ADD, [(lookup, number) for lookup in lookups])
            self._there.update(lookups)

    def forget(self, person_id: PersonId, record_id: str) -> None:
        """Delete a record's tokens."""
        for number, *columns in self._sql.rows(_SETS, (person_id, record_id)):
            self._sql.run_all(_FORGET, [(lookup, number) for lookup in Packed(*columns).lookups()])
            self._sql.run(_FORGET_SET, (number,))

    def sharing(self, tokens: Iterable[IndexedToken], *, at_most: int, without: str | None = None) -> set[PersonId]:
        """Return ``at_most`` persons that have one of ``tokens``; of a crowd, those whose (random) numbers come first.

        Records whose flags, as JSON with sorted members, have ``without`` in them (``%`` for anything between) are not
        looked for.
        """
        lookups = {token.lookup for token in tokens}
        wanted = sorted(lookup for lookup in lookups if lookup in self._there or lookup not in self._asked)
        if not wanted:
            return set()
        listed = orjson.dumps(wanted).decode()
        if without is None:
            rows = self._sql.rows(_SHARING, (listed, at_most))
        else:
            rows = self._sql.rows(_SHARING_WITHOUT, (listed, f"%{without.replace('_', '/_')}%", at_most))
        return {PersonId(person_id) for (person_id,) in rows}

    def load(self, persons: set[PersonId]) -> list[IndexedPerson]:
        """Return ``persons``, each with all of its records and those of the others it is under review with."""
        if not persons:
            return []
        settled = Reviews(self._connection, self._at).settled(persons)
        records = _by_person(self._sql.rows(_OF_PERSONS, (orjson.dumps(sorted(persons)).decode(),)))
        return [
            IndexedPerson(PersonId(person), tuple(held), frozenset(settled.get(person, ())))
            for person, held in records.items()
        ]

    def tokens_of(self, person_id: PersonId, record_id: str) -> frozenset[IndexedToken]:
        """Return a record's tokens."""
        rows = self._sql.rows(_SETS, (person_id, record_id))
        return frozenset(token for _, *columns in rows for token in Packed(*columns).unpack())

    def records_of(self, person_id: PersonId, *, but: str = "", partner: str | None = None) -> list[IndexedRecord]:
        """Return a person's records, or those of ``partner``, without the one whose id is ``but``."""
        if partner is None:
            rows = self._sql.rows(_OTHERS, (person_id, but))
        else:
            rows = self._sql.rows(_OTHERS_AT, (person_id, but, partner))
        return _by_person(rows).get(person_id, [])


def _by_person(rows: Iterable[tuple[str, str, str, bytes, str]]) -> dict[str, list[IndexedRecord]]:
    flags: dict[tuple[str, str], str] = {}
    values: dict[tuple[str, str], dict[str, frozenset[bytes]]] = {}
    for person_id, record_id, kinds, tokens, told in rows:
        key = (person_id, record_id)
        flags[key] = told
        of_record = values.setdefault(key, {})
        for kind, held in values_of(kinds, tokens).items():
            # Tokens of two epochs stand side by side: none of the one equals any of the other.
            of_record[kind] = of_record.get(kind, frozenset()) | held
    found: dict[str, list[IndexedRecord]] = {}
    for key in sorted(values):
        found.setdefault(key[0], []).append(IndexedRecord(values[key], orjson.loads(flags[key])))
    return found
