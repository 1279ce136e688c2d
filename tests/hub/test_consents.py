"""The consent register: what is refused, and by which name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from connectors.kit import seal
from connectors.kit.consent_events import Collection
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.ids import PersonId, new_uuid
from connectors.kit.seal import Typ
from consent.model import EventKind
from hub.store import tables
from hub.store.engine import open_engine
from hub.store.secret_ends import End
from schemas.registry import validator
from tests.hub.conftest import RSA, World, problem


@pytest.fixture
def ref(world: World) -> str:
    return world.register("departement", 1)


def _events(world: World) -> int:
    return len(world.hub.reads.run(lambda uow: uow.connection.execute(select(tables.consent_event)).all()))


def test_an_accepted_event_is_kept_to_the_byte_and_told_back_folded(world: World, ref: str) -> None:
    body = world.event(ref, EventKind.GRANTED)
    made = world.ok("departement", "/v1/consents", body)
    validator("consent_answer").check(made)
    assert (made["seq"], made["state"]) == (0, "granted")
    (person,) = world.hub.reads.run(
        lambda uow: uow.connection.execute(select(tables.person.c.person_id)).scalars().all()
    )
    (event,) = world.hub.reads.run(lambda uow: uow.consents.of(PersonId(person)))
    assert event.jws == body["event"]
    found = world.ok("departement", "/v1/consents/search", {"ref": ref})
    validator("consent_records").check(found)
    assert [(r["record_id"], r["state"]) for r in found["records"]] == [(made["record_id"], "granted")]
    world.clock.advance(timedelta(days=30))
    world._tokens.clear()
    assert world.ok("departement", "/v1/consents/search", {"ref": ref})["records"][0]["state"] == "expired"


def test_the_same_event_again_gets_the_same_answer_and_is_kept_once(world: World, ref: str) -> None:
    body = world.event(ref, EventKind.GRANTED)
    assert world.ok("departement", "/v1/consents", body) == world.ok("departement", "/v1/consents", body)
    assert _events(world) == 1


def test_the_register_shows_a_partner_its_own_and_what_it_receives_under(world: World, ref: str) -> None:
    ccas = world.register("ccas", 1)
    world.consent(ref, EventKind.GRANTED)
    assert world.ok("ccas", "/v1/consents/search", {"ref": ccas})["records"] == []
    world.consent(ref, EventKind.GRANTED, recipients=(("ccas", ("accueil",)),))
    (record,) = world.ok("ccas", "/v1/consents/search", {"ref": ccas})["records"]
    assert record["collector"] == "departement"
    problem(world.post("ccas", "/v1/consents/search", {"ref": ref}), ErrorKind.UNKNOWN_SUBJECT)


def test_the_person_may_withdraw_at_another_desk(world: World, ref: str) -> None:
    record = world.consent(ref, EventKind.GRANTED, recipients=(("ccas", ()), ("departement", ())))["record_id"]
    ccas = world.register("ccas", 1)
    follows = world.follows(ccas, record, "ccas")
    made = world.consent(ccas, EventKind.REVOKED, collector="ccas", follows=follows)
    assert made["state"] == "revoked"


def test_transitions_the_table_does_not_have_are_refused(world: World, ref: str) -> None:
    record = world.consent(ref, EventKind.GRANTED)["record_id"]
    follows = world.follows(ref, record)
    world.consent(ref, EventKind.REVOKED, follows=follows)
    again = world.event(ref, EventKind.REVOKED, follows=world.follows(ref, record))
    assert problem(world.post("departement", "/v1/consents", again), ErrorKind.TRANSITION)["detail"] == "transition"
    stale = world.event(ref, EventKind.NARROWED, fields=RSA, follows=follows)
    problem(world.post("departement", "/v1/consents", stale), ErrorKind.TRANSITION)
    assert _events(world) == 2


def test_a_record_id_belongs_to_one_person(world: World, ref: str) -> None:
    record = world.consent(ref, EventKind.GRANTED)["record_id"]
    other = world.register("departement", 2)
    stolen = world.event(other, EventKind.REVOKED, follows=world.follows(ref, record))
    problem(world.post("departement", "/v1/consents", stolen), ErrorKind.CONFLICT)


def test_what_does_not_hold_is_refused_by_name(world: World, ref: str) -> None:
    good = world.event(ref, EventKind.GRANTED)
    policy = world.hub.policy.get()
    granted = EventKind.GRANTED
    second = Collection(evidence="E0", agent="A" * 43, second_agent=None)
    for body, kind in (
        (good | {"ref": "A" * 22}, ErrorKind.WRONG_SUBJECT),
        (good | {"salt": "A" * 22}, ErrorKind.WRONG_SUBJECT),
        (good | {"event": good["event"][:-4] + "AAAA"}, ErrorKind.BAD_SIGNATURE),
        (world.event("A" * 22, granted), ErrorKind.UNKNOWN_SUBJECT),
        (world.event(ref, granted, sources=("dgfip",)), ErrorKind.UNKNOWN_PARTNER),
        (world.event(ref, granted, recipients=(("dgfip", ()),)), ErrorKind.UNKNOWN_PARTNER),
        (world.event(ref, granted, recipients=(("ccas", ("maire",)),)), ErrorKind.UNKNOWN_ROLE),
        (world.event(ref, granted, purpose="controle"), ErrorKind.UNKNOWN_PURPOSE),
        (world.event(ref, granted, purpose="logement"), ErrorKind.UNKNOWN_NOTICE),
        (world.event(ref, granted, notice=(policy.notice("acces_aux_droits", "1"), "fr")), ErrorKind.UNKNOWN_NOTICE),
        (world.event(ref, granted, collection=second), ErrorKind.EVIDENCE),
        (world.event(ref, granted, collector="ccas"), ErrorKind.FORBIDDEN),
    ):
        problem(world.post("departement", "/v1/consents", body), kind)
    assert _events(world) == 0


def test_a_notice_changed_by_one_word_is_unknown(world: World, ref: str) -> None:
    body = world.event(ref, EventKind.GRANTED)
    keys = world.partners["departement"].operational()
    payload = seal.peek(body["event"], Typ.CONSENT)
    payload["notice"] = {**payload["notice"], "sha256": "0" * 64}
    changed = body | {"event": keys.sign(payload, Typ.CONSENT)}
    problem(world.post("departement", "/v1/consents", changed), ErrorKind.UNKNOWN_NOTICE)


def test_evidence_needs_what_makes_it(world: World, ref: str) -> None:
    body = world.event(ref, EventKind.GRANTED)
    keys = world.partners["departement"].operational()
    payload = seal.peek(body["event"], Typ.CONSENT)
    collection = payload["collection"]
    for changed in (
        {**collection, "second_agent": collection["agent"]},
        {**collection, "second_agent": None},
        {**collection, "evidence": "E2"},
    ):
        signed = keys.sign({**payload, "collection": changed}, Typ.CONSENT)
        problem(world.post("departement", "/v1/consents", body | {"event": signed}), ErrorKind.EVIDENCE)


def test_said_in_the_future_is_not_said(world: World, ref: str) -> None:
    world.clock.advance(timedelta(minutes=1))
    body = world.event(ref, EventKind.GRANTED)
    world.clock.advance(timedelta(minutes=-1))
    answer = world.post("departement", "/v1/consents", body)
    assert answer.get_json()["type"].rsplit("/", 1)[-1] in (ErrorKind.SCHEMA, ErrorKind.EXPIRED)
    assert _events(world) == 0


def test_who_may_not_collect_collects_nothing(world: World) -> None:
    caf = world.register("caf", 1)
    body = world.event(caf, EventKind.GRANTED, collector="caf")
    problem(world.post("caf", "/v1/consents", body), ErrorKind.FORBIDDEN)


def test_an_event_of_another_collector_is_not_ours_to_send(world: World, ref: str) -> None:
    ccas = world.register("ccas", 1)
    body = world.event(ccas, EventKind.GRANTED, collector="ccas")
    problem(world.post("departement", "/v1/consents", body), ErrorKind.FORBIDDEN)


def _owner(world: World) -> PersonId:
    (person,) = world.hub.reads.run(
        lambda uow: uow.connection.execute(select(tables.person.c.person_id)).scalars().all()
    )
    return PersonId(person)


def test_what_was_read_lately_is_not_unsealed_again_unless_its_row_changed(world: World, ref: str) -> None:
    """Somebody with the file alone: what is kept opened hides no change of what stands beside it."""
    world.consent(ref, EventKind.GRANTED)
    person, run = _owner(world), world.hub.reads.run
    (first,) = run(lambda uow: uow.consents.of(person))
    assert run(lambda uow: uow.consents.of(person))[0] is first
    world.hub.secrets.opened.clear()
    (again,) = run(lambda uow: uow.consents.of(person))
    assert again == first
    assert again is not first
    engine = open_engine(world.home.database)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER journal_no_update"))
        connection.execute(text('UPDATE journal SET "at" = "at" + 1 WHERE class = \'consent\''))
    engine.dispose()
    with pytest.raises(MaillonError) as refused:
        run(lambda uow: uow.consents.of(person))
    assert refused.value.kind is ErrorKind.STORAGE


def test_what_was_opened_goes_with_the_keys(world: World, ref: str) -> None:
    world.consent(ref, EventKind.GRANTED)
    other = world.register("departement", 2)
    world.consent(other, EventKind.GRANTED)
    found = world.hub.reads.run(lambda uow: uow.connection.execute(select(tables.person.c.person_id)).scalars().all())
    for person in map(PersonId, found):
        assert world.hub.reads.run(lambda uow: uow.consents.of(person))  # noqa: B023
    secrets = world.hub.secrets
    assert len(secrets.opened._held) == 2
    since = secrets.opened.token()
    world.hub.writer.run(lambda uow: uow.secrets.erase(End({PersonId(found[0]): new_uuid()})))
    assert secrets.opened._held == {}
    secrets.opened.put(("late",), "opened before the erasure", since)
    assert secrets.opened._held == {}
    with pytest.raises(MaillonError):
        world.hub.reads.run(lambda uow: uow.consents.of(PersonId(found[0])))


def test_an_event_undone_after_it_was_appended_is_not_read(world: World, ref: str) -> None:
    """What the register keeps opened is there before the commit: an item that fails leaves nothing to be read."""
    person = _owner(world)

    def undone(uow: Any) -> None:
        uow.consents.append(
            person, record_id="r", kind="granted", collector="ccas", jws="a.b.c", digest="d" * 43, salt=b"s" * 16
        )
        assert len(uow.consents.of(person)) == 1
        raise MaillonError(ErrorKind.CONFLICT, "no")

    with pytest.raises(MaillonError):
        world.hub.writer.run(undone)
    assert world.hub.reads.run(lambda uow: uow.consents.of(person)) == []
