"""The consent register: signed events in, state folded from them, nothing rewritten.

An event is checked outside any transaction (:func:`examine`), then accepted inside one (:func:`accept`); it counts
from that commit on, and a revocation acknowledged is a revocation in force.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from connectors.kit import seal, trust
from connectors.kit.runtime import b64url
from connectors.kit.runtime.clock import instant
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId
from connectors.kit.runtime.schema import check_schema
from connectors.kit.seal import Typ
from connectors.kit.trust import Directory, DirectoryPartner
from consent.lifecycle import PersonState, RecordState, RecordStatus, TransitionRefused, check_transition, fold
from consent.model import EventKind, Regime
from consent.policy import Policy
from consent.records import ConsentEvent, RecordError, parse_event
from hub.keyring import Keyring
from hub.services.handles import Handles
from hub.services.register import resolve
from hub.store.consents import StoredEvent
from hub.store.session import UnitOfWork

_REGIME_SHOWN: Final = {
    EventKind.GRANTED: Regime.ACCORD,
    EventKind.RENEWED: Regime.ACCORD,
    EventKind.INFORMED: Regime.INFORMATION,
}
_EXPIRED: Final = "expired"


@dataclass(frozen=True, slots=True)
class Submission:
    """A consent event that is genuine and makes sense; whether it may come now is for the register to say."""

    event: ConsentEvent
    jws: str
    digest: str
    ref: str
    salt: bytes


def examine(
    wire: Mapping[str, Any], caller: DirectoryPartner, directory: Directory, policy: Policy, at: datetime
) -> Submission:
    """Return the verified submission of ``wire`` (schema ``consent_submission``, already checked).

    Raises ``MaillonError``: ``BAD_SIGNATURE``, ``UNTRUSTED_KEY``, ``EXPIRED`` for the JWS and its certificate,
    ``FORBIDDEN`` for a caller that may not collect or is not the collector, ``SCHEMA``, ``WRONG_SUBJECT``,
    ``UNKNOWN_FIELD``, ``UNKNOWN_PURPOSE``, ``UNKNOWN_ROLE``, ``UNKNOWN_PARTNER``, ``UNKNOWN_NOTICE``, ``EVIDENCE``.
    """
    if not caller.can_collect:
        raise MaillonError(ErrorKind.FORBIDDEN, "the directory does not let this partner collect consents")
    jws, ref = wire["event"], wire["ref"]
    payload, _ = trust.verify_certified(jws, Typ.CONSENT, "collector", directory, at)
    if payload["collector"] != caller.slug:
        raise MaillonError(ErrorKind.FORBIDDEN, "the collector is not the caller")
    check_schema("consent_event", payload)
    salt = b64url.decode(wire["salt"], what="salt", length=16)
    if not hmac.compare_digest(trust.subject_digest(ref, salt), payload["subject"]):
        raise MaillonError(ErrorKind.WRONG_SUBJECT, "subject is not the digest of this ref and salt")
    event = _parse(payload, policy)
    if event.at > at + seal.CLOCK_SKEW:
        raise MaillonError(ErrorKind.SCHEMA, "said in the future", pointer="/at")
    _check_names(event, directory, policy)
    _check_shown(event, policy)
    _check_evidence(event, policy)
    return Submission(event, jws, seal.jws_digest(jws), ref, salt)


def accept(uow: UnitOfWork, keyring: Keyring, policy: Policy, slug: str, submission: Submission) -> dict[str, Any]:
    """Append the event and return ``{record_id, seq, state, receipt_id}``; the same JWS again changes nothing.

    Raises ``MaillonError(UNKNOWN_SUBJECT)`` when ``slug`` registered no one under the ref, ``CONFLICT`` for a record
    id that is another person's, and ``TRANSITION`` when the record cannot take this event.
    """
    person = resolve(uow, keyring, slug, submission.ref)
    if person is None:
        raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "no one is registered under this ref")
    event = submission.event
    stored = uow.consents.of(person)
    earlier = events_of(stored, policy)
    state = _folded(stored, earlier)
    known = uow.consents.record(event.record_id)
    before = known.accepted.get(submission.digest)
    if before is None:
        if known.owners and person not in known.owners:
            raise MaillonError(ErrorKind.CONFLICT, "record_id is another record's", pointer="/record_id")
        try:
            check_transition(state, event)
        except TransitionRefused as refused:
            raise MaillonError(ErrorKind.TRANSITION, refused.reason) from None
        before = uow.consents.append(
            person,
            record_id=event.record_id,
            kind=event.kind.value,
            collector=slug,
            jws=submission.jws,
            digest=submission.digest,
            salt=submission.salt,
            read_as={policy.version: event},
        )
        state = fold([*earlier, event])
    elif person not in known.owners:
        raise MaillonError(ErrorKind.CONFLICT, "this event is another person's")
    record = state.records[event.record_id]
    return {
        "record_id": event.record_id,
        "seq": event.seq,
        "state": state_name(record, uow.at),
        "receipt_id": before.receipt_id,
    }


def search(uow: UnitOfWork, keyring: Keyring, policy: Policy, partner: DirectoryPartner, ref: str) -> dict[str, Any]:
    """Return ``{records}``: those about ``ref`` that ``partner`` collected or is a recipient of, folded.

    Raises ``MaillonError(UNKNOWN_SUBJECT)``.
    """
    slug, handles = partner.slug, Handles(keyring, partner)
    person = resolve(uow, keyring, slug, ref)
    if person is None:
        raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "no one is registered under this ref")
    state, stored = state_of(uow, policy, person)
    collectors: dict[str, list[str]] = {}
    for row in stored:
        collectors.setdefault(row.record_id, []).append(row.collector)
    records = [
        _record(record, collectors[record.record_id][0], policy, handles, uow.at)
        for record in state.records.values()
        if slug in collectors[record.record_id] or slug in dict(record.given.recipients)
    ]
    return {"records": records}


def state_of(uow: UnitOfWork, policy: Policy, person: PersonId) -> tuple[PersonState, Sequence[StoredEvent]]:
    """Return a person's folded state and the events it comes from."""
    stored = uow.consents.of(person)
    return _folded(stored, events_of(stored, policy)), stored


