"""Erasing a person's rows, and the content of events whose time is over; what the log's audit accepts of it.

Whatever is emptied names the event that let it: ``emptied`` in that event's body is how many contents went, and the
SHA-256 of their event ids in the order of the log. Without such an event no content may be missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from connectors.kit.runtime import b64url
from connectors.kit.runtime.ids import EventId, PersonId
from consent.ledger.leaf import EventClass
from hub.store.consents import open_consent
from hub.store.erasure_tables import erasure, erasure_part, erasure_pending, kept_consent, unnamed_consent
from hub.store.identity_changes import IdentityChanges
from hub.store.identity_tables import absorbed, link_notice, split_access
from hub.store.journal import Journal, leaf_of, opening_of
from hub.store.kept_keys import end_of
from hub.store.person_rows import Held, delete_rows, hand_over, held_of, of_relatives
from hub.store.sealing import Opening, event_id_bytes
from hub.store.secret_ends import End
from hub.store.secrets import SecretStore
from hub.store.tables import (
    access_agent,
    access_event,
    access_field,
    consent_event,
    journal,
    match_event,
    person,
    person_ref,
)


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """One erasure as the log has it."""

    erasure_id: str
    seq: int
    decision: str
    at: datetime
    kept_until: datetime | None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An erasure whose secrets are still to go. ``parts``: of whom (the person itself first), and to whom the months of
    each belong then; ``copies``: others whose secrets go with them; ``renewed``: who gets another ``k_consent``."""

    row: ErasureRow
    parts: Mapping[PersonId, str]
    copies: tuple[PersonId, ...]
    renewed: tuple[PersonId, ...]


