"""A new index pepper under traffic: the answers of a hub that never rotated, whatever interleaves, whoever dies."""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from connectors.kit.runtime.errors import ErrorKind
from hub.jobs import scheduler
from hub.services import pepper_rotation, register
from hub.store.rotation_tables import rewrapping
from tests.hub.conftest import World, problem, record_key, tokens
from tests.hub.rotating import (
    KINDS,
    SLUGS,
    Told,
    begin_pepper,
    epochs_held,
    finish_pepper,
    hub_in,
    rotator_of,
    step_pepper,
    stored_tokens,
    tokens_of_kinds,
)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_interleaves_the_answers_are_those_of_a_hub_that_never_rotated(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    with hub_in(tmp_path / "still") as still, hub_in(tmp_path / "turning") as turning:
        oracle, told = Told(still), Told(turning)
        both = (oracle, told)
        in_the_middle = 0
        for _ in range(90):
            roll = chance.random()
            if roll < 0.55:
                slug, key, person = chance.choice(SLUGS), chance.randrange(60), chance.randrange(14)
                made = tokens_of_kinds(person, chance.choice(KINDS), nombre_prenoms=chance.choice((1, 1, 2)))
                in_the_middle += turning.hub.keyring.peppers.is_rotating
                for each in both:
                    each.register(slug, key, made)
            elif roll < 0.65:
                decision = chance.choice(("link", "different", "ask"))
                for each in both:
                    each.review(decision)
            elif roll < 0.7:
                for each in both:
                    each.count()
            elif roll < 0.8:
                begin_pepper(turning.hub)
            elif roll < 0.97:
                step_pepper(turning.hub, chance.choice((1, 3, 9)))
            else:
                finish_pepper(turning.hub, 4)
            assert told.said == oracle.said
        assert in_the_middle >= 8
        assert turning.hub.keyring.index_epoch >= 2
        finish_pepper(turning.hub)
        for each in both:
            each.count()
        assert told.said == oracle.said
        assert set(epochs_held(turning.hub)) == {turning.hub.keyring.index_epoch}
        assert len(oracle.names) > 10


def test_one_prepared_before_the_epoch_and_written_after_finds_its_person(world: World) -> None:
    """The request was read under the old pepper; when its turn comes the index is half, or wholly, under the new."""
    for batches in (0, 1, 1000):
        person = 20 + batches % 7
        ref = world.register("caf", person)
        partner = world.directory.partner("cpam")
        wire = {"record_key": record_key(100 + batches), "sections": [], **tokens(person).to_wire()}
        prepared = register.prepare(world.hub.keyring, partner, [wire])
        before = len(stored_tokens(world.hub))
        begin_pepper(world.hub)
        for _ in range(min(batches, 3)):
            step_pepper(world.hub, 1 if batches == 1 else 1000)
        if batches == 1000:
            finish_pepper(world.hub)
        persons = world.hub.reads.run(lambda uow: uow.persons.count())
        world.hub.writer.run(
            lambda uow, prepared=prepared: register.register(uow, world.hub.keyring, "cpam", prepared)  # type: ignore[misc]
        )
        assert world.hub.reads.run(lambda uow: uow.persons.count()) == persons
        assert len(stored_tokens(world.hub)) == before + 5
        assert world.register("caf", person) == ref
        finish_pepper(world.hub)


def test_the_old_form_is_gone_from_the_file_when_the_rotation_has_ended(world: World) -> None:
    """What a thief of the old keyring needs stands in no page of the database or its write-ahead log any more."""
    for person in range(30):
        world.register("caf", person)
    old = [token.value for token in stored_tokens(world.hub)]
    files = [world.home.path / name for name in ("hub.db", "hub.db-wal")]
    assert any(old[0] in file.read_bytes() for file in files if file.exists())
    begin_pepper(world.hub)
    assert finish_pepper(world.hub) == 30
    for file in files:
        content = file.read_bytes() if file.exists() else b""
        assert not [value for value in old if value in content]
    assert world.hub.keyring.peppers.searched_from == 2


def test_a_second_beginning_goes_on_with_the_first(world: World) -> None:
    world.register("caf", 1)
    first, again = begin_pepper(world.hub), begin_pepper(world.hub)
    assert (first["epoch"], first["state"]) == (again["epoch"], again["state"]) == (2, "running")
    assert finish_pepper(world.hub) == 1
    assert finish_pepper(world.hub) == 0
    assert begin_pepper(world.hub)["epoch"] == 3


def test_a_row_left_behind_is_found_before_the_search_narrows(world: World) -> None:
    for person in range(8):
        world.register("caf", person)
    begin_pepper(world.hub)
    step_pepper(world.hub, 1)
    world.hub.writer.run(lambda uow: uow.connection.execute(update(rewrapping).values(below=2**63 - 1)))
    finish_pepper(world.hub)
    assert epochs_held(world.hub) == {2: 8}


def test_between_two_batches_the_writer_is_left_to_others(world: World) -> None:
    for person in range(4):
        world.register("caf", person)
    begin_pepper(world.hub)
    ticks = itertools.count(step=3)
    waited: list[float] = []
    pepper_rotation.run(rotator_of(world.hub), most=1, wait=waited.append, clock=lambda: float(next(ticks)))
    # Four batches, and the one that found nothing left.
    assert waited == [3.0] * 5


def test_the_operator_begins_it_and_the_dpo_may_watch(world: World) -> None:
    for person in range(4):
        world.register("caf", person)
    path = "/v1/index/rotations"

    def standing(name: str) -> dict[str, Any]:
        answer = world.client.get(path, headers={"Authorization": f"Bearer {world.token(name)}"})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()["pepper"]
        return found

    assert standing("dpo") == {"epoch": 1, "state": "done", "rewrapped": 0, "share": 1.0}
    for name in ("dpo", "caf"):
        problem(world.post(name, path, {"what": "pepper"}), ErrorKind.FORBIDDEN)
    problem(world.post("operator", path, {"what": "everything"}), ErrorKind.SCHEMA)
    begun = world.ok("operator", path, {"what": "pepper"})["pepper"]
    assert begun == {"epoch": 2, "state": "running", "rewrapped": 0, "share": 0.0}
    step_pepper(world.hub, 2)
    half = standing("operator")
    assert (half["state"], half["rewrapped"]) == ("running", 2)
    assert 0 < half["share"] < 1
    stats = world.client.get("/v1/index/stats", headers={"Authorization": f"Bearer {world.token('dpo')}"}).get_json()
    assert stats["epochs"] == [{"epoch": 1, "records": 2}, {"epoch": 2, "records": 2}]
    finish_pepper(world.hub)
    assert standing("operator") == {"epoch": 2, "state": "done", "rewrapped": 4, "share": 1.0}


def test_the_hubs_own_job_does_it(world: World) -> None:
    for person in range(4):
        world.register("caf", person)
    jobs = scheduler.start(world.hub)
    try:
        world.ok("operator", "/v1/index/rotations", {"what": "pepper"})
        deadline = time.monotonic() + 120
        while set(epochs_held(world.hub)) != {2} or world.hub.keyring.peppers.is_rotating:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        jobs.shutdown()
