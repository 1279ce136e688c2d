"""A partner that wants to know more than it is told, using only what it may really send."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.kit.runtime.errors import ErrorKind
from connectors.kit.tokens import TokenSet
from consent.model import EventKind
from tests.hub.conftest import QF, RSA, World, problem, record_key

HANDLES = ("event_id", "trace_id", "operation_id", "parent_operation_id", "request_digest")


def _record(key: int, **kinds: int) -> dict[str, Any]:
    """A registration as a partner may forge it: every edge has the token key."""
    made = tuple((kind, bytes([len(kind), n]) * 16) for kind, n in kinds.items())
    flags = {"nir": "coherent" if "nir" in kinds else "absent", "date_precision": "jour", "ne_a_l_etranger": False}
    return {"record_key": record_key(key), "sections": []} | TokenSet(made, flags | {"nombre_prenoms": 1}).to_wire()


def _refs(world: World, name: str, *records: dict[str, Any]) -> list[str]:
    answer = world.ok(name, "/v1/registrations", {"records": list(records)})
    return [row["ref"] for row in answer["registrations"]]


@pytest.mark.parametrize("together", [True, False])
def test_two_guesses_do_not_tell_whether_someone_is_known_elsewhere(world: World, together: bool) -> None:
    """One record with a name, one with a number: that they are one person is somebody else's knowledge.

    A number has about a thousand possible ends once birth date and place are known: with the answer, each is a try.
    """
    whole = {"nir": 1, "nir_gd": 1, "sgd": 1, "insi": 1}
    _refs(world, "caf", _record(1, **whole))
    guesses = [_record(2, nir=1, nir_gd=1), _record(3, sgd=1, insi=1)]
    if together:
        by_number, by_name = _refs(world, "cpam", *guesses)
    else:
        (by_number,), (by_name,) = (_refs(world, "cpam", guess) for guess in guesses)
    assert by_number != by_name
    # What is not guessed but held still links: a record with both is the one its own partner already has.
    assert _refs(world, "caf", _record(4, **whole)) == _refs(world, "caf", _record(1, **whole))


def test_the_log_does_not_tell_a_requester_what_the_answer_hides(world: World, known: dict[str, str]) -> None:
    """Its own refusals, read back: no consent, a refusal, a protection, nobody, all alike."""
    ref = known["departement"]
    told = []
    for event in (None, EventKind.DENIED, EventKind.PROTECTED, EventKind.FROZEN):
        if event is not None:
            fields = () if event is EventKind.FROZEN else RSA
            actor = "personne" if event is EventKind.DENIED else "institution"
            world.consent(ref, event, fields=fields, actor=actor)
        told.append(_withheld(world, world.pull(ref, (*RSA, *QF))))
    told.append(_withheld(world, world.pull("A" * 22, (*RSA, *QF))))
    assert told == [dict.fromkeys((*RSA, *QF), "non_communique")] * 5


def test_the_log_tells_what_depends_on_the_request_alone(world: World, known: dict[str, str]) -> None:
    answer = world.pull(known["departement"], ("droits.aah.etat",), role="accueil")
    assert answer["statuses"] == {"droits.aah.etat": "exclu_role"}
    assert set(_withheld(world, answer).values()) <= {"role_deny", "no_rule"}


def _withheld(world: World, answer: dict[str, Any]) -> dict[str, str]:
    rows = world.log("partenaire", "departement", trace_id=answer["trace_id"])
    (row,) = [row for row in rows if row["kind"] == "decided"]
    found: dict[str, str] = row["fields"]["withheld"]
    return found


def test_readers_of_one_operation_share_no_handle(world: World, known: dict[str, str]) -> None:
    """The requester, the source and a desk where the person reads her log each have their own (DESIGN §4)."""
    world.consent(known["departement"], EventKind.GRANTED, sources=("caf", "cpam"), fields=(*RSA, "droits.c2s.etat"))
    trace = world.pull(known["departement"])["trace_id"]
    asked = world.log("partenaire", "departement", trace_id=trace)
    read = {
        "requester": asked,
        "caf": world.log("partenaire", "caf"),
        "cpam": world.log("partenaire", "cpam"),
        "desk": world.log("usager", "ccas", ref=known["ccas"]),
    }
    seen = {name: _handles(rows, HANDLES) for name, rows in read.items()}
    assert all(seen.values())
    names = sorted(seen)
    assert [(a, b) for a in names for b in names if a < b and seen[a] & seen[b]] == []
    # A record's own id is for those who may write its next event; each other partner has one of its own.
    ids = {name: {i for row in rows for i in row["consent_ids"]} for name, rows in read.items()}
    assert ids["requester"] == ids["desk"] != set()
    assert not ids["caf"] & (ids["cpam"] | ids["requester"])
    digests = {s["ciphertext_digest"] for row in read["desk"] for s in row["sources"]}
    assert digests == {None}


def test_a_reader_keeps_its_handles_from_one_reading_to_the_next(world: World, known: dict[str, str]) -> None:
    world.consent(known["departement"], EventKind.GRANTED)
    world.pull(known["departement"])
    first, second = ([row for row in world.log("partenaire", "caf") if row["kind"] == "ordered"] for _ in range(2))
    assert first == second != []


def test_another_readers_trace_id_finds_nothing(world: World, known: dict[str, str]) -> None:
    world.consent(known["departement"], EventKind.GRANTED)
    trace = world.pull(known["departement"])["trace_id"]
    assert world.log("partenaire", "caf", trace_id=trace) == []
    assert world.log("usager", "ccas", ref=known["ccas"], trace_id=trace) == []


def _handles(rows: list[dict[str, Any]], names: tuple[str, ...]) -> set[str]:
    return {row[name] for row in rows if row["kind"] != "read" for name in names if row[name] is not None}


def test_a_recipient_that_does_not_collect_has_its_own_record_ids(world: World, known: dict[str, str]) -> None:
    recipients = (("caf", ()), ("cpam", ()), ("ccas", ()))
    record = world.consent(known["departement"], EventKind.GRANTED, recipients=recipients)["record_id"]
    found = {name: world.ok(name, "/v1/consents/search", {"ref": known[name]})["records"] for name in known}
    assert all(len(rows) == 1 for rows in found.values())
    ids = {name: (rows[0]["record_id"], rows[0]["last_event"]) for name, rows in found.items()}
    assert ids["departement"] == ids["ccas"]
    assert ids["ccas"][0] == record
    assert len({*ids["caf"], *ids["cpam"], *ids["ccas"]}) == 6


@pytest.mark.parametrize("purpose", ["acces_aux_droits", "orientation_rsa"])
def test_a_protection_never_shows_where_no_refusal_could_be(world: World, known: dict[str, str], purpose: str) -> None:
    """Under another regime than accord nobody can refuse: « consent_deny » there would betray the protection."""
    ref = known["departement"]
    world.consent(ref, EventKind.PROTECTED, fields=(*RSA, *QF), actor="institution")
    world.pull(ref, (*RSA, *QF), purpose=purpose)
    (row,) = world.log("usager", "ccas", ref=known["ccas"])
    assert row["fields"]["withheld"]
    assert not {"consent_deny", "protected"} & set(row["fields"]["withheld"].values())


def test_registration_waits_for_the_tick(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new person costs one more durable write, in another file: without the tick the time tells."""
    waited: list[float] = []
    monkeypatch.setattr("hub.web.common.pacing.Tick.wait", lambda self, began: waited.append(began))
    world.register("caf", 1)
    world.register("cpam", 1)
    assert len(waited) == 2


def test_principals_that_are_no_partner_ask_and_register_nothing(world: World, known: dict[str, str]) -> None:
    ref = known["departement"]
    pull = {"request": world.request(ref).jws, "ref": ref, "salt": "A" * 22}
    for name in ("dpo", "operator"):
        for path, body in (
            ("/v1/pulls", pull),
            ("/v1/registrations", {"records": []}),
            ("/v1/consents", world.event(ref, EventKind.GRANTED)),
            ("/v1/consents/search", {"ref": ref}),
        ):
            problem(world.post(name, path, body), ErrorKind.FORBIDDEN)
    problem(world.post("operator", "/v1/access-log/search", {"view": "dpo"}), ErrorKind.FORBIDDEN)
    problem(
        world.post("dpo", "/v1/partners/suspend", {"slug": "caf", "suspended": True, "reason": "x"}),
        ErrorKind.FORBIDDEN,
    )
    problem(world.post("caf", "/v1/explanations", {"trace_id": "0" * 32}), ErrorKind.FORBIDDEN)
