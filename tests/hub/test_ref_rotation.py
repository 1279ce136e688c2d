"""New refs for one partner under traffic: nobody is lost on the way, and afterwards the former ones mean no one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.kit import seal
from connectors.kit.ref_map import open_ref_map
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey
from connectors.kit.seal import Typ
from consent.model import EventKind
from hub.app import close_hub, open_hub
from hub.jobs.retention import keeper_of
from hub.services import ref_rotation
from hub.services.retention import end_what_is_over
from hub.store.rotation import RotationStep
from tests.hub.conftest import RSA, World, body_of, problem
from tests.hub.taking_refs import PATH, Edge, begin_refs, log_is_whole, person_meant


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ref_rotation, "PAGE", 3)


@pytest.fixture
def caf(world: World, tmp_path: Path) -> Iterator[Edge]:
    edge = Edge(world, "caf", tmp_path)
    yield edge
    edge.store.close()


def _ordered_ref(world: World, desk_ref: str) -> list[str]:
    """What the hub tells the CAF's edge a pull is about."""
    world.edges.refs.clear()
    world.pull(desk_ref)
    return list(world.edges.refs)


def test_both_are_understood_until_the_edge_has_them_and_then_the_former_ones_end(world: World, caf: Edge) -> None:
    former = {person: caf.register(person) for person in range(1, 9)}
    desk = world.register("departement", 1)
    granted = world.consent(desk, EventKind.GRANTED)
    assert begin_refs(world) | {"since": None} == {
        "partner": "caf",
        "epoch": 2,
        "state": "offered",
        "since": None,
        "refs": 0,
        "old_refs": 8,
    }
    # Nothing has changed for anybody yet.
    assert _ordered_ref(world, desk) == [former[1]]
    assert world.register("caf", 2) == former[2]
    assert caf.take() == 8
    new = {person: caf.ref(person) for person in former}
    assert not set(new.values()) & set(former.values())
    for person, ref in former.items():
        assert person_meant(world, ref) == person_meant(world, new[person]) is not None
        assert caf.store.local_of(ref) == caf.store.local_of(new[person]) == f"L{person}"
    # From now on the hub speaks of the new ones.
    assert _ordered_ref(world, desk) == [new[1]]
    assert world.register("caf", 2) == new[2]
    assert _begin_state(world) == ("taken", 8, 8)
    world.clock.advance(timedelta(days=6))
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).refs == 0
    caf.store.forget_expired(world.clock.now())
    assert person_meant(world, former[3]) == person_meant(world, new[3])
    world.clock.advance(timedelta(days=2))
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).refs == 8
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).refs == 0
    caf.store.forget_expired(world.clock.now())
    for person, ref in former.items():
        assert person_meant(world, ref) is None
        assert person_meant(world, new[person]) is not None
        assert caf.store.local_of(ref) is None
    assert _begin_state(world) == ("done", 8, 0)
    world._tokens.clear()
    assert [r["record_id"] for r in world.ok("departement", "/v1/consents/search", {"ref": desk})["records"]] == [
        granted["record_id"]
    ]
    assert log_is_whole(world)


def _begin_state(world: World) -> tuple[str, int, int]:
    (each,) = world.hub.reads.run(lambda uow: ref_rotation.status(uow, world.hub.keyring))
    return each["state"], each["refs"], each["old_refs"]


def test_a_thief_of_former_refs_has_nothing_afterwards(world: World, tmp_path: Path) -> None:
    """What the thief may ask is answered as for a ref that never meant anybody."""
    desk = Edge(world, "departement", tmp_path)
    caf = {person: world.register("caf", person, sections=["droits"]) for person in (1, 2)}
    former = {person: desk.register(person) for person in (1, 2)}
    for ref in former.values():
        world.consent(ref, EventKind.GRANTED)
    begin_refs(world, "departement")
    desk.take()
    world.clock.advance(timedelta(days=8))
    end_what_is_over(keeper_of(world.hub), world.clock.now())
    world._tokens.clear()
    stranger = caf[1]  # another partner's: never meant anybody here
    for ref in former.values():
        with_old, with_none = world.pull(ref), world.pull(stranger)
        for each in (with_old, with_none):
            del each["trace_id"], each["padding"]
        assert with_old == with_none
        for path, document in (("/v1/consents/search", {"ref": ref}),):
            assert problem(world.post("departement", path, document), ErrorKind.UNKNOWN_SUBJECT)
    assert world.pull(desk.ref(1))["fragments"]
    desk.store.close()


