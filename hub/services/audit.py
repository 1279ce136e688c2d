"""Reading the access log: who may see which rows, told how, and the reading itself logged (DESIGN §9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Final

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import EventId, PersonId, new_trace_id, new_uuid
from connectors.kit.trust import DirectoryPartner
from consent.decide import decide
from consent.explain import PolicyMismatch, explain, from_log, to_log
from consent.lifecycle import authority, fold
from consent.model import Question, Reason, Regime
from consent.order import read_attributes
from consent.policy import Policy
from hub.keyring import Keyring
from hub.services.consents import events_of
from hub.services.cursors import open_cursor, seal_cursor
from hub.services.decisions import NOT_HELD
from hub.services.handles import Handles
from hub.services.records import NON_COMMUNIQUE, Outcome, access_record
from hub.services.register import resolve
from hub.store.access import AccessEvent, AccessFilter, AccessKind, AccessRow
from hub.store.session import UnitOfWork

READING: Final = "consultation_du_journal"
DEFAULT_LIMIT: Final = 100
_TOLD_THE_PERSON: Final = (AccessKind.DECIDED, AccessKind.DELIVERED, AccessKind.SHOWN)
_OF_THE_REQUEST: Final = (Reason.ROLE_DENY, Reason.NO_RULE)
"""Reasons that say nothing about the person: what the role may never see, whoever it asks about."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: a partner of the directory, or (``partner`` None) the hub's DPO."""

    name: str
    partner: DirectoryPartner | None = None


