"""A new index pepper under traffic: the answers of a hub that never rotated, whatever interleaves, whoever dies."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from connectors.kit.tokens import TokenSet
from hub.app import close_hub, create_app, open_hub
from hub.jobs import scheduler
from hub.keyring import Keyring
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_home
from hub.services import pepper_rotation, register
from hub.services.pepper_rotation import Rotator
from hub.services.runtime import Hub
from hub.settings import Settings
from hub.store import tables
from hub.store.rotation_tables import rewrapping
from hub.store.session import UnitOfWork
from hub.store.token_set import IndexedToken, Packed
from tests.hub.conftest import World, problem, record_key, tokens
from tests.hub.failpoints import arm

SLUGS = ("departement", "caf", "cpam", "ccas")
KINDS = (
    ("sgd", "insi", "gdp", "sdp", "sg_y"),
    ("sgd", "gdp", "sg_y"),
    ("gdp", "sdp"),
    ("sgd", "sg_y"),
    ("sdp", "sg_y"),
)


def _no_wait(seconds: float) -> None:
    """The test has no other traffic to let through."""


def _rotator(hub: Hub) -> Rotator:
    return Rotator(hub.writer, hub.reads, hub.keyring)


def _begin(hub: Hub) -> dict[str, Any]:
    return hub.writer.run(lambda uow: pepper_rotation.begin(uow, hub.keyring))


def _step(hub: Hub, most: int) -> int:
    return hub.writer.run(lambda uow: pepper_rotation.step(uow, hub.keyring, most))


def _finish(hub: Hub, most: int = 64) -> int:
    return pepper_rotation.run(_rotator(hub), most=most, wait=_no_wait)


def _epochs(hub: Hub) -> dict[int, int]:
    return hub.reads.run(lambda uow: uow.rotations.records_by_epoch())


def _stored(hub: Hub) -> list[IndexedToken]:
    """Every token of every record; those that are looked up are found by that too."""
    columns = tables.token_set.c
    query = select(columns.number, columns.epoch, columns.kinds, columns.looked_up, columns.tokens)

    def read(uow: UnitOfWork) -> list[IndexedToken]:
        rows = uow.connection.execute(query).all()
        found = {tuple(row) for row in uow.connection.execute(select(tables.token))}
        assert found == {(lookup, number) for number, *packed in rows for lookup in Packed(*packed).lookups()}
        return [token for _, *packed in rows for token in Packed(*packed).unpack()]

    return hub.reads.run(read)


def _set(person: int, kinds: tuple[str, ...], **flags: Any) -> TokenSet:
    whole = tokens(person, **flags)
    return TokenSet(tuple(each for each in whole.tokens if each[0] in kinds), whole.flags)


def _register(world: World, slug: str, key: int, made: TokenSet) -> dict[str, str]:
    document = {"records": [{"record_key": record_key(key), "sections": [], **made.to_wire()}]}
    answer: dict[str, str] = world.ok(slug, "/v1/registrations", document)["registrations"][0]
    return answer


@contextmanager
def _world(folder: Path) -> Iterator[World]:
    folder.mkdir()
    world = World(folder)
    try:
        yield world
    finally:
        close_hub(world.hub)


# --- the oracle: a hub that never rotates -----------------------------------------------------------------------


@dataclass
class Told:
    """What one hub answered, with each person named by the order in which it first came: ids and refs are random."""

    world: World
    names: dict[str, int] = field(default_factory=dict)
    said: list[Any] = field(default_factory=list)

    def register(self, slug: str, key: int, made: TokenSet) -> None:
        answer = _register(self.world, slug, key, made)
        hub = self.world.hub
        if "ref" in answer:
            person = hub.reads.run(lambda uow: register.resolve(uow, hub.keyring, slug, answer["ref"]))
            assert person is not None
            self.said.append(self.names.setdefault(person, len(self.names)))
        else:
            self.said.append(answer["refused"])
        self.world.clock.advance(timedelta(seconds=1))

    def review(self, decision: str) -> None:
        found = self.world.ok("dpo", "/v1/reviews/search", {"decided": False, "limit": 50})["reviews"]
        opened = [each["opened_at"] for each in found]
        # Those of one moment are listed by a random id.
        for each in [each for each in found if opened.count(each["opened_at"]) == 1][:1]:
            shown = self.world.ok("dpo", "/v1/reviews/show", {"review_id": each["review_id"]})
            self.said.append([each["doubt"], each["kinds"], sorted(_pair(pair) for pair in shown["pairs"])])
            document = {"review_id": each["review_id"], "decision": decision, "reason": "essai"}
            answer = self.world.post("dpo", "/v1/reviews/decide", document)
            self.said.append((answer.status_code, (answer.get_json() or {}).get("state")))
        self.world.clock.advance(timedelta(seconds=1))

    def count(self) -> None:
        authorized = {"Authorization": f"Bearer {self.world.token('operator')}"}
        stats = self.world.client.get("/v1/index/stats", headers=authorized).get_json()
        names = ("persons", "provisional", "records", "links", "tokens", "reviews", "kept_apart")
        self.said.append({name: stats[name] for name in names})


def _pair(pair: dict[str, Any]) -> tuple[Any, ...]:
    partners = tuple(sorted((pair["record"]["partner"], pair["other"]["partner"])))
    return partners, pair["agree"], pair["differ"], str(pair["rules_say"])


@pytest.mark.parametrize("seed", range(6))
def test_whatever_interleaves_the_answers_are_those_of_a_hub_that_never_rotated(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    with _world(tmp_path / "still") as still, _world(tmp_path / "turning") as turning:
        oracle, told = Told(still), Told(turning)
        both = (oracle, told)
        in_the_middle = 0
        for _ in range(90):
            roll = chance.random()
            if roll < 0.55:
                slug, key, person = chance.choice(SLUGS), chance.randrange(60), chance.randrange(14)
                made = _set(person, chance.choice(KINDS), nombre_prenoms=chance.choice((1, 1, 2)))
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
                _begin(turning.hub)
            elif roll < 0.97:
                _step(turning.hub, chance.choice((1, 3, 9)))
            else:
                _finish(turning.hub, 4)
            assert told.said == oracle.said
        assert in_the_middle >= 8
        assert turning.hub.keyring.index_epoch >= 2
        _finish(turning.hub)
        for each in both:
            each.count()
        assert told.said == oracle.said
        assert set(_epochs(turning.hub)) == {turning.hub.keyring.index_epoch}
        assert len(oracle.names) > 10


def test_one_prepared_before_the_epoch_and_written_after_finds_its_person(world: World) -> None:
    """The request was read under the old pepper; when its turn comes the index is half, or wholly, under the new."""
    for batches in (0, 1, 1000):
        person = 20 + batches % 7
        ref = world.register("caf", person)
        partner = world.directory.partner("cpam")
        wire = {"record_key": record_key(100 + batches), "sections": [], **tokens(person).to_wire()}
        prepared = register.prepare(world.hub.keyring, partner, [wire])
        before = len(_stored(world.hub))
        _begin(world.hub)
        for _ in range(min(batches, 3)):
            _step(world.hub, 1 if batches == 1 else 1000)
        if batches == 1000:
            _finish(world.hub)
        persons = world.hub.reads.run(lambda uow: uow.persons.count())
        world.hub.writer.run(
            lambda uow, prepared=prepared: register.register(uow, world.hub.keyring, "cpam", prepared)  # type: ignore[misc]
        )
        assert world.hub.reads.run(lambda uow: uow.persons.count()) == persons
        assert len(_stored(world.hub)) == before + 5
        assert world.register("caf", person) == ref
        _finish(world.hub)


def test_the_old_form_is_gone_from_the_file_when_the_rotation_has_ended(world: World) -> None:
    """What a thief of the old keyring needs stands in no page of the database or its write-ahead log any more."""
    for person in range(30):
        world.register("caf", person)
    old = [token.value for token in _stored(world.hub)]
    files = [world.home.path / name for name in ("hub.db", "hub.db-wal")]
    assert any(old[0] in file.read_bytes() for file in files if file.exists())
    _begin(world.hub)
    assert _finish(world.hub) == 30
    for file in files:
        content = file.read_bytes() if file.exists() else b""
        assert not [value for value in old if value in content]
    assert world.hub.keyring.peppers.searched_from == 2


def test_a_second_beginning_goes_on_with_the_first(world: World) -> None:
    world.register("caf", 1)
    first, again = _begin(world.hub), _begin(world.hub)
    assert (first["epoch"], first["state"]) == (again["epoch"], again["state"]) == (2, "running")
    assert _finish(world.hub) == 1
    assert _finish(world.hub) == 0
    assert _begin(world.hub)["epoch"] == 3


def test_a_row_left_behind_is_found_before_the_search_narrows(world: World) -> None:
    for person in range(8):
        world.register("caf", person)
    _begin(world.hub)
    _step(world.hub, 1)
    world.hub.writer.run(lambda uow: uow.connection.execute(update(rewrapping).values(below=2**63 - 1)))
    _finish(world.hub)
    assert _epochs(world.hub) == {2: 8}


def test_between_two_batches_the_writer_is_left_to_others(world: World) -> None:
    for person in range(4):
        world.register("caf", person)
    _begin(world.hub)
    ticks = itertools.count(step=3)
    waited: list[float] = []
    pepper_rotation.run(_rotator(world.hub), most=1, wait=waited.append, clock=lambda: float(next(ticks)))
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
    _step(world.hub, 2)
    half = standing("operator")
    assert (half["state"], half["rewrapped"]) == ("running", 2)
    assert 0 < half["share"] < 1
    stats = world.client.get("/v1/index/stats", headers={"Authorization": f"Bearer {world.token('dpo')}"}).get_json()
    assert stats["epochs"] == [{"epoch": 1, "records": 2}, {"epoch": 2, "records": 2}]
    _finish(world.hub)
    assert standing("operator") == {"epoch": 2, "state": "done", "rewrapped": 4, "share": 1.0}


def test_the_hubs_own_job_does_it(world: World) -> None:
    for person in range(4):
        world.register("caf", person)
    jobs = scheduler.start(world.hub)
    try:
        world.ok("operator", "/v1/index/rotations", {"what": "pepper"})
        deadline = time.monotonic() + 20
        while set(_epochs(world.hub)) != {2} or world.hub.keyring.peppers.is_rotating:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        jobs.shutdown()


# --- killed ------------------------------------------------------------------------------------------------------


def _killed(home: Path, world: World, point: str, nth: int) -> bool:
    """Rotate in a process of its own, killed at ``point`` for the ``nth`` time; say whether it was."""
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            hub = open_hub(_settings(home, world), clock=world.clock, sources=world.edges)
            arm(hub.writer._engine, point, nth)
            if hub.keyring.index_epoch == 1:
                _begin(hub)
            _finish(hub, 3)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _settings(home: Path, world: World) -> Settings:
    return replace(world.settings, home=home)


@pytest.mark.parametrize("point", ["before the event", "before the commit", "after the commit"])
def test_killed_at_every_batch_it_goes_on_and_nobody_is_a_stranger(tmp_path: Path, point: str) -> None:
    world = World(tmp_path)
    refs = {n: world.register("caf", n) for n in range(24)}
    close_hub(world.hub)
    deaths = 0
    for nth in range(1, 60):
        home = tmp_path / f"home{nth}"
        shutil.copytree(world.home.path, home)
        if not _killed(home, world, point, nth):
            break
        deaths += 1
        _check(home, world, refs)
        shutil.rmtree(home)
    # The beginning, eight batches of three, one that finds nothing, the end; two of them have an event.
    assert deaths == (2 if point == "before the event" else 11)


def test_killed_again_and_again_it_comes_to_its_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    refs = {n: world.register("caf", n) for n in range(24)}
    close_hub(world.hub)
    deaths = 0
    while _killed(world.home.path, world, "after the commit", 2):
        deaths += 1
        assert deaths < 60
    assert deaths >= 4
    _check(world.home.path, world, refs)


def _check(home: Path, world: World, refs: dict[int, str]) -> None:
    """Every token stands there once, in the form of one epoch; what is left is done; nobody is a stranger."""
    app = create_app(_settings(home, world), clock=world.clock, sources=world.edges)
    hub: Hub = app.extensions["hub"]
    world_there = _Elsewhere(world, app)
    try:
        peppers = hub.keyring.peppers
        there = [(token.kind, token.epoch, token.lookup, token.value) for token in _stored(hub)]
        possible = [{(kind, *form) for form in peppers.forms(token)} for n in refs for kind, token in tokens(n).tokens]
        assert len(there) == len(possible)
        assert all(len(forms & set(there)) == 1 for forms in possible)
        # Somebody else registers one of them before anything goes on.
        persons = hub.reads.run(lambda uow: uow.persons.count())
        world_there.register("cpam", 3)
        assert world_there.register("caf", 5) == refs[5]
        assert hub.reads.run(lambda uow: uow.persons.count()) == persons == len(refs)
        _finish(hub, 3)
        if peppers.epoch > 1:
            assert set(_epochs(hub)) == {peppers.epoch}
            events = hub.reads.run(
                lambda uow: [(e.step, e.epoch) for e in uow.rotations.events(*pepper_rotation.STEPS)]
            )
            assert events[0] == ("key:pepper:begun", 2)
            assert events[-1] == ("key:pepper:ended", peppers.epoch)
        assert {n: world_there.register("caf", n) for n in refs} == refs
        assert hub.reads.run(lambda uow: uow.persons.count()) == len(refs)
    finally:
        close_hub(hub)
    assert fsck(home / "hub.db", trust_of_home(home / "hub.db", world.directory), home=home).finding is None


class _Elsewhere:
    """A partner's registrations at a hub whose files were copied."""

    def __init__(self, world: World, app: Any) -> None:
        self._world, self._app = world, app

    def register(self, slug: str, person: int) -> str:
        hub: Hub = self._app.extensions["hub"]
        partner = hub.directory.get().partner(slug)
        wire = {"record_key": record_key(person), "sections": [], **tokens(person).to_wire()}
        prepared = register.prepare(hub.keyring, partner, [wire])
        made = hub.writer.run(lambda uow: register.register(uow, hub.keyring, slug, prepared))
        return made[0]["ref"]


