"""The reviewer looks at masked traits: an order to each source of both sides, relayed sealed, in both histories.

The hub cannot read what passes and cannot ask by itself: each source wants the reviewer's own signed request. As for a
release, nothing is asked of a source that is not first durably in the log, and nothing is relayed that is not. The look
of one person is one trace: neither history says beside whom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.kit import seal, trust
from connectors.kit.review.masks import PURPOSE
from connectors.kit.review.reviewer import LIFETIME, REVIEWER
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import EventId, OrderId, PersonId, TraceId, new_trace_id, new_uuid
from connectors.kit.runtime.keys import PublicJwk
from connectors.kit.runtime.schema import check_schema
from connectors.kit.seal import Typ
from connectors.kit.transport import INDISPONIBLE, outcome_of
from connectors.kit.trust import DirectoryPartner
from consent.canonical import digest
from consent.ledger.leaf import Leaf
from hub.services.orders import check_sealed_to, sign_for
from hub.services.records import Outcome, access_record, new_operation_id, source_row
from hub.services.runtime import Hub
from hub.store.access import AccessEvent, AccessKind
from hub.store.session import UnitOfWork

TRAITS: Final = "traits"
_FRAGMENT: Final = "fragment"
_MOST_SOURCES: Final = 8


@dataclass(frozen=True, slots=True)
class LookRequest:
    """A genuine request of the reviewer's."""

    review_id: str
    fields: tuple[str, ...]
    jws: str
    nonce: str
    expires_at: datetime
    seal_key_id: str


@dataclass(frozen=True, slots=True)
class _Trace:
    person: PersonId
    trace_id: TraceId
    operation_id: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class _Planned:
    trace: _Trace
    order_id: OrderId
    source: DirectoryPartner
    leaf: Leaf | None
    """Of the event of its order; ``None`` where nobody can be asked now."""
    pseudonym_of: PersonId
    ref_epoch: int


@dataclass(frozen=True, slots=True)
class _Answered:
    planned: _Planned
    order: str | None
    traits: str | None
    outcome: str
    as_of: datetime


def examine(wire: Mapping[str, Any], reviewer_key: PublicJwk, at: datetime) -> LookRequest:
    """Return the verified request of ``wire`` (schema ``review_look``, already checked).

    Raises ``MaillonError``: ``BAD_SIGNATURE``, ``UNTRUSTED_KEY`` or ``EXPIRED`` for the JWS and its certificate,
    ``SCHEMA``.
    """
    jws = wire["look"]
    payload, certificate = trust.open_certified(jws, Typ.LOOK, REVIEWER, reviewer_key)
    certificate.check_alive(at)
    check_schema("look", payload)
    seal.check_lifetime(payload, at, LIFETIME, "look")
    if payload["seal_key"] != certificate.seal_key_id:
        raise MaillonError(ErrorKind.UNTRUSTED_KEY, "seal_key is not the certificate's", pointer="/seal_key")
    _, expires_at = seal.lifetime_of(payload, "look")
    fields = tuple(payload["fields"])
    return LookRequest(payload["review_id"], fields, jws, payload["nonce"], expires_at, payload["seal_key"])


def look(hub: Hub, request: LookRequest) -> dict[str, Any]:
    """Answer a verified request (schema ``review_traits``).

    Raises ``MaillonError``: ``NOT_FOUND`` without such a review, ``CONFLICT`` when its two are one person or one
    of them is gone, ``REPLAYED``, and ``STORAGE``, in which case nothing has left.
    """
    plans = hub.writer.run(lambda uow: _plan(uow, hub, request))
    answered = _ask(hub, request, [planned for side in plans for planned in side])
    raised, candidate = hub.writer.run(lambda uow: _shown(uow, hub, request, plans, answered))
    return {"review_id": request.review_id, "raised": raised, "candidate": candidate}


def _plan(uow: UnitOfWork, hub: Hub, request: LookRequest) -> tuple[list[_Planned], list[_Planned]]:
    """Log an order for each source of each side."""
    review = uow.reviews.find(request.review_id)
    if review is None:
        raise MaillonError(ErrorKind.NOT_FOUND, "no review has this id", pointer="/review_id")
    sides = (review.person, review.candidate)
    if sides[0] == sides[1] or not all(uow.identity.records_of(person) for person in sides):
        raise MaillonError(ErrorKind.CONFLICT, "one of the two is no person of its own any more")
    if not uow.bookkeeping.use_once(f"look/{REVIEWER}", request.nonce, request.expires_at):
        raise MaillonError(ErrorKind.REPLAYED, "this request was used before")
    raised, candidate = (_plan_side(uow, hub, request, person) for person in sides)
    return raised, candidate


