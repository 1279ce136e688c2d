"""One person who is two: a split gives everything back, and whoever received another's data is told (DESIGN §4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.runtime.ids import PersonId
from consent.model import EventKind
from hub.store import tables
from hub.store.identity_tables import consent_owner
from schemas.registry import validator
from tests.hub.conftest import QF, RSA, World, problem
from tests.hub.reviewing import (
    decide,
    doubted,
    index_stats,
    match_kinds,
    notices_of,
    open_reviews,
    person_of,
    records_of,
    split_off,
)

# --- split -------------------------------------------------------------------------------------------------------


def _wrongly_linked(world: World) -> dict[str, str]:
    """Four partners hold 'one person'; those of caf and ccas are another's, as it turns out."""
    refs = {
        slug: world.register(slug, 1, sections=["droits", "ressources"])
        for slug in ("departement", "caf", "ccas", "cpam")
    }
    assert len({person_of(world, slug, ref) for slug, ref in refs.items()}) == 1
    return refs


def test_a_split_gives_every_record_and_ref_back(world: World) -> None:
    refs = _wrongly_linked(world)
    made = split_off(world, "departement", refs["departement"], "caf", "ccas")
    one = {person_of(world, slug, refs[slug]) for slug in ("departement", "cpam")}
    other = {person_of(world, slug, refs[slug]) for slug in ("caf", "ccas")}
    assert len(one) == len(other) == 1
    assert one != other
    # Registered again by anybody, with the very tokens that linked them: never linked again, refs as they were.
    for slug in ("caf", "ccas", "cpam", "departement"):
        assert world.register(slug, 1, sections=["droits"]) == refs[slug]
    assert {person_of(world, slug, refs[slug]) for slug in ("caf", "ccas")} == other
    assert match_kinds(world)[-2:] == ["split", "separated"]
    assert [r["state"] for r in open_reviews(world, decided=True)] == ["split"]
    assert made["review_id"] == open_reviews(world, decided=True)[0]["review_id"]
    # Each of the two records that went, and each of the two that stayed: for good.
    assert index_stats(world)["kept_apart"] == 4
    held = world.hub.reads.run(lambda uow: uow.connection.execute(select(tables.link)).all())
    assert len([edge for edge in held if edge.until is not None]) == 2


def test_a_new_record_after_a_split_never_gets_a_ref_that_went_with_another(world: World) -> None:
    """The ref the first person's own secret makes at caf is the other's now: a new record there needs another one."""
    refs = _wrongly_linked(world)
    split_off(world, "departement", refs["departement"], "caf")
    whom = person_of(world, "departement", refs["departement"])
    moved = world.hub.writer.run(lambda uow: _fresh_ref(uow, world, whom))
    assert moved != refs["caf"]
    assert person_of(world, "caf", moved) == whom
    assert person_of(world, "caf", refs["caf"]) not in (None, whom)


def _fresh_ref(uow: Any, world: World, person: PersonId | None) -> str:
    from hub.services.pseudonyms import refs_at

    assert person is not None
    return refs_at(uow, world.hub.keyring, "caf", {person})[person]


def test_consents_go_with_the_record_of_the_partner_that_took_them_down(world: World) -> None:
    refs = _wrongly_linked(world)
    world.consent(refs["departement"], EventKind.GRANTED, fields=RSA, sources=("cpam", "caf"))
    theirs = world.consent(
        refs["ccas"], EventKind.DENIED, collector="ccas", fields=QF, sources=("caf",), recipients=(("departement", ()),)
    )["record_id"]
    assert world.pull(refs["departement"], RSA)["fragments"]
    split_off(world, "departement", refs["departement"], "caf", "ccas")
    states = {
        slug: {
            r["record_id"]: r["state"] for r in world.ok(slug, "/v1/consents/search", {"ref": refs[slug]})["records"]
        }
        for slug in ("departement", "ccas")
    }
    assert list(states["departement"].values()) == ["granted"]
    assert states["ccas"] == {theirs: "denied"}
    # caf's record is the other's: nothing of it comes under this agreement any more.
    assert [f["source"] for f in world.pull(refs["departement"], RSA)["fragments"]] == []
    follows = world.follows(refs["ccas"], theirs, "ccas")
    world.consent(refs["ccas"], EventKind.REVOKED, collector="ccas", follows=follows)