def search(
    uow: UnitOfWork, keyring: Keyring, policy: Policy, reader: Reader, criteria: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``{rows, next}`` for criteria following ``access_log_search``, and log the reading.

    ``usager``: one person's releases and refusals, by service and function, for a partner that stands before the
    person (one that may collect). ``partenaire``: rows naming the caller. ``dpo``: all; naming a person (``ref`` with
    the ``partner`` whose ref it is, or the ``erasure_id`` of one who was erased) takes a complaint number. Raises
    ``MaillonError(FORBIDDEN | UNKNOWN_SUBJECT | NOT_FOUND | SCHEMA)``.
    """
    view = criteria["view"]
    _check_may_read(reader, view)
    person = _named_person(uow, keyring, reader, criteria)
    limit = criteria.get("limit", DEFAULT_LIMIT)
    naming_person = view == "dpo" and "ref" in criteria
    erasure_id = _named_erasure(uow, view, criteria) if "erasure_id" in criteria else None
    where = AccessFilter(
        owner=person if erasure_id is None else erasure_id,
        also=_also(uow, person, erasure_id),
        trace_id=criteria.get("trace_id"),
        # A trace id is known to the partner that asked: from anyone else it would only confirm a guess.
        asked_by=reader.name if reader.partner is not None and "trace_id" in criteria else None,
        partner=None if naming_person else criteria.get("partner"),
        source=criteria.get("source"),
        source_or_partner=reader.name if view == "partenaire" else None,
        purpose=criteria.get("purpose"),
        outcome=criteria.get("outcome"),
        path=criteria.get("path"),
        kinds=_TOLD_THE_PERSON if view == "usager" else (),
        since=_moment(criteria, "since"),
        until=_moment(criteria, "until"),
        before_seq=open_cursor(keyring, reader.name, criteria["cursor"]) if "cursor" in criteria else None,
    )
    found, after = uow.access.search(where, limit)
    _log_reading(uow, policy, reader, person, criteria, len(found))
    wrong = uow.identity.wrong_among([row.seq for row in found])
    rows = [
        _shown(row, reader, view, policy, keyring) | ({"wrong_link": True} if row.seq in wrong else {})
        for row in found
        if view != "usager" or _concerns_person(row)
    ]
    return {"rows": rows, "next": None if after is None else seal_cursor(keyring, reader.name, after)}


def explain_trace(uow: UnitOfWork, policy: Policy, trace_id: str) -> dict[str, Any]:
    """Return the decision that governed a trace, per source and field, replayed from the log (schema ``explanation``).

    The events the person then had are folded again and decided on again; what comes out must be what was logged.
    Raises ``MaillonError(NOT_FOUND)``, and ``CONFLICT`` when the replay differs or the policy is another one by now.
    """
    governing = [
        row
        for row in uow.access.trace(trace_id)
        if row.kind is AccessKind.DECIDED or row.payload.get("decided_again") is True
    ]
    if not governing:
        raise MaillonError(ErrorKind.NOT_FOUND, "no decision has this trace_id", pointer="/trace_id")
    row, first = governing[-1], governing[0]
    stored = [] if row.person_id is None else uow.consents.of(row.person_id, before=row.seq)
    state = fold(events_of(stored, policy)).without(row.payload["set_aside"])
    record = row.payload["record"]
    decisions = []
    for logged in row.payload["decisions"]:
        question = Question(
            purpose=record["purpose"],
            role=record["role"],
            attributes=read_attributes(first.payload["attributes"]),
            source=logged["source"],
            source_kind=logged["source_kind"],
            recipient=record["partner"],
            recipient_kind=first.payload["recipient_kind"],
            wanted=int(logged["wanted"], 16),
            at=row.at,
        )
        try:
            decision = from_log(logged, policy, question)
        except PolicyMismatch:
            raise MaillonError(ErrorKind.CONFLICT, "policy_version: decided under another policy") from None
        again = to_log(decide(policy, question, authority(state, policy, question)))
        if any(logged[member] != value for member, value in again.items()):
            raise MaillonError(ErrorKind.CONFLICT, "the log does not follow from the events before it")
        decisions.append(
            {
                "source": logged["source"],
                "at": record["ended_at"],
                "consent_ids": logged["consent_ids"],
                "fields": [
                    {"path": field.path, "reason": field.reason.value, "rule": " ".join(field.rules) or None}
                    for field in explain(policy, question, decision, named_agent=True)
                ],
            }
        )
    return {
        "trace_id": trace_id,
        "policy_version": policy.version,
        "purpose": record["purpose"],
        "role": record["role"],
        "partner": record["partner"],
        "decisions": decisions,
    }


def log_explanation(uow: UnitOfWork, policy: Policy, reader: Reader, trace_id: str) -> None:
    """Append that ``reader`` had this trace explained."""
    _log_reading(uow, policy, reader, None, {"view": "explanation", "trace_id": trace_id}, 1)


def log_kept_agreements(
    uow: UnitOfWork, policy: Policy, reader: Reader, criteria: Mapping[str, Any], found: int
) -> None:
    """Append that ``reader`` read the agreements of an erased person that are kept as proof."""
    _log_reading(uow, policy, reader, None, {"view": "agreements", **criteria}, found)


def log_index_reading(
    uow: UnitOfWork, policy: Policy, reader: Reader, person: PersonId | None, criteria: Mapping[str, Any], found: int
) -> None:
    """Append that ``reader`` read who is linked with whom (of ``person``, or of doubts in general)."""
    _log_reading(uow, policy, reader, person, {"view": "index", **criteria}, found)


def log_copy(
    uow: UnitOfWork,
    policy: Policy,
    reader: Reader,
    person: PersonId,
    criteria: Mapping[str, Any],
    rows: int,
    heads: Sequence[Mapping[str, Any]],
    removed: Sequence[Sequence[int]],
) -> str:
    """Append that ``reader`` made a copy of all there is about ``person``; return the event's id.

    ``heads``: where the chains of whoever turned out to be that person end, ``{n, leaf}``; ``removed``: which events
    have no content any more, (chain, first, last).
    """
    more = {"heads": [dict(head) for head in heads], "removed": [list(gap) for gap in removed]}
    return _log_reading(uow, policy, reader, person, criteria, rows, **more)


def _check_may_read(reader: Reader, view: str) -> None:
    if (view == "dpo") != (reader.partner is None):
        raise MaillonError(ErrorKind.FORBIDDEN, "this view is another reader's", pointer="/view")
    if view == "usager" and reader.partner is not None and not reader.partner.can_collect:
        raise MaillonError(ErrorKind.FORBIDDEN, "only a partner that may collect stands before the person")


def _named_person(uow: UnitOfWork, keyring: Keyring, reader: Reader, criteria: Mapping[str, Any]) -> PersonId | None:
    if "ref" not in criteria:
        return None
    slug = criteria.get("partner") if reader.partner is None else reader.name
    if slug is None:
        raise MaillonError(ErrorKind.SCHEMA, "whose ref this is, is needed", pointer="/partner")
    person = resolve(uow, keyring, slug, criteria["ref"])
    if person is None:
        raise MaillonError(ErrorKind.UNKNOWN_SUBJECT, "no one is registered under this ref", pointer="/ref")
    return person


def _named_erasure(uow: UnitOfWork, view: str, criteria: Mapping[str, Any]) -> str:
    erasure_id = str(criteria["erasure_id"])
    if view != "dpo" or "ref" in criteria:
        raise MaillonError(ErrorKind.SCHEMA, "for the view dpo, and instead of ref", pointer="/erasure_id")
    if "complaint" not in criteria:
        raise MaillonError(ErrorKind.SCHEMA, "what gives the right to read them is needed", pointer="/complaint")
    if uow.erasures.find(erasure_id=erasure_id) is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no erasure has this id", pointer="/erasure_id")
    return erasure_id


def _also(uow: UnitOfWork, person: PersonId | None, erasure_id: str | None) -> tuple[str, ...]:
    """Return who else a person is, or under which other ids the traces of an erased one are kept."""
    if erasure_id is not None:
        return uow.erasures.parts(erasure_id)
    return () if person is None else uow.identity.family(person)[1:]


def _concerns_person(row: AccessRow) -> bool:
    """A decision that let something go is told by the delivery that followed; without one, nothing was seen."""
    return row.kind in (AccessKind.DELIVERED, AccessKind.SHOWN) or row.outcome == "refused"


def _shown(row: AccessRow, reader: Reader, view: str, policy: Policy, keyring: Keyring) -> dict[str, Any]:
    record: dict[str, Any] = row.payload["record"]
    if view == "dpo" or (view == "partenaire" and row.partner == reader.name):
        record = {**record, "agent": row.agent, "case": row.case}
    if reader.partner is None:
        return record
    withheld = record["fields"]["withheld"]
    told = _told_the_person(withheld, record["purpose"], policy) if view == "usager" else _told_a_partner(withheld)
    record = {**record, "fields": {**record["fields"], "withheld": told}}
    return Handles(keyring, reader.partner).access_record(record)


def _told_a_partner(withheld: Mapping[str, str]) -> dict[str, str]:
    """Return why fields stayed, as the answer to the pull told it: no reason that depends on the person."""
    return {path: code if code in _OF_THE_REQUEST else NON_COMMUNIQUE for path, code in withheld.items()}


def _told_the_person(withheld: Mapping[str, str], purpose: str, policy: Policy) -> dict[str, str]:
    """Return why fields stayed, a protection told as what she could have done herself under each field's regime:
    a refusal where she is asked, an objection where she is told, and elsewhere that nothing was there."""
    rows = policy.purposes[purpose].rows if purpose in policy.purposes else ()
    asked = policy.index.paths(reduce(or_, (row.fields for row in rows if row.regime is Regime.ACCORD), 0))
    opposable = policy.index.paths(reduce(or_, (row.fields for row in rows if row.opposable), 0))

    def instead(path: str) -> str:
        if path in asked:
            return Reason.CONSENT_DENY.value
        return Reason.OBJECTION.value if path in opposable else NOT_HELD

    return {path: instead(path) if code == Reason.PROTECTED else code for path, code in withheld.items()}


def _log_reading(
    uow: UnitOfWork,
    policy: Policy,
    reader: Reader,
    person: PersonId | None,
    criteria: Mapping[str, Any],
    rows: int,
    **more: object,
) -> str:
    event_id, trace_id = EventId(new_uuid()), new_trace_id()
    said = Outcome(AccessKind.READ, "read", requested=())
    record = access_record(
        event_id,
        said,
        trace_id,
        None,
        started_at=uow.at,
        ended_at=uow.at,
        activity=(READING, policy.version),
        partner=reader.name,
    )
    asked = {name: value for name, value in criteria.items() if name != "ref"}
    uow.access.append(
        AccessEvent(
            event_id=event_id,
            kind=AccessKind.READ,
            trace_id=trace_id,
            person_id=person,
            partner=reader.name,
            outcome="read",
            payload={"record": record, "criteria": asked, "rows": rows, **more},
        )
    )
    return event_id


def _moment(criteria: Mapping[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(criteria[name]) if name in criteria else None
