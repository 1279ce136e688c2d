"""Persons: random ids that never leave the hub, the records linked to them, who holds what, and their refs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import orjson
from sqlalchemy import Connection, bindparam, func, select, update

from connectors.kit.runtime.ids import PersonId, new_uuid
from hub.ref_epochs import RefEpochs
from hub.store.sql import Sql
from hub.store.tables import Instant, holding, person, person_ref, record

# What every pull reads. Written once: building a statement costs more than running it.
_VERSION = select(person.c.version).where(person.c.person_id == bindparam("person_id"))
_HOLDINGS = select(holding.c.partner, holding.c.section).where(holding.c.person_id == bindparam("person_id"))
_BY_REF = "SELECT person_id FROM person_ref WHERE lookup = ? AND partner = ?"
# Every registration's, plain SQL too (ADR 0017).
_ADD_PERSON = "INSERT INTO person (person_id, created_at, provisional) VALUES (?, ?, ?)"
_ADD_HEAD = "INSERT INTO subject_head (person_id, n, leaf_hash) VALUES (?, 0, NULL)"
_ADD_RECORD = "INSERT INTO record (record_id, partner, record_key, flags, created_at) VALUES (?, ?, ?, ?, ?)"
_ADD_LINK = "INSERT INTO link (person_id, record_id, since, rule, actor) VALUES (?, ?, ?, ?, ?)"
_ADD_HOLDING = "INSERT INTO holding (person_id, partner, record_id, section, since) VALUES (?, ?, ?, ?, ?)"
_ADD_REF = (
    "INSERT INTO person_ref (person_id, partner, epoch, lookup, secret_of) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_RECORD_OF = (
    "SELECT r.record_id, l.person_id FROM record r JOIN link l ON l.record_id = r.record_id AND l.until IS NULL "
    "WHERE r.partner = ? AND r.record_key = ?"
)
_DECLARED = "SELECT section FROM holding WHERE person_id = ? AND partner = ? AND record_id = ?"
_UNDECLARE = "DELETE FROM holding WHERE person_id = ? AND partner = ? AND record_id = ? AND section = ?"
_MEANT_BY = select(person_ref.c.lookup, person_ref.c.person_id).where(
    person_ref.c.lookup.in_(bindparam("lookups", expanding=True))
)
_REFS_AT = (
    select(person_ref.c.person_id, person_ref.c.secret_of)
    .where(person_ref.c.person_id.in_(bindparam("persons", expanding=True)))
    .where(person_ref.c.partner == bindparam("partner"), person_ref.c.epoch == bindparam("epoch"))
    .order_by(person_ref.c.secret_of)
)
_REFS_OF = (
    select(person_ref.c.person_id, person_ref.c.partner, person_ref.c.epoch, person_ref.c.secret_of)
    .where(person_ref.c.person_id == bindparam("person_id"))
    .order_by(person_ref.c.secret_of)
)

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Holding:
    """A partner that registered the person, and the sections it declared. None: it does not say."""

    partner: str
    sections: frozenset[str]


@dataclass(frozen=True, slots=True)
class RefRow:
    """A keyed look-up of a ref: whom it means, and whose secret makes it."""

    person_id: PersonId
    partner: str
    epoch: int
    lookup: bytes
    secret_of: PersonId


class Persons:
    """Rows of ``person``, ``record``, ``link``, ``holding`` and ``person_ref``."""

    def __init__(self, connection: Connection, sql: Sql, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._sql = sql
        self._at = at

    def create(self, *, provisional: bool) -> PersonId:
        """Return a new person's id."""
        person_id = PersonId(new_uuid())
        self._sql.run(_ADD_PERSON, (person_id, Instant.to_microseconds(self._at), provisional))
        self._sql.run(_ADD_HEAD, (person_id,))
        return person_id

    def version(self, person_id: PersonId) -> int:
        """Return how many consent events the person has had; moves with every one of them."""
        return int(self._connection.execute(_VERSION, {"person_id": person_id}).scalar_one())

    def is_known(self, person_id: PersonId) -> bool:
        """Say whether there is still such a person: it may have been erased since."""
        return self._connection.execute(_VERSION, {"person_id": person_id}).scalar() is not None

    def record_of(self, partner: str, record_key: bytes) -> tuple[str, PersonId] | None:
        """Return the record a partner already registered under ``record_key`` and the person it belongs to now."""
        row = self._sql.row(_RECORD_OF, (partner, record_key))
        return None if row is None else (row[0], PersonId(row[1]))

    def add_record(
        self,
        person_id: PersonId,
        partner: str,
        record_key: bytes,
        flags: Mapping[str, object],
        *,
        rule: str,
        actor: str,
    ) -> str:
        """Add a record, linked to ``person_id`` by ``rule`` on the word of ``actor``; return its id."""
        record_id, at = new_uuid(), Instant.to_microseconds(self._at)
        told = orjson.dumps(flags, option=orjson.OPT_SORT_KEYS).decode()
        self._sql.run(_ADD_RECORD, (record_id, partner, record_key, told, at))
        self._sql.run(_ADD_LINK, (person_id, record_id, at, rule, actor))
        return record_id

    def set_flags(self, record_id: str, flags: Mapping[str, object]) -> None:
        """Replace a record's flags by those of its newest registration; write nothing when they are the same."""
        text = orjson.dumps(flags, option=orjson.OPT_SORT_KEYS).decode()
        other = (record.c.record_id == record_id) & (record.c.flags != text)
        self._connection.execute(update(record).where(other).values(flags=text))

    def declare(
        self, person_id: PersonId, partner: str, record_id: str, sections: Iterable[str], *, is_new: bool = False
    ) -> None:
        """Make ``sections`` what ``partner`` declares to hold through this record (none: it does not say); a new record
        has declared nothing yet."""
        mine, since = (person_id, partner, record_id), Instant.to_microseconds(self._at)
        wanted = set(sections) or {""}
        had = set() if is_new else {section for (section,) in self._sql.rows(_DECLARED, mine)}
        self._sql.run_all(_UNDECLARE, [(*mine, section) for section in sorted(had - wanted)])
        self._sql.run_all(_ADD_HOLDING, [(*mine, section, since) for section in sorted(wanted - had)])

    def undeclare(self, person_id: PersonId, partner: str, record_id: str) -> None:
        """Forget that ``partner`` holds anything through this record."""
        mine = (holding.c.person_id == person_id) & (holding.c.partner == partner) & (holding.c.record_id == record_id)
        self._connection.execute(holding.delete().where(mine))

    def holdings(self, person_id: PersonId) -> dict[str, Holding]:
        """Return who holds something of the person. An undeclared record makes the partner's sections unknown."""
        rows = self._connection.execute(_HOLDINGS, {"person_id": person_id})
        sections: dict[str, set[str]] = {}
        for row in rows:
            sections.setdefault(row.partner, set()).add(row.section)
        return {
            partner: Holding(partner, frozenset() if "" in names else frozenset(names))
            for partner, names in sections.items()
        }

    def add_refs(self, rows: Sequence[RefRow]) -> None:
        """Remember keyed look-ups of refs; one that is there stays as it is."""
        self._sql.run_all(_ADD_REF, [(r.person_id, r.partner, r.epoch, r.lookup, r.secret_of) for r in rows])

    def meant_by(self, lookups: Collection[bytes]) -> dict[bytes, PersonId]:
        """Return whom each of ``lookups`` that is taken means."""
        rows = self._connection.execute(_MEANT_BY, {"lookups": list(lookups)})
        return {row.lookup: PersonId(row.person_id) for row in rows}

    def ref_secrets(self, partner: str, epoch: int, persons: Collection[PersonId]) -> dict[PersonId, PersonId]:
        """Return, for each of ``persons`` that ``partner`` has a ref of, whose secret makes it."""
        rows = self._connection.execute(_REFS_AT, {"persons": sorted(persons), "partner": partner, "epoch": epoch})
        found: dict[PersonId, PersonId] = {}
        for row in rows:
            _prefer_own(found, PersonId(row.person_id), row.person_id, row.secret_of)
        return found

    def refs_of(self, person_id: PersonId, epochs: RefEpochs) -> dict[str, tuple[PersonId, int]]:
        """Return, for each partner that has a ref of the person, whose secret makes it and of which epoch it is: the
        one its edge uses, or, of a person it did not know before, the newest."""
        rows = self._connection.execute(_REFS_OF, {"person_id": person_id}).all()
        found: dict[str, tuple[PersonId, int]] = {}
        for epoch_of in (epochs.used, epochs.newest):
            of_epoch: dict[str, PersonId] = {}
            for row in rows:
                if row.partner not in found and row.epoch == epoch_of(row.partner):
                    _prefer_own(of_epoch, row.partner, row.person_id, row.secret_of)
            found |= {partner: (secret, epoch_of(partner)) for partner, secret in of_epoch.items()}
        return found

    def by_ref(self, partner: str, lookup: bytes) -> PersonId | None:
        """Return whom a keyed look-up of ``partner``'s means, None when no one."""
        row = self._sql.row(_BY_REF, (lookup, partner))
        return None if row is None else PersonId(row[0])

    def count(self) -> int:
        """Return how many persons there are."""
        return int(self._connection.execute(select(func.count()).select_from(person)).scalar_one())


def _prefer_own(found: dict[K, PersonId], key: K, person_id: str, secret_of: str) -> None:
    """Of several refs at one partner, take the one the person's own secret makes; else always the same one."""
    if key not in found or secret_of == person_id:
        found[key] = PersonId(secret_of)
