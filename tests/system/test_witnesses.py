"""A hub and two witness edges as real processes: the database's owner rewrites history, and is found out."""

from __future__ import annotations

import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from connectors.kit.edge import Edge
from connectors.kit.runtime.clock import SystemClock
from consent.ledger.checkpoint import VerifierKey
from consent.ledger.fork import Fork
from consent.ledger.leaf import EventClass, Leaf
from consent.ledger.witness import AddCheckpoint
from hub.cli.demo.deployment import Deployment, must, run_command
from hub.home import HubHome
from hub.settings import load_settings
from tests.witness import owner

SECONDS = 180.0
"""However slowly processes start: a witness that was away for long is asked again once a minute."""


class Scene:
    """The deployment, with its hub's log cosigned by both edges."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.hub = deployment.home("hub")

    def health(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = requests.get(f"{self.deployment.url('hub')}/health", timeout=5).json()
        except requests.RequestException:
            return {}
        return answer

    def until(self, state: str) -> None:
        end = time.monotonic() + SECONDS
        while (found := self.health().get("witnesses", {}).get("state")) != state:
            assert time.monotonic() < end, f"{found} instead of {state}"
            time.sleep(0.2)

    def start_hub(self) -> None:
        port = self.deployment.ports["hub"]
        self.deployment.fleet.start("hub", ["serve", "--home", str(self.hub)], port)

    def read_log(self) -> Any:
        """One more event: reading the log is itself logged."""
        return run_command("access-log", "--view", "dpo", "--home", str(self.hub))

    def cosigned(self) -> tuple[int, int]:
        """The size of the newest checkpoint, and how many cosigned it."""
        with closing(sqlite3.connect(self.hub / "hub.db")) as db:
            (size,) = db.execute("SELECT max(size) FROM checkpoint").fetchone()
            (count,) = db.execute("SELECT count(*) FROM cosignature WHERE size = ?", (size,)).fetchone()
        return size, count

    def until_cosigned(self) -> int:
        end = time.monotonic() + SECONDS
        while (found := self.cosigned())[1] != 2:
            assert time.monotonic() < end, found
            time.sleep(0.2)
        return found[0]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    patch = pytest.MonkeyPatch()
    patch.setenv("MAILLON_HUB_WITNESSES", "caf,cpam")
    patch.setenv("MAILLON_HUB_WITNESS_SECONDS", "0.5")
    deployment = Deployment.create(tmp_path_factory.mktemp("witnesses"), {"caf": "caf", "cpam": "cpam"})
    with deployment.fleet:
        # The hub first: its witnesses are away, and that holds nothing up.
        deployment.start("hub")
        made = Scene(deployment)
        assert made.health()["witnesses"] == {"state": "unknown", "named": 2, "cosigning": 0, "quorum": 2}
        assert made.read_log().code == 0
        deployment.start("caf", "cpam")
        made.until("ok")
        for _ in range(4):
            assert made.read_log().code == 0
        made.until_cosigned()
        yield made
    patch.undo()


@pytest.fixture
def good_copy(scene: Scene, tmp_path: Path) -> Iterator[Path]:
    """The database as everyone knows it, put back when the test is over."""
    size = scene.until_cosigned()
    scene.deployment.fleet.stop("hub")
    kept = tmp_path / "hub.db"
    with closing(sqlite3.connect(scene.hub / "hub.db")) as live, closing(sqlite3.connect(kept)) as copy:
        live.backup(copy)
    yield kept
    if "hub" in scene.deployment.fleet.running:
        scene.deployment.fleet.stop("hub")
    put_back(scene, kept)
    scene.start_hub()
    scene.until("ok")
    assert not (scene.hub / "log.stopped").exists(), "the right copy starts by itself"
    assert scene.read_log().code == 0
    assert scene.until_cosigned() > size


def put_back(scene: Scene, copy: Path) -> None:
    for suffix in ("-wal", "-shm"):
        (scene.hub / f"hub.db{suffix}").unlink(missing_ok=True)
    shutil.copy(copy, scene.hub / "hub.db")
    # The false database was larger or smaller than this one: that memory is of no use here.
    HubHome(scene.hub).log_seen.unlink(missing_ok=True)


def settle(scene: Scene, slug: str) -> None:
    """Say that a person dealt with every alarm."""
    home = str(scene.deployment.home(slug))
    for alarm in run_command("edge", "alarms", "--home", home).document["alarms"]:
        run_command("edge", "alarms", "--home", home, "--settle", str(alarm["number"]))


def alarms(scene: Scene, slug: str) -> list[str]:
    shown = run_command("edge", "alarms", "--home", str(scene.deployment.home(slug)))
    assert shown.code == (1 if shown.document["alarms"] else 0)
    return [alarm["code"] for alarm in shown.document["alarms"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (owner.rewrite, "another tree"),
        (owner.back_date, "another tree"),
        (owner.truncate, "a larger tree"),
    ],
    ids=["a row rewritten", "an event back-dated", "the end cut off"],
)
def test_history_rebuilt_and_signed_again_by_the_databases_owner(
    scene: Scene, good_copy: Path, change: Callable[[sqlite3.Connection], None], said: str, tmp_path: Path
) -> None:
    owner.rebuild(scene.hub, change)
    scene.start_hub()
    scene.until("stopped")
    refused = run_command("partner", "suspend", "cpam", "--home", str(scene.hub), "--reason", "essai")
    assert (refused.code, refused.error.get("error")) == (1, "log-stopped"), refused
    assert said in refused.error["detail"]
    # What it signed is in both hands: its own key, two trees.
    evidence = scene.hub / "evidence" / "fork.json"
    own = HubHome(scene.hub).log_signers(load_settings(scene.hub, {}).origin)[0].verifier
    assert VerifierKey.parse(own.vkey) == own
    root = scene.deployment.home("root")
    checked = run_command(
        *("log", "check-evidence", str(evidence), "--directory", str(root / "directory.jws")),
        *("--root-key", str(root / "root.pub.jwk")),
    )
    if change is owner.rewrite:
        Fork.parse(evidence.read_bytes()).verify([own])
        assert (checked.code, checked.document["kind"]) == (0, "fork")
    else:
        assert (checked.code, checked.document["kind"]) == (1, "not-an-extension"), "a question only the log can answer"
    # Restarted with everybody away, it stays stopped.
    scene.deployment.fleet.stop("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAILLON_HUB_WITNESSES", "")
        scene.start_hub()
        scene.until("stopped")


def test_an_owner_who_goes_round_his_own_hub_meets_the_witnesses(scene: Scene, good_copy: Path) -> None:
    """He sends the rewritten tree to the witnesses himself: nobody signs it, and both now hold the proof."""
    size = owner.rebuild(scene.hub, owner.rewrite)
    with closing(sqlite3.connect(scene.hub / "hub.db")) as db:
        (note,) = db.execute("SELECT note FROM checkpoint WHERE size = ?", (size,)).fetchone()
    for slug in ("caf", "cpam"):
        settle(scene, slug)
        url = f"{scene.deployment.url(slug)}/witness/add-checkpoint"
        answer = requests.post(url, data=AddCheckpoint(size, (), note).encode(), timeout=10)
        assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/json")
        assert alarms(scene, slug) == ["fork"]
        assert requests.get(f"{scene.deployment.url(slug)}/health", timeout=5).json()["alarms"] == {"fork": 1}
        shown = run_command(
            "edge", "alarms", "--home", str(scene.deployment.home(slug)), "--export", str(good_copy.parent / slug)
        )
        (alarm,) = shown.document["alarms"]
        root = scene.deployment.home("root")
        checked = must(
            *("log", "check-evidence", alarm["evidence_file"], "--directory", str(root / "directory.jws")),
            *("--root-key", str(root / "root.pub.jwk")),
        )
        assert checked["proves"] is True
        settle(scene, slug)
        assert alarms(scene, slug) == []


def test_an_outage_of_the_witnesses_holds_nothing_up(scene: Scene) -> None:
    for slug in ("caf", "cpam"):
        scene.deployment.fleet.stop(slug)
    assert scene.read_log().code == 0
    scene.until("unknown")
    size, cosigned = scene.cosigned()
    assert cosigned == 0
    scene.deployment.start("caf", "cpam")
    assert scene.until_cosigned() >= size
    scene.until("ok")


def test_edges_find_their_orders_in_the_log_and_miss_those_that_were_taken_out(scene: Scene, good_copy: Path) -> None:
    """The watch over real HTTP, against the hub's own routes: proven first, missed once the owner lost them."""
    edge = Edge.open(scene.deployment.home("caf"), SystemClock())
    try:
        with closing(sqlite3.connect(good_copy)) as db:
            rows = db.execute(
                'SELECT event_id, class, "at", commitment, ciphertext_digest FROM journal ORDER BY seq DESC LIMIT 2'
            ).fetchall()
        leaves = [
            Leaf(EventClass(name), uuid.UUID(event_id).bytes, at, bound, digest).encode()
            for event_id, name, at, bound, digest in rows
        ]
        scene.start_hub()
        scene.until("ok")
        long_ago = edge.clock.now() - timedelta(minutes=1)
        assert edge.store.log.keep_order(leaves[0], "an order", "r", long_ago)
        found = edge.watch.round()
        assert (found.proven, found.missing, found.stopped) == (1, 0, "")
        never = Leaf(EventClass.ACCESS, uuid.uuid4().bytes, 0, bytes(32), bytes(32)).encode()
        assert edge.store.log.keep_order(never, "another order", "r", long_ago)
        assert edge.watch.round().missing == 1
        assert alarms(scene, "caf") == ["order-missing"]
        settle(scene, "caf")
        # His own hub, told of no witness, goes on with a shorter story: whoever follows the log has the longer one.
        scene.deployment.fleet.stop("hub")
        owner.rebuild(scene.hub, owner.truncate)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MAILLON_HUB_WITNESSES", "")
            scene.start_hub()
            scene.until("none")
        assert edge.watch.round().stopped == "tree-shrank"
        suspend = ("partner", "suspend", "cpam", "--home", str(scene.hub), "--reason", "essai")
        for more in ((), ("--resume",)) * 2:
            must(*suspend, *more)
        assert edge.watch.round().stopped in ("fork", "not-an-extension")
    finally:
        edge.close()
    settle(scene, "caf")
