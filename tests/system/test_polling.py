"""A feed polled by real processes: cursor, kill -9 in the middle, no overlap, an edge that polls by itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connectors.kit.edge import Edge
from connectors.kit.live.poller import NOTHING_TAKEN, start_polling
from connectors.kit.partner import PartnerFolder
from connectors.kit.runtime.clock import SystemClock
from connectors.kit.simulator.faults import Faults
from connectors.kit.simulator.server import Simulator, lay_out
from hub.cli.demo.deployment import Deployment, Outcome, run_command
from hub.cli.main import cli
from hub.cli.output import EXIT_PARTIAL, EXIT_REFUSED
from tests.system.test_new_partner import COLUMNS, MANIFEST, write_folder

FEED = """
[feed]
format = "locataires"
base_url = "https://feed.example.fr"
path = "/v1/changements"
cursor_parameter = "depuis"
cursor_header = "X-Curseur-Suivant"
jitter_seconds = 0
"""
PAGES = 4
NAMES = ("ABIVEN", "BERTHOU", "CLOAREC", "DREVES", "ELIES", "FLOCH", "GUENA", "HASCOET")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_folder(tmp_path_factory.mktemp("partners"))
    (made / "manifest.toml").write_text(MANIFEST + FEED, "utf-8")
    return made


def page(number: int, rent: str = "512,30") -> dict[str, object]:
    rows = [f"L-{n};{NAMES[n]};Anne;F;1979-05-0{n + 1};29019;{rent};oui" for n in (2 * number, 2 * number + 1)]
    following = {"X-Curseur-Suivant": f"c{number + 1}"} if number + 1 < PAGES else {}
    return {
        "params": {"depuis": f"c{number}"} if number else {},
        "status": 200,
        "payload": ";".join(COLUMNS) + "\n" + "\n".join(rows) + "\n",
        "headers": {"Content-Type": "text/csv", **following},
    }


class Scene:
    """A hub, an edge of ``habitat_29`` that has joined it, and its feed."""

    def __init__(self, base: Path, folder: Path, deployment: Deployment) -> None:
        self.base, self.folder, self.deployment = base, folder, deployment
        self.home = deployment.home("habitat_29")
        self.api: Simulator | None = None

    @contextmanager
    def feed(
        self, *faults: str, rent: str = "512,30", instead: Mapping[int, dict[str, object]] | None = None
    ) -> Iterator[Simulator]:
        cases = self.base / "feed"
        cases.mkdir(exist_ok=True)
        pages = "".join(json.dumps((instead or {}).get(n, page(n, rent))) + "\n" for n in range(PAGES))
        (cases / "demo.locataires.ndjson").write_text(pages)
        routes, _ = lay_out(cases, None, PartnerFolder.load(self.folder).feed)
        api = Simulator(routes, Faults.parse(faults)).start()
        self.settings(api_url=api.url)
        try:
            yield api
        finally:
            api.stop()

    def settings(self, **changes: object) -> None:
        file = self.home / "edge.toml"
        kept = [line for line in file.read_text().splitlines() if line.split(" = ")[0] not in changes]
        file.write_text(
            "\n".join([*kept, *(f"{name} = {json.dumps(value)}" for name, value in changes.items())]) + "\n"
        )

    def poll(self, *options: str) -> Outcome:
        return run_command("edge", "poll", "--home", str(self.home), *options)

    def open(self) -> Edge:
        return Edge.open(self.home, SystemClock())


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Deployment]:
    made = Deployment.create(tmp_path_factory.mktemp("run"), {"habitat_29": str(folder)})
    with made.fleet:
        made.start("hub")
        yield made


@pytest.fixture
def scene(tmp_path: Path, folder: Path, deployment: Deployment) -> Scene:
    """The deployment, its edge with nothing in it yet."""
    for file in deployment.home("habitat_29").glob("edge.db*"):
        file.unlink()
    found = Scene(tmp_path, folder, deployment)
    found.settings(poll_seconds=0)
    return found


def requests_of(api: Simulator) -> int:
    return api.counts().get("requests", 0)


def wait_for(condition: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_feed_is_read_to_its_end_and_then_only_what_is_new(scene: Scene) -> None:
    with scene.feed() as api:
        first = scene.poll()
        assert (first.code, first.document["pages"], first.document["registered"]) == (0, PAGES, 8)
        again = scene.poll()
        assert (again.document["pages"], again.document["registered"]) == (1, 0), "the last page again, nothing else"
        assert again.document["subjects"] == {"unchanged": 2}
        assert requests_of(api) == PAGES + 1
    with scene.feed(rent="600,00"):
        changed = scene.poll()
        assert changed.document["subjects"] == {"updated": 2}
    edge = scene.open()
    assert edge.store.history_of("L-7")[0].statements["logement.loyer"]["valeur"] == 512.3
    edge.close()


def test_killed_in_the_middle_it_goes_on_from_its_cursor(scene: Scene) -> None:
    with scene.feed("latency=30#3") as api:
        process = subprocess.Popen(
            [sys.executable, "-m", "hub.cli", "edge", "poll", "--home", str(scene.home)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: requests_of(api) == 3)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        edge = scene.open()
        assert edge.store.archive.cursor("locataires") == "c2"
        assert edge.store.count() == 4
        edge.close()
        after = scene.poll()
        assert (after.code, after.document["pages"], after.document["registered"]) == (0, 2, 8)
        assert requests_of(api) == 5, "no page was asked for twice"


def test_two_polls_never_overlap(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed answers the first when the second has been refused, however long a process takes to start here."""
    with scene.feed() as api, ThreadPoolExecutor(1) as pool:
        asked, refused = threading.Event(), threading.Event()
        honest = api.answer

        def held(*args: Any) -> Any:
            asked.set()
            refused.wait(60)
            return honest(*args)

        monkeypatch.setattr(api, "answer", held)
        running = pool.submit(scene.poll)
        try:
            assert asked.wait(120)
            second = scene.poll()
        finally:
            refused.set()
        assert (second.code, second.error["error"]) == (EXIT_REFUSED, "conflict")
        assert running.result().document["pages"] == PAGES
        assert requests_of(api) == PAGES


