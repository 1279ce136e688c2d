"""Fold, authority and decision against the independent oracle, with uniform and boundary-biased generators."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent.decide import decide
from consent.lifecycle import TransitionRefused, authority, check_transition, fold
from consent.model import KINDS, Attributes, Authority, PurposeRule, Question, Reason
from consent.records import ConsentEvent, parse_event
from tests.consent import oracle, world
from tests.consent.world import FIELDS, INDEX, PATHS, TEXT_SHA256

POLICY = world.policy()
LAW = oracle.Law(world.files(), FIELDS)
KINDS_OF_EVENT = [kind for kinds in oracle.NEXT.values() for kind in sorted(kinds)]
SETTINGS = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

UNIFORM_HOURS = st.floats(0, 30, allow_nan=False).map(lambda h: round(h, 4))
EDGE_HOURS = st.sampled_from([0, 2, 4, 6, 8])
"""Few moments: a question falls on the very start or end of a record or mandate most of the time."""
UNIFORM_PATHS = st.lists(st.sampled_from(PATHS), unique=True, max_size=len(PATHS))
EDGE_PATHS = st.one_of(st.just([]), st.just(list(PATHS)), st.sampled_from([[p] for p in PATHS]), UNIFORM_PATHS)
"""Empty, full, one bit."""


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Return a strategy that gives ``usual`` most of the time."""
    return st.integers(0, 5).flatmap(lambda n: st.sampled_from(others) if n == 0 and others else st.just(usual))


@st.composite
def mandates(draw: Any, hours: st.SearchStrategy[float]) -> dict[str, Any] | None:
    if draw(st.booleans()):
        return None
    begin, end = draw(hours), draw(hours)
    parental = mostly("autorite_parentale", "jugement", "tutelle", "curatelle_simple", "habilitation_familiale")
    return world.mandate(
        draw(parental),
        draw(st.sampled_from(["holder-1", "holder-2", "holder-3"])),
        champ=draw(mostly(["personne"], ["biens"], ["biens", "personne"])),
        scope=draw(mostly(["*"], ["moi.*"], ["classe:C2"], ["droits.rsa.etat", "moi.nom"])),
        valid_from=world.instant(begin),
        valid_to=world.instant(end),
    )


@st.composite
def events(draw: Any, hours: st.SearchStrategy[float], paths: st.SearchStrategy[list[str]]) -> dict[str, Any]:
    """One payload, not yet chained: often a plausible one, sometimes a wrong kind, text, scope or proof."""
    kind = draw(st.sampled_from(KINDS_OF_EVENT))
    fields = draw(paths)
    fields = fields or ["moi.nom"]
    begin, end = sorted((draw(hours), draw(hours)))
    wide = kind in ("denied", "objected")
    sources = draw(st.sampled_from([["caf"], ["cpam"], ["caf", "cpam"], *([[]] if wide else [])]))
    one = {"partner": "departement", "roles": draw(mostly([], ["referent"], ["tout", "referent"]))}
    recipients = draw(st.sampled_from([[one], [one, {"partner": "ccas", "roles": []}], *([[]] if wide else [])]))
    whole_person = kind in ("frozen", "unfrozen", "protected", "unprotected")
    mandate = draw(mandates(hours))
    event = world.payload(
        kind,
        draw(st.sampled_from(["r1", "r2", "r3", "r4"])),
        **({} if whole_person else {"purpose": draw(mostly("grave", "suivi", "droits"))}),
        mandate=mandate,
    )
    changed: dict[str, Any] = {
        "validity": {"from": world.instant(begin), "to": world.instant(end + (begin == end))},
        "collection": event["collection"] | {"evidence": draw(mostly("E2", "E0", "E1", "E3"))},
    }
    if kind in ("denied", "objected", "informed", "protected") and draw(st.booleans()):
        changed["validity"]["to"] = None
    if not whole_person:
        changed |= {"pii_information": fields, "sources": sources, "recipients": recipients}
    elif kind == "protected":
        changed |= {"pii_information": fields}
    if event["notice"]:
        changed["notice"] = event["notice"] | draw(mostly({}, {"sha256": "0" * 64}, {"id": "suivi"}, {"version": "9"}))
    return event | changed


