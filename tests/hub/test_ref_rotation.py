"""New refs for one partner under traffic: nobody is lost on the way, and afterwards the former ones mean no one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.kit import seal
from connectors.kit.edge_store import EdgeStore
from connectors.kit.ref_map import open_ref_map, take_new_refs
from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.runtime.keys import SealKey
from connectors.kit.seal import Typ
from connectors.kit.tokens import TokenSet
from connectors.kit.transport import ProblemError
from consent.model import EventKind
from hub.app import close_hub, open_hub
from hub.jobs.retention import keeper_of
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_home
from hub.services import ref_rotation
from hub.services.register import resolve
from hub.services.retention import end_what_is_over
from hub.store.rotation import RotationStep
from tests.hub.conftest import RSA, World, body_of, problem, record_key, tokens

PATH = "/v1/index/rotations"


class Edge:
    """A partner's edge: its real store, and the hub behind the test client."""

    def __init__(self, world: World, slug: str, folder: Path) -> None:
        self.world, self.slug = world, slug
        self.store = EdgeStore.open(folder / f"{slug}.db", b"e" * 32)
        self.die_after: int | None = None
        """Pages after which it dies; 0: before the first."""

    def register(self, person: int, key: int | None = None, *, doubtful: bool = False) -> str:
        key, made = person if key is None else key, tokens(person)
        local = f"L{key}"
        if doubtful:
            made = TokenSet(tuple(each for each in made.tokens if each[0] == "gdp"), made.flags)
        self.store.upsert_subject(local, {"nom": local}, made)
        record = {"record_key": record_key(key), "sections": ["droits"], **made.to_wire()}
        answer = self.world.ok(self.slug, "/v1/registrations", {"records": [record]})["registrations"][0]
        self.store.set_ref(local, answer["ref"])
        ref = self.store.ref_of(local)
        assert ref is not None
        return ref

    def ref(self, person: int) -> str:
        found = self.store.ref_of(f"L{person}")
        assert found is not None
        return found

    def ref_map(self, after: str | None = None) -> dict[str, Any]:
        if self.die_after is not None:
            if self.die_after == 0:
                raise ConnectionError
            self.die_after -= 1
        return self._post("/v1/refs/map", {"after": after})

    def acknowledge_refs(self, epoch: int) -> dict[str, Any]:
        if self.die_after == 0:
            raise ConnectionError
        return self._post("/v1/refs/acknowledgement", {"epoch": epoch})

    def _post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        answer = self.world.post(self.slug, path, document)
        if answer.status_code >= 400:
            kind = ErrorKind(answer.get_json()["type"].rpartition("/")[2])
            raise ProblemError(kind, "refused", answer.status_code, None, None)
        found: dict[str, Any] = answer.get_json()
        return found

    def take(self, die_after: int | None = None) -> int:
        self.die_after = die_after
        try:
            return take_new_refs(
                self,
                self.store.refs,
                self.slug,
                self.world.partners[self.slug].seal_key,
                self.world.directory,
                self.world.clock.now,
            )
        except ConnectionError:
            return -1
        finally:
            self.die_after = None


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ref_rotation, "PAGE", 3)


@pytest.fixture
def caf(world: World, tmp_path: Path) -> Iterator[Edge]:
    edge = Edge(world, "caf", tmp_path)
    yield edge
    edge.store.close()


def _begin(world: World, slug: str = "caf") -> dict[str, Any]:
    standing = world.ok("operator", PATH, {"what": "refs", "partner": slug})["refs"]
    return next(each for each in standing if each["partner"] == slug)


def _means(world: World, ref: str, slug: str = "caf") -> str | None:
    return world.hub.reads.run(lambda uow: resolve(uow, world.hub.keyring, slug, ref))


def _ordered_ref(world: World, desk_ref: str) -> list[str]:
    """What the hub tells the CAF's edge a pull is about."""
    world.edges.refs.clear()
    world.pull(desk_ref)
    return list(world.edges.refs)


def _whole(world: World) -> bool:
    home = world.home.path
    return fsck(home / "hub.db", trust_of_home(home / "hub.db", world.directory), home=home).finding is None


