"""Erasing a person's rows, and the content of events whose time is over; what the log's audit accepts of it.

Whatever is emptied names the event that let it: ``emptied`` in that event's body is how many contents went, and the
SHA-256 of their event ids in the order of the log. Without such an event no content may be missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, func, insert, or_, select, update

from connectors.kit.runtime import b64url
from connectors.kit.runtime.ids import EventId, PersonId
from consent.ledger.leaf import EventClass
from hub.store.journal import Journal, opening_of
from hub.store.sealing import Opening, event_id_bytes
from hub.store.tables import (
    access_agent,
    access_event,
    access_field,
    consent_event,
    erasure,
    holding,
    journal,
    kept_consent,
    link,
    match_event,
    person,
    person_ref,
    record,
    review,
    subject_head,
    token,
    token_set,
)
from hub.store.token_set import Packed

_SEQS = select(consent_event.c.seq).where(consent_event.c.person_id == bindparam("of")).order_by(consent_event.c.seq)
_RECORDS = (
    select(link.c.record_id).where(link.c.person_id == bindparam("of"), link.c.until.is_(None)).order_by("record_id")
)
_TOKENS = select(token_set.c.epoch, token_set.c.kinds, token_set.c.looked_up, token_set.c.tokens).where(
    token_set.c.person_id == bindparam("of")
)


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """One erasure as the log has it. ``pending`` is the person while its secrets are still there."""

    erasure_id: str
    seq: int
    decision: str
    at: datetime
    pending: PersonId | None
    kept_until: datetime | None


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds of a person (None: of no one). ``events``: its consent events; ``records``: those that are
    its own now."""

    person: PersonId | None
    events: tuple[int, ...]
    records: tuple[str, ...]
    counts: Mapping[str, int]