@st.composite
def questions(draw: Any, hours: st.SearchStrategy[float], paths: st.SearchStrategy[list[str]]) -> dict[str, Any]:
    return {
        "purpose": draw(mostly("grave", "suivi", "droits", "loi", "stats", "unknown")),
        "role": draw(mostly("tout", "referent", "instructeur", "dpo", "unknown")),
        "attributes": {
            "assigned": draw(st.booleans()),
            "own": draw(st.booleans()),
            "mission": draw(st.sampled_from([None, "nir", "enfance", "unknown"])),
            "aid": draw(mostly(None, "rsa", "aah", "unknown")),
        },
        "source": draw(st.sampled_from(["caf", "cpam"])),
        "source_kind": draw(mostly("caisse", "commune", "etat", "unknown")),
        "recipient": draw(mostly("departement", "ccas")),
        "recipient_kind": draw(mostly("departement", "commune", "etat", "unknown")),
        "wanted": draw(paths),
        "at": world.at(draw(hours)),
    }


def to_question(asked: dict[str, Any]) -> Question:
    """Return the question in the words of the code under test."""
    return Question(**asked | {"attributes": Attributes(**asked["attributes"]), "wanted": INDEX.mask(asked["wanted"])})


def replay(drawn: list[dict[str, Any]]) -> tuple[list[ConsentEvent], oracle.Person]:
    """Return the events both sides accept; they must agree on each, and on the reason of a refusal."""
    accepted: list[dict[str, Any]] = []
    person = oracle.Person()
    for event in drawn:
        *_, chained = world.chain(*accepted, event)
        problem = person.problem(chained)
        read = parse_event(chained, INDEX)
        state = fold(parse_event(e, INDEX) for e in accepted)
        if problem is None:
            check_transition(state, read)
            person.take(chained, world.payload_digest(chained))
            accepted.append(chained)
        else:
            with pytest.raises(TransitionRefused) as refused:
                check_transition(state, read)
            assert refused.value.reason == problem
    return [parse_event(e, INDEX) for e in accepted], person


