"""Who may read the access log, and what each is told."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, text, update

from connectors.kit.runtime.errors import ErrorKind
from consent.ledger.leaf import EventClass
from consent.model import EventKind
from hub.services.cursors import open_cursor, seal_cursor
from hub.store.engine import open_engine
from hub.store.journal import opening_of
from hub.store.sealing import seal_event
from hub.store.tables import Instant, journal
from schemas.registry import validator
from tests.hub.conftest import C2S, QF, RSA, World, problem


def _pulled(world: World, known: dict[str, str]) -> dict[str, Any]:
    world.consent(known["departement"], EventKind.GRANTED)
    return world.pull(known["departement"])


def test_every_row_follows_its_schema_in_every_view(world: World, known: dict[str, str]) -> None:
    _pulled(world, known)
    world.pull("A" * 22)
    for view, name, criteria in (
        ("dpo", "dpo", {}),
        ("partenaire", "departement", {}),
        ("partenaire", "caf", {}),
        ("usager", "ccas", {"ref": known["ccas"]}),
    ):
        answer = world.ok(name, "/v1/access-log/search", {"view": view, **criteria})
        validator("access_log_rows").check(answer)
        assert answer["rows"]


def test_the_person_sees_service_function_and_fields_and_never_the_agent(world: World, known: dict[str, str]) -> None:
    _pulled(world, known)
    (row,) = world.log("usager", "ccas", ref=known["ccas"])
    assert (row["kind"], row["partner"], row["role"]) == ("delivered", "departement", "referent_parcours")
    assert row["purpose"] == "accompagnement_global"
    assert set(row["fields"]["released"]) == {*RSA, *QF}
    assert row["agent"] is None
    assert row["case"] is None
    assert [source["source"] for source in row["sources"]] == ["caf"]


def test_refusals_are_told_to_the_person_too(world: World, known: dict[str, str]) -> None:
    world.pull(known["departement"])
    (row,) = world.log("usager", "departement", ref=known["departement"])
    assert (row["kind"], row["outcome"]) == ("decided", "refused")
    assert row["fields"]["withheld"][C2S[0]] == "no_consent"


def test_a_partner_sees_rows_that_name_it_and_no_others(world: World, known: dict[str, str]) -> None:
    trace = _pulled(world, known)["trace_id"]
    (as_source,) = world.log("partenaire", "caf")
    assert as_source["kind"] == "ordered"
    assert as_source["agent"] is None
    as_asker = [row for row in world.log("partenaire", "departement") if row["trace_id"] == trace]
    assert {row["kind"] for row in as_asker} == {"decided", "ordered", "delivered"}
    assert all(row["agent"] for row in as_asker)
    assert world.log("partenaire", "cpam") == []


def test_a_view_is_for_its_reader(world: World, known: dict[str, str]) -> None:
    for name, criteria in (
        ("caf", {"view": "dpo"}),
        ("caf", {"view": "usager", "ref": known["caf"]}),
        ("dpo", {"view": "usager", "ref": known["caf"]}),
        ("dpo", {"view": "partenaire"}),
    ):
        problem(world.post(name, "/v1/access-log/search", criteria), ErrorKind.FORBIDDEN)


def test_the_dpo_names_a_person_with_a_complaint_number_only(world: World, known: dict[str, str]) -> None:
    trace = _pulled(world, known)["trace_id"]
    other = world.register("departement", 2)
    world.pull(other)
    ask = {"view": "dpo", "ref": known["caf"], "partner": "caf"}
    problem(world.post("dpo", "/v1/access-log/search", ask), ErrorKind.SCHEMA)
    rows = world.log(ref=known["caf"], partner="caf", complaint="2026-017")
    assert {row["trace_id"] for row in rows} == {trace}
    problem(
        world.post("dpo", "/v1/access-log/search", ask | {"complaint": "1", "ref": "A" * 22}), ErrorKind.UNKNOWN_SUBJECT
    )
    problem(
        world.post("dpo", "/v1/access-log/search", {"view": "dpo", "ref": known["caf"], "complaint": "1"}),
        ErrorKind.SCHEMA,
    )


def test_search_filters_and_pages(world: World, known: dict[str, str]) -> None:
    trace = _pulled(world, known)["trace_id"]
    for n in range(4):
        world.pull(world.register("departement", 10 + n))
    assert {row["trace_id"] for row in world.log(trace_id=trace)} == {trace}
    assert {row["outcome"] for row in world.log(outcome="refused")} == {"refused"}
    assert {row["trace_id"] for row in world.log(path=RSA[0], outcome="delivered")} == {trace}
    assert world.log(path="contact.email") == []
    assert [row["kind"] for row in world.log(source="caf")] == ["ordered"]
    assert world.log(purpose="logement") == []
    later = "2999-01-01T00:00:00Z"
    assert world.log(since=later) == []
    assert world.log(until="2000-01-01T00:00:00Z") == []
    seen: list[str] = []
    page = world.ok("dpo", "/v1/access-log/search", {"view": "dpo", "outcome": "refused", "limit": 3})
    while True:
        seen += [row["trace_id"] for row in page["rows"]]
        if page["next"] is None:
            break
        page = world.ok(
            "dpo", "/v1/access-log/search", {"view": "dpo", "outcome": "refused", "limit": 3, "cursor": page["next"]}
        )
    assert len(seen) == len(set(seen)) == 4


def test_a_cursor_tells_nothing_and_is_its_readers_alone(world: World, known: dict[str, str]) -> None:
    """The hub's own event number would tell how much the hub does, and be the same for two readers at one place."""
    for _ in range(3):
        _pulled(world, known)
    asked = {"view": "partenaire", "limit": 1}
    cursors = {name: world.ok(name, "/v1/access-log/search", asked)["next"] for name in ("departement", "caf")}
    keyring = world.hub.keyring
    for name, cursor in cursors.items():
        assert 0 < open_cursor(keyring, name, cursor) <= world.hub.reads.run(lambda uow: uow.log.size())
    assert seal_cursor(keyring, "caf", 7) != seal_cursor(keyring, "departement", 7)
    flipped = ("B" if cursors["caf"][0] != "B" else "C") + cursors["caf"][1:]
    for wrong in (cursors["departement"], flipped, "A" * 32):
        refused = problem(world.post("caf", "/v1/access-log/search", {**asked, "cursor": wrong}), ErrorKind.SCHEMA)
        assert refused["pointer"] == "/cursor"
    for wrong in (7, "7", cursors["caf"] + "A"):
        problem(world.post("caf", "/v1/access-log/search", {**asked, "cursor": wrong}), ErrorKind.SCHEMA)
    assert len(world.ok("caf", "/v1/access-log/search", {**asked, "cursor": cursors["caf"]})["rows"]) == 1


