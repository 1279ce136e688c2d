"""Registration: idempotent, silent about who was known, and never a silent merge."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from connectors.kit.runtime import b64url
from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.tokens import TokenSet
from hub.index.rules import Rule
from hub.store import tables
from hub.store.journal import opening_of
from hub.store.reviews import WAITING
from tests.hub.conftest import World, problem, record_key, tokens


def _persons(world: World) -> int:
    return world.hub.reads.run(lambda uow: uow.persons.count())


def _all(world: World, name: str) -> list[object]:
    return list(world.hub.reads.run(lambda uow: uow.connection.execute(select(tables.hub.tables[name])).all()))


def _only(kinds: tuple[str, ...], person: int, **flags: object) -> TokenSet:
    made = tokens(person, **flags)
    return TokenSet(tuple(each for each in made.tokens if each[0] in kinds), made.flags)


def _register(world: World, slug: str, tokens_: TokenSet, key: int) -> str:
    document = {"records": [{"record_key": record_key(key), "sections": [], **tokens_.to_wire()}]}
    ref: str = world.ok(slug, "/v1/registrations", document)["registrations"][0]["ref"]
    return ref


def test_one_person_two_partners_one_index_entry_two_pseudonyms(world: World) -> None:
    caf, cpam = world.register("caf", 1), world.register("cpam", 1)
    assert caf != cpam
    assert _persons(world) == 1
    assert world.register("caf", 2) not in (caf, cpam)
    assert _persons(world) == 2


def test_two_records_of_one_person_at_one_partner_share_the_ref(world: World) -> None:
    assert world.register("caf", 1, key=1) == world.register("caf", 1, key=2)


def test_registering_again_changes_nothing(world: World) -> None:
    before = world.register("caf", 1, sections=["droits"])
    rows = {name: _all(world, name) for name in tables.hub.tables if name != "used_once"}
    assert world.register("caf", 1, sections=["droits"]) == before
    assert {name: _all(world, name) for name in rows} == rows


def test_sections_declared_again_replace_the_former(world: World) -> None:
    world.register("caf", 1, sections=["droits", "foyer"])
    world.register("caf", 1, sections=["foyer", "ressources"])
    assert {row.section for row in _all(world, "holding")} == {"foyer", "ressources"}  # type: ignore[attr-defined]


def test_a_batch_answers_in_order(world: World) -> None:
    records = [{"record_key": record_key(n), "sections": [], **tokens(n).to_wire()} for n in range(1, 60)]
    made = world.ok("caf", "/v1/registrations", {"records": records})["registrations"]
    assert [row["record_key"] for row in made] == [record["record_key"] for record in records]
    assert len({row["ref"] for row in made}) == 59
    again = world.ok("caf", "/v1/registrations", {"records": records[::-1]})["registrations"]
    assert again == made[::-1]


def test_doubt_makes_a_provisional_person_and_asks_a_human(world: World) -> None:
    world.register("caf", 1)
    answer = _register(world, "cpam", _only(("sgd",), 1), 9)
    assert len(answer) == 22
    assert _persons(world) == 2
    (review,) = world.hub.reads.run(lambda uow: uow.reviews.search(WAITING, 100))
    assert review.pattern["kinds"] == ["sgd"]
    assert sorted(row.provisional for row in _all(world, "person")) == [False, True]  # type: ignore[attr-defined]


def test_a_record_key_given_to_someone_else_is_refused_alone(world: World) -> None:
    before = world.register("caf", 1, key=5, sections=["droits"])
    records = [
        {"record_key": record_key(key), "sections": ["foyer"], **tokens(person).to_wire()}
        for key, person in ((4, 3), (5, 2), (6, 4))
    ]
    made = world.ok("caf", "/v1/registrations", {"records": records})["registrations"]
    assert [row["record_key"] for row in made] == [record["record_key"] for record in records]
    assert made[1] == {"record_key": record_key(5), "refused": "conflict"}
    assert made[0]["ref"] != made[2]["ref"]
    assert world.register("caf", 1, key=5, sections=["droits"]) == before
    assert _persons(world) == 3
    held = {row.record_id: row.section for row in _all(world, "holding")}  # type: ignore[attr-defined]
    assert sorted(held.values()) == ["droits", "foyer", "foyer"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_refused_record_is_answered_alike_whether_or_not_its_person_is_known(world: World, elsewhere: bool) -> None:
    if elsewhere:
        world.register("cpam", 2)
    world.register("caf", 1, key=5)
    document = {"records": [{"record_key": record_key(5), "sections": [], **tokens(2).to_wire()}]}
    answer = world.post("caf", "/v1/registrations", document)
    assert answer.get_json() == {"registrations": [{"record_key": record_key(5), "refused": "conflict"}]}


def test_a_record_that_holds_nothing_any_more_is_no_holding(world: World) -> None:
    ref = world.register("caf", 1, key=5, sections=["droits"])
    world.register("caf", 1, key=6, sections=["foyer"])
    gone = {"record_key": record_key(5), "sections": [], "held": False, **tokens(1).to_wire()}
    for _ in range(2):
        assert world.ok("caf", "/v1/registrations", {"records": [gone]})["registrations"][0]["ref"] == ref
        assert [row.section for row in _all(world, "holding")] == ["foyer"]  # type: ignore[attr-defined]
    assert world.register("caf", 1, key=5, sections=["droits"]) == ref
    assert sorted(row.section for row in _all(world, "holding")) == ["droits", "foyer"]  # type: ignore[attr-defined]


def test_a_key_given_away_can_still_be_said_to_hold_nothing(world: World) -> None:
    """Whoever it names now, nothing of them enters the index: only the holding goes."""
    world.register("caf", 1, key=5, sections=["droits"])
    before = _all(world, "token")
    gone = {"record_key": record_key(5), "sections": [], "held": False, **tokens(2).to_wire()}
    assert "ref" in world.ok("caf", "/v1/registrations", {"records": [gone]})["registrations"][0]
    assert (_all(world, "holding"), _all(world, "token")) == ([], before)


def test_a_correction_that_fits_another_person_never_merges_the_two(world: World) -> None:
    one, two = tokens(1), tokens(2)
    first = _register(world, "caf", one, 1)
    other = _register(world, "cpam", two, 1)
    mixed = TokenSet((*one.tokens[:1], *two.tokens), one.flags)
    assert _register(world, "caf", mixed, 1) == first
    assert _register(world, "cpam", two, 1) == other
    assert _persons(world) == 2
    assert len(world.hub.reads.run(lambda uow: uow.reviews.search(WAITING, 100))) == 1


def test_nir_tokens_are_for_partners_the_decree_names(world: World) -> None:
    made = TokenSet((*tokens(1).tokens, ("nir", b"n" * 32)), tokens(1).flags)
    document = {"records": [{"record_key": record_key(1), "sections": [], **made.to_wire()}]}
    assert world.post("caf", "/v1/registrations", document).status_code == 200
    answer = world.post("ccas", "/v1/registrations", document)
    assert problem(answer, ErrorKind.FORBIDDEN)["pointer"] == "/records/0/tokens"
    assert _persons(world) == 1


def test_one_bad_record_and_nothing_of_the_batch_is_written(world: World) -> None:
    good = {"record_key": record_key(1), "sections": [], **tokens(1).to_wire()}
    for bad in ({**good, "tokens": [["sgd", "x"]]}, {**good, "flags": {"nir": None}}, {**good, "nom": "x"}, good):
        document = {"records": [good, bad]}
        answer = world.post("caf", "/v1/registrations", document)
        problem(answer, ErrorKind.SCHEMA)
    assert _persons(world) == 0


def test_no_token_and_no_ref_stands_in_the_files_as_it_was_sent(world: World) -> None:
    ref = world.register("caf", 1)
    files = b"".join(path.read_bytes() for path in world.home.path.glob("*.db*"))
    for _, token in tokens(1).tokens:
        assert token not in files
        assert b64url.encode(token).encode() not in files
    assert ref.encode() not in files
    assert b64url.decode(ref) not in files


@pytest.mark.parametrize("again", ["departement", "ccas"])
def test_refs_survive_a_restart(world: World, again: str) -> None:
    from hub.app import close_hub, create_app

    before = world.register(again, 1)
    close_hub(world.hub)
    world.app = create_app(world.settings, clock=world.clock, sources=world.edges)
    assert world.register(again, 1) == before


def _decisions(world: World) -> list[tuple[str, dict[str, Any]]]:
    rows = world.hub.reads.run(
        lambda uow: uow.connection.execute(
            select(tables.match_event, tables.journal)
            .join(tables.journal, tables.journal.c.seq == tables.match_event.c.seq)
            .order_by(tables.match_event.c.seq)
        ).all()
    )
    traces = world.hub.secrets.by_tag({row.subject_tag for row in rows})
    return [(row.kind, opening_of(row, traces[row.subject_tag].key).body) for row in rows]


def test_every_decision_about_a_record_is_in_the_log_and_names_nobody_else(world: World) -> None:
    world.register("caf", 1)
    world.register("cpam", 1)
    _register(world, "cpam", _only(("sgd",), 1), 9)
    _register(world, "cpam", TokenSet((*tokens(1).tokens[:3], *tokens(7).tokens[3:]), tokens(1).flags), 1)
    world.register("caf", 1)  # again: nothing is decided
    found = _decisions(world)
    assert [(kind, body["event"], body["partner"]) for kind, body in found] == [
        ("created", "match:record:created", "caf"),
        ("linked", "match:record:linked", "cpam"),
        ("doubted", "match:record:doubted", "cpam"),
        ("corrected", "match:record:corrected", "cpam"),
    ]
    assert found[0][1]["rule"] == "new"
    assert found[1][1]["rule"] in {rule.value for rule in Rule}
    assert [doubt["kinds"] for doubt in found[2][1]["doubts"]] == [["sgd"]]
    records = {row.record_id for row in _all(world, "record")}  # type: ignore[attr-defined]
    assert {body["record"] for _, body in found} <= records
    persons = [row.person_id for row in _all(world, "person")]  # type: ignore[attr-defined]
    assert not any(person in str(body) for person in persons for _, body in found)


def test_a_large_registration_is_one_commit_and_every_person_has_its_chain(world: World) -> None:
    records = [{"record_key": record_key(n), "sections": [], **tokens(n).to_wire()} for n in range(1, 80)]
    before = world.hub.reads.run(lambda uow: uow.log.size())
    world.ok("caf", "/v1/registrations", {"records": records})
    assert world.hub.reads.run(lambda uow: uow.log.size()) == before + 79
    assert len(_all(world, "checkpoint")) <= before + 1
    assert {row.n for row in _all(world, "subject_head")} == {1}  # type: ignore[attr-defined]
