"""Two persons who are one, one person who is two: what a human decides, and everything that follows it (DESIGN §4)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.runtime.ids import PersonId
from connectors.kit.tokens import TokenSet
from consent.model import EventKind
from hub.services.register import resolve
from hub.store import tables
from hub.store.identity_tables import consent_owner
from hub.store.token_set import Packed
from schemas.registry import validator
from tests.hub.conftest import QF, RSA, World, problem, record_key, tokens


def _half(person: int) -> TokenSet:
    """Enough in common with the person to be shown to a reviewer, not enough to be linked."""
    made = tokens(person)
    return TokenSet(tuple(each for each in made.tokens if each[0] == "sgd"), made.flags)


def _register(world: World, slug: str, held: TokenSet, key: int, *sections: str) -> str:
    record = {"record_key": record_key(key), "sections": list(sections), **held.to_wire()}
    ref: str = world.ok(slug, "/v1/registrations", {"records": [record]})["registrations"][0]["ref"]
    return ref


def _reviews(world: World, **criteria: Any) -> list[dict[str, Any]]:
    answer = world.ok("dpo", "/v1/reviews/search", {"decided": False, **criteria})
    validator("reviews").check(answer)
    found: list[dict[str, Any]] = answer["reviews"]
    return found


def _decide(world: World, review_id: str, decision: str) -> dict[str, Any]:
    world.clock.advance(timedelta(seconds=1))
    body = {"review_id": review_id, "decision": decision, "reason": "pièce vue"}
    return world.ok("dpo", "/v1/reviews/decide", body)


def _records(world: World, slug: str, ref: str) -> dict[str, Any]:
    answer = world.ok("dpo", "/v1/persons/records", {"partner": slug, "ref": ref, "complaint": "R-1"})
    validator("person_records").check(answer)
    return answer


def _split(world: World, slug: str, ref: str, *partners: str) -> dict[str, Any]:
    world.clock.advance(timedelta(seconds=1))
    held = [r["record_id"] for r in _records(world, slug, ref)["records"] if r["partner"] in partners]
    body = {"partner": slug, "ref": ref, "records": held, "complaint": "R-1", "reason": "homonymes"}
    answer = world.ok("dpo", "/v1/persons/split", body)
    validator("split_answer").check(answer)
    return answer


def _notices(world: World, slug: str) -> list[dict[str, Any]]:
    answer = world.ok(slug, "/v1/link-notices/search", {"limit": 100})
    validator("link_notices").check(answer)
    found: list[dict[str, Any]] = answer["notices"]
    return found


def _stats(world: World) -> dict[str, Any]:
    answer = world.client.get("/v1/index/stats", headers={"Authorization": f"Bearer {world.token('operator')}"})
    validator("index_stats").check(answer.get_json())
    found: dict[str, Any] = answer.get_json()
    return found


def _whom(world: World, slug: str, ref: str) -> PersonId | None:
    return world.hub.reads.run(lambda uow: resolve(uow, world.hub.keyring, slug, ref))


def _kinds(world: World) -> list[str]:
    query = select(tables.match_event.c.kind).order_by(tables.match_event.c.seq)
    return world.hub.reads.run(lambda uow: list(uow.connection.execute(query).scalars()))


def _doubted(world: World) -> tuple[str, str, str]:
    """A person of the département and a record of the caisse that may be the same: (ref, ref, review)."""
    desk = world.register("departement", 1, sections=["accompagnement"])
    world.clock.advance(timedelta(seconds=1))
    caf = _register(world, "caf", _half(1), 1, "droits", "ressources")
    (review,) = _reviews(world)
    return desk, caf, review["review_id"]


# --- the queue ---------------------------------------------------------------------------------------------------


def test_a_doubt_is_shown_by_kinds_and_flags_alone(world: World) -> None:
    _, _, review_id = _doubted(world)
    (review,) = _reviews(world)
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
    _, _, review_id = _doubted(world)
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
    assert [review["state"] for review in _reviews(world)] == ["open"]


def test_pages_of_the_queue_hold_each_doubt_once(world: World) -> None:
    for person in range(1, 8):
        world.register("departement", person)
        _register(world, "caf", _half(person), person)
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
    _, caf, _ = _doubted(world)
    nobody = "6f1d2c3b-4a59-4687-9c7d-0e1f2a3b4c5d"
    decision = {"review_id": nobody, "decision": "link", "reason": "x"}
    problem(world.post("dpo", "/v1/reviews/decide", decision), ErrorKind.NOT_FOUND)
    split = {"partner": "caf", "ref": caf, "records": [nobody], "complaint": "x", "reason": "x"}
    problem(world.post("dpo", "/v1/persons/split", split), ErrorKind.NOT_FOUND)
    problem(world.post("dpo", "/v1/persons/split", {**split, "ref": "A" * 22}), ErrorKind.UNKNOWN_SUBJECT)
    (own,) = _records(world, "caf", caf)["records"]
    problem(world.post("dpo", "/v1/persons/split", {**split, "records": [own["record_id"]]}), ErrorKind.CONFLICT)
    assert not set(_kinds(world)) & {"split", "joined"}


# --- different ---------------------------------------------------------------------------------------------------


def test_different_is_for_good(world: World) -> None:
    desk, caf, review_id = _doubted(world)
    assert _decide(world, review_id, "different") == {"review_id": review_id, "state": "different"}
    assert _reviews(world) == []
    # Registered again, corrected until it fits whole: never linked, never asked about again.
    assert _register(world, "caf", tokens(1), 1) == caf
    assert _whom(world, "caf", caf) != _whom(world, "departement", desk)
    assert _reviews(world) == []
    assert _kinds(world)[-3:] == ["different", "different", "corrected"]


def test_different_does_not_stop_a_third_record_that_is_clearly_one_of_the_two(world: World) -> None:
    desk, caf, review_id = _doubted(world)
    _decide(world, review_id, "different")
    assert _whom(world, "cpam", world.register("cpam", 1)) == _whom(world, "departement", desk)
    assert _whom(world, "caf", caf) != _whom(world, "departement", desk)


def test_ask_waits_and_tells_no_partner_anything(world: World) -> None:
    _, caf, review_id = _doubted(world)
    before = {slug: _notices(world, slug) for slug in world.partners}
    assert _decide(world, review_id, "ask")["state"] == "asked"
    assert {slug: _notices(world, slug) for slug in world.partners} == before
    assert [review["state"] for review in _reviews(world)] == ["asked"]
    # The partner completes its own record: still a human's decision, now an easy one.
    assert _register(world, "caf", tokens(1), 1) == caf
    (pair,) = world.ok("dpo", "/v1/reviews/show", {"review_id": review_id})["pairs"]
    assert pair["rules_say"] == "R2"


# --- link --------------------------------------------------------------------------------------------------------


def test_two_persons_become_one_and_every_ref_goes_on_meaning_it(world: World) -> None:
    desk, caf, review_id = _doubted(world)
    assert _whom(world, "departement", desk) != _whom(world, "caf", caf)
    _decide(world, review_id, "link")
    assert _whom(world, "departement", desk) == _whom(world, "caf", caf)
    world.consent(desk, EventKind.GRANTED)
    answer = world.pull(desk, RSA)
    assert [fragment["source"] for fragment in answer["fragments"]] == ["caf"]
    # The source is asked under the ref it has always had.
    assert world.edges.refs[-1] == caf
    assert _register(world, "caf", _half(1), 1, "droits") == caf
    assert _kinds(world)[-2:] == ["joined", "absorbed"]
    assert _stats(world)["persons"] == 1


def test_a_refusal_of_one_of_the_two_holds_for_the_one_they_are(world: World) -> None:
    desk = world.register("departement", 1)
    ccas = _register(world, "ccas", _half(1), 1)
    world.register("caf", 1, sections=["droits", "ressources"])
    world.consent(desk, EventKind.GRANTED)
    assert world.pull(desk, RSA)["fragments"]
    world.consent(
        ccas, EventKind.DENIED, collector="ccas", fields=RSA, sources=("caf",), recipients=(("departement", ()),)
    )
    assert world.pull(desk, RSA)["fragments"]
    (review,) = _reviews(world)
    _decide(world, review["review_id"], "link")
    assert world.pull(desk, RSA)["fragments"] == []
    record = world.ok("ccas", "/v1/consents/search", {"ref": ccas})["records"]
    assert {row["state"] for row in record} >= {"denied"}


def test_a_withdrawal_goes_on_after_a_link(world: World) -> None:
    """The agreement was taken down under the person that went: its next event finds it."""
    world.register("caf", 1, sections=["droits", "ressources"])
    ccas = _register(world, "ccas", _half(1), 1)
    given = world.consent(ccas, EventKind.GRANTED, collector="ccas", recipients=(("ccas", ()),))["record_id"]
    (review,) = _reviews(world)
    _decide(world, review["review_id"], "link")
    assert world.pull(ccas, RSA, recipient="ccas")["fragments"]
    world.consent(ccas, EventKind.REVOKED, collector="ccas", follows=world.follows(ccas, given, "ccas"))
    assert world.pull(ccas, RSA, recipient="ccas")["fragments"] == []


@pytest.mark.parametrize("decision", ["link", "split"])
def test_a_change_between_the_gates_is_decided_on_again(world: World, decision: str) -> None:
    desk, _, review_id = _doubted(world)
    if decision == "split":
        _decide(world, review_id, "link")
        world.consent(desk, EventKind.GRANTED)
        change = lambda slug: _split(world, "departement", desk, "caf")  # noqa: E731
    else:
        source = world.register("cpam", 1, sections=["droits"])
        assert _whom(world, "cpam", source) == _whom(world, "departement", desk)
        refused = {"fields": ("droits.c2s.etat",), "sources": ("cpam",), "recipients": (("departement", ()),)}
        world.consent(desk, EventKind.GRANTED, **refused)
        ccas = _register(world, "ccas", _half(1), 7)
        world.consent(ccas, EventKind.DENIED, collector="ccas", **refused)
        (asked,) = [
            r for r in _reviews(world) if ["ccas"] in r["partners"].values() and ["caf"] not in r["partners"].values()
        ]
        change = lambda slug: _decide(world, asked["review_id"], "link")  # noqa: E731
    world.edges.before = change
    answer = world.pull(desk, (*RSA, "droits.c2s.etat"))
    assert answer["fragments"] == []
    assert "communique" not in answer["statuses"].values()


# --- split -------------------------------------------------------------------------------------------------------


def _wrongly_linked(world: World) -> dict[str, str]:
    """Four partners hold 'one person'; those of caf and ccas are another's, as it turns out."""
    refs = {
        slug: world.register(slug, 1, sections=["droits", "ressources"])
        for slug in ("departement", "caf", "ccas", "cpam")
    }
    assert len({_whom(world, slug, ref) for slug, ref in refs.items()}) == 1
    return refs


