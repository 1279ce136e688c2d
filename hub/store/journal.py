"""The one order of every event: sealed, committed to, chained to the subject's last one, on its way into the log.

Consent events are sealed under the person's ``k_consent``, whatever else is about a person under its ``k_trace`` of
the month, what is about no one under the hub's own key. A row enters the log's inbox by trigger, in the same
transaction (DESIGN §8).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, insert, update

from connectors.kit.runtime.ids import EventId, PersonId, new_uuid
from consent.ledger.envelope import Link
from consent.ledger.leaf import EventClass, Leaf
from consent.ledger.merkle import leaf_hash
from hub.store.sealing import Body, Opening, envelope_of, event_id_bytes, open_event, seal_event
from hub.store.secrets import SecretStore
from hub.store.sql import Sql
from hub.store.tables import Instant, erasing, journal

_LENGTH = "SELECT coalesce(max(seq), 0) FROM journal"
_INSERT = (
    'INSERT INTO journal (seq, event_id, class, "at", commitment, ciphertext_digest, sealed) '
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_HEADS = "SELECT person_id, n, leaf_hash FROM subject_head WHERE person_id IN (SELECT value FROM json_each(?))"
_HEAD = "SELECT n, leaf_hash FROM subject_head WHERE person_id = ?"
_HEAD_AND_LENGTH = (
    "SELECT n, leaf_hash, (SELECT coalesce(max(seq), 0) FROM journal) FROM subject_head WHERE person_id = ?"
)
_MOVE = "UPDATE subject_head SET n = ?, leaf_hash = ? WHERE person_id = ?"


@dataclass(frozen=True, slots=True)
class Draft:
    """An event to append. ``person`` is whom it is about, None for no one."""

    event_class: EventClass
    body: Body
    person: PersonId | None = None
    event_id: EventId | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an event stands, its leaf, the salt of its commitment, and the tag its person's trace is found by (None for
    consents and no one)."""

    seq: int
    event_id: str
    leaf: Leaf
    r32: bytes = field(repr=False)
    tag: bytes | None


class Journal:
    """Rows of ``journal`` and the chain of each person."""

    def __init__(self, connection: Connection, sql: Sql, secrets: SecretStore, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._sql = sql
        self._secrets = secrets
        self._at = at

    def append(
        self,
        event_class: EventClass,
        body: Body,
        *,
        person: PersonId | None = None,
        event_id: EventId | None = None,
    ) -> Appended:
        """Append one event."""
        if person is None:
            return self.append_all([Draft(event_class, body, None, event_id)])[0]
        n, before, last = self._sql.rows(_HEAD_AND_LENGTH, (person,))[0]
        if event_class is EventClass.CONSENT:
            key, tag = self._secrets.consent_key(person), None
        else:
            trace = self._secrets.trace(person, self._at)
            key, tag = trace.key, trace.tag
        at_us = Instant.to_microseconds(self._at)
        row, made = _sealed(event_class, body, event_id, Link(n + 1, before), key, tag, last + 1, at_us)
        self._sql.run(_INSERT, row)
        self._sql.run(_MOVE, (n + 1, leaf_hash(made.leaf.encode()), person))
        return made

    def append_all(self, drafts: Sequence[Draft]) -> list[Appended]:
        """Append events in their order; many cost little more than one."""
        if not drafts:
            return []
        traced = {d.person for d in drafts if d.person is not None and d.event_class is not EventClass.CONSENT}
        traces = self._secrets.traces(traced, self._at) if traced else {}
        heads = self._heads({draft.person for draft in drafts if draft.person is not None})
        at_us, seq = Instant.to_microseconds(self._at), self.length()
        rows: list[tuple[object, ...]] = []
        done: list[Appended] = []
        for draft in drafts:
            link, tag, key = None, None, self._secrets.system_key
            if draft.person is not None:
                n, before = heads[draft.person]
                link = Link(n + 1, before)
                if draft.event_class is EventClass.CONSENT:
                    key = self._secrets.consent_key(draft.person)
                else:
                    key, tag = traces[draft.person].key, traces[draft.person].tag
            seq += 1
            row, made = _sealed(draft.event_class, draft.body, draft.event_id, link, key, tag, seq, at_us)
            if draft.person is not None and link is not None:
                heads[draft.person] = (link.n, leaf_hash(made.leaf.encode()))
            rows.append(row)
            done.append(made)
        self._sql.add_all(_INSERT, rows)
        if heads:
            self._sql.run_all(_MOVE, [(n, newest, person) for person, (n, newest) in heads.items()])
        return done

    def head(self, person: PersonId) -> tuple[int, bytes | None]:
        """Return how many events a person has had, and the leaf hash of the newest; a person there must be."""
        (row,) = self._sql.rows(_HEAD, (person,))
        return row[0], row[1]

    def _heads(self, persons: Collection[PersonId]) -> dict[PersonId, tuple[int, bytes | None]]:
        rows = self._sql.rows(_HEADS, (orjson.dumps(list(persons)).decode(),)) if persons else []
        return {PersonId(person): (n, newest) for person, n, newest in rows}

    def length(self) -> int:
        """Return the sequence number of the last event, 0 when there is none."""
        (row,) = self._sql.rows(_LENGTH)
        return int(row[0])

    @contextmanager
    def erasing(self, seq: int) -> Iterator[None]:
        """Let the erasure or retention event ``seq``, appended in this transaction, empty and delete what it names."""
        self._connection.execute(insert(erasing), {"seq": seq})
        yield
        self._connection.execute(delete(erasing))

    def empty(self, seqs: Sequence[int], by: int) -> None:
        """Drop the content of events for good; inside :meth:`erasing` of the event ``by``. Their leaves stay."""
        for seq in seqs:
            self._connection.execute(
                update(journal).where(journal.c.seq == seq, journal.c.sealed.is_not(None)),
                {"sealed": None, "emptied_by": by},
            )


def _sealed(
    event_class: EventClass,
    body: Body,
    event_id: str | None,
    link: Link | None,
    key: bytes,
    tag: bytes | None,
    seq: int,
    at_us: int,
) -> tuple[tuple[object, ...], Appended]:
    """Return the row of an event and what is told of it."""
    event_id = event_id or new_uuid()
    leaf, sealed, r32 = seal_event(key, event_class, event_id, at_us, envelope_of(body, link))
    row = (seq, event_id, event_class.value, at_us, leaf.commitment, leaf.ciphertext_digest, sealed)
    return row, Appended(seq, event_id, leaf, r32, tag)


def leaf_of(row: Row[Any] | Mapping[str, Any]) -> Leaf:
    """Return the leaf of a ``journal`` row."""
    fields = row if isinstance(row, Mapping) else row._mapping
    return Leaf(
        EventClass(fields["class"]),
        event_id_bytes(fields["event_id"]),
        Instant.to_microseconds(fields["at"]),
        fields["commitment"],
        fields["ciphertext_digest"],
    )


def opening_of(row: Row[Any], key: bytes) -> Opening:
    """Return what a ``journal`` row (with ``sealed``) holds; raises ``MaillonError(STORAGE)``."""
    return open_event(key, leaf_of(row), row.sealed)