def test_a_pull_a_withdrawal_and_a_history_under_a_former_ref_while_the_map_is_taken(
    world: World, tmp_path: Path
) -> None:
    """The desk's request was signed with the former ref, and meets a hub and an edge that are already further."""
    desk, caf = Edge(world, "departement", tmp_path), Edge(world, "caf", tmp_path)
    caf.register(1)
    former = desk.register(1)
    granted = world.consent(former, EventKind.GRANTED)
    for slug in ("departement", "caf"):
        begin_refs(world, slug)
    signed = body_of(world.request(former, RSA))

    def meanwhile(slug: str) -> None:
        # Between the hub's two gates.
        assert caf.take() == 1
        assert desk.take() == 1

    world.edges.before = meanwhile
    answer = world.ok("departement", "/v1/pulls", signed)
    assert [each["source"] for each in answer["fragments"]] == ["caf"]
    world.edges.before = lambda slug: None
    assert desk.ref(1) != former
    # The same event, said of the former ref: what was signed before the map came is still good.
    follows = world.follows(former, granted["record_id"])
    world.consent(former, EventKind.REVOKED, follows=follows)
    for ref in (former, desk.ref(1)):
        rows = world.log("usager", "departement", ref=ref)
        assert answer["trace_id"] in {row["trace_id"] for row in rows}
    assert not world.pull(desk.ref(1))["fragments"]
    assert log_is_whole(world)
    desk.store.close()
    caf.store.close()


@pytest.mark.parametrize("pages", range(6))
def test_an_edge_that_dies_anywhere_begins_again_and_comes_to_the_same(world: World, caf: Edge, pages: int) -> None:
    """Eight refs are three pages; it may die before each, before it says so, or after."""
    former = {person: caf.register(person) for person in range(1, 9)}
    desk = world.register("departement", 1)
    world.consent(desk, EventKind.GRANTED)
    begin_refs(world)
    said = caf.take(die_after=pages)
    assert (said == -1) is (pages < 4)
    # Wherever it died, each understands whatever the other says.
    for person, ref in former.items():
        assert person_meant(world, caf.ref(person)) == person_meant(world, ref) is not None
    (ordered,) = _ordered_ref(world, desk)
    assert caf.store.local_of(ordered) == "L1"
    assert caf.take() in (0, 8 if pages == 0 else 8 - min(8, 3 * pages))
    assert not world.hub.keyring.epochs.is_offered("caf")
    assert all(caf.store.local_of(world.register("caf", person)) == f"L{person}" for person in former)
    assert caf.take() == 0


def test_an_edge_cannot_say_it_has_what_it_never_asked_for(world: World, caf: Edge) -> None:
    for person in range(1, 6):
        caf.register(person)
    begin_refs(world)
    caf.ref_map()  # the first of two pages
    for epoch in (2, 3):
        problem(world.post("caf", "/v1/refs/acknowledgement", {"epoch": epoch}), ErrorKind.CONFLICT)
    assert world.hub.keyring.epochs.is_offered("caf")
    assert caf.take() == 5


def test_whoever_is_new_meanwhile_has_a_new_ref_at_once(world: World, caf: Edge) -> None:
    caf.register(1)
    begin_refs(world)
    late = caf.register(2)
    desk = world.register("departement", 2)
    world.consent(desk, EventKind.GRANTED)
    assert _ordered_ref(world, desk) == [late]
    assert caf.take() == 1
    assert caf.ref(2) == late == world.register("caf", 2)
    assert _ordered_ref(world, desk) == [late]


