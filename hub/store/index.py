"""Tokens → candidates. Look-up is one indexed query on 64 bits; the 128-bit value decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, insert, select

from connectors.kit.runtime.ids import PersonId
from hub.store.reviews import Reviews
from hub.store.tables import record, token

# Written once: building a statement costs more than running it.
_INSERT = insert(token)
_IS_RECORDS = (token.c.person_id == bindparam("person"), token.c.record_id == bindparam("record"))
_FORGET = delete(token).where(*_IS_RECORDS)
_OF_RECORD = select(token.c.kind, token.c.epoch, token.c.lookup, token.c.value).where(*_IS_RECORDS)
# The 64 bits find the rows, the 128 decide: they are those of one kind and epoch alone.
_FOUND = select(token.c.person_id).where(
    token.c.lookup.in_(bindparam("lookups", expanding=True)), token.c.value.in_(bindparam("values", expanding=True))
)
_SHARING = _FOUND.distinct().order_by(token.c.person_id).limit(bindparam("at_most"))
_SHARING_WITHOUT = (
    _FOUND.join(record, record.c.record_id == token.c.record_id)
    .where(record.c.flags.not_like(bindparam("without"), escape="/"))
    .distinct()
    .order_by(token.c.person_id)
    .limit(bindparam("at_most"))
)
_RECORDS = select(token.c.person_id, token.c.record_id, token.c.kind, token.c.value, record.c.flags).join(
    record, record.c.record_id == token.c.record_id
)
_OF_PERSONS = _RECORDS.where(token.c.person_id.in_(bindparam("persons", expanding=True)))
_OTHERS = _RECORDS.where(token.c.person_id == bindparam("person"), token.c.record_id != bindparam("but"))
_OTHERS_AT = _OTHERS.where(record.c.partner == bindparam("partner"))


@dataclass(frozen=True, slots=True)
class IndexedToken:
    """A token as the hub keeps it: keyed, cut in a signed 64-bit look-up and a 128-bit value."""

    kind: str
    epoch: int
    lookup: int
    value: bytes


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
    """Rows of ``token``."""

    def __init__(self, connection: Connection, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._at = at

    def add(self, person_id: PersonId, record_id: str, tokens: Iterable[IndexedToken], *, is_new: bool = False) -> None:
        """Replace the record's tokens by ``tokens``; a new record has none."""
        if not is_new:
            self._connection.execute(_FORGET, {"person": person_id, "record": record_id})
        rows = [
            {
                "lookup": t.lookup,
                "kind": t.kind,
                "epoch": t.epoch,
                "value": t.value,
                "record_id": record_id,
                "person_id": person_id,
            }
            for t in sorted(set(tokens), key=lambda t: (t.lookup, t.kind))
        ]
        if rows:
            self._connection.execute(_INSERT, rows)

    def sharing(self, tokens: Iterable[IndexedToken], *, at_most: int, without: str | None = None) -> set[PersonId]:
        """Return ``at_most`` persons that have one of ``tokens``; of a crowd, those with the lowest (random) ids.

        Records whose flags, as JSON with sorted members, have ``without`` in them (``%`` for anything between) are not
        looked for.
        """
        wanted = list(tokens)
        if not wanted:
            return set()
        values: dict[str, object] = {
            "lookups": list({t.lookup for t in wanted}),
            "values": list({t.value for t in wanted}),
            "at_most": at_most,
        }
        query = _SHARING
        if without is not None:
            query = _SHARING_WITHOUT
            values["without"] = f"%{without.replace('_', '/_')}%"
        return {PersonId(found) for found in self._connection.execute(query, values).scalars()}

    def load(self, persons: set[PersonId]) -> list[IndexedPerson]:
        """Return ``persons``, each with all of its records and those of the others it is under review with."""
        if not persons:
            return []
        settled = Reviews(self._connection, self._at).settled(persons)
        records = _by_person(self._connection.execute(_OF_PERSONS, {"persons": sorted(persons)}))
        return [
            IndexedPerson(PersonId(person), tuple(held), frozenset(settled.get(person, ())))
            for person, held in records.items()
        ]

    def tokens_of(self, person_id: PersonId, record_id: str) -> frozenset[IndexedToken]:
        """Return a record's tokens."""
        rows = self._connection.execute(_OF_RECORD, {"person": person_id, "record": record_id})
        return frozenset(IndexedToken(*row) for row in rows)

    def records_of(self, person_id: PersonId, *, but: str = "", partner: str | None = None) -> list[IndexedRecord]:
        """Return a person's records, or those of ``partner``, without the one whose id is ``but``."""
        values = {"person": person_id, "but": but} | ({} if partner is None else {"partner": partner})
        query = _OTHERS if partner is None else _OTHERS_AT
        return _by_person(self._connection.execute(query, values)).get(person_id, [])


def _by_person(rows: Iterable[Any]) -> dict[str, list[IndexedRecord]]:
    flags: dict[tuple[str, str], str] = {}
    values: dict[tuple[str, str], dict[str, set[bytes]]] = {}
    for person_id, record_id, kind, value, told in rows:
        key = (person_id, record_id)
        flags[key] = told
        values.setdefault(key, {}).setdefault(kind, set()).add(value)
    found: dict[str, list[IndexedRecord]] = {}
    for key in sorted(values):
        kinds = {kind: frozenset(held) for kind, held in values[key].items()}
        found.setdefault(key[0], []).append(IndexedRecord(kinds, orjson.loads(flags[key])))
    return found
