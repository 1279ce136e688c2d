"""The one order of every event: sealed, committed to, chained to the subject's last one, on its way into the log.

Consent events are sealed under the person's ``k_consent``, whatever else is about a person under its ``k_trace`` of
the month, what is about no one under the hub's own key. A row enters the log's inbox by trigger, in the same
transaction (DESIGN §8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from connectors.kit.runtime.ids import EventId, PersonId, new_uuid
from consent.ledger.envelope import Link
from consent.ledger.leaf import EventClass, Leaf
from consent.ledger.merkle import leaf_hash
from hub.store.sealing import Body, Opening, envelope_of, event_id_bytes, open_event, seal_event
from hub.store.secrets import SecretStore
from hub.store.tables import Instant, erasing, journal, subject_head

# Written once: building a statement costs more than running it.
_INSERT = insert(journal)
_LAST = select(func.coalesce(func.max(journal.c.seq), 0))
_HEAD = select(subject_head.c.n, subject_head.c.leaf_hash).where(subject_head.c.person_id == bindparam("of"))
_MOVE = update(subject_head).where(subject_head.c.person_id == bindparam("of"))


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
    leaf: Leaf
    r32: bytes = field(repr=False)
    tag: bytes | None


class Journal:
    """Rows of ``journal`` and the chain of each person."""

    def __init__(self, connection: Connection, secrets: SecretStore, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
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
        return self.append_all([Draft(event_class, body, person, event_id)])[0]

    def append_all(self, drafts: Sequence[Draft]) -> list[Appended]:
        """Append events in their order; many cost little more than one."""
        if not drafts:
            return []
        traced = {d.person for d in drafts if d.person is not None and d.event_class is not EventClass.CONSENT}
        traces = self._secrets.traces(traced, self._at) if traced else {}
        heads = {person: self._head(person) for person in {d.person for d in drafts if d.person is not None}}
        at_us = Instant.to_microseconds(self._at)
        seq = int(self._connection.execute(_LAST).scalar_one())
        rows: list[dict[str, Any]] = []
        made: list[Appended] = []
        for draft in drafts:
            event_id, link, tag, key = draft.event_id or new_uuid(), None, None, self._secrets.system_key
            if draft.person is not None:
                n, before = heads[draft.person]
                link = Link(n + 1, before)
                if draft.event_class is EventClass.CONSENT:
                    key = self._secrets.consent_key(draft.person)
                else:
                    key, tag = traces[draft.person].key, traces[draft.person].tag
            leaf, sealed, r32 = seal_event(key, draft.event_class, event_id, at_us, envelope_of(draft.body, link))
            if draft.person is not None and link is not None:
                heads[draft.person] = (link.n, leaf_hash(leaf.encode()))
            seq += 1
            rows.append(
                {
                    "seq": seq,
                    "event_id": event_id,
                    "class": draft.event_class.value,
                    "at": self._at,
                    "commitment": leaf.commitment,
                    "ciphertext_digest": leaf.ciphertext_digest,
                    "sealed": sealed,
                }
            )
            made.append(Appended(seq, leaf, r32, tag))
        self._connection.execute(_INSERT, rows)
        if heads:
            moved = [{"of": person, "n": n, "leaf_hash": newest} for person, (n, newest) in heads.items()]
            self._connection.execute(_MOVE, moved)
        return made

    def head(self, person: PersonId) -> tuple[int, bytes | None]:
        """Return how many events a person has had, and the leaf hash of the newest."""
        return self._head(person)

    def length(self) -> int:
        """Return the sequence number of the last event, 0 when there is none."""
        return int(self._connection.execute(_LAST).scalar_one())

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

    def _head(self, person: PersonId) -> tuple[int, bytes | None]:
        row = self._connection.execute(_HEAD, {"of": person}).one()
        return row.n, row.leaf_hash


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