@pytest.mark.parametrize(
    ("fault", "stopped"),
    [
        ("500", "HTTP 500"),
        ("404", "HTTP 404"),
        ("drop", "unavailable: ConnectionError"),
        ("content_type=text/html", "not an answer: HTTP 200, text/html"),
    ],
)
def test_a_feed_that_fails_keeps_what_it_gave(scene: Scene, fault: str, stopped: str) -> None:
    with scene.feed(f"{fault}#3-") as api:
        got = scene.poll()
        assert (got.code, got.document["pages"], got.document["registered"]) == (EXIT_PARTIAL, 2, 4)
        assert got.document["stopped"].startswith(stopped)
        assert requests_of(api) <= 2 + 4, "a few tries, not a siege"
    with scene.feed():
        assert scene.poll().document["pages"] == 2


def test_a_page_of_which_nothing_can_be_taken_is_not_passed(scene: Scene) -> None:
    """Its records would come again only when they change: the feed stops there until somebody looks."""
    drifted = page(1) | {"payload": str(page(1)["payload"]).replace("commune_naissance", "insee")}
    with scene.feed(instead={1: drifted}) as api:
        for _ in range(2):
            got = scene.poll()
            assert (got.code, got.document["stopped"]) == (EXIT_PARTIAL, NOTHING_TAKEN)
            assert got.document["quarantined"] == {"missing_column": 1, "unknown_column": 1}
        assert requests_of(api) == 3
    listed = run_command("edge", "quarantine", "list", "--home", str(scene.home)).document["entries"]
    assert [each["reason"] for each in listed] == ["missing_column", "unknown_column"]
    with scene.feed():
        mended = scene.poll()
        assert (mended.code, mended.document["pages"], mended.document["subjects"]) == (0, 3, {"new": 6})
    assert run_command("edge", "quarantine", "list", "--home", str(scene.home)).document["entries"] == []