def check(drawn: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    """Compare the decision with the oracle's, field by field, and its masks with the published formula."""
    accepted, person = replay(drawn)
    question = to_question(asked)
    given = authority(fold(accepted), POLICY, question)
    decision = decide(POLICY, question, given)
    ours = {path: reason for reason, mask in decision.masks() for path in INDEX.paths(mask)}
    theirs = {path: oracle.why(LAW, person, asked, path, TEXT_SHA256) for path in asked["wanted"]}
    assert ours == theirs
    assert given.permit & given.weak == 0


UNIFORM = (st.lists(events(UNIFORM_HOURS, UNIFORM_PATHS), max_size=8), questions(UNIFORM_HOURS, UNIFORM_PATHS))
EDGES = (st.lists(events(EDGE_HOURS, EDGE_PATHS), max_size=8), questions(EDGE_HOURS, EDGE_PATHS))


@SETTINGS
@given(*UNIFORM)
def test_like_the_oracle_uniform(drawn: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    check(drawn, asked)


@SETTINGS
@given(*EDGES)
def test_like_the_oracle_on_the_edges(drawn: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    check(drawn, asked)


@SETTINGS
@given(st.data())
def test_like_the_oracle_on_overlapping_agreements_and_refusals(data: st.DataObject) -> None:
    """Every record is an opening one of one purpose, so that they overlap; the question falls on their edges."""
    opening = [
        event
        | {"record_id": f"r{i}", "kind": kind, "purpose": "grave"}
        | ({"notice": world.payload("granted", purpose="grave")["notice"]} if kind == "granted" else {})
        | ({"validity": event["validity"] | {"to": event["validity"]["to"] or world.instant(9)}})
        for i, (event, kind) in enumerate(
            data.draw(
                st.lists(
                    st.tuples(
                        events(EDGE_HOURS, EDGE_PATHS).filter(lambda e: e["kind"] in ("denied", "granted", "objected")),
                        mostly("granted", "denied"),
                    ),
                    min_size=1,
                    max_size=6,
                )
            )
        )
    ]
    for event in opening:
        event["sources"] = event["sources"] or ["caf"]
        event["recipients"] = event["recipients"] or [{"partner": "departement", "roles": []}]
    asked = data.draw(questions(EDGE_HOURS, EDGE_PATHS))
    check(opening, asked | {"purpose": "grave", "source_kind": "caisse", "role": "tout"})


MASKS = st.one_of(
    st.just(0), st.just(INDEX.full), st.integers(0, INDEX.full), st.sampled_from([1 << i for i in range(12)])
)


@settings(max_examples=500, deadline=None)
@given(MASKS, MASKS, MASKS, MASKS, MASKS, MASKS, questions(EDGE_HOURS, EDGE_PATHS))
def test_the_sieve_is_the_published_formula(
    permit: int, deny: int, informed: int, objection: int, protected: int, weak: int, asked: dict[str, Any]
) -> None:
    """DESIGN §6, word for word, on any masks; and the nine masks are disjoint and cover what was wanted."""
    question = to_question(asked)
    given_now = Authority(permit, deny, weak & ~permit, informed, objection, protected)
    role_permit, role_deny = POLICY.role_masks(question.role, question.attributes)
    rule = POLICY.rule(question.purpose, question.source, question.source_kind, question.recipient_kind)
    rule = rule or PurposeRule(0, 0, 0, 0, 0)
    consented = permit & ~deny & rule.accord
    legal = rule.obligation | (rule.information & informed & ~(objection & rule.opposable))
    formula = question.wanted & role_permit & ~role_deny & rule.cap & (consented | legal) & ~protected
    decision = decide(POLICY, question, given_now)
    assert decision.allowed == formula
    masks = [mask for _, mask in decision.masks()]
    assert sum(masks) == question.wanted
    union = 0
    for mask in masks:
        assert union & mask == 0
        union |= mask


ANYTHING = st.one_of(st.none(), st.integers(), st.text(max_size=4), st.lists(st.integers(), max_size=2), st.booleans())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_unknown_name_and_no_exception_ever_releases(data: st.DataObject) -> None:
    """Whatever stands in one member of the question, ``decide`` answers, and a name nobody knows gives nothing."""
    good = world.question(role="referent")
    name = data.draw(st.sampled_from(["purpose", "role", "attributes", "source_kind", "recipient_kind", "wanted"]))
    value = data.draw(ANYTHING)
    members = {n: getattr(good, n) for n in Question.__slots__}
    decision = decide(POLICY, Question(**members | {name: value}), Authority(permit=INDEX.full, informed=INDEX.full))
    if name == "wanted" and type(value) in (int, bool) and value is not None:
        assert decision.allowed & ~int(value) == 0
    elif value not in KINDS:
        assert decision.allowed == 0


def test_the_generators_reach_every_reason() -> None:
    """A reason never reached would be a reason never compared."""
    seen: set[Reason] = set()

    @settings(max_examples=400, deadline=None, database=None, derandomize=True)
    @given(*EDGES)
    def look(drawn: list[dict[str, Any]], asked: dict[str, Any]) -> None:
        accepted, _ = replay(drawn)
        question = to_question(asked)
        decision = decide(POLICY, question, authority(fold(accepted), POLICY, question))
        seen.update(reason for reason, mask in decision.masks() if mask)

    look()
    assert seen == set(Reason)