# --- keyrings and databases that do not belong together ---------------------------------------------------------


def _copies(world: World, folder: Path) -> dict[str, Path]:
    folder.mkdir()
    connection = sqlite3.connect(world.home.database)  # into one file, so that a copy is a whole one
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return {name: Path(shutil.copy(world.home.path / name, folder / name)) for name in ("hub.db", "keyring.json")}


@pytest.fixture
def rotated(tmp_path: Path) -> tuple[World, dict[str, Path], dict[int, str]]:
    """A hub that stopped after a rotation, and copies of its files from before."""
    world = World(tmp_path)
    refs = {n: world.register("caf", n) for n in range(6)}
    close_hub(world.hub)
    old = _copies(world, tmp_path / "old")
    hub = open_hub(world.settings, clock=world.clock, sources=world.edges)
    _begin(hub)
    _finish(hub)
    close_hub(hub)
    return world, old, refs


def test_the_old_keyring_with_the_new_database_is_refused_by_name(
    rotated: tuple[World, dict[str, Path], dict[int, str]],
) -> None:
    world, old, _ = rotated
    shutil.copy(old["keyring.json"], world.home.keyring)
    with pytest.raises(MaillonError, match=r"keyring.json is older than hub.db.* epoch 2") as refused:
        open_hub(world.settings, clock=world.clock, sources=world.edges)
    assert refused.value.kind is ErrorKind.CONFIGURATION


