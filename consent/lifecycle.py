"""A person's consent records: what may happen to each, what stands after it happened, what it gives for a question.

State is a fold over immutable events by the published table :data:`TRANSITIONS`, which also draws its own diagram
(``docs/consent-states.md``). Expiry is no event: every evaluation compares ``at`` with half-open intervals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import reduce
from operator import or_
from types import MappingProxyType
from typing import Final

from consent.mandates import Mandate, MandateNature
from consent.model import Authority, EventKind, EvidenceLevel, Question, Regime
from consent.policy import Policy
from consent.records import NOTHING, ConsentEvent, NoticeRef, Scope


class RecordStatus(StrEnum):
    """Where a record stands. Only ``granted`` and the informed ones can give anything, and only in their time."""

    GRANTED = "granted"
    DENIED = "denied"
    REVOKED = "revoked"
    INVALIDATED = "invalidated"
    INFORMED = "informed"
    OBJECTED = "objected"
    UPHELD = "objection_upheld"
    REJECTED = "objection_rejected"
    FROZEN = "frozen"
    PROTECTED = "protected"
    LIFTED = "lifted"


_S, _K = RecordStatus, EventKind
TRANSITIONS: Final[Mapping[tuple[RecordStatus | None, EventKind], RecordStatus]] = MappingProxyType(
    {
        (None, _K.GRANTED): _S.GRANTED,
        (_S.GRANTED, _K.NARROWED): _S.GRANTED,
        (_S.GRANTED, _K.RENEWED): _S.GRANTED,
        (_S.GRANTED, _K.REVOKED): _S.REVOKED,
        (_S.GRANTED, _K.INVALIDATED): _S.INVALIDATED,
        (None, _K.DENIED): _S.DENIED,
        (_S.DENIED, _K.REVOKED): _S.REVOKED,
        (_S.DENIED, _K.INVALIDATED): _S.INVALIDATED,
        (None, _K.INFORMED): _S.INFORMED,
        (_S.INFORMED, _K.OBJECTED): _S.OBJECTED,
        (_S.INFORMED, _K.INVALIDATED): _S.INVALIDATED,
        (None, _K.OBJECTED): _S.OBJECTED,
        (_S.OBJECTED, _K.OBJECTION_UPHELD): _S.UPHELD,
        (_S.OBJECTED, _K.OBJECTION_REJECTED): _S.REJECTED,
        (_S.OBJECTED, _K.REVOKED): _S.INFORMED,
        (_S.UPHELD, _K.REVOKED): _S.INFORMED,
        (_S.REJECTED, _K.OBJECTED): _S.OBJECTED,
        (_S.REJECTED, _K.INVALIDATED): _S.INVALIDATED,
        (None, _K.FROZEN): _S.FROZEN,
        (_S.FROZEN, _K.UNFROZEN): _S.LIFTED,
        (None, _K.PROTECTED): _S.PROTECTED,
        (_S.PROTECTED, _K.PROTECTED): _S.PROTECTED,
        (_S.PROTECTED, _K.UNPROTECTED): _S.LIFTED,
    }
)
"""(status before, event) → status after; nothing else may happen. ``revoked`` takes back what the person last said:
an agreement, a refusal or an objection."""

_INFORMED: Final = (_S.INFORMED, _S.OBJECTED, _S.UPHELD, _S.REJECTED)
_OPPOSED: Final = (_S.OBJECTED, _S.UPHELD)


class TransitionRefused(ValueError):  # noqa: N818  (a shared name)
    """An event its record cannot take. ``reason``: ``transition``, ``chain``, ``purpose``, ``scope`` or ``voice``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RecordState:
    """One record after its latest event."""

    record_id: str
    status: RecordStatus
    seq: int
    digest: str
    """Of the latest event: the next one's ``prev``."""
    purpose: str | None
    start: datetime
    end: datetime | None
    given: Scope = NOTHING
    refused: Scope = NOTHING
    notice: NoticeRef | None = None
    evidence: EvidenceLevel = EvidenceLevel.E0
    mandate: Mandate | None = None

    def is_live(self, at: datetime) -> bool:
        """Say whether ``at`` stands in ``[start, end)``: an agreement that expired gives nothing from ``end`` on."""
        return self.start <= at and (self.end is None or at < self.end)