def test_a_split_gives_every_record_and_ref_back(world: World) -> None:
    refs = _wrongly_linked(world)
    made = _split(world, "departement", refs["departement"], "caf", "ccas")
    one = {_whom(world, slug, refs[slug]) for slug in ("departement", "cpam")}
    other = {_whom(world, slug, refs[slug]) for slug in ("caf", "ccas")}
    assert len(one) == len(other) == 1
    assert one != other
    # Registered again by anybody, with the very tokens that linked them: never linked again, refs as they were.
    for slug in ("caf", "ccas", "cpam", "departement"):
        assert world.register(slug, 1, sections=["droits"]) == refs[slug]
    assert {_whom(world, slug, refs[slug]) for slug in ("caf", "ccas")} == other
    assert _kinds(world)[-2:] == ["split", "separated"]
    assert [r["state"] for r in _reviews(world, decided=True)] == ["split"]
    assert made["review_id"] == _reviews(world, decided=True)[0]["review_id"]
    # Each of the two records that went, and each of the two that stayed: for good.
    assert _stats(world)["kept_apart"] == 4
    held = world.hub.reads.run(lambda uow: uow.connection.execute(select(tables.link)).all())
    assert len([edge for edge in held if edge.until is not None]) == 2


def test_a_new_record_after_a_split_never_gets_a_ref_that_went_with_another(world: World) -> None:
    """The ref the first person's own secret makes at caf is the other's now: a new record there needs another one."""
    refs = _wrongly_linked(world)
    _split(world, "departement", refs["departement"], "caf")
    whom = _whom(world, "departement", refs["departement"])
    moved = world.hub.writer.run(lambda uow: _fresh_ref(uow, world, whom))
    assert moved != refs["caf"]
    assert _whom(world, "caf", moved) == whom
    assert _whom(world, "caf", refs["caf"]) not in (None, whom)


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
    _split(world, "departement", refs["departement"], "caf", "ccas")
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
    records = _records(world, "departement", desk)["records"]
    going = [r["record_id"] for r in records if r["partner"] == "caf"]
    going.append(next(r["record_id"] for r in records if r["partner"] == "departement"))
    world.clock.advance(timedelta(seconds=1))
    body = {"partner": "departement", "ref": desk, "records": going, "complaint": "R-1", "reason": "x"}
    world.ok("dpo", "/v1/persons/split", body)
    assert _whom(world, "caf", caf) != _whom(world, "cpam", cpam)
    assert world.pull(desk)["fragments"] == []
    owners = world.hub.reads.run(lambda uow: uow.connection.execute(select(consent_owner)).all())
    assert {row.gives for row in owners} == {False}
    assert len({row.person_id for row in owners}) == 2
    # The desk is asked to register again, and each record then has a ref of its own.
    (notice,) = [n for n in _notices(world, "departement") if n["kind"] == "reenregistrer"]
    assert notice["ref"] == desk
    refs = {world.register("departement", 1, key=key) for key in (1, 2)}
    assert len(refs) == 2
    assert desk in refs
    assert {_whom(world, "departement", ref) for ref in refs} == {_whom(world, "caf", caf), _whom(world, "cpam", cpam)}


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
    made = _split(world, "departement", refs["departement"], "caf", "ccas")
    assert made["told"] == [{"partner": "departement", "notices": 1}]
    (notice,) = _notices(world, "departement")
    assert (notice["kind"], notice["trace_id"], notice["source"]) == ("autre_personne", wrong["trace_id"], "caf")
    assert notice["is_certain"]
    assert set(RSA) <= set(notice["fields"])
    assert _notices(world, "ccas") == _notices(world, "caf") == []
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
    desk, caf, review_id = _doubted(world)
    before = _whom(world, "caf", caf)
    world.consent(desk, EventKind.GRANTED)
    _decide(world, review_id, "link")
    assert world.pull(desk, RSA)["fragments"]
    for _ in range(2):
        # What the review joined becomes again who it was, with its own secrets.
        made = _split(world, "departement", desk, "caf")
        assert made["review_id"] == review_id
        assert _whom(world, "caf", caf) == before
        assert world.pull(desk, RSA)["fragments"] == []
        answer = world.post("dpo", "/v1/reviews/decide", {"review_id": review_id, "decision": "ask", "reason": "x"})
        problem(answer, ErrorKind.CONFLICT)
        assert _stats(world)["kept_apart"] == 1
        assert _decide(world, review_id, "link")["state"] == "linked"
        assert _stats(world)["kept_apart"] == 0
        assert world.pull(desk, RSA)["fragments"]
        answer = world.post(
            "dpo", "/v1/reviews/decide", {"review_id": review_id, "decision": "different", "reason": "x"}
        )
        problem(answer, ErrorKind.CONFLICT)


