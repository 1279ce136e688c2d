"""An old backup put back while real edges witness: refused before anything is signed; put back behind their backs, the
hub stops when the first of them answers, and the right copy brings it back (docs/runbook.md)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hub.cli.demo.deployment import Deployment, must, run_command
from tests.system.test_witnesses import Scene

WITNESSES = ("caf", "cpam")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    patch = pytest.MonkeyPatch()
    patch.setenv("MAILLON_HUB_WITNESS_SECONDS", "0.5")
    deployment = Deployment.create(tmp_path / "all", {slug: slug for slug in WITNESSES}, witnesses=WITNESSES)
    with deployment.fleet:
        deployment.start("hub", *WITNESSES)
        made = Scene(deployment)
        assert made.read_log().code == 0
        made.until("ok")
        yield made
    patch.undo()


def backed_up(scene: Scene, folder: Path) -> list[str]:
    """Copies as cron makes them; the options that name them to a restore."""
    copies = [must("backup", kind, str(folder / kind), "--home", str(scene.hub)) for kind in ("hub", "secrets")]
    return ["--hub", copies[0]["backup"], "--secrets", copies[1]["backup"]]


def size_of(scene: Scene) -> int:
    with closing(sqlite3.connect(scene.hub / "hub.db")) as db:
        return int(db.execute("SELECT size FROM tree_head").fetchone()[0])


def test_an_old_backup_under_live_witnesses(scene: Scene, tmp_path: Path) -> None:
    home = ("--home", str(scene.hub), "--yes")
    old = backed_up(scene, tmp_path / "copies")
    for _ in range(3):
        assert scene.read_log().code == 0
    size = scene.until_cosigned()
    scene.deployment.fleet.stop("hub")

    # 1. They answer: nothing is signed, the home is as it was, and goes on from there.
    refused = run_command("restore", "run", *home, *old)
    assert (refused.code, refused.error.get("error")) == (1, "log-stopped"), refused
    assert size_of(scene) == size
    assert not list(scene.hub.glob("replaced-*"))
    scene.start_hub()
    scene.until("ok")
    assert scene.read_log().code == 0
    size = scene.until_cosigned()
    scene.deployment.fleet.stop("hub")

    # 2. They are away: it cannot know, says how much is missing, and stops at the first answer.
    for slug in WITNESSES:
        scene.deployment.fleet.stop(slug)
    report = must("restore", "run", *home, *old)
    assert report["seen"] > report["size"]
    scene.start_hub()
    scene.until("unknown")
    scene.deployment.start(*WITNESSES)
    scene.until("stopped")
    for verb in ((), ("--resume",)):
        told = run_command("partner", "suspend", "caf", *home[:2], "--reason", "essai", *verb)
        assert (told.code, told.error.get("error")) == (1, "log-stopped")
    scene.deployment.fleet.stop("hub")

    # The same old copy once more does not get past it.
    refused = run_command("restore", "run", *home, *old)
    assert (refused.code, refused.error.get("error")) == (1, "log-stopped")

    # 3. The files it had before were moved aside: with them it goes on, and the witnesses with it.
    aside = Path(report["replaced"])
    back = must("restore", "run", *home, "--hub", str(aside / "hub.db"), "--secrets", str(aside / "secrets.db"))
    assert back["size"] >= size
    scene.start_hub()
    scene.until("ok")
    assert not (scene.hub / "log.stopped").exists()
    assert scene.read_log().code == 0
    assert scene.until_cosigned() > size
    checked = run_command("log", "fsck", "--home", str(scene.hub))
    assert (checked.code, checked.document["finding"]) == (0, None)
    assert len(checked.document["cosigned"]) == len(WITNESSES)
