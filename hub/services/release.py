"""The pull: nothing leaves that two gates did not let pass, and that is not first durably in the log (DESIGN §7).

Gate one decides and logs; then the orders go out with no transaction open; gate two, in a new write transaction,
relays what came back only if nothing it relied on has moved, or if deciding again still covers it whole. The hub
cannot see inside a fragment: it relays one or discards it, and then orders once more. A denial is a returned value,
never an exception that would take its log row with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any, Final

from connectors.kit import seal
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import OrderId, PersonId, new_trace_id, new_uuid
from connectors.kit.transport import INDISPONIBLE, PERSONNE_INCONNUE
from hub.ref_epochs import RefEpochs
from hub.services.decisions import SourceDecision, Standing, survey
from hub.services.orders import Planned, Received, send_all, sign_order
from hub.services.records import NON_COMMUNIQUE, Outcome, Trace, access_event, codes, new_operation_id, source_row
from hub.services.register import resolve
from hub.services.requests import PullRequest
from hub.services.runtime import Hub
from hub.store.access import AccessKind
from hub.store.session import UnitOfWork

COMMUNIQUE: Final = "communique"
EXCLU_ROLE: Final = "exclu_role"
EXCLU_FINALITE: Final = "exclu_finalite"
SANS_DOSSIER: Final = "sans_dossier"
FRAGMENT: Final = "fragment"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a gate decided and logged: orders to send, and fragments already here that the next gate looks at again."""

    trace: Trace
    standing: Standing
    orders: tuple[Planned, ...]
    kept: tuple[Received, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the second gate let pass, already in the log."""

    trace: Trace
    standing: Standing
    passed: tuple[Received, ...]
    missing: tuple[Received, ...]


def pull(hub: Hub, request: PullRequest) -> dict[str, Any]:
    """Answer a verified request: the pull answer of ``docs/protocol.md``, not yet padded.

    Raises ``MaillonError(REPLAYED)`` for a request seen before, and ``STORAGE``, in which case nothing has left.
    """
    plan = hub.writer.run(lambda uow: gate_one(uow, hub, request))
    if not plan.orders:
        return _answer(request, Delivery(plan.trace, plan.standing, (), ()))
    once_more = True
    while True:
        received = (*plan.kept, *_order(hub, plan))
        step = _gate_two(hub, plan, received, once_more)
        if isinstance(step, Delivery):
            return _answer(request, step)
        plan, once_more = step, False


def gate_one(uow: UnitOfWork, hub: Hub, request: PullRequest) -> Plan:
    """Decide and log, refusals and refs that mean no one included. Nothing has been ordered yet."""
    if not uow.bookkeeping.use_once(f"request/{request.recipient.slug}", request.nonce, request.expires_at):
        raise MaillonError(ErrorKind.REPLAYED, "this request was used before")
    person = resolve(uow, hub.keyring, request.recipient.slug, request.ref)
    standing = survey(uow, hub.policy.get(), hub.directory.get(), request, person)
    trace = Trace(new_trace_id(), new_operation_id(), person, request, uow.at)
    return _decided(uow, trace, standing, standing.decisions, (), hub.keyring.epochs)


def gate_two(
    uow: UnitOfWork, hub: Hub, plan: Plan, received: Sequence[Received], *, once_more: bool
) -> Plan | Delivery:
    """Let pass what is still covered, whole, and log it; or plan the orders to send once more (``once_more``)."""
    person = plan.trace.person
    if person is not None and not uow.persons.is_known(person):
        return _erased(uow, plan)
    standing = plan.standing
    if not standing.still_holds(uow, hub.policy.get(), hub.directory.get()):
        standing = survey(uow, hub.policy.get(), hub.directory.get(), plan.trace.request, standing.person)
    passed, missing, again = [], [], []
    for item in received:
        decision = standing.of(item.planned.source.slug)
        sendable = decision.sendable if decision is not None else 0
        if item.fragment is None:
            missing.append(item)
        elif uow.at >= item.expires_at:
            missing.append(replace(item, fragment=None, outcome=INDISPONIBLE))
        elif item.planned.fields & ~sendable == 0:
            passed.append(item)
        elif decision is not None and item.planned.fields & sendable and once_more:
            again.append(decision)
        else:
            missing.append(replace(item, fragment=None, outcome=INDISPONIBLE))
    if again:
        return _decided(uow, plan.trace, standing, again, (*passed, *missing), hub.keyring.epochs)
    _delivered(uow, plan, standing, passed, missing)
    return Delivery(plan.trace, standing, tuple(passed), tuple(missing))


def _erased(uow: UnitOfWork, plan: Plan) -> Delivery:
    """Let nothing pass: the person was erased between the gates. What is logged of it is about no one any more."""
    standing = replace(plan.standing, person=None, decisions=(), events=(), set_aside=frozenset())
    unknown = replace(plan, trace=replace(plan.trace, person=None), standing=standing)
    _delivered(uow, unknown, standing, (), ())
    return Delivery(unknown.trace, standing, (), ())


def _gate_two(hub: Hub, plan: Plan, received: Sequence[Received], once_more: bool) -> Plan | Delivery:
    return hub.writer.run(lambda uow: gate_two(uow, hub, plan, received, once_more=once_more))


def _decided(
    uow: UnitOfWork,
    trace: Trace,
    standing: Standing,
    asked: Sequence[SourceDecision],
    kept: tuple[Received, ...],
    epochs: RefEpochs,
) -> Plan:
    """Log the decision, and one row per order; an order carries the leaf of its own row, so that two sources
    shown theirs have nothing to join on."""
    paths, request = standing.policy.index.paths, trace.request
    withheld = standing.withheld(request.wanted)
    said = Outcome(
        AccessKind.DECIDED,
        "allowed" if standing.allowed else "refused",
        paths(request.wanted),
        withheld=withheld,
        consent_ids=standing.consent_ids,
    )
    a = request.attributes
    more = {
        "attributes": {"assigned": a.assigned, "own": a.own, "mission": a.mission, "aid": a.aid},
        "recipient_kind": request.recipient.kind,
        "wanted": f"{request.wanted:x}",
        "person_version": standing.version,
        "directory_version": standing.directory.version,
        "set_aside": sorted(standing.set_aside),
        "decisions": [decision.to_log() for decision in standing.decisions],
    }
    uow.access.append(access_event(trace, said, standing.policy.version, uow.at, more=more, fields=withheld))
    pseudonyms = {} if trace.person is None else uow.persons.refs_of(trace.person, epochs)
    orders = [
        _ordered(uow, trace, standing, decision, pseudonyms[decision.source.slug])
        for decision in asked
        if decision.sendable and decision.source.slug in pseudonyms
    ]
    return Plan(trace, standing, tuple(orders), kept)


def _ordered(
    uow: UnitOfWork, trace: Trace, standing: Standing, decision: SourceDecision, pseudonym: tuple[PersonId, int]
) -> Planned:
    relied_on = frozenset(decision.decision.consent_ids)
    said = Outcome(
        AccessKind.ORDERED,
        "ordered",
        standing.policy.index.paths(decision.sendable),
        consent_ids=sorted(relied_on),
    )
    slug, order_id = decision.source.slug, OrderId(new_uuid())
    event = access_event(
        trace, said, standing.policy.version, uow.at, source=slug, more={"order_id": order_id, "source": slug}
    )
    leaf = uow.access.append(event).leaf
    authorities = tuple(row.jws for row in standing.events if row.record_id in relied_on)
    return Planned(order_id, decision.source, decision.sendable, leaf, authorities, *pseudonym)


def _order(hub: Hub, plan: Plan) -> list[Received]:
    """Sign and send the plan's orders, every one at the same time; no transaction is open."""
    request, secrets = plan.trace.request, hub.secrets.refs({planned.pseudonym_of for planned in plan.orders})
    keys, at, policy = hub.operational(), hub.clock.now(), plan.standing.policy
    signed = {
        planned.order_id: (
            planned,
            sign_order(
                planned,
                request,
                hub.keyring.ref(planned.source.slug, secrets[planned.pseudonym_of], planned.ref_epoch),
                policy.index.paths(planned.fields),
                policy.version,
                keys,
                at,
            ),
        )
        for planned in plan.orders
        # The person was erased between the two: no source can be told whom the order is about.
        if planned.pseudonym_of in secrets
    }
    return send_all(hub.pool, hub.sources, signed, request.certificate.seal_key_id, at, hub.clock.now)


def _delivered(
    uow: UnitOfWork, plan: Plan, standing: Standing, passed: Sequence[Received], missing: Sequence[Received]
) -> None:
    released = standing.policy.index.paths(_fields(passed))
    rows = [
        source_row(item.planned.source.slug, FRAGMENT, item.as_of, seal.jws_digest(item.fragment))
        for item in passed
        if item.fragment is not None
    ]
    rows += [source_row(item.planned.source.slug, item.outcome, item.as_of, None) for item in missing]
    relied_on = {
        record
        for item in passed
        if (decision := standing.of(item.planned.source.slug)) is not None
        for record in decision.decision.consent_ids
    }
    said = Outcome(
        AccessKind.DELIVERED,
        "nothing" if not passed else "partial" if missing else "delivered",
        standing.policy.index.paths(plan.trace.request.wanted),
        released=released,
        consent_ids=sorted(relied_on),
        sources=rows,
        is_error=bool(missing),
    )
    more = {
        "orders": {item.planned.source.slug: item.planned.order_id for item in (*passed, *missing)},
        "decided_again": standing is not plan.standing,
        "set_aside": sorted(standing.set_aside),
        "decisions": [decision.to_log() for decision in standing.decisions],
    }
    uow.access.append(
        access_event(plan.trace, said, standing.policy.version, uow.at, more=more, fields=codes(released, COMMUNIQUE))
    )


def _fields(items: Sequence[Received]) -> int:
    return reduce(or_, (item.planned.fields for item in items), 0)


def _answer(request: PullRequest, delivery: Delivery) -> dict[str, Any]:
    standing = delivery.standing
    policy = standing.policy
    by_role, by_purpose = policy.request_exclusions(
        request.purpose, request.role, request.attributes, request.recipient.kind, request.wanted
    )
    released = _fields(delivery.passed)
    statuses = codes(policy.index.paths(request.wanted), NON_COMMUNIQUE)
    for mask, status in ((by_role, EXCLU_ROLE), (by_purpose, EXCLU_FINALITE), (released, COMMUNIQUE)):
        statuses |= codes(policy.index.paths(mask), status)
    fragments = [
        {"source": item.planned.source.slug, "order": item.order, "fragment": item.fragment} for item in delivery.passed
    ]
    return {
        "trace_id": delivery.trace.trace_id,
        "purpose": request.purpose,
        "statuses": statuses,
        "fragments": fragments,
        "gaps": _gaps(delivery),
        "legal": [row for item in delivery.passed for row in _legal(standing, item)],
    }


def _gaps(delivery: Delivery) -> list[dict[str, str]]:
    """Name the sources that gave nothing, inside a live authority only: outside it, that would tell something."""
    if delivery.trace.person is None:
        return []
    outcomes = {item.planned.source.slug: item.outcome for item in delivery.missing}
    passed = {item.planned.source.slug for item in delivery.passed}
    gaps = []
    for decision in delivery.standing.decisions:
        slug = decision.source.slug
        if slug in passed or not decision.decision.allowed:
            continue
        if not decision.is_reachable:
            outcome = INDISPONIBLE
        elif not decision.is_holder:
            outcome = PERSONNE_INCONNUE
        else:
            # Something could be sent, but the source knows the person by no ref of its own yet.
            outcome = outcomes.get(slug, INDISPONIBLE if decision.sendable else SANS_DOSSIER)
        gaps.append({"source": slug, "outcome": outcome})
    return gaps


def _legal(standing: Standing, item: Received) -> list[dict[str, Any]]:
    decision = standing.of(item.planned.source.slug)
    if decision is None:
        return []
    question = decision.question
    rows = standing.policy.rows(question.purpose, question.source, question.source_kind, question.recipient_kind)
    return [
        {
            "source": question.source,
            "regime": row.regime.value,
            "texte": row.texte,
            "fields": list(standing.policy.index.paths(fields & item.planned.fields)),
        }
        for row, fields in rows
        if fields & item.planned.fields
    ]