def test_decisions_of_the_past_can_still_be_replayed(world: World) -> None:
    desk, _, review_id = _doubted(world)
    world.consent(desk, EventKind.GRANTED)
    traces = [world.pull(desk, RSA)["trace_id"]]
    _decide(world, review_id, "link")
    traces.append(world.pull(desk, RSA)["trace_id"])
    _split(world, "departement", desk, "departement")
    traces.append(world.pull(desk, RSA)["trace_id"])
    for trace_id in traces:
        assert world.ok("dpo", "/v1/explanations", {"trace_id": trace_id})["trace_id"] == trace_id


def test_a_person_that_may_be_several_keeps_every_doubt(world: World) -> None:
    """Doubts follow the records that raised them, and nobody decided on is asked about again."""
    world.register("departement", 1)
    _register(world, "caf", _half(1), 1)
    _register(world, "cpam", _half(1), 1)
    assert len(_reviews(world)) == 3
    first = next(r for r in _reviews(world) if r["partners"] == {"raised": ["caf"], "candidate": ["departement"]})
    _decide(world, first["review_id"], "link")
    # cpam's doubts about the two are now one doubt about one person.
    (left,) = _reviews(world)
    assert ["cpam"] in left["partners"].values()
    assert ["caf", "departement"] in left["partners"].values()
    _decide(world, left["review_id"], "different")
    assert _reviews(world) == []


def test_every_record_has_one_person_whatever_is_decided(world: World) -> None:
    """A walk through decisions; the store's own picture is checked after each."""
    import random

    rng = random.Random(5)  # noqa: S311
    refs: dict[tuple[str, int], str] = {}
    for person in (1, 2, 3):
        for slug in ("departement", "caf", "cpam", "ccas"):
            held = tokens(person) if rng.random() < 0.5 else _half(person)
            refs[slug, person] = _register(world, slug, held, person)
            world.clock.advance(timedelta(seconds=1))
    for step in range(60):
        waiting = _reviews(world, decided=True)
        if waiting and rng.random() < 0.6:
            review = rng.choice(waiting)
            decision = rng.choice(["link", "different"])
            world.clock.advance(timedelta(seconds=1))
            body = {"review_id": review["review_id"], "decision": decision, "reason": "x"}
            assert world.post("dpo", "/v1/reviews/decide", body).status_code in (200, 409), step
        else:
            slug, person = rng.choice(sorted(refs))
            ref = refs[slug, person]
            held = [r["record_id"] for r in _records(world, slug, ref)["records"]]
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
            mine = [r["partner"] for r in _records(world, slug, ref)["records"]] if step % 20 == 19 else [slug]
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
