"""The access log: what was asked, decided, delivered and read, appended before anything leaves (DESIGN §1.4, §9).

In clear stands what a search needs: when, which partner, why, how it ended. Whom it is about is a random tag of the
month, everything else the event's sealed content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, insert, or_, select

from connectors.kit.runtime import b64url
from connectors.kit.runtime.ids import EventId, PersonId
from consent.ledger.leaf import EventClass, Leaf
from hub.store.identity_tables import split_access
from hub.store.journal import Journal, leaf_of, opening_of
from hub.store.sealing import Opening, canonical, open_alone
from hub.store.secrets import SecretStore
from hub.store.tables import access_agent, access_event, access_field, journal
from hub.store.trace import Trace

# Written once: building a statement costs more than running it.
_EVENT, _AGENT, _FIELD = insert(access_event), insert(access_agent), insert(access_field)
_ROWS = (
    select(access_event, access_agent.c.agent, access_agent.c.case)
    .add_columns(*(journal.c[name] for name in ("class", "commitment", "ciphertext_digest", "sealed")))
    .join(journal, journal.c.seq == access_event.c.seq)
    .outerjoin(access_agent, access_agent.c.seq == access_event.c.seq)
)


class AccessKind(StrEnum):
    """What happened."""

    DECIDED = "decided"
    """A request was decided, refusals included."""
    ORDERED = "ordered"
    """A source was ordered to send; its leaf is in the order."""
    DELIVERED = "delivered"
    """The answer that left, after the second gate."""
    READ = "read"
    """Somebody read this log."""
    SHOWN = "shown"
    """Masked identity traits were shown to the reviewer."""


# As ledger events are named: subject:object:action.
_NAMES = {
    AccessKind.DECIDED: "access:request:decided",
    AccessKind.ORDERED: "access:source:ordered",
    AccessKind.DELIVERED: "access:answer:delivered",
    AccessKind.READ: "access:log:read",
    AccessKind.SHOWN: "access:traits:shown",
}


@dataclass(frozen=True, slots=True)
class AccessEvent:
    """What a service appends. ``payload`` holds names, masks, ids and digests; never a value."""

    event_id: EventId
    kind: AccessKind
    trace_id: str
    person_id: PersonId | None
    partner: str
    outcome: str
    payload: Mapping[str, Any]
    source: str | None = None
    purpose: str | None = None
    agent: str | None = None
    case: str | None = None
    fields: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class AppendedEvent:
    """Where an event stands, and its leaf."""

    seq: int
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class AccessRow:
    """One event as read back."""

    seq: int
    event_id: str
    kind: AccessKind
    trace_id: str
    person_id: PersonId | None
    partner: str
    source: str | None
    purpose: str | None
    outcome: str
    payload: dict[str, Any]
    at: datetime
    agent: str | None
    case: str | None


@dataclass(frozen=True, slots=True)
class AccessFilter:
    """Which rows; every member given must hold. ``owner`` is a person, or the receipt of an erased one's erasure;
    ``also`` the persons that turned out to be it, or the erasure's parts."""

    owner: str | None = None
    also: tuple[str, ...] = ()
    trace_id: str | None = None
    asked_by: str | None = None
    partner: str | None = None
    source: str | None = None
    source_or_partner: str | None = None
    purpose: str | None = None
    outcome: str | None = None
    path: str | None = None
    kinds: tuple[AccessKind, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    before_seq: int | None = None


class AccessLog:
    """Rows of ``access_event`` and its children."""

    def __init__(self, connection: Connection, journal: Journal, secrets: SecretStore, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._journal = journal
        self._secrets = secrets
        self._at = at

    def append(self, event: AccessEvent) -> AppendedEvent:
        """Append one event and its fields; what stands in clear for searching is bound by its content too."""
        body = {"event": _NAMES[event.kind], "row": row_digest(event), **event.payload}
        appended = self._journal.append(EventClass.ACCESS, body, person=event.person_id, event_id=event.event_id)
        seq = appended.seq
        self._connection.execute(
            _EVENT,
            {
                "seq": seq,
                "event_id": event.event_id,
                "kind": event.kind.value,
                "trace_id": event.trace_id,
                "subject_tag": appended.tag,
                "partner": event.partner,
                "source": event.source,
                "purpose": event.purpose,
                "outcome": event.outcome,
                "at": self._at,
            },
        )
        if event.agent is not None:
            self._connection.execute(
                _AGENT,
                {
                    "seq": seq,
                    "agent": event.agent,
                    "case": event.case,
                },
            )
        if event.fields:
            rows = [{"seq": seq, "path": path, "status": status} for path, status in event.fields.items()]
            self._connection.execute(_FIELD, rows)
        return AppendedEvent(seq, appended.leaf)

    def search(self, where: AccessFilter, limit: int) -> tuple[list[AccessRow], int | None]:
        """Return at most ``limit`` matching rows, newest first, and where the next page begins (None: no more).

        Rows whose month's key has died are not there any more; those of an erased person are there for whoever names
        the erasure's receipt. Raises ``MaillonError(STORAGE)`` when one is not what was appended.
        """
        conditions = _conditions(where)
        if where.owner is not None:
            owners = (where.owner, *where.also)
            tags = [t.tag for owner in owners for t in self._secrets.traces_of(owner)]
            shared = select(split_access.c.seq).where(split_access.c.person_id.in_(owners))
            conditions.append(or_(access_event.c.subject_tag.in_(tags), access_event.c.seq.in_(shared)))
        query = _ROWS.where(*conditions).order_by(access_event.c.seq.desc()).limit(limit)
        found = self._connection.execute(query).all()
        named = set() if where.owner is None else {where.owner, *where.also}
        return self._opened(found, named), found[-1].seq if len(found) == limit else None

    def trace(self, trace_id: str) -> list[AccessRow]:
        """Return every event of one trace that can still be read, oldest first; raises as :meth:`search`."""
        query = _ROWS.where(access_event.c.trace_id == trace_id).order_by(access_event.c.seq)
        return self._opened(self._connection.execute(query).all(), None)

    def _opened(self, rows: Sequence[Row[Any]], named: set[str] | None) -> list[AccessRow]:
        """Open ``rows``. An erased person's are there for whoever ``named`` the erasure, and where they are also the
        history of somebody else (not for None: a decision is not replayed without the person it was about)."""
        tags = {row.subject_tag for row in rows if row.subject_tag is not None}
        traces = self._secrets.by_tag(tags) if tags else {}
        hidden = {row.event_id for row in rows if _is_hidden(row, traces, named or set())}
        shared = self._secrets.event_keys(hidden) if hidden and named is not None else {}
        opened = []
        for row in rows:
            trace = traces.get(row.subject_tag)
            if row.sealed is None:
                continue
            if row.event_id not in hidden:
                key = self._secrets.system_key if trace is None else trace.key
                opened.append(_row(row, trace, opening_of(row, key)))
                continue
            own = [each for each in shared.get(row.event_id, ()) if not each.restricted or each.owner in (named or ())]
            if own:
                opened.append(_row(row, trace, open_alone(own[0].key, leaf_of(row), row.sealed)))
        return opened


def _is_hidden(row: Row[Any], traces: Mapping[bytes, Trace], named: set[str]) -> bool:
    if row.subject_tag is None:
        return False
    trace = traces.get(row.subject_tag)
    return trace is None or (trace.restricted and trace.owner not in named)


def _row(row: Row[Any], trace: Trace | None, opening: Opening) -> AccessRow:
    return AccessRow(
        row.seq,
        row.event_id,
        AccessKind(row.kind),
        row.trace_id,
        None if trace is None else PersonId(trace.owner),
        row.partner,
        row.source,
        row.purpose,
        row.outcome,
        opening.body,
        row.at,
        row.agent,
        row.case,
    )


def row_digest(event: AccessEvent) -> str:
    """Return the base64url SHA-256 of the RFC 8785 form of what an event's rows say in clear: none can be changed
    without its sealed content telling."""
    clear = {
        "agent": event.agent,
        "case": event.case,
        "fields": dict(event.fields or {}),
        "kind": event.kind.value,
        "outcome": event.outcome,
        "partner": event.partner,
        "purpose": event.purpose,
        "source": event.source,
        "trace_id": event.trace_id,
    }
    return b64url.encode(hashlib.sha256(canonical(clear)).digest())


def _conditions(where: AccessFilter) -> list[ColumnElement[bool]]:
    table = access_event.c
    conditions: list[ColumnElement[bool]] = []
    for column, value in (
        (table.trace_id, where.trace_id),
        (table.partner, where.asked_by),
        (table.partner, where.partner),
        (table.source, where.source),
        (table.purpose, where.purpose),
        (table.outcome, where.outcome),
    ):
        if value is not None:
            conditions.append(column == value)
    if where.source_or_partner is not None:
        conditions.append((table.partner == where.source_or_partner) | (table.source == where.source_or_partner))
    if where.path is not None:
        conditions.append(exists().where(access_field.c.seq == table.seq, access_field.c.path == where.path))
    if where.kinds:
        conditions.append(table.kind.in_([kind.value for kind in where.kinds]))
    if where.since is not None:
        conditions.append(table.at >= where.since)
    if where.until is not None:
        conditions.append(table.at < where.until)
    if where.before_seq is not None:
        conditions.append(table.seq < where.before_seq)
    return conditions
