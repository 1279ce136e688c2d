"""``decide`` with its compact explanation, beside the bare mask expression of DESIGN §6 on the same integers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from bench.harness import Result, Say, Scale, compare, rate_of, run_for
from connectors.kit.policy_folder import PACKAGED_CONFIG, load_policy_folder
from consent.decide import decide
from consent.lifecycle import authority, fold
from consent.model import Attributes, Authority, EventKind, EvidenceLevel, Question
from consent.policy import Policy
from consent.records import ConsentEvent, NoticeRef, Scope

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SOURCES = {"caf": "caisse", "cpam": "caisse", "france_travail": "etat", "departement": "departement"}
_RECIPIENT = "departement"
_ASKERS = (
    ("accompagnement_global", "referent_parcours", Attributes(assigned=True, own=True)),
    ("accompagnement_global", "accueil", Attributes()),
    ("acces_aux_droits", "travailleur_social", Attributes(own=True)),
    ("acces_aux_droits", "instructeur", Attributes(aid="rsa")),
    ("instruction_aide", "instructeur", Attributes(mission="decret_nir", aid="rsa")),
    ("orientation_rsa", "referent_parcours", Attributes(assigned=True)),
    ("autonomie", "equipe_medico_sociale", Attributes()),
    ("prevention_expulsion_fsl", "travailleur_social", Attributes()),
)

Bare = tuple[int, int, int, int, int, int, int, int, int, int]
"""wanted, role permit, role deny, cap, consent permit, consent deny, legal base, informed, objection, protected."""


@dataclass(frozen=True)
class Workload:
    """A person's ten events, 32 questions about them, and the same questions as bare integers."""

    policy: Policy
    events: tuple[ConsentEvent, ...]
    prepared: tuple[tuple[Question, Authority], ...]
    rows: tuple[Bare, ...]


def workload() -> Workload:
    """Build the questions over ``config/`` as it is shipped: every source, eight askers, everything or one section."""
    policy = load_policy_folder(PACKAGED_CONFIG)
    events = person(policy)
    state = fold(events)
    wishes = (policy.index.full, policy.index.select("droits.*"))
    questions = [
        Question(purpose, role, attributes, source, kind, _RECIPIENT, "departement", wanted, AT)
        for ((purpose, role, attributes), wanted), (source, kind) in itertools.product(
            zip(_ASKERS, itertools.cycle(wishes)), SOURCES.items()
        )
    ]
    prepared = tuple((question, authority(state, policy, question)) for question in questions)
    return Workload(policy, events, prepared, tuple(_bare_row(policy, *pair) for pair in prepared))


def person(policy: Policy) -> tuple[ConsentEvent, ...]:
    """Return ten events of one person: agreements narrowed and withdrawn, an information objected to, a protection."""
    everything, index = policy.index.full, policy.index
    steps: list[tuple[str, EventKind, str | None, int]] = [
        ("accord", EventKind.GRANTED, "accompagnement_global", everything),
        ("accord", EventKind.NARROWED, "accompagnement_global", everything & ~index.select("ressources.*")),
        ("refus", EventKind.DENIED, "accompagnement_global", index.select("droits.aah.*")),
        ("fsl", EventKind.GRANTED, "prevention_expulsion_fsl", everything),
        ("fsl", EventKind.REVOKED, "prevention_expulsion_fsl", 0),
        ("autonomie", EventKind.GRANTED, "autonomie", everything),
        ("info", EventKind.INFORMED, "acces_aux_droits", everything),
        ("info", EventKind.OBJECTED, "acces_aux_droits", index.select("ressources.*")),
        ("aide", EventKind.INFORMED, "instruction_aide", everything),
        ("abri", EventKind.PROTECTED, None, index.select("contact.*")),
    ]
    seen: dict[str, int] = {}
    events = []
    for number, (record, kind, purpose, fields) in enumerate(steps):
        seq = seen[record] = seen.get(record, -1) + 1
        start = AT - timedelta(days=60 - number)
        events.append(
            ConsentEvent(
                event_id=f"event-{number}",
                record_id=record,
                kind=kind,
                seq=seq,
                prev=f"{record}-{seq - 1}" if seq else None,
                digest=f"{record}-{seq}",
                collector=_RECIPIENT,
                at=start,
                start=start,
                end=start + timedelta(days=365),
                purpose=purpose,
                scope=Scope(fields, frozenset(SOURCES), ((_RECIPIENT, frozenset()),)),
                notice=_notice(policy, purpose),
                evidence=EvidenceLevel.E3,
            )
        )
    return tuple(events)


def _notice(policy: Policy, purpose: str | None) -> NoticeRef | None:
    for shown in sorted(policy.shown):
        if shown[0] == purpose:
            return NoticeRef(*shown[2:])
    return None if purpose is None else NoticeRef("none", "1", "fr", "0" * 64)


def _bare_row(policy: Policy, question: Question, given: Authority) -> Bare:
    permit, deny = policy.role_masks(question.role, question.attributes)
    rule = policy.rule(question.purpose, question.source, question.source_kind, question.recipient_kind)
    accord, information, obligation, opposable, cap = rule or (0, 0, 0, 0, 0)
    return (
        *(question.wanted, permit, deny, cap, given.permit & accord, given.deny),
        *(information | obligation, given.informed | obligation, given.objection & opposable, given.protected),
    )


def ours(load: Workload) -> int:
    """Decide every question once; return how many."""
    policy = load.policy
    for question, given in load.prepared:
        decide(policy, question, given)
    return len(load.prepared)


def bare(load: Workload) -> int:
    """Compute the expression of DESIGN §6 for every question, the integers already at hand; return how many."""
    for wanted, permit, deny, cap, agreed, refused, legal, informed, objection, protected in load.rows:
        wanted & permit & ~deny & cap & ((agreed & ~refused) | (legal & informed & ~objection)) & ~protected
    return len(load.rows)


def whole(load: Workload) -> int:
    """From a person's events to the decision: fold, authority, decide, for every question; return how many."""
    policy, events = load.policy, load.events
    for question, _ in load.prepared:
        decide(policy, question, authority(fold(events), policy, question))
    return len(load.prepared)


def run(scale: Scale, say: Say) -> Result:
    """Measure and explain."""
    load = workload()
    fields, events = len(load.policy.index.all_paths), len(load.events)
    say(f"{len(load.prepared)} questions over {fields} fields, one person's {events} events")
    figure = compare("decide", partial(ours, load), partial(bare, load), scale, "authority at hand")
    full = rate_of(run_for(partial(whole, load), scale.seconds) for _ in range(scale.pairs))
    return Result(
        figures=(figure,),
        wanted="≥ 0.25×, ≥ 200,000/s",
        measured=(
            "`decide` with its compact explanation: two look-ups, nine disjoint masks, ids, the policy's version. "
            "Bare: the one expression of DESIGN §6, inline, on the same integers already looked up."
        ),
        dominates=f"arithmetic on integers of {fields} bits, each step of which makes a new one; then the look-ups.",
        information=(f"fold of {events} events + authority + decide, nothing cached: {full}",),
    )