class Erasures:
    """Rows of ``erasure`` and ``kept_consent``, and the end of everybody else's."""

    def __init__(self, connection: Connection, journal: Journal, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._journal = journal
        self._at = at

    # --- one person ----------------------------------------------------------------------------------------------

    def held(self, of: PersonId) -> Held:
        """Return what there is of a person."""
        events = tuple(self._connection.execute(_SEQS, {"of": of}).scalars())
        records = tuple(self._connection.execute(_RECORDS, {"of": of}).scalars())
        counts = {
            str(table.name): int(
                self._connection.execute(select(func.count()).select_from(table).where(where)).scalar_one()
            )
            for table, where in _rows_of(of, records, self._lookups(of))
        }
        return Held(of, events, records, counts)

    def erase(
        self,
        held: Held,
        body: Mapping[str, Any],
        *,
        erasure_id: str,
        event_id: EventId,
        decision: str,
        keep_until: datetime | None,
    ) -> int:
        """Append the erasure and delete every row of the person; return the event's sequence number.

        The content of its consent events goes too, unless it is kept as proof (``keep_until``). ``body`` is the
        event's, to which ``emptied`` is added; ``decision`` the digest of the DPO's JWS.
        """
        emptied = () if keep_until is not None else held.events
        whole = {**body, "emptied": self.emptied(emptied)}
        seq = self._journal.append(EventClass.ERASURE, whole, event_id=event_id).seq
        row = {"erasure_id": erasure_id, "seq": seq, "decision": decision, "at": self._at}
        self._connection.execute(insert(erasure), {**row, "pending": held.person, "kept_until": keep_until})
        if keep_until is not None and held.events:
            kept = [{"erasure_id": erasure_id, "seq": event} for event in held.events]
            self._connection.execute(insert(kept_consent), kept)
        with self._journal.erasing(seq):
            self._delete(held)
            self._journal.empty(emptied, seq)
        return seq

    def lose(self, persons: Sequence[PersonId], tags: Sequence[bytes], body: Mapping[str, Any]) -> None:
        """Delete every row of persons, and of traces, whose secrets cannot be opened any more, beside a retention event
        with ``body``: without them nothing of it can be read, and the persons' refs cannot be made again."""
        lost, traces = [self.held(each) for each in persons], self.with_tags(tags)
        seqs = sorted([*traces, *(seq for held in lost for seq in held.events)])
        by = self._journal.append(EventClass.RETENTION, {**body, "emptied": self.emptied(seqs)}).seq
        with self._journal.erasing(by):
            for held in lost:
                self._delete(held)
            self._delete_traces(traces)
            self._journal.empty(seqs, by)

    def _delete(self, held: Held) -> None:
        if held.person is None:
            return
        for table, where in _rows_of(held.person, held.records, self._lookups(held.person)):
            self._connection.execute(delete(table).where(where))

    def _lookups(self, of: PersonId) -> list[int]:
        """Return the keys under which a person's tokens are found."""
        rows = self._connection.execute(_TOKENS, {"of": of})
        return [lookup for row in rows for lookup in Packed(*row).lookups()]

    def find(self, *, erasure_id: str | None = None, decision: str | None = None) -> ErasureRow | None:
        """Return the erasure of this id, or decided by the JWS of this digest."""
        where = erasure.c.erasure_id == erasure_id if erasure_id is not None else erasure.c.decision == decision
        row = self._connection.execute(select(erasure).where(where)).one_or_none()
        return None if row is None else ErasureRow(*row)

    def all(self) -> list[ErasureRow]:
        """Return every erasure, oldest first."""
        return [ErasureRow(*row) for row in self._connection.execute(select(erasure).order_by(erasure.c.seq))]

    def unfinished(self) -> list[ErasureRow]:
        """Return the erasures whose person's secrets may still be there."""
        rows = self._connection.execute(select(erasure).where(erasure.c.pending.is_not(None)))
        return [ErasureRow(*row) for row in rows]

    def finished(self, erasure_id: str) -> None:
        """Forget whom an erasure was about: its secrets are gone."""
        self._connection.execute(update(erasure).where(erasure.c.erasure_id == erasure_id).values(pending=None))

    def opening(self, row: ErasureRow, system_key: bytes) -> Opening:
        """Return what opens the erasure's leaf; raises ``MaillonError(STORAGE)``."""
        stored = self._connection.execute(select(journal).where(journal.c.seq == row.seq)).one()
        return opening_of(stored, system_key)

    def persons(self) -> Iterable[PersonId]:
        """Return the id of everybody there is."""
        return (PersonId(found) for found in self._connection.execute(select(person.c.person_id)).scalars())

    # --- kept as proof -------------------------------------------------------------------------------------------

    def kept(self, erasure_id: str, key: bytes) -> list[str]:
        """Return the signed agreements kept as proof, oldest first, opened with their ``key``."""
        rows = self._connection.execute(
            select(journal)
            .join(kept_consent, kept_consent.c.seq == journal.c.seq)
            .where(kept_consent.c.erasure_id == erasure_id)
            .order_by(journal.c.seq)
        )
        return [str(opening_of(row, key).body) for row in rows if row.sealed is not None]

    def overdue_proofs(self, most: int) -> list[tuple[str, int]]:
        """Return (erasure, sequence number) of at most ``most`` events kept as proof whose time is over."""
        rows = self._connection.execute(
            select(kept_consent.c.erasure_id, kept_consent.c.seq)
            .join(erasure, erasure.c.erasure_id == kept_consent.c.erasure_id)
            .where(erasure.c.kept_until <= self._at)
            .order_by(kept_consent.c.seq)
            .limit(most)
        )
        return [(row.erasure_id, row.seq) for row in rows]

    def end_proofs(self, overdue: Sequence[tuple[str, int]], body: Mapping[str, Any]) -> None:
        """Empty agreements kept as proof, beside a retention event with ``body``."""
        seqs = [seq for _, seq in overdue]
        by = self._journal.append(EventClass.RETENTION, {**body, "emptied": self.emptied(seqs)}).seq
        with self._journal.erasing(by):
            self._journal.empty(seqs, by)
        self._connection.execute(delete(kept_consent).where(kept_consent.c.seq.in_(seqs)))

    # --- traces --------------------------------------------------------------------------------------------------

    def overdue_traces(self, before: datetime, most: int) -> list[int]:
        """Return at most ``most`` access and match events from before ``before``, oldest first.

        The log is in the order of time: the first that is not overdue ends the search, so that finding nothing to do
        costs nothing.
        """
        found = []
        for table in (access_event, match_event):
            query = select(table.c.seq, journal.c.at).join(journal, journal.c.seq == table.c.seq)
            for row in self._connection.execute(query.order_by(table.c.seq).limit(most)):
                if row.at >= before:
                    break
                found.append(row.seq)
        return sorted(found)[:most]

    def end_traces(self, seqs: Sequence[int], body: Mapping[str, Any]) -> None:
        """Delete access and match events with all that is under them, beside a retention event with ``body``."""
        by = self._journal.append(EventClass.RETENTION, {**body, "emptied": self.emptied(seqs)}).seq
        with self._journal.erasing(by):
            self._delete_traces(seqs)
            self._journal.empty(seqs, by)

    def _delete_traces(self, seqs: Sequence[int]) -> None:
        for table in (access_field, access_agent, access_event, match_event) if seqs else ():
            self._connection.execute(delete(table).where(table.c.seq == bindparam("of")), [{"of": s} for s in seqs])

    # --- references ----------------------------------------------------------------------------------------------

    def with_tags(self, tags: Sequence[bytes]) -> list[int]:
        """Return the access and match events of these tags, oldest first."""
        found: list[int] = []
        for table in (access_event, match_event):
            found += self._connection.execute(select(table.c.seq).where(table.c.subject_tag.in_(tags))).scalars()
        return sorted(found)

    def overdue_refs(self, oldest_epoch: int) -> int:
        """Return how many references are of an epoch before ``oldest_epoch``."""
        query = select(func.count()).select_from(person_ref).where(person_ref.c.epoch < oldest_epoch)
        return int(self._connection.execute(query).scalar_one())

    def end_refs(self, oldest_epoch: int, body: Mapping[str, Any]) -> None:
        """Forget references of earlier epochs, beside a retention event with ``body``."""
        self._journal.append(EventClass.RETENTION, {**body, "emptied": self.emptied(())})
        self._connection.execute(delete(person_ref).where(person_ref.c.epoch < oldest_epoch))

    def emptied(self, seqs: Sequence[int]) -> dict[str, Any]:
        """Return ``{count, digest}`` of the events ``seqs``, as a body names what its event empties."""
        ids: list[str] = []
        for at in range(0, len(seqs), 500):
            part = seqs[at : at + 500]
            ids += self._connection.execute(
                select(journal.c.event_id)
                .where(journal.c.seq.in_(part), journal.c.sealed.is_not(None))
                .order_by(journal.c.seq)
            ).scalars()
        return emptied_of(ids)


def emptied_of(event_ids: Iterable[str]) -> dict[str, Any]:
    """Return ``{count, digest}``: how many events, and the base64url SHA-256 of their ids (16 bytes each) in order."""
    ids = [event_id_bytes(event_id) for event_id in event_ids]
    return {"count": len(ids), "digest": b64url.encode(hashlib.sha256(b"".join(ids)).digest())}


def _rows_of(of: PersonId, records: Sequence[str], lookups: Sequence[int]) -> list[tuple[Table, ColumnElement[bool]]]:
    """Return every table with rows of a person and which, in an order that breaks no reference.

    A record that was taken from the person by a split is somebody else's now and stays; one that came to it goes with
    its former links.
    """
    numbers = select(token_set.c.number).where(token_set.c.person_id == of)
    # As JSON: a person of many records has more of them than a statement has room for.
    listed = func.json_each(orjson.dumps(lookups).decode()).table_valued("value")
    return [
        (token, token.c.lookup.in_(select(listed.c.value)) & token.c.number.in_(numbers)),
        (token_set, token_set.c.person_id == of),
        (holding, holding.c.person_id == of),
        (review, or_(review.c.person_id == of, review.c.candidate_id == of)),
        (person_ref, person_ref.c.person_id == of),
        (consent_event, consent_event.c.person_id == of),
        (subject_head, subject_head.c.person_id == of),
        (link, or_(link.c.person_id == of, link.c.record_id.in_(records))),
        (record, record.c.record_id.in_(records)),
        (person, person.c.person_id == of),
    ]
