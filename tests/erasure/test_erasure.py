"""Somebody is erased for real: what goes, what the law keeps and for whom, and what was proved before stays proved."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Table, func, insert, select, update

from connectors.kit import seal
from connectors.kit.erasure_decision import sign_decision
from connectors.kit.runtime.clock import instant
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.runtime.ids import new_uuid
from connectors.kit.seal import Typ
from consent.ledger.erasure import verify_erasure
from consent.ledger.merkle import leaf_hash, verify_consistency
from consent.ledger.proof import LogProof
from consent.model import EventKind
from hub.jobs.retention import keeper_of
from hub.services import log
from hub.services.retention import end_what_is_over
from hub.store import persons, tables
from hub.store.session import UnitOfWork
from tests.erasure.conftest import (
    NOTHING_KEPT,
    PROOF_KEPT,
    Life,
    decision,
    erase,
    is_whole,
    later,
    live,
    log_keys_of,
    person_of,
    rows_with,
)
from tests.hub.conftest import World, body_of, problem


def test_no_row_of_the_erased_is_left(world: World, life: Life) -> None:
    person = person_of(world, life.refs["departement"])
    assert person is not None
    before = rows_with(world, person)
    assert {"person", "token_set", "link", "holding", "person_ref", "consent_event", "subject_head"} <= set(before)
    lookups = _count(world, tables.token)
    receipt = erase(world, life.refs["departement"])
    assert rows_with(world, person) == {}
    assert receipt["erasure"]["rows"]["token_set"] == before["token_set"]
    assert receipt["erasure"]["rows"]["token"] == lookups - _count(world, tables.token) > before["token_set"]
    left = select(tables.token.c.number).where(tables.token.c.number.not_in(select(tables.token_set.c.number)))
    assert world.hub.reads.run(lambda uow: uow.connection.execute(left).all()) == []
    assert receipt["erasure"]["rows"]["record"] == len(world.partners)
    for slug, ref in life.refs.items():
        assert person_of(world, ref, slug) is None


def _count(world: World, table: Table) -> int:
    query = select(func.count()).select_from(table)
    return world.hub.reads.run(lambda uow: int(uow.connection.execute(query).scalar_one()))


def test_the_receipt_is_proved_by_the_log_and_names_no_one(world: World, life: Life) -> None:
    ref = life.refs["departement"]
    person = person_of(world, ref)
    sent = decision(world, ref)
    receipt = world.ok("dpo", "/v1/erasures", sent)
    verdict = verify_erasure(receipt, log_keys_of(world))
    assert verdict.holds, verdict.code
    assert verdict.decision is not None
    assert (verdict.decision["reason"], verdict.decision["request_number"]) == (NOTHING_KEPT, "2026-17")
    text = str(receipt) + str(verdict.decision)
    assert all(word not in text for word in (*life.refs.values(), str(person), sent["salt"]))
    assert receipt["erasure"]["final_by"] == instant(world.clock.now() + timedelta(days=30))
    # Two of its promises made longer or shorter, another event's salt: nothing of it can be changed.
    for changed in (
        {**receipt, "erasure": {**receipt["erasure"], "final_by": "2026-01-16T09:00:00.000000Z"}},
        {**receipt, "erasure": {**receipt["erasure"], "proof_until": "2036-01-16T09:00:00.000000Z"}},
        {**receipt, "event": {**receipt["event"], "r32": "A" * 43}},
        {**receipt, "event": {**receipt["event"], "at": "2026-01-15T09:00:00.000001Z"}},
        {**receipt, "type": "maillon-receipt"},
    ):
        assert not verify_erasure(changed, log_keys_of(world)).holds


def test_the_same_decision_again_answers_the_same_erasure(world: World, life: Life) -> None:
    sent = decision(world, life.refs["departement"])
    first = world.ok("dpo", "/v1/erasures", sent)
    assert world.ok("dpo", "/v1/erasures", sent)["erasure"] == first["erasure"]
    problem(world.post("dpo", "/v1/erasures", decision(world, life.refs["departement"])), ErrorKind.UNKNOWN_SUBJECT)
    again = world.ok("dpo", "/v1/erasures/receipt", {"erasure_id": first["erasure"]["erasure_id"]})
    assert again["erasure"] == first["erasure"]


def test_every_way_a_decision_can_be_wrong(world: World, life: Life) -> None:
    ref, other = life.refs["departement"], live(world, 2).refs["departement"]
    good = decision(world, ref)
    stolen = sign_decision(
        "departement", ref, NOTHING_KEPT, "2026-17", world.principal("operator")(), world.clock.now()
    )
    named = sign_decision("departement", ref, NOTHING_KEPT, "Mme Martin", world.principal("dpo")(), world.clock.now())
    for wrong, kind in (
        ({**good, "ref": other}, ErrorKind.WRONG_SUBJECT),
        ({**good, "salt": "A" * 22}, ErrorKind.WRONG_SUBJECT),
        (decision(world, ref, "parce_que"), ErrorKind.SCHEMA),
        ({"decision": named.jws, "ref": ref, "salt": named.salt}, ErrorKind.SCHEMA),
        ({"decision": stolen.jws, "ref": ref, "salt": stolen.salt}, ErrorKind.UNTRUSTED_KEY),
        ({**good, "decision": good["decision"][:-4] + "AAAA"}, ErrorKind.BAD_SIGNATURE),
        (decision(world, ref, partner="caf"), ErrorKind.UNKNOWN_SUBJECT),
    ):
        problem(world.post("dpo", "/v1/erasures", wrong), kind)
    for name in ("operator", "departement", "caf"):
        problem(world.post(name, "/v1/erasures", good), ErrorKind.FORBIDDEN)
    later(world, minutes=11)
    problem(world.post("dpo", "/v1/erasures", good), ErrorKind.EXPIRED)
    assert person_of(world, ref) is not None


def test_afterwards_the_ref_means_no_one_and_the_record_is_a_stranger(world: World, life: Life) -> None:
    ref = life.refs["departement"]
    erase(world, ref)
    problem(world.post("departement", "/v1/consents", world.event(ref, EventKind.GRANTED)), ErrorKind.UNKNOWN_SUBJECT)
    problem(world.post("departement", "/v1/consents/search", {"ref": ref}), ErrorKind.UNKNOWN_SUBJECT)
    unknown = world.ok("departement", "/v1/pulls", body_of(world.request(ref)))
    assert set(unknown["statuses"].values()) == {"non_communique"}
    assert world.edges.orders[1:] == []
    fresh = world.register("departement", 1)
    assert fresh != ref
    assert world.ok("departement", "/v1/consents/search", {"ref": fresh})["records"] == []


def test_traces_are_the_dpos_alone_through_the_receipt_until_their_month_ends(world: World, life: Life) -> None:
    ref = life.refs["departement"]
    before = [row["event_id"] for row in world.log(ref=ref, partner="departement", complaint="2026-17")]
    assert len(before) >= 3
    erasure_id = erase(world, ref)["erasure"]["erasure_id"]
    # Whoever looks without the receipt, whatever was seen before, finds nothing.
    problem(
        world.post(
            "dpo", "/v1/access-log/search", {"view": "dpo", "ref": ref, "partner": "departement", "complaint": "x"}
        ),
        ErrorKind.UNKNOWN_SUBJECT,
    )
    for view, name in (("dpo", "dpo"), ("partenaire", "departement"), ("partenaire", "caf")):
        assert not set(before) & {row["event_id"] for row in world.log(view, name)}
    problem(world.post("dpo", "/v1/access-log/search", {"view": "dpo", "erasure_id": erasure_id}), ErrorKind.SCHEMA)
    asked = {"view": "partenaire", "erasure_id": erasure_id, "complaint": "x"}
    problem(world.post("departement", "/v1/access-log/search", asked), ErrorKind.SCHEMA)
    through = [row["event_id"] for row in world.log(erasure_id=erasure_id, complaint="2026-17")]
    assert set(before) <= set(through)
    # January's traces end with January of next year: 12 whole months.
    later(world, days=380)
    assert [row["event_id"] for row in world.log(erasure_id=erasure_id, complaint="2026-17")] == through
    end_what_is_over(keeper_of(world.hub), world.clock.now())
    later(world, days=2)
    assert set(before) <= {row["event_id"] for row in world.log(erasure_id=erasure_id, complaint="2026-17")}
    later(world, days=1)
    end_what_is_over(keeper_of(world.hub), world.clock.now())
    assert world.log(erasure_id=erasure_id, complaint="2026-17") == []


def test_agreements_are_kept_as_proof_only_where_the_reason_says_so(world: World) -> None:
    kept, gone = live(world, 1), live(world, 2)
    proof = erase(world, kept.refs["departement"], PROOF_KEPT)["erasure"]
    none = erase(world, gone.refs["departement"], NOTHING_KEPT)["erasure"]
    assert proof["proof_until"] == "2031-01-15T09:00:00.000000Z"
    assert proof["emptied"]["count"] == 0
    assert (none["proof_until"], none["emptied"]["count"]) == (None, 1)

    def read(erasure_id: str) -> list[str]:
        found: list[str] = world.ok(
            "dpo", "/v1/erasures/agreements", {"erasure_id": erasure_id, "complaint": "2026-17"}
        )["agreements"]
        return found

    (jws,) = read(proof["erasure_id"])
    assert seal.peek(jws, Typ.CONSENT)["record_id"] == kept.record_id
    assert read(none["erasure_id"]) == []
    problem(world.post("dpo", "/v1/erasures/agreements", {"erasure_id": proof["erasure_id"]}), ErrorKind.SCHEMA)
    problem(
        world.post("dpo", "/v1/erasures/agreements", {"erasure_id": new_uuid(), "complaint": "x"}), ErrorKind.NOT_FOUND
    )
    problem(
        world.post("departement", "/v1/erasures/agreements", {"erasure_id": proof["erasure_id"], "complaint": "x"}),
        ErrorKind.FORBIDDEN,
    )
    assert [row for row in world.log() if row["kind"] == "read"]
    later(world, days=5 * 365 + 2)
    assert read(proof["erasure_id"]) == []
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).proof_keys == 1
    assert read(proof["erasure_id"]) == []
    assert is_whole(world)


def test_receipts_and_proofs_of_before_still_hold(world: World, life: Life) -> None:
    leaves = world.hub.reads.run(lambda uow: uow.log.leaves(0, uow.log.size()))
    before = world.hub.reads.run(lambda uow: (log.checkpoint(uow), log.inclusion(uow, len(leaves) - 1)))
    erase(world, life.refs["departement"])
    later(world, days=400)
    end_what_is_over(keeper_of(world.hub), world.clock.now())
    after = world.hub.reads.run(lambda uow: uow.log.leaves(0, len(leaves)))
    assert after == leaves
    note, proof = before
    verdict = LogProof(proof.index, proof.hashes, note).verify(
        leaf_hash(leaves[-1]), log_keys_of(world).policy(len(leaves))
    )
    assert verdict.checkpoint.size == len(leaves)
    size = world.hub.reads.run(lambda uow: uow.log.size())
    consistent = world.hub.reads.run(lambda uow: log.consistency(uow, len(leaves), size))
    newest = world.hub.reads.run(lambda uow: uow.log.newest())
    assert newest is not None
    verify_consistency(len(leaves), size, consistent, verdict.checkpoint.root, newest.root)


def test_neighbours_lose_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # Everybody in the same bucket of wrapping keys as the erased, which changes them.
    monkeypatch.setattr(persons, "new_uuid", lambda: f"0a1{new_uuid()[3:]}")
    lives = [live(world, number) for number in range(1, 9)]
    before = {
        life.record_id: world.ok("departement", "/v1/consents/search", {"ref": life.refs["departement"]})
        for life in lives
    }
    erase(world, lives[3].refs["departement"])
    for number, life in enumerate(lives):
        if number != 3:
            asked = {"ref": life.refs["departement"]}
            assert world.ok("departement", "/v1/consents/search", asked) == before[life.record_id]
            assert world.register("caf", number + 1, sections=["droits"]) == life.refs["caf"]


def test_a_record_that_was_split_off_stays_with_the_other(world: World, life: Life) -> None:
    person, other = person_of(world, life.refs["departement"]), person_of(world, live(world, 2).refs["departement"])
    assert person is not None
    moved = world.hub.reads.run(lambda uow: uow.erasures.held([person])).records[0]

    def split(uow: UnitOfWork) -> None:
        ended = (tables.link.c.record_id == moved) & (tables.link.c.person_id == person)
        uow.connection.execute(update(tables.link).where(ended).values(until=uow.at))
        row = {"person_id": other, "record_id": moved, "since": uow.at, "rule": "split", "actor": "reviewer"}
        uow.connection.execute(insert(tables.link), row)

    world.hub.writer.run(split)
    erase(world, life.refs["departement"])
    rows = world.hub.reads.run(
        lambda uow: uow.connection.execute(select(tables.link).where(tables.link.c.record_id == moved)).all()
    )
    assert [(row.person_id, row.until) for row in rows] == [(other, None)]