def events_of(stored: Sequence[StoredEvent], policy: Policy) -> list[ConsentEvent]:
    """Read stored events again. Their signatures were verified when they came in; the rows cannot change."""
    return [_read(row, policy) for row in stored]


def _read(row: StoredEvent, policy: Policy) -> ConsentEvent:
    event: ConsentEvent | None = row.read_as.get(policy.version)
    if event is None:
        # It was strictly read and verified when it came in, and is what came in: its leaf says so.
        payload = orjson.loads(b64url.decode(row.jws.split(".")[1]))
        event = row.read_as[policy.version] = _parse(payload, policy)
    return event


def _folded(stored: Sequence[StoredEvent], events: Sequence[ConsentEvent]) -> PersonState:
    state = fold(events)
    doubtful = {event.record_id for event in stored if not event.gives}
    return state.without(doubtful) if doubtful else state


def state_name(record: RecordState, at: datetime) -> str:
    """Return where a record stands at ``at``; ``expired`` is computed, never stored."""
    ended = record.end is not None and at >= record.end
    expired = ended and record.status in (RecordStatus.GRANTED, RecordStatus.INFORMED)
    return _EXPIRED if expired else record.status.value


def _parse(payload: Mapping[str, object], policy: Policy) -> ConsentEvent:
    try:
        return parse_event(payload, policy.index)
    except RecordError as error:
        about_proof = error.pointer.startswith("/collection")
        kind = ErrorKind.EVIDENCE if about_proof else ErrorKind.SCHEMA
        if error.pointer.startswith("/pii_information"):
            kind = ErrorKind.UNKNOWN_FIELD
        raise MaillonError(kind, error.reason, pointer=error.pointer) from None


def _check_names(event: ConsentEvent, directory: Directory, policy: Policy) -> None:
    if event.purpose is not None and event.purpose not in policy.purposes:
        raise MaillonError(ErrorKind.UNKNOWN_PURPOSE, "not in the policy", pointer="/purpose")
    known = {partner.slug: partner for partner in directory.partners()}
    for source in sorted(event.scope.sources):
        if source not in known:
            raise MaillonError(ErrorKind.UNKNOWN_PARTNER, "a source is not in the directory", pointer="/sources")
    for partner, roles in event.scope.recipients:
        if partner not in known:
            raise MaillonError(ErrorKind.UNKNOWN_PARTNER, "a recipient is not in the directory", pointer="/recipients")
        if not roles <= set(policy.roles):
            raise MaillonError(ErrorKind.UNKNOWN_ROLE, "a recipient's role is not in the policy", pointer="/recipients")


def _check_shown(event: ConsentEvent, policy: Policy) -> None:
    notice = event.notice
    if notice is None:
        return
    text = (notice.notice_id, notice.version, notice.language, notice.sha256)
    regime = _REGIME_SHOWN.get(event.kind)
    regimes = list(Regime) if regime is None else [regime]
    if not any((event.purpose, each, *text) in policy.shown for each in regimes):
        raise MaillonError(
            ErrorKind.UNKNOWN_NOTICE, "not the exact text of a notice for this purpose", pointer="/notice"
        )


def _check_evidence(event: ConsentEvent, policy: Policy) -> None:
    if event.kind not in (EventKind.GRANTED, EventKind.RENEWED) or event.purpose is None:
        return
    minimum = policy.purposes[event.purpose].minimum_evidence
    if minimum is None or event.evidence < minimum:
        raise MaillonError(ErrorKind.EVIDENCE, "below the purpose's minimum", pointer="/collection")


def _record(record: RecordState, collector: str, policy: Policy, handles: Handles, at: datetime) -> dict[str, Any]:
    scope = record.given if record.given.fields else record.refused
    notice = record.notice
    return {
        "record_id": handles.record_id(record.record_id),
        "state": state_name(record, at),
        "purpose": record.purpose,
        "collector": collector,
        "fields": list(policy.index.paths(scope.fields)),
        "sources": sorted(scope.sources),
        "recipients": [{"partner": partner, "roles": sorted(roles)} for partner, roles in scope.recipients],
        "valid_from": instant(record.start),
        "valid_to": None if record.end is None else instant(record.end),
        "notice": None
        if notice is None
        else {
            "id": notice.notice_id,
            "version": notice.version,
            "language": notice.language,
            "sha256": notice.sha256,
        },
        "seq": record.seq,
        "last_event": handles.event_digest(record.digest),
    }
