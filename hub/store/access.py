"""The access log: what was asked, decided, delivered and read, appended before anything leaves (DESIGN §1.4, §9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Row, exists, insert, select

from connectors.kit.runtime.ids import EventId, PersonId
from hub.store.journal import EventClass, Journal, canonical
from hub.store.tables import access_agent, access_event, access_field

# Written once: building a statement costs more than running it.
_EVENT, _AGENT, _FIELD = insert(access_event), insert(access_agent), insert(access_field)


class AccessKind(StrEnum):
    """What happened."""

    DECIDED = "decided"
    """A request was decided, refusals included."""
    ORDERED = "ordered"
    """A source was ordered to send; its commitment is in the order."""
    DELIVERED = "delivered"
    """The answer that left, after the second gate."""
    READ = "read"
    """Somebody read this log."""


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
    """Where an event stands, and its commitment."""

    seq: int
    commitment: bytes


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
    salt: bytes
    at: datetime
    agent: str | None
    case: str | None


@dataclass(frozen=True, slots=True)
class AccessFilter:
    """Which rows; every member given must hold."""

    person_id: PersonId | None = None
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

    def __init__(self, connection: Connection, journal: Journal, at: datetime) -> None:
        """Bind to one transaction at ``at``."""
        self._connection = connection
        self._journal = journal
        self._at = at

    def append(self, event: AccessEvent) -> AppendedEvent:
        """Append one event and its fields; the payload is committed to as its JCS bytes."""
        payload = canonical(event.payload)
        seq, salt, bound = self._journal.append(EventClass.ACCESS, payload, event_id=event.event_id)
        self._connection.execute(
            _EVENT,
            {
                "seq": seq,
                "event_id": event.event_id,
                "kind": event.kind.value,
                "trace_id": event.trace_id,
                "person_id": event.person_id,
                "partner": event.partner,
                "source": event.source,
                "purpose": event.purpose,
                "outcome": event.outcome,
                "payload": payload.decode(),
                "salt": salt,
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
        return AppendedEvent(seq, bound)

    def search(self, where: AccessFilter, limit: int) -> list[AccessRow]:
        """Return at most ``limit`` matching rows, newest first."""
        query = (
            select(access_event, access_agent.c.agent, access_agent.c.case)
            .outerjoin(access_agent, access_agent.c.seq == access_event.c.seq)
            .where(*_conditions(where))
            .order_by(access_event.c.seq.desc())
            .limit(limit)
        )
        return [_row(row) for row in self._connection.execute(query)]

    def trace(self, trace_id: str) -> list[AccessRow]:
        """Return every event of one trace, oldest first."""
        query = (
            select(access_event, access_agent.c.agent, access_agent.c.case)
            .outerjoin(access_agent, access_agent.c.seq == access_event.c.seq)
            .where(access_event.c.trace_id == trace_id)
            .order_by(access_event.c.seq)
        )
        return [_row(row) for row in self._connection.execute(query)]


def _conditions(where: AccessFilter) -> list[ColumnElement[bool]]:
    table = access_event.c
    conditions: list[ColumnElement[bool]] = []
    for column, value in (
        (table.person_id, where.person_id),
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


def _row(row: Row[Any]) -> AccessRow:
    fields = {name: getattr(row, name) for name in AccessRow.__slots__}
    return AccessRow(**{**fields, "kind": AccessKind(row.kind), "payload": orjson.loads(row.payload)})
