"""Consent events, one immutable row each, with the exact signed bytes received."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select

from connectors.kit.runtime.ids import PersonId, new_uuid
from hub.store.journal import EventClass, Journal
from hub.store.tables import consent_event


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


# Written once: building a statement costs more than running it.
_EVENTS = select(*(consent_event.c[name] for name in StoredEvent.__slots__)).order_by(consent_event.c.seq)
_OF = _EVENTS.where(consent_event.c.person_id == bindparam("person_id"))


class ConsentRegister:
    """Rows of ``consent_event``. A trigger moves the person's version with each of them."""

    def __init__(self, connection: Connection, journal: Journal, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._journal = journal
        self._at = at

    def append(
        self, person_id: PersonId, *, record_id: str, kind: str, collector: str, jws: str, digest: str, salt: bytes
    ) -> StoredEvent:
        """Append one accepted event; ``digest`` is the JWS's, ``salt`` the one that hides its subject."""
        seq, commitment_salt, _ = self._journal.append(EventClass.CONSENT, jws.encode("ascii"))
        receipt_id = new_uuid()
        self._connection.execute(
            insert(consent_event),
            {
                "person_id": person_id,
                "seq": seq,
                "record_id": record_id,
                "kind": kind,
                "collector": collector,
                "jws": jws,
                "jws_digest": digest,
                "salt": salt,
                "commitment_salt": commitment_salt,
                "receipt_id": receipt_id,
                "at": self._at,
            },
        )
        return StoredEvent(person_id, seq, record_id, kind, collector, jws, receipt_id, self._at)

    def of(self, person_id: PersonId) -> list[StoredEvent]:
        """Return a person's events in the order of their acceptance."""
        return [StoredEvent(*row) for row in self._connection.execute(_OF, {"person_id": person_id})]

    def by_digest(self, digest: str) -> StoredEvent | None:
        """Return the event accepted from the JWS with this digest."""
        found = self._read(consent_event.c.jws_digest == digest)
        return found[0] if found else None

    def owner_of(self, record_id: str) -> PersonId | None:
        """Return whose consent record this is, None when the id was never used."""
        found = self._read(consent_event.c.record_id == record_id)
        return found[0].person_id if found else None

    def _read(self, *where: object) -> list[StoredEvent]:
        return [StoredEvent(*row) for row in self._connection.execute(_EVENTS.where(*where))]  # type: ignore[arg-type]