@dataclass(frozen=True, slots=True)
class PersonState:
    """Every record of one person, in order of their first event."""

    records: Mapping[str, RecordState] = field(default_factory=lambda: MappingProxyType({}))

    def without(self, record_ids: Collection[str]) -> PersonState:
        """Return the state in which those records give nothing; what they refuse stands."""
        silenced = {
            record_id: replace(record, given=NOTHING) if record_id in record_ids else record
            for record_id, record in self.records.items()
        }
        return PersonState(MappingProxyType(silenced))


def fold(events: Iterable[ConsentEvent]) -> PersonState:
    """Return the state after ``events``, given in order of acceptance; raises :class:`TransitionRefused`."""
    records: dict[str, RecordState] = {}
    for event in events:
        before = records.get(event.record_id)
        status = _check(before, event)
        records[event.record_id] = _after(before, event, status)
    return PersonState(MappingProxyType(records))


def check_transition(state: PersonState, event: ConsentEvent) -> None:
    """Return when ``event`` may come next; raises :class:`TransitionRefused`, whose reason says why not."""
    _check(state.records.get(event.record_id), event)


def _check(before: RecordState | None, event: ConsentEvent) -> RecordStatus:
    status = TRANSITIONS.get((before.status if before else None, event.kind))
    if status is None:
        raise TransitionRefused("transition")
    expected = (before.seq + 1, before.digest) if before else (0, None)
    if (event.seq, event.prev) != expected:
        raise TransitionRefused("chain")
    if before is None:
        return status
    if event.purpose not in (None, before.purpose):
        raise TransitionRefused("purpose")
    if event.kind in (_K.NARROWED, _K.RENEWED) and not event.scope.within(before.given):
        raise TransitionRefused("scope")
    lifts_refusal = event.kind is _K.REVOKED and before.status is not _S.GRANTED
    if (lifts_refusal or event.kind is _K.RENEWED) and _holder(event.mandate) != _holder(before.mandate):
        raise TransitionRefused("voice")
    return status


def _holder(mandate: Mandate | None) -> str | None:
    return mandate.holder if mandate else None


def _after(before: RecordState | None, event: ConsentEvent, status: RecordStatus) -> RecordState:
    if before is None:
        gives = status in (_S.GRANTED, _S.INFORMED)
        return RecordState(
            event.record_id,
            status,
            event.seq,
            event.digest,
            event.purpose,
            event.start,
            event.end,
            given=event.scope if gives else NOTHING,
            refused=NOTHING if gives else event.scope,
            notice=event.notice,
            evidence=event.evidence,
            mandate=event.mandate,
        )
    after = replace(before, status=status, seq=event.seq, digest=event.digest)
    match event.kind:
        case EventKind.NARROWED:
            ends = [end for end in (before.end, event.end) if end is not None]
            after = replace(after, given=event.scope, start=max(before.start, event.start), end=min(ends))
        case EventKind.RENEWED:
            after = replace(
                after,
                given=event.scope,
                start=event.start,
                end=event.end,
                notice=event.notice,
                evidence=event.evidence,
                mandate=event.mandate,
            )
        case EventKind.OBJECTED:
            after = replace(after, refused=event.scope)
        case EventKind.PROTECTED:
            after = replace(after, refused=replace(before.refused, fields=before.refused.fields | event.scope.fields))
        case EventKind.REVOKED | EventKind.OBJECTION_REJECTED:
            after = replace(after, refused=NOTHING)
        case _:
            pass
    return after


@dataclass(frozen=True, slots=True)
class _Said:
    """What one record says about the question at this moment. Masks."""

    record_id: str
    parent: str | None
    """The holder, under parental authority."""
    judged: int
    """The fields a judgment mandate settles."""
    agreed: int
    proven: int
    """Part of ``agreed`` whose proof is strong enough."""
    denied: int
    informed: int
    objected: int


