"""Consent events, one immutable row each; the exact signed bytes received are the event's sealed content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors.kit.runtime.errors import MaillonError
from connectors.kit.runtime.ids import PersonId
from consent.ledger.leaf import EventClass, Leaf
from hub.store.instant import Instant
from hub.store.journal import Journal
from hub.store.sealing import Opening, event_id_bytes, open_alone, open_event, receipt_id_of
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
    read_as: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What the law made of ``jws``, by the version of the policy it was read under: reading it costs the most."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Where an accepted event stands, without its content."""

    person_id: PersonId
    seq: int
    receipt_id: str
    collector: str


@dataclass(frozen=True, slots=True)
class KnownRecord:
    """A consent record as the register knows it. ``owners``: whose it is; nobody's when it was never used, two
    persons' when nobody can tell. ``accepted``: its events, by the digest of their JWS."""

    owners: frozenset[PersonId]
    accepted: Mapping[str, Accepted]


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
_BY_RECEIPT = _PLACE + "receipt_id = ?"
_RECORD = """
SELECT c.person_id, c.seq, c.receipt_id, c.collector, c.jws_digest, o.person_id, o.until_seq FROM consent_event c
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
        self,
        person_id: PersonId,
        *,
        record_id: str,
        kind: str,
        collector: str,
        jws: str,
        digest: str,
        salt: bytes,
        read_as: Mapping[str, Any] | None = None,
    ) -> Accepted:
        """Append one accepted event: ``digest`` is the JWS's, ``salt`` hides its subject, ``read_as`` is that of
        :class:`StoredEvent`."""
        appended = self._journal.append(EventClass.CONSENT, jws, person=person_id)
        receipt_id, at_us = receipt_id_of(appended.r32), appended.leaf.at_us
        row = (person_id, appended.seq, record_id, kind, collector, digest, salt, receipt_id, at_us)
        self._sql.run(_INSERT, row)
        # Most events are read again soon. Should this one be undone, no row will ever look like it.
        leaf, opened = appended.leaf, self._secrets.opened
        clear = (appended.event_id, at_us, leaf.commitment, leaf.ciphertext_digest, person_id, appended.seq)
        event = StoredEvent(
            person_id,
            appended.seq,
            record_id,
            kind,
            collector,
            jws,
            receipt_id,
            Instant.from_microseconds(at_us),
            read_as=dict(read_as or {}),
        )
        opened.put((*clear, record_id, kind, collector, receipt_id, 1), event, opened.token())
        return Accepted(person_id, appended.seq, receipt_id, collector)

    def of(self, person_id: PersonId, *, before: int = _EVER) -> list[StoredEvent]:
        """Return a person's events in the order of their acceptance: as they stood at event ``before`` of the journal.

        Raises ``MaillonError(STORAGE)`` when one is not what was accepted.
        """
        opened = self._secrets.opened
        since = opened.token()
        found = []
        for row in self._sql.rows(_OF, {"person": person_id, "before": before}):
            # All that stands in clear: a row that was changed is opened, and checked against its leaf, again.
            clear = row[:4] + row[5:]
            event: StoredEvent | None = opened.get(clear)
            if event is None:
                event = _stored(row, self._opening(row[:5], PersonId(row[5])))
                opened.put(clear, event, since)
            found.append(event)
        return sorted(found, key=lambda event: event.seq)

    def record(self, record_id: str) -> KnownRecord:
        """Return what is known of a consent record, by all its events."""
        rows = self._sql.rows(_RECORD, (record_id,))
        given = {PersonId(owner) for *_, owner, until in rows if owner is not None and until is None}
        own = {PersonId(person) for person, *_, owner, _ in rows if owner is None}
        return KnownRecord(frozenset(given | own), {row[4]: _accepted(row[:4]) for row in rows})

    def by_receipt(self, receipt_id: str) -> Accepted | None:
        """Return the event whose receipt this is."""
        row = self._sql.row(_BY_RECEIPT, (receipt_id,))
        return None if row is None else _accepted(row)

    def opening(self, place: Accepted) -> Opening | None:
        """Return what opens an event; None when its content was erased. Raises ``MaillonError(STORAGE)``."""
        (row,) = self._sql.rows(_ROW, (place.seq,))
        return None if row[-1] is None else self._opening(row, place.person_id)

    def _opening(self, event: tuple[Any, ...], given_under: PersonId) -> Opening:
        event_id, at_us, bound, digest, sealed = event
        leaf = Leaf(EventClass.CONSENT, event_id_bytes(event_id), at_us, bound, digest)
        return open_consent(self._secrets, given_under, event_id, leaf, sealed)


def _accepted(row: tuple[Any, ...]) -> Accepted:
    person, seq, receipt_id, collector = row
    return Accepted(PersonId(person), seq, receipt_id, collector)


def open_consent(secrets: SecretStore, given_under: PersonId, event_id: str, leaf: Leaf, sealed: bytes) -> Opening:
    """Return what opens a consent event accepted for ``given_under``: with that person's key, or, where it was
    destroyed with somebody whose event this was not, with the event's own. Raises ``MaillonError(STORAGE)``."""
    try:
        return open_event(secrets.consent_key(given_under), leaf, sealed)
    except MaillonError:
        own = secrets.event_keys([event_id]).get(event_id)
        if not own:
            raise
        return open_alone(own[0].key, leaf, sealed)


def _stored(row: tuple[Any, ...], opening: Opening) -> StoredEvent:
    person, seq, record_id, kind, collector, receipt_id, gives = row[5:]
    at, jws = Instant.from_microseconds(opening.leaf.at_us), str(opening.body)
    return StoredEvent(PersonId(person), seq, record_id, kind, collector, jws, receipt_id, at, bool(gives))