def test_an_answer_under_way_when_the_map_was_taken_does_not_bring_the_former_ref_back(world: World, caf: Edge) -> None:
    former = caf.register(1)
    begin_refs(world)
    caf.take()
    new = caf.ref(1)
    caf.store.set_ref("L1", former)
    assert caf.ref(1) == new


def test_a_partner_that_never_comes_keeps_its_refs_and_the_operator_sees_it(world: World, caf: Edge) -> None:
    former = caf.register(1)
    begin_refs(world)
    world.clock.advance(timedelta(days=80))
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).refs == 0
    world._tokens.clear()
    assert person_meant(world, former) is not None
    assert _begin_state(world) == ("offered", 0, 1)
    assert begin_refs(world)["epoch"] == 2, "offered once, whoever asks again"
    close_hub(world.hub)
    hub = open_hub(world.settings, clock=world.clock, sources=world.edges)
    try:
        assert (hub.keyring.epochs.used("caf"), hub.keyring.epochs.newest("caf")) == (1, 2)
    finally:
        close_hub(hub)


def test_one_partners_rotation_is_no_other_partners_business(world: World, caf: Edge) -> None:
    caf.register(1)
    others = {slug: world.register(slug, 1) for slug in ("departement", "cpam", "ccas")}
    begin_refs(world)
    caf.take()
    assert {slug: world.register(slug, 1) for slug in others} == others
    assert world.ok("cpam", "/v1/refs/map", {"after": None}) == {"epoch": 1, "map": None, "next": None}
    for name in ("caf", "dpo"):
        problem(world.post(name, PATH, {"what": "refs", "partner": "caf"}), ErrorKind.FORBIDDEN)
    problem(world.post("operator", PATH, {"what": "refs"}), ErrorKind.SCHEMA)
    problem(world.post("operator", PATH, {"what": "refs", "partner": "nobody"}), ErrorKind.UNKNOWN_PARTNER)


def test_a_map_is_for_one_edge_and_the_hub_alone_can_write_it(world: World, caf: Edge) -> None:
    caf.register(1)
    begin_refs(world)
    offered, now, key = caf.ref_map(), world.clock.now(), world.partners["caf"].seal_key

    def opened(token: str, *, epoch: int = 2, slug: str = "caf", with_key: SealKey = key, later: int = 0) -> object:
        return open_ref_map(token, epoch, slug, with_key, world.directory, now + timedelta(minutes=later))

    assert opened(offered["map"])
    inner = seal.unseal(offered["map"], Typ.SEALED_REF_MAP, key).decode()
    forged = world.partners["cpam"].operational().sign(seal.peek(inner, Typ.REF_MAP), Typ.REF_MAP)
    public = key.public_jwk
    for kind, attempt in (
        (ErrorKind.BAD_SEAL, lambda: opened(offered["map"], with_key=SealKey.generate())),
        (ErrorKind.UNTRUSTED_KEY, lambda: opened(seal.seal(forged.encode(), Typ.SEALED_REF_MAP, public))),
        (ErrorKind.WRONG_RECIPIENT, lambda: opened(offered["map"], slug="cpam")),
        (ErrorKind.MALFORMED, lambda: opened(offered["map"], epoch=3)),
        (ErrorKind.EXPIRED, lambda: opened(offered["map"], later=11)),
    ):
        with pytest.raises(MaillonError) as refused:
            attempt()
        assert refused.value.kind is kind


def test_each_step_is_in_the_log(world: World, caf: Edge) -> None:
    caf.register(1)
    begin_refs(world)
    caf.take()
    world.clock.advance(timedelta(days=8))
    end_what_is_over(keeper_of(world.hub), world.clock.now())
    steps = world.hub.reads.run(lambda uow: uow.rotations.events(*RotationStep))
    assert [(each.step, each.partner, each.epoch) for each in steps] == [
        (RotationStep.REFS_BEGUN, "caf", 2),
        (RotationStep.REFS_TAKEN, "caf", 2),
        (RotationStep.REFS_ENDED, "caf", 2),
    ]
    assert log_is_whole(world)