class Erasures:
    """Rows of ``erasure``, its parts and what it keeps, and the end of everybody else's."""

    def __init__(self, connection: Connection, journal: Journal, changes: IdentityChanges, at: datetime) -> None:
        """Bind to one transaction at ``at``; ``changes`` is told of what the log has to bind."""
        self._connection = connection
        self._journal = journal
        self._changes = changes
        self._at = at

    # --- one person ----------------------------------------------------------------------------------------------

    def held(self, persons: Sequence[PersonId]) -> Held:
        """Return what there is of ``persons``, who are one (the first: who they are now), with whom they absorbed."""
        return held_of(self._connection, persons)

    def head_of(self, of: PersonId) -> PersonId:
        """Return whom ``of`` turned out to be, itself when nobody else."""
        into = self._connection.execute(select(absorbed.c.into_id).where(absorbed.c.person_id == of)).scalar()
        return of if into is None else PersonId(into)

    def without_refs(self, owners: Iterable[PersonId]) -> set[PersonId]:
        """Return those of ``owners``, none of them a person, whose secrets make nobody's ref."""
        wanted = set(owners)
        query = select(person_ref.c.secret_of).where(
            person_ref.c.secret_of.in_(sorted(wanted)), person_ref.c.secret_of != person_ref.c.person_id
        )
        return wanted - {PersonId(each) for each in self._connection.execute(query).scalars()}

    def erase(
        self,
        held: Held,
        body: Mapping[str, Any],
        *,
        erasure_id: str,
        parts: Mapping[PersonId, str],
        copies: Iterable[PersonId],
        unnamed: Iterable[int],
        event_id: EventId,
        decision: str,
        keep_until: datetime | None,
    ) -> int:
        """Append the erasure and delete every row of the person; return the event's sequence number.

        The content of its consent events goes too, unless it is kept as proof (``keep_until``). ``body`` is the
        event's, to which ``emptied`` and ``unnamed`` are added; ``decision`` the digest of the DPO's JWS; ``parts``
        whose what is left of each of the family is from now on; ``copies`` whose secrets go with theirs; ``unnamed``
        consent events of others that were said under a ref of hers.
        """
        run = self._connection.execute
        emptied = () if keep_until is not None else tuple(held.events)
        nameless = self._still_named({*held.shared, *unnamed})
        whole = {**body, "emptied": self.emptied(emptied), "unnamed": self.emptied(nameless)}
        seq = self._journal.append(EventClass.ERASURE, whole, event_id=event_id).seq
        row = {"erasure_id": erasure_id, "seq": seq, "decision": decision, "at": self._at, "kept_until": keep_until}
        run(insert(erasure), row)
        if nameless:
            run(insert(unnamed_consent), [{"seq": each, "erasure_id": erasure_id} for each in nameless])
        for part in sorted(set(parts.values()) - {erasure_id}):
            run(insert(erasure_part), {"part_id": part, "erasure_id": erasure_id})
        to_do: list[tuple[str, str | None, bool]] = [(owner, part, False) for owner, part in parts.items()]
        to_do += [(copy, None, False) for copy in sorted(copies)]
        to_do += [(owner, None, True) for owner in held.renewed]
        for owner, heir, renewed in to_do:
            pending = {"owner_id": owner, "erasure_id": erasure_id, "part_id": heir, "renewed": renewed}
            run(insert(erasure_pending), pending)
        if keep_until is not None and held.events:
            kept = [
                {"erasure_id": erasure_id, "seq": event, "part_id": parts.get(sealer, sealer)}
                for event, sealer in held.events.items()
            ]
            run(insert(kept_consent), kept)
        with self._journal.erasing(seq):
            hand_over(self._connection, self._changes, held, parts)
            delete_rows(self._connection, self._changes, held)
            self._journal.empty(emptied, seq)
        return seq

    def _still_named(self, seqs: set[int]) -> list[int]:
        before = select(unnamed_consent.c.seq).where(unnamed_consent.c.seq.in_(sorted(seqs)))
        return sorted(seqs - set(self._connection.execute(before).scalars()))

    def of_relatives(self, held: Held, secrets: SecretStore) -> list[tuple[int, str, bytes, str]]:
        """Return (sequence number, collector, salt, signed agreement) of consents of others that may have been said
        under a ref of hers."""
        found = []
        for seq, given_under in of_relatives(self._connection, held):
            query = select(journal, consent_event.c.collector, consent_event.c.salt).join(
                consent_event, consent_event.c.seq == journal.c.seq
            )
            this = (journal.c.seq == seq) & (consent_event.c.person_id == given_under) & journal.c.sealed.is_not(None)
            for row in self._connection.execute(query.where(this)):
                opening = open_consent(secrets, given_under, row.event_id, leaf_of(row), row.sealed)
                found.append((seq, str(row.collector), bytes(row.salt), str(opening.body)))
        return found

    def lose(self, persons: Sequence[PersonId], tags: Sequence[bytes], body: Mapping[str, Any]) -> None:
        """Delete every row of persons, and of traces, whose secrets cannot be opened any more, beside a retention event
        with ``body``: without them nothing of it can be read, and the persons' refs cannot be made again. Whoever is
        joined with one of them goes too."""
        heads = dict.fromkeys(self.head_of(each) for each in persons)
        lost, traces = [self.held([head]) for head in heads], self.with_tags(tags)
        seqs = sorted({*traces, *(seq for held in lost for seq in (*held.events, *held.shared))})
        by = self._journal.append(EventClass.RETENTION, {**body, "emptied": self.emptied(seqs)}).seq
        with self._journal.erasing(by):
            for held in lost:
                delete_rows(self._connection, self._changes, replace(held, events={**held.events, **held.shared}))
            self._delete_traces(traces)
            self._journal.empty(seqs, by)

    def find(self, *, erasure_id: str | None = None, decision: str | None = None) -> ErasureRow | None:
        """Return the erasure of this id, or decided by the JWS of this digest."""
        where = erasure.c.erasure_id == erasure_id if erasure_id is not None else erasure.c.decision == decision
        row = self._connection.execute(select(erasure).where(where)).one_or_none()
        return None if row is None else ErasureRow(*row)

    def all(self) -> list[ErasureRow]:
        """Return every erasure, oldest first."""
        return [ErasureRow(*row) for row in self._connection.execute(select(erasure).order_by(erasure.c.seq))]

    def unfinished(self) -> list[Unfinished]:
        """Return the erasures whose secrets may still be there, oldest first."""
        query = select(erasure_pending).order_by(erasure_pending.c.owner_id)
        by: dict[str, list[Row[Any]]] = {}
        for row in self._connection.execute(query):
            by.setdefault(row.erasure_id, []).append(row)
        found = []
        for each in self.all() if by else ():
            rows = sorted(by.get(each.erasure_id, ()), key=lambda row: row.part_id != row.erasure_id)
            if rows:
                found.append(
                    Unfinished(
                        each,
                        {PersonId(row.owner_id): row.part_id for row in rows if row.part_id is not None},
                        tuple(PersonId(row.owner_id) for row in rows if row.part_id is None and not row.renewed),
                        tuple(PersonId(row.owner_id) for row in rows if row.renewed),
                    )
                )
        return found

    def finished(self, erasure_id: str) -> None:
        """Forget whom an erasure was about: their secrets are gone."""
        self._connection.execute(delete(erasure_pending).where(erasure_pending.c.erasure_id == erasure_id))

    def parts(self, erasure_id: str) -> tuple[str, ...]:
        """Return the ids, beside the erasure's own, through which what it keeps is found."""
        query = select(erasure_part.c.part_id).where(erasure_part.c.erasure_id == erasure_id)
        return tuple(self._connection.execute(query.order_by(erasure_part.c.part_id)).scalars())

    def end_of(self, unfinished: Unfinished, secrets: SecretStore) -> End:
        """Return what of ``secrets`` an erasure ends; the same before and after that was done."""
        return end_of(
            self._connection,
            secrets,
            erasure_id=unfinished.row.erasure_id,
            seq=unfinished.row.seq,
            kept_until=unfinished.row.kept_until,
            parts=unfinished.parts,
            copies=unfinished.copies,
            renewed=unfinished.renewed,
        )

    def opening(self, row: ErasureRow, system_key: bytes) -> Opening:
        """Return what opens the erasure's leaf; raises ``MaillonError(STORAGE)``."""
        stored = self._connection.execute(select(journal).where(journal.c.seq == row.seq)).one()
        return opening_of(stored, system_key)

    def persons(self) -> Iterable[PersonId]:
        """Return the id of everybody there is."""
        return (PersonId(found) for found in self._connection.execute(select(person.c.person_id)).scalars())

    # --- kept as proof -------------------------------------------------------------------------------------------

    def kept(self, erasure_id: str, secrets: SecretStore) -> list[str]:
        """Return the signed agreements kept as proof, oldest first. Raises ``MaillonError(STORAGE)``."""
        rows = self._connection.execute(
            select(journal)
            .join(kept_consent, kept_consent.c.seq == journal.c.seq)
            .where(kept_consent.c.erasure_id == erasure_id)
            .order_by(journal.c.seq)
        )
        return [
            str(open_consent(secrets, PersonId(erasure_id), row.event_id, leaf_of(row), row.sealed).body)
            for row in rows
            if row.sealed is not None
        ]

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
        for at in range(0, len(seqs), 500):
            part = seqs[at : at + 500]
            shared = split_access.c.seq.in_(part)
            with self._changes.to(split_access, shared):
                self._connection.execute(delete(split_access).where(shared))
            # What a partner was told of such an access.
            self._connection.execute(delete(link_notice).where(link_notice.c.access_seq.in_(part)))

    def with_tags(self, tags: Sequence[bytes]) -> list[int]:
        """Return the access and match events of these tags, oldest first."""
        found: list[int] = []
        for table in (access_event, match_event):
            found += self._connection.execute(select(table.c.seq).where(table.c.subject_tag.in_(tags))).scalars()
        return sorted(found)

    # --- references ----------------------------------------------------------------------------------------------

    def note(self, body: Mapping[str, Any]) -> None:
        """Append a retention event that empties no content."""
        self._journal.append(EventClass.RETENTION, {**body, "emptied": self.emptied(())})

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
