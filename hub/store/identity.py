"""Whose records are whose, when a human changes it: edges closed and opened, and everything that follows them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.kit.runtime.ids import PersonId
from hub.store.identity_changes import IdentityChanges
from hub.store.identity_tables import absorbed, consent_owner, must_not_link, split_access
from hub.store.tables import consent_event, holding, link, person, person_ref, record, token_set

_FAMILY = select(absorbed.c.person_id).where(absorbed.c.into_id == bindparam("of"))


@dataclass(frozen=True, slots=True)
class LinkedRecord:
    """A record that is a person's now, since when, by which rule. ``came_from``: whose it was before, if anyone's."""

    record_id: str
    partner: str
    since: datetime
    rule: str
    actor: str
    flags: Mapping[str, Any]
    came_from: PersonId | None


@dataclass(frozen=True, slots=True)
class OwnedConsent:
    """A consent event that is a person's now; ``given_under`` is for whom it was accepted."""

    seq: int
    record_id: str
    collector: str
    given_under: PersonId
    gives: bool


class Identity:
    """Rows of ``link``, ``must_not_link``, ``absorbed``, ``consent_owner`` and ``split_access``."""

    def __init__(self, connection: Connection, changes: IdentityChanges, at: datetime) -> None:
        """Bind to one transaction at ``at``; ``changes`` is told of what the log has to bind."""
        self._connection = connection
        self._changes = changes
        self._at = at

    # --- records -------------------------------------------------------------------------------------------------

    def records_of(self, of: PersonId) -> list[LinkedRecord]:
        """Return a person's records, oldest link first."""
        rows = self._connection.execute(
            select(link, record.c.partner, record.c.flags)
            .join(record, record.c.record_id == link.c.record_id)
            .where(link.c.person_id == of, link.c.until.is_(None))
            .order_by(link.c.since, link.c.record_id)
        ).all()
        return [
            LinkedRecord(
                row.record_id,
                row.partner,
                row.since,
                row.rule,
                row.actor,
                orjson.loads(row.flags),
                self._owner_until(row.record_id, row.since),
            )
            for row in rows
        ]

    def _owner_until(self, record_id: str, until: datetime) -> PersonId | None:
        query = select(link.c.person_id).where(link.c.record_id == record_id, link.c.until == until)
        found = self._connection.execute(query).scalar()
        return None if found is None else PersonId(found)

    def move_records(
        self, before: PersonId, after: PersonId, record_ids: Collection[str], *, rule: str, actor: str
    ) -> None:
        """End the edges of ``record_ids`` to ``before`` and open others to ``after``; tokens and holdings follow."""
        ids = sorted(record_ids)
        now = link.c.until.is_(None)
        ended = update(link).where(link.c.person_id == before, link.c.record_id.in_(ids), now)
        self._connection.execute(ended.values(until=self._at))
        edges = [
            {"person_id": after, "record_id": each, "since": self._at, "rule": rule, "actor": actor} for each in ids
        ]
        self._connection.execute(insert(link), edges)
        for table in (token_set, holding):
            moved = update(table).where(table.c.person_id == before, table.c.record_id.in_(ids))
            self._connection.execute(moved.values(person_id=after))

    def move_refs(
        self,
        before: PersonId,
        after: PersonId,
        *,
        partners: Collection[str] | None = None,
        secret_of: PersonId | None = None,
        made_by: PersonId | None = None,
    ) -> None:
        """Make refs that mean ``before`` mean ``after``: all, or those of ``partners``, or those one secret makes.

        ``made_by`` is whose secret makes them from now on, where that changed hands too.
        """
        moved = update(person_ref).where(person_ref.c.person_id == before)
        if partners is not None:
            moved = moved.where(person_ref.c.partner.in_(sorted(partners)))
        if secret_of is not None:
            moved = moved.where(person_ref.c.secret_of == secret_of)
        changed = {"person_id": after} | ({} if made_by is None else {"secret_of": made_by})
        self._connection.execute(moved.values(changed))

    def secrets_of_refs(self, of: PersonId, partners: Collection[str]) -> set[PersonId]:
        """Return whose secrets make the refs that ``partners`` have of a person."""
        query = select(person_ref.c.secret_of).where(
            person_ref.c.person_id == of, person_ref.c.partner.in_(sorted(partners))
        )
        return {PersonId(each) for each in self._connection.execute(query).scalars()}

    def bump(self, persons: Iterable[PersonId]) -> None:
        """Move the version of ``persons``: whatever a release relied on is looked at again."""
        moved = update(person).where(person.c.person_id.in_(sorted(persons)))
        self._connection.execute(moved.values(version=person.c.version + 1))

    def set_provisional(self, of: PersonId, provisional: bool) -> None:
        """Say whether a person may still turn out to be another."""
        changed = update(person).where(person.c.person_id == of, person.c.provisional != provisional)
        self._connection.execute(changed.values(provisional=provisional))

    def seniority(self, of: PersonId) -> tuple[bool, datetime]:
        """Return what sorts persons: those that may be another last, then by when they were first registered."""
        query = select(person.c.provisional, person.c.created_at).where(person.c.person_id == of)
        row = self._connection.execute(query).one()
        return row.provisional, row.created_at

    # --- judged apart --------------------------------------------------------------------------------------------

    def keep_apart(self, records: Collection[str], others: Collection[str], actor: str) -> None:
        """Judge every one of ``records`` and every one of ``others`` to be two persons', for good."""
        rows = [
            {"record_id": one, "other_id": two, "since": self._at, "actor": actor}
            for mine in records
            for theirs in others
            for one, two in ((mine, theirs), (theirs, mine))
        ]
        if rows:
            with self._changes.to(must_not_link, _between(records, others)):
                self._connection.execute(upsert(must_not_link).on_conflict_do_nothing(), rows)

    def let_together(self, records: Collection[str], others: Collection[str]) -> None:
        """Undo :meth:`keep_apart`."""
        gone = _between(records, others)
        with self._changes.to(must_not_link, gone):
            self._connection.execute(delete(must_not_link).where(gone))

    def are_kept_apart(self, records: Collection[str], others: Collection[str]) -> bool:
        """Say whether one of ``records`` was judged not to be the same person's as one of ``others``."""
        query = select(must_not_link.c.record_id).where(
            must_not_link.c.record_id.in_(sorted(records)), must_not_link.c.other_id.in_(sorted(others))
        )
        return self._connection.execute(query.limit(1)).scalar() is not None

    # --- absorbed ------------------------------------------------------------------------------------------------

    def absorb(self, gone: PersonId, into: PersonId) -> None:
        """Write down that ``gone`` is ``into``, and so is everybody that was ``gone``."""
        row = {"person_id": gone, "into_id": into, "at": self._at}
        with self._changes.to(absorbed, absorbed.c.into_id.in_([gone, into])):
            self._connection.execute(update(absorbed).where(absorbed.c.into_id == gone).values(into_id=into))
            self._connection.execute(insert(absorbed), row)

    def revive(self, of: PersonId) -> None:
        """Write down that ``of`` is a person of its own again."""
        with self._changes.to(absorbed, absorbed.c.person_id == of):
            self._connection.execute(delete(absorbed).where(absorbed.c.person_id == of))

    def family(self, of: PersonId) -> tuple[PersonId, ...]:
        """Return a person and everybody that turned out to be it: whose secrets open its past."""
        return (of, *(PersonId(each) for each in self._connection.execute(_FAMILY, {"of": of}).scalars()))

    # --- consents ------------------------------------------------------------------------------------------------

    def consents_of(self, of: PersonId) -> list[OwnedConsent]:
        """Return the consent events that are a person's now, in the order of their acceptance."""
        changed = select(consent_owner.c.event_seq).where(consent_owner.c.event_seq == consent_event.c.seq)
        own = select(consent_event).where(consent_event.c.person_id == of, ~changed.exists())
        given = (
            select(consent_event, consent_owner.c.gives)
            .join(
                consent_owner,
                (consent_owner.c.given_under == consent_event.c.person_id)
                & (consent_owner.c.event_seq == consent_event.c.seq),
            )
            .where(consent_owner.c.person_id == of, consent_owner.c.until_seq.is_(None))
        )
        found = [(row, True) for row in self._connection.execute(own)]
        found += [(row, row.gives) for row in self._connection.execute(given)]
        return sorted(
            (OwnedConsent(r.seq, r.record_id, r.collector, PersonId(r.person_id), gives) for r, gives in found),
            key=lambda each: each.seq,
        )

    def give_consents(
        self, events: Collection[OwnedConsent], before: PersonId, owners: Mapping[PersonId, bool], since_seq: int
    ) -> None:
        """Make ``events`` of ``before`` those of ``owners`` (person → whether what they allow counts)."""
        rows = [
            {
                "event_seq": event.seq,
                "person_id": owner,
                "given_under": event.given_under,
                "gives": gives and event.gives,
                "since_seq": since_seq,
                "until_seq": None,
            }
            for event in events
            for owner, gives in owners.items()
        ]
        with self._changes.to(consent_owner, consent_owner.c.event_seq.in_([event.seq for event in events])):
            for event in events:
                theirs = (consent_owner.c.event_seq == event.seq) & (consent_owner.c.person_id == before)
                open_now = consent_owner.c.until_seq.is_(None)
                self._connection.execute(update(consent_owner).where(theirs, open_now).values(until_seq=since_seq))
            if rows:
                self._connection.execute(insert(consent_owner), rows)

    # --- history -------------------------------------------------------------------------------------------------

    def share_access(self, of: PersonId, seqs: Mapping[int, bool]) -> None:
        """Make accesses (sequence number → whether wrong) part of a person's history."""
        rows = [{"person_id": of, "seq": seq, "wrong": wrong} for seq, wrong in seqs.items()]
        if rows:
            made = upsert(split_access)
            with self._changes.to(split_access, split_access.c.person_id == of):
                self._connection.execute(
                    made.on_conflict_do_update(
                        index_elements=["person_id", "seq"],
                        set_={"wrong": or_(split_access.c.wrong, made.excluded.wrong)},
                    ),
                    rows,
                )

    def shared_with(self, of: PersonId) -> set[int]:
        """Return the accesses of other chains that are also this person's history."""
        query = select(split_access.c.seq).where(split_access.c.person_id == of)
        return set(self._connection.execute(query).scalars())

    def wrong_among(self, seqs: Collection[int]) -> set[int]:
        """Return those of ``seqs`` in which something was sent under a wrong link."""
        query = select(split_access.c.seq).where(split_access.c.seq.in_(sorted(seqs)), split_access.c.wrong)
        return set(self._connection.execute(query).scalars()) if seqs else set()


def _between(records: Collection[str], others: Collection[str]) -> ColumnElement[bool]:
    """Say of a row of ``must_not_link`` that it keeps one of ``records`` from one of ``others``, whichever way."""
    one, two = sorted(records), sorted(others)
    first, second = must_not_link.c.record_id, must_not_link.c.other_id
    return (first.in_(one) & second.in_(two)) | (first.in_(two) & second.in_(one))
