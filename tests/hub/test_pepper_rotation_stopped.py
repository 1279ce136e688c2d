"""A rotation of the pepper that is killed, and files of before and after that do not belong together."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connectors.kit.runtime.errors import ErrorKind, MaillonError
from hub.app import close_hub, create_app, open_hub
from hub.keyring import Keyring
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_home
from hub.services import pepper_rotation, register
from hub.services.runtime import Hub
from hub.settings import Settings
from hub.store import tables
from tests.hub.conftest import World, record_key, tokens
from tests.hub.failpoints import arm
from tests.hub.rotating import begin_pepper, epochs_held, finish_pepper, stored_tokens


def _killed(home: Path, world: World, point: str, nth: int) -> bool:
    """Rotate in a process of its own, killed at ``point`` for the ``nth`` time; say whether it was."""
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            hub = open_hub(_settings(home, world), clock=world.clock, sources=world.edges)
            arm(hub.writer._engine, point, nth)
            if hub.keyring.index_epoch == 1:
                begin_pepper(hub)
            finish_pepper(hub, 3)
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
        there = [(token.kind, token.epoch, token.lookup, token.value) for token in stored_tokens(hub)]
        possible = [{(kind, *form) for form in peppers.forms(token)} for n in refs for kind, token in tokens(n).tokens]
        assert len(there) == len(possible)
        assert all(len(forms & set(there)) == 1 for forms in possible)
        # Somebody else registers one of them before anything goes on.
        persons = hub.reads.run(lambda uow: uow.persons.count())
        world_there.register("cpam", 3)
        assert world_there.register("caf", 5) == refs[5]
        assert hub.reads.run(lambda uow: uow.persons.count()) == persons == len(refs)
        finish_pepper(hub, 3)
        if peppers.epoch > 1:
            assert set(epochs_held(hub)) == {peppers.epoch}
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
        self.hub_in, self._app = world, app

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
    begin_pepper(hub)
    finish_pepper(hub)
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
        assert epochs_held(hub) == {2: 7}
        assert hub.reads.run(lambda uow: len(uow.persons.meant_by(_lookups(hub)))) == 6
    finally:
        close_hub(hub)


def _lookups(hub: Hub) -> list[bytes]:
    query = select(tables.person_ref.c.lookup).where(tables.person_ref.c.partner == "caf")
    return list(hub.reads.run(lambda uow: uow.connection.execute(query).scalars().all()))
