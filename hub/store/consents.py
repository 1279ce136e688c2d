"""Consent events, one immutable row each; the exact signed bytes received are the event's sealed content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.kit.runtime.ids import PersonId
from consent.ledger.leaf import EventClass, Leaf
from hub.store.instant import Instant
from hub.store.journal import Journal
from hub.store.sealing import Opening, event_id_bytes, open_event, receipt_id_of
from hub.store.secrets import SecretStore
from hub.store.sql import Sql


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One accepted event: its place in the journal, and the JWS that proves it."""

    person_id: PersonId
    seq: int
    record_id: str
    kind: str
    collector: str
    jws: str
    receipt_id: str
    at: datetime
    gives: bool = True
    """False: what it refuses stands, what it allows does not (whose it is can no longer be told)."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Where an accepted event stands, without its content."""

    person_id: PersonId
    seq: int
    receipt_id: str
    collector: str


_SEALED = 'j.event_id, j."at", j.commitment, j.ciphertext_digest, j.sealed'
_EVENT = f"{_SEALED}, c.person_id, c.seq, c.record_id, c.kind, c.collector, c.receipt_id"
# A person's own, where no human gave them to somebody else, and those that were given to it.
_OF = f"""
SELECT {_EVENT}, 1 FROM consent_event c JOIN journal j ON j.seq = c.seq
WHERE c.person_id = :person AND c.seq < :before
  AND NOT EXISTS (SELECT 1 FROM consent_owner o WHERE o.event_seq = c.seq AND o.since_seq < :before)
UNION ALL
SELECT {_EVENT}, o.gives FROM consent_owner o
JOIN consent_event c ON c.seq = o.event_seq AND c.person_id = o.given_under JOIN journal j ON j.seq = c.seq
WHERE o.person_id = :person AND o.since_seq < :before AND (o.until_seq IS NULL OR o.until_seq >= :before)
"""  # noqa: S608 (put together from this module's own constants)
_EVER = 2**62
_PLACE = "SELECT person_id, seq, receipt_id, collector FROM consent_event WHERE "
_BY_DIGEST = _PLACE + "jws_digest = ?"
_BY_RECEIPT = _PLACE + "receipt_id = ?"
_OWNERS = """
SELECT c.person_id, o.person_id, o.until_seq FROM consent_event c
LEFT JOIN consent_owner o ON o.event_seq = c.seq AND o.given_under = c.person_id WHERE c.record_id = ?
"""
_INSERT = (
    'INSERT INTO consent_event (person_id, seq, record_id, kind, collector, jws_digest, salt, receipt_id, "at") '
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ROW = f"SELECT {_SEALED} FROM journal j WHERE j.seq = ?"  # noqa: S608 (as above)


class ConsentRegister:
    """Rows of ``consent_event``. A trigger moves the person's version with each of them."""

    def __init__(self, sql: Sql, journal: Journal, secrets: SecretStore) -> None:
        """Bind to one transaction."""
        self._sql = sql
        self._journal = journal
        self._secrets = secrets

    def append(
        self, person_id: PersonId, *, record_id: str, kind: str, collector: str, jws: str, digest: str, salt: bytes
    ) -> Accepted:
        """Append one accepted event; ``digest`` is the JWS's, ``salt`` the one that hides its subject."""
        appended = self._journal.append(EventClass.CONSENT, jws, person=person_id)
        receipt_id, at_us = receipt_id_of(appended.r32), appended.leaf.at_us
        row = (person_id, appended.seq, record_id, kind, collector, digest, salt, receipt_id, at_us)
        self._sql.run(_INSERT, row)
        return Accepted(person_id, appended.seq, receipt_id, collector)

    def of(self, person_id: PersonId, *, before: int = _EVER) -> list[StoredEvent]:
        """Return a person's events in the order of their acceptance: as they stood at event ``before`` of the journal.

        Raises ``MaillonError(STORAGE)`` when one is not what was accepted.
        """
        rows = self._sql.rows(_OF, {"person": person_id, "before": before})
        keys = {under: self._secrets.consent_key(PersonId(under)) for under in {row[5] for row in rows}}
        return sorted((_stored(row, keys[row[5]]) for row in rows), key=lambda event: event.seq)

    def by_digest(self, digest: str) -> Accepted | None:
        """Return the event accepted from the JWS with this digest."""
        return _place(self._sql.row(_BY_DIGEST, (digest,)))

    def by_receipt(self, receipt_id: str) -> Accepted | None:
        """Return the event whose receipt this is."""
        return _place(self._sql.row(_BY_RECEIPT, (receipt_id,)))

    def opening(self, place: Accepted) -> Opening | None:
        """Return what opens an event; None when its content was erased. Raises ``MaillonError(STORAGE)``."""
        (row,) = self._sql.rows(_ROW, (place.seq,))
        return None if row[-1] is None else _opening(row, self._secrets.consent_key(place.person_id))

    def owners_of(self, record_id: str) -> set[PersonId]:
        """Return whose consent record this is: nobody's when it was never used, two persons' when nobody can tell."""
        rows = self._sql.rows(_OWNERS, (record_id,))
        given = {PersonId(owner) for _, owner, until in rows if owner is not None and until is None}
        return given | {PersonId(person) for person, owner, _ in rows if owner is None}


def _place(row: tuple[Any, ...] | None) -> Accepted | None:
    return None if row is None else Accepted(PersonId(row[0]), row[1], row[2], row[3])


def _opening(event: tuple[Any, ...], key: bytes) -> Opening:
    event_id, at_us, bound, digest, sealed = event
    return open_event(key, Leaf(EventClass.CONSENT, event_id_bytes(event_id), at_us, bound, digest), sealed)


def _stored(row: tuple[Any, ...], key: bytes) -> StoredEvent:
    opening, (person, seq, record_id, kind, collector, receipt_id, gives) = _opening(row[:5], key), row[5:]
    at, jws = Instant.from_microseconds(opening.leaf.at_us), str(opening.body)
    return StoredEvent(PersonId(person), seq, record_id, kind, collector, jws, receipt_id, at, bool(gives))