def test_a_person_may_pass_such_a_page_and_only_that_one(scene: Scene) -> None:
    cut = {"payload": "L-9;decalee\n"}
    with scene.feed(instead={1: page(1) | cut, 2: page(2) | cut}):
        assert scene.poll().document["stopped"] == NOTHING_TAKEN
        passed = scene.poll("--pass-page")
        assert (passed.document["pages"], passed.document["stopped"]) == (1, NOTHING_TAKEN)
        last = scene.poll("--pass-page")
        assert (last.document["pages"], last.document["stopped"]) == (2, "")
    edge = scene.open()
    assert edge.store.count() == 4
    edge.close()


def test_a_page_with_nothing_new_is_no_fault(scene: Scene) -> None:
    quiet = {"payload": ";".join(COLUMNS) + "\n"}
    with scene.feed(instead={1: page(1) | quiet, 3: page(3) | quiet}):
        for pages in (PAGES, 1):
            got = scene.poll()
            assert (got.code, got.document["pages"], got.document["quarantined"]) == (0, pages, {})
    assert run_command("edge", "quarantine", "list", "--home", str(scene.home)).document["entries"] == []
    with scene.feed(instead={3: page(3) | {"payload": ""}}):
        got = scene.poll()
        assert (got.code, got.document["stopped"]) == (EXIT_PARTIAL, "not an answer: HTTP 200, text/csv, 0 bytes")


def test_a_forgotten_cursor_is_said_and_all_is_read_again(scene: Scene) -> None:
    with scene.feed():
        assert scene.poll().code == 0
    with scene.feed("410"):
        told = CliRunner().invoke(cli, ["edge", "poll", "--home", str(scene.home), "--no-register"])
        assert (told.exit_code, "--from-start" in told.output) == (EXIT_PARTIAL, True)
    with scene.feed(rent="600,00") as api:
        again = scene.poll("--from-start")
        assert (again.code, again.document["subjects"], requests_of(api)) == (0, {"updated": 8}, PAGES)


def test_a_feed_s_own_calendar_is_kept_without_a_call(scene: Scene) -> None:
    manifest, now = scene.folder / "manifest.toml", datetime.now(UTC)
    before = manifest.read_text("utf-8")
    closed = f'[[feed.maintenance]]\nstart = "{now:%Y-%m-%d}"\nend = "{now + timedelta(days=2):%Y-%m-%d}"\n'
    try:
        manifest.write_text(before + closed + "[feed.limits]\ntries = 1\n", "utf-8")
        with scene.feed() as api:
            got = scene.poll()
            assert (got.code, got.document["stopped"], requests_of(api)) == (EXIT_PARTIAL, "maintenance calendar", 0)
        manifest.write_text(before + "[feed.limits]\ntries = 1\n", "utf-8")
        with scene.feed("500") as api:
            assert scene.poll().document["stopped"] == "HTTP 500"
            assert requests_of(api) == 1
    finally:
        manifest.write_text(before, "utf-8")


def test_a_running_edge_polls_by_itself_and_never_twice_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with scene.feed("latency=1.2#1-4") as api:
        came: list[float] = []
        honest = api.answer

        def timed(*args: Any) -> Any:
            came.append(time.monotonic())
            return honest(*args)

        monkeypatch.setattr(api, "answer", timed)
        scene.settings(poll_seconds=1)
        edge = scene.open()
        scheduler = start_polling(edge)
        assert scheduler is not None
        try:
            # Each page takes longer than the interval: were there two polls at once, requests would come closer.
            wait_for(lambda: len(came) >= PAGES + 2)
        finally:
            scheduler.shutdown(wait=True)
        assert edge.store.count() == 8
        assert edge.store.pending() == []
        edge.close()
        assert all(later - earlier > 1.1 for earlier, later in pairwise(came[:5]))


def test_an_edge_told_nothing_polls_nothing(scene: Scene) -> None:
    edge = scene.open()
    assert start_polling(edge) is None
    edge.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://feed.example.fr", "api_url: not an http(s) URL"),
        ("http://feed.example.fr", "api_url: https is required off loopback"),
    ],
)
def test_an_address_that_is_none_is_refused_by_its_setting(scene: Scene, address: str, said: str) -> None:
    scene.settings(api_url=address)
    got = scene.poll()
    assert (got.code, got.error["detail"]) == (EXIT_REFUSED, said)
