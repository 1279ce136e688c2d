"""A rotation of refs with everything else in between, in any order: every ref means the person of its record."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from hub.jobs.retention import keeper_of
from hub.services import ref_rotation
from hub.services.retention import end_what_is_over
from hub.store.rotation import RotationStep
from tests.hub.conftest import World, record_key
from tests.hub.taking_refs import Edge, begin_refs, log_is_whole, person_meant


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ref_rotation, "PAGE", 3)


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
                begin_refs(world, slug)
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
    assert log_is_whole(world)


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
    assert person_meant(world, ref, edge.slug) == whose[1]
    keyring = world.hub.keyring
    secret_of, epoch = world.hub.reads.run(lambda uow: uow.persons.refs_of(whose[1], keyring.epochs))[edge.slug]
    ordered = keyring.ref(edge.slug, world.hub.secrets.refs([secret_of])[secret_of], epoch)
    assert edge.store.local_of(ordered) is not None
