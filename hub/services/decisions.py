"""What stands about a person at one moment, and what it gives for a request, source by source.

Reads only; both gates of the release call it inside their own transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Final

from connectors.kit.runtime.ids import PersonId
from connectors.kit.trust import Directory, DirectoryPartner
from consent.decide import decide
from consent.explain import to_log
from consent.lifecycle import PersonState, authority
from consent.model import Decision, Question, Reason
from consent.policy import Policy
from hub.home import HUB
from hub.services.consents import state_of
from hub.services.requests import PullRequest
from hub.store.consents import StoredEvent
from hub.store.session import UnitOfWork

NOT_HELD: Final = "not_held"
# Where sources differ, the log tells the reason nearest to the person first.
_TELLING: Final = (
    Reason.PROTECTED,
    Reason.CONSENT_DENY,
    Reason.OBJECTION,
    Reason.EVIDENCE,
    Reason.NO_CONSENT,
    Reason.PURPOSE_CAP,
    Reason.NO_RULE,
    Reason.ROLE_DENY,
)


@dataclass(frozen=True, slots=True)
class SourceDecision:
    """What one source may send. ``sendable`` is the allowed fields among the sections it declared."""

    source: DirectoryPartner
    question: Question
    decision: Decision
    is_holder: bool
    is_reachable: bool
    sendable: int

    def to_log(self) -> dict[str, Any]:
        """Return the decision for the access log, replayable."""
        return {
            "source": self.source.slug,
            "source_kind": self.source.kind,
            "wanted": f"{self.question.wanted:x}",
            "sendable": f"{self.sendable:x}",
            "is_holder": self.is_holder,
            **to_log(self.decision),
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything a release relies on, as read in one transaction."""

    at: datetime
    person: PersonId | None
    version: int
    policy: Policy
    directory: Directory
    suspended: frozenset[str]
    decisions: tuple[SourceDecision, ...]
    events: tuple[StoredEvent, ...]
    set_aside: frozenset[str]
    """Records some event of which comes from a collector that is suspended or collects no more, or may be another
    person's since a link was corrected: they give nothing."""

    def still_holds(self, uow: UnitOfWork, policy: Policy, directory: Directory) -> bool:
        """Say whether nothing it relies on has moved: person, policy, partners and keys, and the passing of time."""
        assert self.person is not None  # noqa: S101 (an unknown person is sent no order, so is never asked about)
        ends = [d.decision.valid_until for d in self.decisions if d.decision.valid_until is not None]
        return (
            uow.persons.version(self.person) == self.version
            and policy.version == self.policy.version
            and directory.version == self.directory.version
            and uow.partners.suspended() == self.suspended
            and self.at <= uow.at
            and all(uow.at < end for end in ends)
        )

    def of(self, slug: str) -> SourceDecision | None:
        """Return what was decided for one source."""
        return next((decision for decision in self.decisions if decision.source.slug == slug), None)

    @property
    def consent_ids(self) -> list[str]:
        """The records relied on, each once."""
        return sorted({record for d in self.decisions if d.sendable for record in d.decision.consent_ids})

    @property
    def allowed(self) -> int:
        """Every field some source may send."""
        return reduce(or_, (d.sendable for d in self.decisions), 0)

    def withheld(self, wanted: int) -> dict[str, str]:
        """Return why each field of ``wanted`` that no source may send stays, path → reason code."""
        left = wanted & ~self.allowed
        reasons: dict[str, str] = {}
        found = [dict(d.decision.masks()) for d in self.decisions]
        for reason in _TELLING:
            mask = left & reduce(or_, (masks[reason] for masks in found), 0)
            reasons |= dict.fromkeys(self.policy.index.paths(mask), reason.value)
            left &= ~mask
        return reasons | dict.fromkeys(self.policy.index.paths(left), NOT_HELD)


def survey(
    uow: UnitOfWork, policy: Policy, directory: Directory, request: PullRequest, person: PersonId | None
) -> Standing:
    """Return what stands now about ``person`` for ``request``. A ref that means no one is decided on like a person
    of whom nothing is known, and is released nothing under any regime."""
    if person is None:
        version, state, holdings = 0, PersonState(), {}
        events: tuple[StoredEvent, ...] = ()
    else:
        version, holdings = uow.persons.version(person), uow.persons.holdings(person)
        state, stored = state_of(uow, policy, person)
        events = tuple(stored)
    suspended = uow.partners.suspended()
    # No source believes a collector that may not act; what it wrote down as refused is kept all the same.
    collecting = {partner.slug for partner in directory.partners() if partner.is_active and partner.can_collect}
    set_aside = frozenset(e.record_id for e in events if not e.gives or e.collector not in collecting - suspended)
    state = state.without(set_aside) if set_aside else state
    # The requester itself may have been suspended, or have left, since it signed in: then nothing goes.
    active = {partner.slug for partner in directory.partners() if partner.is_active} - suspended
    decisions = []
    for source in directory.partners():
        wanted = request.wanted & policy.index.known(source.supplies)
        if source.slug == HUB or not wanted:
            continue
        question = Question(
            purpose=request.purpose,
            role=request.role,
            attributes=request.attributes,
            source=source.slug,
            source_kind=source.kind,
            recipient=request.recipient.slug,
            recipient_kind=request.recipient.kind,
            wanted=wanted,
            at=uow.at,
        )
        decision = decide(policy, question, authority(state, policy, question))
        holding = holdings.get(source.slug)
        reachable = source.slug in active
        sendable = 0
        if person is not None and holding is not None and {source.slug, request.recipient.slug} <= active:
            sendable = decision.allowed & _declared(policy, holding.sections)
        decisions.append(SourceDecision(source, question, decision, holding is not None, reachable, sendable))
    return Standing(uow.at, person, version, policy, directory, suspended, tuple(decisions), events, set_aside)


def _declared(policy: Policy, sections: frozenset[str]) -> int:
    if not sections:
        return policy.index.full
    return policy.index.mask(path for path in policy.index.all_paths if path.partition(".")[0] in sections)
