"""Access records (schema ``access_record``): one row per person per operation, names and digests only (DESIGN §9).

In the terms of *Logboek Dataverwerkingen* and W3C trace context. The agent's handle is kept in a table apart and
stands here as null; a reader who may see it gets it put back.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from connectors.kit.runtime.clock import instant
from connectors.kit.runtime.ids import EventId, PersonId, TraceId, new_uuid
from hub.services.requests import PullRequest
from hub.store.access import AccessEvent, AccessKind

NON_COMMUNIQUE: Final = "non_communique"
"""The one code for everything whose reason would tell something about the person (DESIGN §6)."""


def new_operation_id() -> str:
    """Return a random W3C span id: 16 lower-case hex digits."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Trace:
    """One pull, end to end: its trace, the person asked about (None: no one), and the request."""

    trace_id: TraceId
    operation_id: str
    person: PersonId | None
    request: PullRequest
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a record says of one event of a trace."""

    kind: AccessKind
    outcome: str
    requested: Sequence[str]
    released: Sequence[str] = ()
    withheld: Mapping[str, str] = field(default_factory=dict)
    consent_ids: Sequence[str] = ()
    sources: Sequence[Mapping[str, Any]] = ()
    is_error: bool = False


def access_event(
    trace: Trace,
    said: Outcome,
    policy_version: str,
    at: datetime,
    *,
    source: str | None = None,
    more: Mapping[str, Any] | None = None,
    fields: Mapping[str, str] | None = None,
) -> AccessEvent:
    """Return the event to append: the access record, and beside it ``more``, what a replay of the decision needs.

    ``fields`` (path → code) is what the search finds the event by.
    """
    request, event_id = trace.request, EventId(new_uuid())
    record = access_record(
        event_id,
        said,
        trace.trace_id,
        trace.operation_id if said.kind is AccessKind.DECIDED else None,
        parent=None if said.kind is AccessKind.DECIDED else trace.operation_id,
        started_at=trace.started_at,
        ended_at=at,
        activity=(request.purpose, policy_version),
        partner=request.recipient.slug,
        role=request.role,
        purpose=request.purpose,
        request_digest=request.digest,
    )
    return AccessEvent(
        event_id=event_id,
        kind=said.kind,
        trace_id=trace.trace_id,
        person_id=trace.person,
        partner=request.recipient.slug,
        outcome=said.outcome,
        payload={"record": record, **(more or {})},
        source=source,
        purpose=request.purpose,
        agent=request.agent,
        case=request.case,
        fields=fields,
    )


def access_record(
    event_id: EventId,
    said: Outcome,
    trace_id: TraceId,
    operation_id: str | None,
    *,
    started_at: datetime,
    ended_at: datetime,
    activity: tuple[str, str],
    partner: str,
    parent: str | None = None,
    role: str | None = None,
    purpose: str | None = None,
    request_digest: str | None = None,
) -> dict[str, Any]:
    """Return one record (schema ``access_record``); ``activity`` is the processing activity's id and version."""
    return {
        "v": 1,
        "event_id": event_id,
        "kind": said.kind.value,
        "trace_id": trace_id,
        "operation_id": operation_id or new_operation_id(),
        "parent_operation_id": parent,
        "status": "ERROR" if said.is_error else "OK",
        "started_at": instant(started_at),
        "ended_at": instant(ended_at),
        "processing_activity": {"id": activity[0], "version": activity[1]},
        "partner": partner,
        "role": role,
        "agent": None,
        "case": None,
        "purpose": purpose,
        "consent_ids": list(said.consent_ids),
        "outcome": said.outcome,
        "fields": {
            "requested": list(said.requested),
            "released": list(said.released),
            "withheld": dict(said.withheld),
        },
        "sources": [dict(row) for row in said.sources],
        "request_digest": request_digest,
    }


def source_row(source: str, outcome: str, as_of: datetime | None, ciphertext_digest: str | None) -> dict[str, Any]:
    """Return what a record says of one source. The digest is of the ciphertext: one of the values could be guessed."""
    return {
        "source": source,
        "outcome": outcome,
        "as_of": None if as_of is None else instant(as_of),
        "ciphertext_digest": ciphertext_digest,
    }


def codes(paths: Iterable[str], code: str) -> dict[str, str]:
    """Return every path with the same code."""
    return dict.fromkeys(paths, code)