def test_both_are_understood_until_the_edge_has_them_and_then_the_former_ones_end(world: World, caf: Edge) -> None:
    former = {person: caf.register(person) for person in range(1, 9)}
    desk = world.register("departement", 1)
    granted = world.consent(desk, EventKind.GRANTED)
    assert _begin(world) | {"since": None} == {
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
        assert _means(world, ref) == _means(world, new[person]) is not None
        assert caf.store.local_of(ref) == caf.store.local_of(new[person]) == f"L{person}"
    # From now on the hub speaks of the new ones.
    assert _ordered_ref(world, desk) == [new[1]]
    assert world.register("caf", 2) == new[2]
    assert _begin_state(world) == ("taken", 8, 8)
    world.clock.advance(timedelta(days=6))
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).refs == 0
    caf.store.forget_expired(world.clock.now())
    assert _means(world, former[3]) == _means(world, new[3])
    world.clock.advance(timedelta(days=2))
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).refs == 8
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).refs == 0
    caf.store.forget_expired(world.clock.now())
    for person, ref in former.items():
        assert _means(world, ref) is None
        assert _means(world, new[person]) is not None
        assert caf.store.local_of(ref) is None
    assert _begin_state(world) == ("done", 8, 0)
    world._tokens.clear()
    assert [r["record_id"] for r in world.ok("departement", "/v1/consents/search", {"ref": desk})["records"]] == [
        granted["record_id"]
    ]
    assert _whole(world)


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
    _begin(world, "departement")
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
        _begin(world, slug)
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
    assert _whole(world)
    desk.store.close()
    caf.store.close()


@pytest.mark.parametrize("pages", range(6))
def test_an_edge_that_dies_anywhere_begins_again_and_comes_to_the_same(world: World, caf: Edge, pages: int) -> None:
    """Eight refs are three pages; it may die before each, before it says so, or after."""
    former = {person: caf.register(person) for person in range(1, 9)}
    desk = world.register("departement", 1)
    world.consent(desk, EventKind.GRANTED)
    _begin(world)
    said = caf.take(die_after=pages)
    assert (said == -1) is (pages < 4)
    # Wherever it died, each understands whatever the other says.
    for person, ref in former.items():
        assert _means(world, caf.ref(person)) == _means(world, ref) is not None
    (ordered,) = _ordered_ref(world, desk)
    assert caf.store.local_of(ordered) == "L1"
    assert caf.take() in (0, 8 if pages == 0 else 8 - min(8, 3 * pages))
    assert not world.hub.keyring.epochs.is_offered("caf")
    assert all(caf.store.local_of(world.register("caf", person)) == f"L{person}" for person in former)
    assert caf.take() == 0


def test_an_edge_cannot_say_it_has_what_it_never_asked_for(world: World, caf: Edge) -> None:
    for person in range(1, 6):
        caf.register(person)
    _begin(world)
    caf.ref_map()  # the first of two pages
    for epoch in (2, 3):
        problem(world.post("caf", "/v1/refs/acknowledgement", {"epoch": epoch}), ErrorKind.CONFLICT)
    assert world.hub.keyring.epochs.is_offered("caf")
    assert caf.take() == 5


def test_whoever_is_new_meanwhile_has_a_new_ref_at_once(world: World, caf: Edge) -> None:
    caf.register(1)
    _begin(world)
    late = caf.register(2)
    desk = world.register("departement", 2)
    world.consent(desk, EventKind.GRANTED)
    assert _ordered_ref(world, desk) == [late]
    assert caf.take() == 1
    assert caf.ref(2) == late == world.register("caf", 2)
    assert _ordered_ref(world, desk) == [late]


def test_an_answer_under_way_when_the_map_was_taken_does_not_bring_the_former_ref_back(world: World, caf: Edge) -> None:
    former = caf.register(1)
    _begin(world)
    caf.take()
    new = caf.ref(1)
    caf.store.set_ref("L1", former)
    assert caf.ref(1) == new


def test_a_partner_that_never_comes_keeps_its_refs_and_the_operator_sees_it(world: World, caf: Edge) -> None:
    former = caf.register(1)
    _begin(world)
    world.clock.advance(timedelta(days=80))
    assert end_what_is_over(keeper_of(world.hub), world.clock.now()).refs == 0
    world._tokens.clear()
    assert _means(world, former) is not None
    assert _begin_state(world) == ("offered", 0, 1)
    assert _begin(world)["epoch"] == 2, "offered once, whoever asks again"
    close_hub(world.hub)
    hub = open_hub(world.settings, clock=world.clock, sources=world.edges)
    try:
        assert (hub.keyring.epochs.used("caf"), hub.keyring.epochs.newest("caf")) == (1, 2)
    finally:
        close_hub(hub)


