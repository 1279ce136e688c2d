"""Everything the log holds about one person, in its order: for the person's own export, and to show what is missing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, Row, literal, select, union_all

from connectors.kit.runtime.ids import PersonId
from consent.ledger.envelope import Link
from consent.ledger.leaf import EventClass, Leaf
from hub.store.consents import open_consent
from hub.store.journal import leaf_of, opening_of
from hub.store.sealing import Opening, event_id_bytes
from hub.store.secrets import SecretStore
from hub.store.tables import access_event, consent_event, journal, match_event, person, subject_head

_ABOUT_A_PERSON = (EventClass.CONSENT.value, EventClass.MATCH.value)


@dataclass(frozen=True, slots=True)
class SubjectEvent:
    """One event about a person. ``opening`` is None when its content was erased."""

    seq: int
    leaf: Leaf
    opening: Opening | None

    @property
    def link(self) -> Link | None:
        """Where it stands among the person's events, as the event itself says."""
        return None if self.opening is None else Link.from_wire(self.opening.content["subject"])


@dataclass(frozen=True, slots=True)
class SubjectHead:
    """How many events there are about a person, and the leaf hash of the newest (32 bytes; None: no event)."""

    n: int
    leaf_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Emptied:
    """An event whose content was removed, and the sequence number of the event that removed it."""

    leaf: Leaf
    emptied_by: int


class Subjects:
    """Reads events by whom they are about."""

    def __init__(self, connection: Connection, secrets: SecretStore) -> None:
        """Bind to one transaction."""
        self._connection = connection
        self._secrets = secrets

    def events(self, owner: str, only: int | None = None) -> list[SubjectEvent]:
        """Return the events about a person, or those left to an erasure receipt, in their order; ``only`` one of them.

        A month whose key has died is not found any more. Raises ``MaillonError(STORAGE)`` when an event is not what
        was sealed.
        """
        traces = {trace.tag: trace.key for trace in self._secrets.traces_of(owner)}
        # What is accepted for one person and left, when she is erased, is another's: not found through the erasure.
        of_consents = (
            select(consent_event.c.seq, literal(None).label("tag"))
            .join(person, person.c.person_id == consent_event.c.person_id)
            .where(consent_event.c.person_id == owner)
        )
        of_traces = [
            select(table.c.seq, table.c.subject_tag).where(table.c.subject_tag.in_(list(traces)))
            for table in (access_event, match_event)
        ]
        places = union_all(of_consents, *of_traces).subquery()
        query = select(journal, places.c.tag).join(places, places.c.seq == journal.c.seq).order_by(journal.c.seq)
        if only is not None:
            query = query.where(journal.c.seq == only)
        rows = self._connection.execute(query).all()
        return [SubjectEvent(row.seq, leaf_of(row), self._opening(row, owner, traces)) for row in rows]

    def at(self, seqs: Collection[int]) -> list[SubjectEvent]:
        """Return consents and accesses about somebody, whoever, by sequence number; those of ended months are not
        found. Raises as :meth:`events`."""
        found = select(journal, consent_event.c.person_id, access_event.c.subject_tag).where(journal.c.seq.in_(seqs))
        found = found.outerjoin(consent_event, consent_event.c.seq == journal.c.seq)
        found = found.outerjoin(access_event, access_event.c.seq == journal.c.seq).order_by(journal.c.seq)
        rows = self._connection.execute(found).all()
        traces = self._secrets.by_tag({row.subject_tag for row in rows if row.subject_tag is not None})
        events = []
        for row in rows:
            if row.sealed is None:
                continue
            if row.person_id is not None:
                given_under = PersonId(row.person_id)
                opening = open_consent(self._secrets, given_under, row.event_id, leaf_of(row), row.sealed)
                events.append(SubjectEvent(row.seq, leaf_of(row), opening))
            elif row.subject_tag in traces:
                events.append(SubjectEvent(row.seq, leaf_of(row), opening_of(row, traces[row.subject_tag].key)))
        return events

    def emptied(self, seq: int) -> Emptied | None:
        """Return event ``seq`` if its content was removed."""
        row = self._connection.execute(select(journal).where(journal.c.seq == seq)).one_or_none()
        return None if row is None or row.emptied_by is None else Emptied(leaf_of(row), row.emptied_by)

    def leaf(self, seq: int) -> Leaf:
        """Return the leaf of event ``seq``, which must be there."""
        return leaf_of(self._connection.execute(select(journal).where(journal.c.seq == seq)).one())

    def emptied_under(self, seq: int) -> list[bytes]:
        """Return the ids (16 bytes) of every event whose content went under event ``seq``, in the order of the log."""
        query = select(journal.c.event_id).where(journal.c.emptied_by == seq).order_by(journal.c.seq)
        return [event_id_bytes(event_id) for event_id in self._connection.execute(query).scalars()]

    def about_no_one(self, seq: int) -> Opening | None:
        """Return what opens event ``seq``; None when it is about somebody, or its content was erased."""
        query = (
            select(journal)
            .outerjoin(access_event, access_event.c.seq == journal.c.seq)
            .where(
                journal.c.seq == seq, journal.c["class"].not_in(_ABOUT_A_PERSON), access_event.c.subject_tag.is_(None)
            )
        )
        row = self._connection.execute(query).one_or_none()
        return None if row is None or row.sealed is None else opening_of(row, self._secrets.system_key)

    def head(self, of: str) -> SubjectHead | None:
        """Return the end of a person's chain; None for no person."""
        row = self._connection.execute(select(subject_head).where(subject_head.c.person_id == of)).one_or_none()
        return None if row is None else SubjectHead(row.n, row.leaf_hash)

    def _opening(self, row: Row[tuple[object, ...]], owner: str, traces: dict[bytes, bytes]) -> Opening | None:
        if row.sealed is None:
            return None
        if row.tag is not None:
            return opening_of(row, traces[row.tag])
        return open_consent(self._secrets, PersonId(owner), row.event_id, leaf_of(row), row.sealed)
