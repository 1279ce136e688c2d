"""Consent events, one immutable row each; the exact signed bytes received are the event's sealed content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, true, union_all

from connectors.kit.runtime.ids import PersonId
from consent.ledger.leaf import EventClass
from hub.store.identity_tables import consent_owner
from hub.store.journal import Journal, opening_of
from hub.store.sealing import Opening, receipt_id_of
from hub.store.secrets import SecretStore
from hub.store.tables import consent_event, journal


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


# Written once: building a statement costs more than running it.
_EVENT = (
    *(consent_event.c[name] for name in ("person_id", "seq", "record_id", "kind", "collector", "receipt_id")),
    *(journal.c[name] for name in ("event_id", "class", "at", "commitment", "ciphertext_digest", "sealed")),
)
_IS_OWNERS = (consent_owner.c.event_seq == consent_event.c.seq) & (
    consent_owner.c.given_under == consent_event.c.person_id
)
_CHANGED = select(consent_owner.c.event_seq).where(
    consent_owner.c.event_seq == consent_event.c.seq, consent_owner.c.since_seq < bindparam("before")
)
# A person's own, where no human gave them to somebody else, and those that were given to it.
_OF = union_all(
    select(*_EVENT, true().label("gives"))
    .join(journal, journal.c.seq == consent_event.c.seq)
    .where(consent_event.c.person_id == bindparam("person_id"), consent_event.c.seq < bindparam("before"))
    .where(~_CHANGED.exists()),
    select(*_EVENT, consent_owner.c.gives)
    .join(journal, journal.c.seq == consent_event.c.seq)
    .join(consent_owner, _IS_OWNERS)
    .where(consent_owner.c.person_id == bindparam("person_id"), consent_owner.c.since_seq < bindparam("before"))
    .where(or_(consent_owner.c.until_seq.is_(None), consent_owner.c.until_seq >= bindparam("before"))),
)
_EVER = 2**62
_PLACE = select(*(consent_event.c[name] for name in ("person_id", "seq", "receipt_id", "collector")))
_BY_DIGEST = _PLACE.where(consent_event.c.jws_digest == bindparam("digest"))
_BY_RECEIPT = _PLACE.where(consent_event.c.receipt_id == bindparam("receipt"))
_OWNERS = (
    select(consent_event.c.person_id, consent_owner.c.person_id.label("owner"), consent_owner.c.until_seq)
    .outerjoin(consent_owner, _IS_OWNERS)
    .where(consent_event.c.record_id == bindparam("record"))
)
_INSERT = insert(consent_event)
_ROW = select(journal).where(journal.c.seq == bindparam("of"))


class ConsentRegister:
    """Rows of ``consent_event``. A trigger moves the person's version with each of them."""

    def __init__(self, connection: Connection, journal: Journal, secrets: SecretStore, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._journal = journal
        self._secrets = secrets
        self._at = at

    def append(
        self, person_id: PersonId, *, record_id: str, kind: str, collector: str, jws: str, digest: str, salt: bytes
    ) -> Accepted:
        """Append one accepted event; ``digest`` is the JWS's, ``salt`` the one that hides its subject."""
        appended = self._journal.append(EventClass.CONSENT, jws, person=person_id)
        receipt_id = receipt_id_of(appended.r32)
        self._connection.execute(
            _INSERT,
            {
                "person_id": person_id,
                "seq": appended.seq,
                "record_id": record_id,
                "kind": kind,
                "collector": collector,
                "jws_digest": digest,
                "salt": salt,
                "receipt_id": receipt_id,
                "at": self._at,
            },
        )
        return Accepted(person_id, appended.seq, receipt_id, collector)

    def of(self, person_id: PersonId, *, before: int = _EVER) -> list[StoredEvent]:
        """Return a person's events in the order of their acceptance: as they stood at event ``before`` of the journal.

        Raises ``MaillonError(STORAGE)`` when one is not what was accepted.
        """
        rows = self._connection.execute(_OF, {"person_id": person_id, "before": before}).all()
        keys = {under: self._secrets.consent_key(PersonId(under)) for under in {row.person_id for row in rows}}
        return sorted((_stored(row, keys[row.person_id]) for row in rows), key=lambda event: event.seq)

    def by_digest(self, digest: str) -> Accepted | None:
        """Return the event accepted from the JWS with this digest."""
        return self._place(_BY_DIGEST, digest=digest)

    def by_receipt(self, receipt_id: str) -> Accepted | None:
        """Return the event whose receipt this is."""
        return self._place(_BY_RECEIPT, receipt=receipt_id)

    def opening(self, place: Accepted) -> Opening | None:
        """Return what opens an event; None when its content was erased. Raises ``MaillonError(STORAGE)``."""
        row = self._connection.execute(_ROW, {"of": place.seq}).one()
        return None if row.sealed is None else opening_of(row, self._secrets.consent_key(place.person_id))

    def owners_of(self, record_id: str) -> set[PersonId]:
        """Return whose consent record this is: nobody's when it was never used, two persons' when nobody can tell."""
        rows = self._connection.execute(_OWNERS, {"record": record_id}).all()
        given = {PersonId(row.owner) for row in rows if row.owner is not None and row.until_seq is None}
        return given | {PersonId(row.person_id) for row in rows if row.owner is None}

    def _place(self, query: Any, **values: str) -> Accepted | None:
        row = self._connection.execute(query, values).one_or_none()
        return None if row is None else Accepted(PersonId(row.person_id), row.seq, row.receipt_id, row.collector)


def _stored(row: Row[Any], key: bytes) -> StoredEvent:
    jws = str(opening_of(row, key).body)
    return StoredEvent(
        PersonId(row.person_id), row.seq, row.record_id, row.kind, row.collector, jws, row.receipt_id, row.at, row.gives
    )