def authority(state: PersonState, policy: Policy, question: Question) -> Authority:
    """Return what the person's records give for ``question``, as masks over ``policy.index`` (DESIGN §5).

    An accord counts when its notice is one of the policy's, its proof strong enough for the purpose and each field's
    class, and, said for someone else, inside a live mandate. Refusals need neither notice nor proof, and an objection
    outlives the information it answers. Of two parents one suffices for a usual act, else both must agree; what a
    judgment settles is no longer theirs to say.
    """
    protected = 0
    turns: list[datetime] = []
    said: list[_Said] = []
    for record in state.records.values():
        if record.status is _S.FROZEN:
            protected = policy.index.full
        elif record.status is _S.PROTECTED:
            protected |= record.refused.fields
        elif record.purpose == question.purpose:
            turns += (turn for turn in _turns(record) if turn > question.at)
            said.append(_say(record, policy, question))
    judged = _union(s.judged for s in said if s.agreed or s.denied)
    said = [
        replace(s, agreed=s.agreed & ~judged, proven=s.proven & ~judged, denied=s.denied & ~judged) if s.parent else s
        for s in said
    ]
    purpose = policy.purposes.get(question.purpose)
    usual_act = purpose is not None and purpose.usual_act
    permit = _agreement(((s.parent, s.proven) for s in said), usual_act)
    return Authority(
        permit=permit,
        deny=_union(s.denied for s in said),
        weak=_agreement(((s.parent, s.agreed) for s in said), usual_act) & ~permit,
        informed=_union(s.informed for s in said),
        objection=_union(s.objected for s in said),
        protected=protected,
        consent_ids=tuple(s.record_id for s in said if s.proven & permit or s.informed),
        refusal_ids=tuple(s.record_id for s in said if s.denied or s.objected),
        valid_until=min(turns, default=None),
    )


def _say(record: RecordState, policy: Policy, question: Question) -> _Said:
    mandate, status = record.mandate, record.status
    if mandate is None:
        speaks_for, nature = policy.index.full, None
    else:
        speaks_for, nature = mandate.scope if mandate.decides(question.at) else 0, mandate.nature
    live = record.is_live(question.at)
    given = record.given.fields & speaks_for if record.given.covers(question) else 0
    refused = record.refused.fields & speaks_for if record.refused.covers(question) else 0
    regime = Regime.ACCORD if status is _S.GRANTED else Regime.INFORMATION
    given = given if live and _was_shown(record, regime, policy) else 0
    agreed = given if status is _S.GRANTED else 0
    proofs = policy.evidence_table.get(question.purpose, (0, 0, 0, 0))
    return _Said(
        record.record_id,
        parent=mandate.holder if mandate and nature is MandateNature.AUTORITE_PARENTALE else None,
        judged=speaks_for if nature is MandateNature.JUGEMENT else 0,
        agreed=agreed,
        proven=agreed & proofs[record.evidence],
        denied=refused if status is _S.DENIED and live else 0,
        informed=given if status in _INFORMED else 0,
        objected=refused if status in _OPPOSED else 0,
    )


def _was_shown(record: RecordState, regime: Regime, policy: Policy) -> bool:
    """Say whether the text the person was shown is, to the byte, one the policy knows for this purpose and regime."""
    n = record.notice
    return n is not None and (record.purpose, regime, n.notice_id, n.version, n.language, n.sha256) in policy.shown


def _turns(record: RecordState) -> Iterator[datetime]:
    """Yield the instants at which time alone may change what the record says."""
    yield record.start
    if record.end is not None:
        yield record.end
    if record.mandate is not None:
        yield from (record.mandate.start, record.mandate.end)


def _union(masks: Iterable[int]) -> int:
    return reduce(or_, masks, 0)


def _agreement(rows: Iterable[tuple[str | None, int]], usual_act: bool) -> int:
    """Return what is agreed to: by the person or a guardian, or by one parent (usual act) or two (C. civ. 372-2)."""
    direct = 0
    parents: dict[str, int] = {}
    for parent, fields in rows:
        if parent is None:
            direct |= fields
        else:
            parents[parent] = parents.get(parent, 0) | fields
    once = twice = 0
    for fields in parents.values():
        twice |= once & fields
        once |= fields
    return direct | (once if usual_act else twice)


def diagram() -> str:
    """Return :data:`TRANSITIONS` as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    for (before, kind), after in TRANSITIONS.items():
        lines.append(f"    {before or '[*]'} --> {after}: {kind}")
    lines += [f"    {status} --> expired: to reached, computed" for status in (_S.GRANTED, _S.DENIED, _S.INFORMED)]
    befores = {before for before, _ in TRANSITIONS}
    lines += [f"    {status} --> [*]" for status in RecordStatus if status not in befores]
    return "\n".join(lines) + "\n"


def document() -> str:
    """Return ``docs/consent-states.md``: the diagram and how to write it again."""
    return f"""# What may happen to a consent record

Drawn from `consent.lifecycle.TRANSITIONS`; anything not drawn is refused. `revoked` takes back what the person last
said: an agreement, a refusal or an objection. `expired` is never written: every evaluation compares its moment with
`[from, to)`. An objection outlives the information it answers. To write this page again:

    python -c "from consent.lifecycle import document; print(document(), end='')" > docs/consent-states.md

```mermaid
{diagram()}```
"""
