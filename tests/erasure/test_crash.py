"""``kill -9`` at every step of an erasure: after the next start it is complete or it never was, and never half."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.kit.runtime.clock import FakeClock
from connectors.kit.runtime.ids import PersonId, new_uuid
from consent.model import EventKind
from hub.app import close_hub, open_hub
from hub.home import HubHome
from hub.log_check.fsck import fsck
from hub.log_check.trust import trust_of_home
from hub.services.register import resolve
from hub.settings import load_settings
from tests.erasure.conftest import Life, decision, live, person_of
from tests.erasure.erasing_child import STEPS
from tests.erasure.test_gone import found, marks_of
from tests.erasure.test_joined import Town
from tests.hub.conftest import World

ROOT = Path(__file__).resolve().parents[2]
RANDOM_RUNS = 6


@dataclass
class Before:
    """A hub that was closed, somebody in it and a neighbour of the same bucket, and a decision about the former, whom
    ``partner`` knows as ``ref``."""

    home: Path
    partner: str
    ref: str
    neighbour: Life
    person: PersonId
    marks: dict[str, bytes]
    decision: dict[str, str]


@pytest.fixture(scope="module", params=["one", "joined", "split"])
def before(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Before:
    """Somebody who was always one, somebody who turned out to be another too, and somebody split from another, whose
    refs a copied secret makes."""
    world = World(tmp_path_factory.mktemp("crash"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hub.store.persons.new_uuid", lambda: f"0a1{new_uuid()[3:]}")
        lives = [live(world, 1), live(world, 2)]
        partner = "departement" if request.param == "one" else "caf"
        town = Town(world, tmp_path_factory.mktemp("files"), {("caf", 1): lives[0].refs["caf"]})
        if request.param == "joined":
            town.register("ccas", 3, 1, whole=False)
            assert town.say(("ccas", 3), EventKind.DENIED)
            town.join_all()
        elif request.param == "split":
            town.split(("caf", 1), ["caf", "cpam"])
    ref = lives[0].refs[partner]
    person = person_of(world, ref, partner)
    assert person is not None
    marks = town.marks(person)
    if request.param == "one":
        marks |= marks_of(world, lives[0], 1)
    kinds = {"one": 1, "joined": 2, "split": 2}  # the split one's copy
    assert len([name for name in marks if name.startswith("id ")]) == kinds[request.param]
    decided = decision(world, ref, partner=partner)
    close_hub(world.hub)
    return Before(world.home.path, partner, ref, lives[1], person, marks, decided)


def killed_at(before: Before, folder: Path, step: str) -> tuple[Path, bool]:
    """Copy the hub, erase in it, die at ``step``; return where, and whether the erasure was acknowledged before."""
    home = folder / "hub"
    shutil.copytree(before.home, home)
    child = subprocess.run(
        [
            *(sys.executable, "-m", "tests.erasure.erasing_child", str(home), step),
            *(before.decision["decision"], before.partner, before.decision["ref"]),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode in (-9, 0), child.stderr
    was_acknowledged = "erased" in child.stdout
    assert was_acknowledged or child.returncode != 0
    return home, was_acknowledged


def after_the_next_start(before: Before, home: Path) -> bool:
    """Start, look at everything, stop; return whether the person is erased. Anything between is a failure."""
    hub = open_hub(load_settings(home, {}), clock=FakeClock())
    try:
        run, keys = hub.reads.run, hub.secrets._wrapping
        is_erased = run(lambda uow: resolve(uow, hub.keyring, before.partner, before.ref)) is None
        (rows, unfinished) = run(lambda uow: (uow.erasures.all(), uow.erasures.unfinished()))
        assert unfinished == []
        assert keys.changing() == []
        trust = trust_of_home(home / "hub.db", hub.directory.get())
        assert fsck(home / "hub.db", trust, home=home).finding is None
        assert (before.person in hub.secrets.refs([before.person])) is not is_erased
        assert hub.secrets.unreadable() == (set(), [])
        assert [row.erasure_id for row in rows] == [entry.erasure_id for entry in hub.eraser.register.entries()]
        assert len(rows) == int(is_erased)
        assert len(hub.secrets.traces_of(rows[0].erasure_id if rows else before.person)) == 1
        other = run(lambda uow: resolve(uow, hub.keyring, "departement", before.neighbour.refs["departement"]))
        assert other is not None
        assert len(run(lambda uow: uow.consents.of(other))) == 1
    finally:
        close_hub(hub)
    left = found(HubHome(home).path, before.marks)
    assert left == (set() if is_erased else set(before.marks))
    return is_erased


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step(before: Before, tmp_path: Path, step: str) -> None:
    home, was_acknowledged = killed_at(before, tmp_path, step)
    assert not was_acknowledged
    assert after_the_next_start(before, home) is (step != "before the write is committed")
    assert after_the_next_start(before, home) is (step != "before the write is committed")


def test_killed_at_any_moment(before: Before, tmp_path: Path) -> None:
    chance = random.Random(4)  # noqa: S311 (moments, not secrets)
    for run in range(RANDOM_RUNS):
        # A late death comes after the answer: what was acknowledged has to be there.
        home, was_acknowledged = killed_at(before, tmp_path / str(run), f"{chance.uniform(0.0, 0.03):.4f}")
        assert after_the_next_start(before, home) or not was_acknowledged
        shutil.rmtree(home)