def test_a_consent_of_whom_nobody_can_tell_allows_nothing_and_refuses_for_both(world: World) -> None:
    """The collector has records of both: which of the two agreed cannot be told."""
    desk = world.register("departement", 1, key=1)
    assert world.register("departement", 1, key=2) == desk
    caf = world.register("caf", 1, sections=["droits", "ressources"])
    cpam = world.register("cpam", 1, sections=["droits"])
    everyone = {"sources": ("caf", "cpam"), "recipients": (("departement", ()),)}
    world.consent(desk, EventKind.GRANTED, fields=(*RSA, "droits.c2s.etat"), **everyone)
    assert world.pull(desk)["fragments"]
    records = records_of(world, "departement", desk)["records"]
    going = [r["record_id"] for r in records if r["partner"] == "caf"]
    going.append(next(r["record_id"] for r in records if r["partner"] == "departement"))
    world.clock.advance(timedelta(seconds=1))
    body = {"partner": "departement", "ref": desk, "records": going, "complaint": "R-1", "reason": "x"}
    world.ok("dpo", "/v1/persons/split", body)
    assert person_of(world, "caf", caf) != person_of(world, "cpam", cpam)
    assert world.pull(desk)["fragments"] == []
    owners = world.hub.reads.run(lambda uow: uow.connection.execute(select(consent_owner)).all())
    assert {row.gives for row in owners} == {False}
    assert len({row.person_id for row in owners}) == 2
    # The desk is asked to register again, and each record then has a ref of its own.
    (notice,) = [n for n in notices_of(world, "departement") if n["kind"] == "reenregistrer"]
    assert notice["ref"] == desk
    refs = {world.register("departement", 1, key=key) for key in (1, 2)}
    assert len(refs) == 2
    assert desk in refs
    assert {person_of(world, "departement", ref) for ref in refs} == {
        person_of(world, "caf", caf),
        person_of(world, "cpam", cpam),
    }


def test_whoever_received_anothers_data_is_told_and_both_histories_show_it(world: World) -> None:
    refs = _wrongly_linked(world)
    both = (*RSA, "droits.c2s.etat")
    world.consent(refs["departement"], EventKind.GRANTED, fields=both, sources=("caf", "cpam"))
    world.consent(
        refs["ccas"], EventKind.GRANTED, collector="ccas", fields=RSA, sources=("caf",), recipients=(("ccas", ()),)
    )
    wrong = world.pull(refs["departement"], both)
    assert {fragment["source"] for fragment in wrong["fragments"]} == {"caf", "cpam"}
    right = world.pull(refs["ccas"], RSA, recipient="ccas")
    assert right["fragments"]
    made = split_off(world, "departement", refs["departement"], "caf", "ccas")
    assert made["told"] == [{"partner": "departement", "notices": 1}]
    (notice,) = notices_of(world, "departement")
    assert (notice["kind"], notice["trace_id"], notice["source"]) == ("autre_personne", wrong["trace_id"], "caf")
    assert notice["is_certain"]
    assert set(RSA) <= set(notice["fields"])
    assert notices_of(world, "ccas") == notices_of(world, "caf") == []
    histories = {slug: world.log("usager", slug, ref=refs[slug]) for slug in ("departement", "ccas")}
    for rows in histories.values():
        for row in rows:
            validator("access_record").check(row)
    # She whose records were taken for another's reads who received them, and which requests were about her.
    seen = {(row["partner"], row.get("wrong_link", False)) for row in histories["ccas"]}
    assert seen == {("departement", True), ("ccas", False)}
    assert ("departement", True) in {(r["partner"], r.get("wrong_link", False)) for r in histories["departement"]}
    # What comes after the split is each one's alone.
    world.pull(refs["ccas"], RSA, recipient="ccas")
    assert len(world.log("usager", "ccas", ref=refs["ccas"])) == len(histories["ccas"]) + 1
    # The person stayed sees ccas' request of the old time only where the log had it as hers; nothing new is added.
    assert len(world.log("usager", "departement", ref=refs["departement"])) == len(histories["departement"])


def test_a_split_can_be_undone_and_done_again(world: World) -> None:
    desk, caf, review_id = doubted(world)
    before = person_of(world, "caf", caf)
    world.consent(desk, EventKind.GRANTED)
    decide(world, review_id, "link")
    assert world.pull(desk, RSA)["fragments"]
    for _ in range(2):
        # What the review joined becomes again who it was, with its own secrets.
        made = split_off(world, "departement", desk, "caf")
        assert made["review_id"] == review_id
        assert person_of(world, "caf", caf) == before
        assert world.pull(desk, RSA)["fragments"] == []
        answer = world.post("dpo", "/v1/reviews/decide", {"review_id": review_id, "decision": "ask", "reason": "x"})
        problem(answer, ErrorKind.CONFLICT)
        assert index_stats(world)["kept_apart"] == 1
        assert decide(world, review_id, "link")["state"] == "linked"
        assert index_stats(world)["kept_apart"] == 0
        assert world.pull(desk, RSA)["fragments"]
        answer = world.post(
            "dpo", "/v1/reviews/decide", {"review_id": review_id, "decision": "different", "reason": "x"}
        )
        problem(answer, ErrorKind.CONFLICT)


def test_decisions_of_the_past_can_still_be_replayed(world: World) -> None:
    desk, _, review_id = doubted(world)
    world.consent(desk, EventKind.GRANTED)
    traces = [world.pull(desk, RSA)["trace_id"]]
    decide(world, review_id, "link")
    traces.append(world.pull(desk, RSA)["trace_id"])
    split_off(world, "departement", desk, "departement")
    traces.append(world.pull(desk, RSA)["trace_id"])
    for trace_id in traces:
        assert world.ok("dpo", "/v1/explanations", {"trace_id": trace_id})["trace_id"] == trace_id