def test_reading_the_log_is_itself_logged(world: World, known: dict[str, str]) -> None:
    world.log()
    world.log(ref=known["caf"], partner="caf", complaint="2026-017")
    reads = [row for row in world.log() if row["kind"] == "read"]
    assert [row["partner"] for row in reads] == ["dpo", "dpo"]


def test_an_explanation_is_replayed_from_the_log(world: World, known: dict[str, str]) -> None:
    trace = _pulled(world, known)["trace_id"]
    world.consent(known["departement"], EventKind.DENIED, fields=RSA)
    explained = world.ok("dpo", "/v1/explanations", {"trace_id": trace})
    validator("explanation").check(explained)
    by_source = {row["source"]: {f["path"]: f["reason"] for f in row["fields"]} for row in explained["decisions"]}
    assert by_source["caf"][RSA[0]] == "ok"
    assert by_source["cpam"][C2S[0]] == "no_consent"
    assert next(row["kind"] for row in world.log() if row["trace_id"] != trace) == "read"
    problem(world.post("dpo", "/v1/explanations", {"trace_id": "0" * 32}), ErrorKind.NOT_FOUND)


def test_the_decision_that_was_taken_again_is_the_one_explained(world: World, known: dict[str, str]) -> None:
    ref = known["departement"]
    record = world.consent(ref, EventKind.GRANTED)["record_id"]
    revocation = world.event(ref, EventKind.REVOKED, follows=world.follows(ref, record))
    world.edges.before = lambda slug: (world.ok("departement", "/v1/consents", revocation), None)[1]
    trace = world.pull(ref)["trace_id"]
    explained = world.ok("dpo", "/v1/explanations", {"trace_id": trace})
    (caf,) = [row for row in explained["decisions"] if row["source"] == "caf"]
    assert {field["reason"] for field in caf["fields"]} == {"no_consent"}


def test_a_log_that_was_tampered_with_does_not_open(world: World, known: dict[str, str]) -> None:
    """Someone with the file alone, and no scruple: the triggers are dropped, a sealed content is changed."""
    trace = world.pull(known["departement"])["trace_id"]
    engine = open_engine(world.home.database)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER journal_no_update"))
        connection.execute(text("UPDATE journal SET sealed = sealed || x'00' WHERE class = 'access'"))
    engine.dispose()
    problem(world.post("dpo", "/v1/explanations", {"trace_id": trace}), ErrorKind.STORAGE)


def test_a_log_that_was_rewritten_with_every_key_does_not_replay(world: World, known: dict[str, str]) -> None:
    """Someone with the keys too: a refusal is rewritten as allowed, and sealed again as the hub would."""
    trace = world.pull(known["departement"])["trace_id"]
    rows = world.hub.reads.run(lambda uow: uow.access.trace(trace))
    assert rows[0].person_id is not None
    key = world.hub.secrets.trace(rows[0].person_id, rows[0].at).key
    engine = open_engine(world.home.database)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER journal_no_update"))
        for row in rows:
            event = connection.execute(select(journal).where(journal.c.seq == row.seq)).one()
            said = opening_of(event, key).envelope.replace(b'"no_consent":"', b'"ok":"')
            at_us = Instant.to_microseconds(row.at)
            leaf, sealed, _ = seal_event(key, EventClass.ACCESS, row.event_id, at_us, said)
            changed = {"commitment": leaf.commitment, "ciphertext_digest": leaf.ciphertext_digest, "sealed": sealed}
            connection.execute(update(journal).where(journal.c.seq == row.seq).values(changed))
    engine.dispose()
    problem(world.post("dpo", "/v1/explanations", {"trace_id": trace}), ErrorKind.CONFLICT)