def test_one_partners_rotation_is_no_other_partners_business(world: World, caf: Edge) -> None:
    caf.register(1)
    others = {slug: world.register(slug, 1) for slug in ("departement", "cpam", "ccas")}
    _begin(world)
    caf.take()
    assert {slug: world.register(slug, 1) for slug in others} == others
    assert world.ok("cpam", "/v1/refs/map", {"after": None}) == {"epoch": 1, "map": None, "next": None}
    for name in ("caf", "dpo"):
        problem(world.post(name, PATH, {"what": "refs", "partner": "caf"}), ErrorKind.FORBIDDEN)
    problem(world.post("operator", PATH, {"what": "refs"}), ErrorKind.SCHEMA)
    problem(world.post("operator", PATH, {"what": "refs", "partner": "nobody"}), ErrorKind.UNKNOWN_PARTNER)


def test_a_map_is_for_one_edge_and_the_hub_alone_can_write_it(world: World, caf: Edge) -> None:
    caf.register(1)
    _begin(world)
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


@contextmanager
def _edges(world: World, folder: Path) -> Iterator[dict[str, Edge]]:
    edges = {slug: Edge(world, slug, folder) for slug in ("caf", "cpam")}
    yield edges
    for edge in edges.values():
        edge.store.close()


@pytest.mark.parametrize("seed", range(5))
def test_whatever_interleaves_every_ref_means_the_person_of_its_record(world: World, tmp_path: Path, seed: int) -> None:
    """Registrations, doubts joined and told apart, pages, deaths and ends, in any order."""
    chance = random.Random(seed)  # noqa: S311
    held: dict[str, dict[str, int]] = {"caf": {}, "cpam": {}}
    joined = 0
    with _edges(world, tmp_path) as edges:
        for _ in range(110):
            slug = chance.choice(("caf", "cpam"))
            edge, roll = edges[slug], chance.random()
            if roll < 0.4:
                key = chance.randrange(12)
                held[slug].setdefault(f"L{key}", chance.randrange(6))
                edge.register(held[slug][f"L{key}"], key, doubtful=key % 3 == 0)
            elif roll < 0.5:
                joined += _decide(world, chance.choice(("link", "link", "different")))
            elif roll < 0.65:
                _begin(world, slug)
            elif roll < 0.85:
                edge.take(die_after=chance.choice((None, None, 0, 1, 2, 3)))
            else:
                world.clock.advance(timedelta(days=chance.choice((0, 3, 8))))
                world._tokens.clear()
                world.sign_directory()
                world.hub.directory.refresh()
                edge.store.forget_expired(world.clock.now())
                end_what_is_over(keeper_of(world.hub), world.clock.now())
            for name, locals_ in held.items():
                for local in locals_:
                    _check(world, edges[name], local)
    assert world.hub.reads.run(lambda uow: uow.rotations.events(RotationStep.REFS_TAKEN))
    assert joined
    assert _whole(world)


def _decide(world: World, decision: str) -> int:
    """Decide on the oldest doubt; return how many were joined."""
    found = world.ok("dpo", "/v1/reviews/search", {"decided": False, "limit": 5})["reviews"]
    for each in found[:1]:
        document = {"review_id": each["review_id"], "decision": decision, "reason": "essai"}
        answer = world.post("dpo", "/v1/reviews/decide", document)
        return int(answer.get_json().get("state") == "linked")
    return 0


def _check(world: World, edge: Edge, local: str) -> None:
    """The edge's ref means the person of this record, and what the hub would order by means this record's person."""
    key = world.hub.keyring.record_key(edge.slug, record_key(int(local[1:])))
    whose = world.hub.reads.run(lambda uow: uow.persons.record_of(edge.slug, key))
    ref = edge.store.ref_of(local)
    assert whose is not None
    assert ref is not None
    assert _means(world, ref, edge.slug) == whose[1]
    keyring = world.hub.keyring
    secret_of, epoch = world.hub.reads.run(lambda uow: uow.persons.refs_of(whose[1], keyring.epochs))[edge.slug]
    ordered = keyring.ref(edge.slug, world.hub.secrets.refs([secret_of])[secret_of], epoch)
    assert edge.store.local_of(ordered) is not None


def test_each_step_is_in_the_log(world: World, caf: Edge) -> None:
    caf.register(1)
    _begin(world)
    caf.take()
    world.clock.advance(timedelta(days=8))
    end_what_is_over(keeper_of(world.hub), world.clock.now())
    steps = world.hub.reads.run(lambda uow: uow.rotations.events(*RotationStep))
    assert [(each.step, each.partner, each.epoch) for each in steps] == [
        (RotationStep.REFS_BEGUN, "caf", 2),
        (RotationStep.REFS_TAKEN, "caf", 2),
        (RotationStep.REFS_ENDED, "caf", 2),
    ]
    assert _whole(world)