def _plan_side(uow: UnitOfWork, hub: Hub, request: LookRequest, person: PersonId) -> list[_Planned]:
    trace = _Trace(person, new_trace_id(), new_operation_id(), uow.at)
    holding = {record.partner for record in uow.identity.records_of(person)}
    pseudonyms = uow.persons.refs_of(person, hub.keyring.epochs)
    listed = {str(partner.slug): partner for partner in hub.directory.get().partners()}
    plan = []
    for slug in sorted(holding & pseudonyms.keys() & listed.keys())[:_MOST_SOURCES]:
        source, order_id, leaf = listed[slug], OrderId(new_uuid()), None
        if source.is_active and source.endpoint and slug not in uow.partners.suspended():
            said = Outcome(AccessKind.ORDERED, "ordered", request.fields)
            event = _event(hub, request, trace, said, uow.at, source=slug, more={"order_id": order_id, "source": slug})
            leaf = uow.access.append(event).leaf
        plan.append(_Planned(trace, order_id, source, leaf, *pseudonyms[slug]))
    return plan


def _ask(hub: Hub, request: LookRequest, planned: Sequence[_Planned]) -> dict[OrderId, _Answered]:
    """Sign and send every order at the same time; no transaction is open."""
    found, keys, at = hub.secrets.refs({each.pseudonym_of for each in planned}), hub.operational(), hub.clock.now()

    def one(each: _Planned) -> _Answered:
        if each.leaf is None or each.pseudonym_of not in found:
            return _Answered(each, None, None, INDISPONIBLE, hub.clock.now())
        ref = hub.keyring.ref(each.source.slug, found[each.pseudonym_of], each.ref_epoch)
        said = {"order_id": each.order_id, "request": request.jws}
        order = sign_for(each.source, ref, Typ.LOOK_ORDER, said, each.leaf, keys, at)
        try:
            traits = hub.sources.send(each.source.endpoint, order)
            check_sealed_to(traits, request.seal_key_id, Typ.SEALED_TRAITS)
        except MaillonError as error:
            return _Answered(each, order.order, None, outcome_of(error), hub.clock.now())
        except Exception:  # an edge failing in a way nobody foresaw is still just a missing source
            return _Answered(each, order.order, None, INDISPONIBLE, hub.clock.now())
        return _Answered(each, order.order, traits, TRAITS, hub.clock.now())

    return {
        answer.planned.order_id: answer for answer in [f.result() for f in [hub.pool.submit(one, p) for p in planned]]
    }


def _shown(
    uow: UnitOfWork,
    hub: Hub,
    request: LookRequest,
    plans: Sequence[Sequence[_Planned]],
    answered: Mapping[OrderId, _Answered],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Log what each side's sources let be seen, then give it; nothing of a person erased meanwhile."""
    sides = []
    for plan in plans:
        told: list[dict[str, Any]] = []
        for each in plan:
            answer = answered[each.order_id]
            gone = not uow.persons.is_known(each.trace.person)
            traits = None if gone else answer.traits
            outcome = answer.outcome if answer.traits is None else INDISPONIBLE if traits is None else TRAITS
            told.append({"source": each.source.slug, "order": answer.order, "traits": traits, "outcome": outcome})
        if plan:
            _log_side(uow, hub, request, plan[0].trace, [answered[each.order_id] for each in plan], told)
        sides.append(told)
    return sides[0], sides[1]


def _log_side(
    uow: UnitOfWork,
    hub: Hub,
    request: LookRequest,
    trace: _Trace,
    answers: Sequence[_Answered],
    told: Sequence[Mapping[str, Any]],
) -> None:
    rows = [
        source_row(row["source"], _FRAGMENT, answer.as_of, seal.jws_digest(row["traits"]))
        if row["traits"] is not None
        else source_row(row["source"], row["outcome"], answer.as_of, None)
        for answer, row in zip(answers, told, strict=True)
    ]
    seen = any(row["traits"] is not None for row in told)
    said = Outcome(
        AccessKind.SHOWN,
        "masked" if seen else "nothing",
        request.fields,
        released=request.fields if seen else (),
        sources=rows,
        is_error=any(row["traits"] is None for row in told),
    )
    known = trace if uow.persons.is_known(trace.person) else None
    uow.access.append(_event(hub, request, trace, said, uow.at, is_about=known is not None))


def _event(
    hub: Hub,
    request: LookRequest,
    trace: _Trace,
    said: Outcome,
    at: datetime,
    *,
    source: str | None = None,
    more: Mapping[str, Any] | None = None,
    is_about: bool = True,
) -> AccessEvent:
    event_id = EventId(new_uuid())
    record = access_record(
        event_id,
        said,
        trace.trace_id,
        None,
        parent=trace.operation_id,
        started_at=trace.started_at,
        ended_at=at,
        activity=(PURPOSE, hub.policy.get().version),
        partner=REVIEWER,
        purpose=PURPOSE,
        # Salted by the trace: two persons who compare their histories learn nothing of having been compared.
        request_digest=digest(f"{trace.trace_id}\0{request.jws}".encode("ascii")),
    )
    return AccessEvent(
        event_id=event_id,
        kind=said.kind,
        trace_id=trace.trace_id,
        person_id=trace.person if is_about else None,
        partner=REVIEWER,
        outcome=said.outcome,
        payload={"record": record, **(more or {})},
        source=source,
        purpose=PURPOSE,
    )