def test_another_pepper_of_the_same_epoch_is_refused(
    rotated: tuple[World, dict[str, Path], dict[int, str]], tmp_path: Path
) -> None:
    """The old keyring was put back and rotated by hand, or beside another database: everybody would be a stranger."""
    world, old, _ = rotated
    shutil.copy(old["keyring.json"], world.home.keyring)
    Keyring.load(world.home.keyring).add_pepper()
    with pytest.raises(MaillonError, match=r"not this hub.db's.* epoch 2"):
        open_hub(world.settings, clock=world.clock, sources=world.edges)


def test_the_new_keyring_with_the_old_database_rotates_it_again(
    rotated: tuple[World, dict[str, Path], dict[int, str]],
) -> None:
    world, old, refs = rotated
    for name in ("hub.db-wal", "hub.db-shm", "log.seen"):
        (world.home.path / name).unlink(missing_ok=True)
    shutil.copy(old["hub.db"], world.home.database)
    _check(world.home.path, world, refs)
    hub = open_hub(world.settings, clock=world.clock, sources=world.edges)
    try:
        # Six, and the one somebody registered meanwhile.
        assert _epochs(hub) == {2: 7}
        assert hub.reads.run(lambda uow: len(uow.persons.meant_by(_lookups(hub)))) == 6
    finally:
        close_hub(hub)


def _lookups(hub: Hub) -> list[bytes]:
    query = select(tables.person_ref.c.lookup).where(tables.person_ref.c.partner == "caf")
    return list(hub.reads.run(lambda uow: uow.connection.execute(query).scalars().all()))
