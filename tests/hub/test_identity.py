"""Two persons who are one, one person who is two: what a human decides, and everything that follows it (DESIGN §4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from connectors.kit.runtime.errors import ErrorKind
from consent.model import EventKind
from hub.store import tables
from hub.store.token_set import Packed
from schemas.registry import validator
from tests.hub.conftest import RSA, World, problem, tokens
from tests.hub.reviewing import (
    decide,
    doubted,
    half,
    index_stats,
    match_kinds,
    notices_of,
    open_reviews,
    person_of,
    records_of,
    register_record,
    split_off,
)

# --- the queue ---------------------------------------------------------------------------------------------------


def test_a_doubt_is_shown_by_kinds_and_flags_alone(world: World) -> None:
    _, _, review_id = doubted(world)
    (review,) = open_reviews(world)
    assert (review["doubt"], review["state"]) == ("nom_prenom_date", "open")
    assert review["partners"] == {"raised": ["caf"], "candidate": ["departement"]}
    shown = world.ok("dpo", "/v1/reviews/show", {"review_id": review_id})
    validator("review").check(shown)
    (pair,) = shown["pairs"]
    assert pair["agree"] == ["sgd"]
    assert pair["rules_say"] == "nom_prenom_date"
    assert pair["record"]["gaps"] == ["lieu_naissance", "nir", "prenoms"]
    assert pair["other"]["gaps"] == ["nir", "prenoms"]
    text = str(shown)
    people = world.hub.reads.run(lambda uow: list(uow.connection.execute(select(tables.person.c.person_id)).scalars()))
    assert not [person for person in people if person in text]
    assert world.log()[0]["processing_activity"]["id"] == "consultation_du_journal"


@pytest.mark.parametrize("name", ["caf", "departement", "operator"])
def test_the_queue_is_the_dpos_alone(world: World, name: str) -> None:
    _, _, review_id = doubted(world)
    for path, document in (
        ("/v1/reviews/search", {"decided": True}),
        ("/v1/reviews/show", {"review_id": review_id}),
        ("/v1/reviews/decide", {"review_id": review_id, "decision": "link", "reason": "x"}),
        ("/v1/persons/records", {"partner": "caf", "ref": "A" * 22, "complaint": "x"}),
        (
            "/v1/persons/split",
            {"partner": "caf", "ref": "A" * 22, "records": [review_id], "complaint": "x", "reason": "x"},
        ),
    ):
        problem(world.post(name, path, document), ErrorKind.FORBIDDEN)
    assert [review["state"] for review in open_reviews(world)] == ["open"]


def test_pages_of_the_queue_hold_each_doubt_once(world: World) -> None:
    for person in range(1, 8):
        world.register("departement", person)
        register_record(world, "caf", half(person), person)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = world.ok("dpo", "/v1/reviews/search", {"decided": False, "limit": 3, **cursor})
        seen += [review["review_id"] for review in answer["reviews"]]
        if answer["next"] is None:
            break
        cursor = {"cursor": answer["next"]}
    assert len(seen) == len(set(seen)) == 7


def test_what_is_unknown_is_refused_and_changes_nothing(world: World) -> None:
    _, caf, _ = doubted(world)
    nobody = "6f1d2c3b-4a59-4687-9c7d-0e1f2a3b4c5d"
    decision = {"review_id": nobody, "decision": "link", "reason": "x"}
    problem(world.post("dpo", "/v1/reviews/decide", decision), ErrorKind.NOT_FOUND)
    split = {"partner": "caf", "ref": caf, "records": [nobody], "complaint": "x", "reason": "x"}
    problem(world.post("dpo", "/v1/persons/split", split), ErrorKind.NOT_FOUND)
    problem(world.post("dpo", "/v1/persons/split", {**split, "ref": "A" * 22}), ErrorKind.UNKNOWN_SUBJECT)
    (own,) = records_of(world, "caf", caf)["records"]
    problem(world.post("dpo", "/v1/persons/split", {**split, "records": [own["record_id"]]}), ErrorKind.CONFLICT)
    assert not set(match_kinds(world)) & {"split", "joined"}


# --- different ---------------------------------------------------------------------------------------------------


def test_different_is_for_good(world: World) -> None:
    desk, caf, review_id = doubted(world)
    assert decide(world, review_id, "different") == {"review_id": review_id, "state": "different"}
    assert open_reviews(world) == []
    # Registered again, corrected until it fits whole: never linked, never asked about again.
    assert register_record(world, "caf", tokens(1), 1) == caf
    assert person_of(world, "caf", caf) != person_of(world, "departement", desk)
    assert open_reviews(world) == []
    assert match_kinds(world)[-3:] == ["different", "different", "corrected"]


def test_different_does_not_stop_a_third_record_that_is_clearly_one_of_the_two(world: World) -> None:
    desk, caf, review_id = doubted(world)
    decide(world, review_id, "different")
    assert person_of(world, "cpam", world.register("cpam", 1)) == person_of(world, "departement", desk)
    assert person_of(world, "caf", caf) != person_of(world, "departement", desk)


def test_ask_waits_and_tells_no_partner_anything(world: World) -> None:
    _, caf, review_id = doubted(world)
    before = {slug: notices_of(world, slug) for slug in world.partners}
    assert decide(world, review_id, "ask")["state"] == "asked"
    assert {slug: notices_of(world, slug) for slug in world.partners} == before
    assert [review["state"] for review in open_reviews(world)] == ["asked"]
    # The partner completes its own record: still a human's decision, now an easy one.
    assert register_record(world, "caf", tokens(1), 1) == caf
    (pair,) = world.ok("dpo", "/v1/reviews/show", {"review_id": review_id})["pairs"]
    assert pair["rules_say"] == "R2"


# --- link --------------------------------------------------------------------------------------------------------


def test_two_persons_become_one_and_every_ref_goes_on_meaning_it(world: World) -> None:
    desk, caf, review_id = doubted(world)
    assert person_of(world, "departement", desk) != person_of(world, "caf", caf)
    decide(world, review_id, "link")
    assert person_of(world, "departement", desk) == person_of(world, "caf", caf)
    world.consent(desk, EventKind.GRANTED)
    answer = world.pull(desk, RSA)
    assert [fragment["source"] for fragment in answer["fragments"]] == ["caf"]
    # The source is asked under the ref it has always had.
    assert world.edges.refs[-1] == caf
    assert register_record(world, "caf", half(1), 1, "droits") == caf
    assert match_kinds(world)[-2:] == ["joined", "absorbed"]
    assert index_stats(world)["persons"] == 1


def test_a_refusal_of_one_of_the_two_holds_for_the_one_they_are(world: World) -> None:
    desk = world.register("departement", 1)
    ccas = register_record(world, "ccas", half(1), 1)
    world.register("caf", 1, sections=["droits", "ressources"])
    world.consent(desk, EventKind.GRANTED)
    assert world.pull(desk, RSA)["fragments"]
    world.consent(
        ccas, EventKind.DENIED, collector="ccas", fields=RSA, sources=("caf",), recipients=(("departement", ()),)
    )
    assert world.pull(desk, RSA)["fragments"]
    (review,) = open_reviews(world)
    decide(world, review["review_id"], "link")
    assert world.pull(desk, RSA)["fragments"] == []
    record = world.ok("ccas", "/v1/consents/search", {"ref": ccas})["records"]
    assert {row["state"] for row in record} >= {"denied"}


def test_a_withdrawal_goes_on_after_a_link(world: World) -> None:
    """The agreement was taken down under the person that went: its next event finds it."""
    world.register("caf", 1, sections=["droits", "ressources"])
    ccas = register_record(world, "ccas", half(1), 1)
    given = world.consent(ccas, EventKind.GRANTED, collector="ccas", recipients=(("ccas", ()),))["record_id"]
    (review,) = open_reviews(world)
    decide(world, review["review_id"], "link")
    assert world.pull(ccas, RSA, recipient="ccas")["fragments"]
    world.consent(ccas, EventKind.REVOKED, collector="ccas", follows=world.follows(ccas, given, "ccas"))
    assert world.pull(ccas, RSA, recipient="ccas")["fragments"] == []


@pytest.mark.parametrize("decision", ["link", "split"])
def test_a_change_between_the_gates_is_decided_on_again(world: World, decision: str) -> None:
    desk, _, review_id = doubted(world)
    if decision == "split":
        decide(world, review_id, "link")
        world.consent(desk, EventKind.GRANTED)
        change = lambda slug: split_off(world, "departement", desk, "caf")  # noqa: E731
    else:
        source = world.register("cpam", 1, sections=["droits"])
        assert person_of(world, "cpam", source) == person_of(world, "departement", desk)
        refused = {"fields": ("droits.c2s.etat",), "sources": ("cpam",), "recipients": (("departement", ()),)}
        world.consent(desk, EventKind.GRANTED, **refused)
        ccas = register_record(world, "ccas", half(1), 7)
        world.consent(ccas, EventKind.DENIED, collector="ccas", **refused)
        (asked,) = [
            r
            for r in open_reviews(world)
            if ["ccas"] in r["partners"].values() and ["caf"] not in r["partners"].values()
        ]
        change = lambda slug: decide(world, asked["review_id"], "link")  # noqa: E731
    world.edges.before = change
    answer = world.pull(desk, (*RSA, "droits.c2s.etat"))
    assert answer["fragments"] == []
    assert "communique" not in answer["statuses"].values()


def test_a_person_that_may_be_several_keeps_every_doubt(world: World) -> None:
    """Doubts follow the records that raised them, and nobody decided on is asked about again."""
    world.register("departement", 1)
    register_record(world, "caf", half(1), 1)
    register_record(world, "cpam", half(1), 1)
    assert len(open_reviews(world)) == 3
    first = next(r for r in open_reviews(world) if r["partners"] == {"raised": ["caf"], "candidate": ["departement"]})
    decide(world, first["review_id"], "link")
    # cpam's doubts about the two are now one doubt about one person.
    (left,) = open_reviews(world)
    assert ["cpam"] in left["partners"].values()
    assert ["caf", "departement"] in left["partners"].values()
    decide(world, left["review_id"], "different")
    assert open_reviews(world) == []


def test_every_record_has_one_person_whatever_is_decided(world: World) -> None:
    """A walk through decisions; the store's own picture is checked after each."""
    import random

    rng = random.Random(5)  # noqa: S311
    refs: dict[tuple[str, int], str] = {}
    for person in (1, 2, 3):
        for slug in ("departement", "caf", "cpam", "ccas"):
            held = tokens(person) if rng.random() < 0.5 else half(person)
            refs[slug, person] = register_record(world, slug, held, person)
            world.clock.advance(timedelta(seconds=1))
    for step in range(60):
        waiting = open_reviews(world, decided=True)
        if waiting and rng.random() < 0.6:
            review = rng.choice(waiting)
            decision = rng.choice(["link", "different"])
            world.clock.advance(timedelta(seconds=1))
            body = {"review_id": review["review_id"], "decision": decision, "reason": "x"}
            assert world.post("dpo", "/v1/reviews/decide", body).status_code in (200, 409), step
        else:
            slug, person = rng.choice(sorted(refs))
            ref = refs[slug, person]
            held = [r["record_id"] for r in records_of(world, slug, ref)["records"]]
            world.clock.advance(timedelta(seconds=1))
            body = {
                "partner": slug,
                "ref": ref,
                "records": held[: len(held) // 2] or held,
                "complaint": "x",
                "reason": "x",
            }
            assert world.post("dpo", "/v1/persons/split", body).status_code in (200, 409), step
        _check_whole(world)
        for (slug, person), ref in refs.items():
            mine = [r["partner"] for r in records_of(world, slug, ref)["records"]] if step % 20 == 19 else [slug]
            assert slug in mine, (step, slug, person)


def _check_whole(world: World) -> None:
    def check(uow: Any) -> None:
        run = uow.connection.execute
        link, token_set, holding = tables.link, tables.token_set, tables.holding
        now = {row.record_id: row.person_id for row in run(select(link).where(link.c.until.is_(None)))}
        assert len(now) == run(select(func.count()).select_from(link).where(link.c.until.is_(None))).scalar_one()
        assert len(now) == run(select(func.count()).select_from(tables.record)).scalar_one()
        found = run(select(token_set.c.record_id, token_set.c.person_id))
        assert {row.record_id: row.person_id for row in found} == now
        rows = run(
            select(token_set.c.number, token_set.c.epoch, token_set.c.kinds, token_set.c.looked_up, token_set.c.tokens)
        )
        wanted = {(lookup, number) for number, *columns in rows for lookup in Packed(*columns).lookups()}
        assert {(row.lookup, row.number) for row in run(select(tables.token))} == wanted
        for row in run(select(holding.c.record_id, holding.c.person_id)):
            assert now[row.record_id] == row.person_id

    world.hub.reads.run(check)
