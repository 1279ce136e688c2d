"""The demo is the main scenario: every step must hold, and afterwards the hub must know nothing of what was said."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.cli.demo import scenario
from hub.cli.demo.deployment import HUB, Deployment
from hub.cli.demo.report import Report
from hub.cli.demo.scan import Needles

needs_proc = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads another process's memory through Linux's /proc"
)


@dataclass
class Played:
    """The demo's deployment, still running, after its story was played."""

    deployment: Deployment
    report: Report
    needles: Needles


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    report = Report(quiet=True)
    deployment = scenario.build(tmp_path_factory.mktemp("demo"), report)
    with deployment.fleet:
        seen = scenario.play(deployment, report)
        yield Played(deployment, report, scenario.needles(seen))


def workers(deployment: Deployment, name: str) -> list[int]:
    """The process ids of one program: the one that was started and those it started."""
    group = deployment.fleet.running[name].process.pid
    return [pid for path in Path("/proc").glob("[0-9]*") if _group(pid := int(path.name)) == group]


def _group(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[2])
    except OSError:
        return None


def test_every_step_of_the_story_holds(played: Played) -> None:
    assert played.report.failures == []
    assert len(played.report.steps) == 14
    assert all(step["checks"] for step in played.report.steps)


def test_the_hubs_files_hold_no_value_and_no_trait(played: Played) -> None:
    files = played.deployment.home(HUB)
    assert (files / "hub.db").stat().st_size > 0
    assert played.needles.in_files(files) == {}
    assert played.needles.in_files(played.deployment.base / "logs") == {}


def test_the_search_would_find_a_value_left_behind(played: Played, tmp_path: Path) -> None:
    leak = tmp_path / "leak"
    shutil.copytree(played.deployment.home(HUB), leak)
    # Across the edge of a block, as a database page may have it.
    (leak / "hub.db-wal").write_bytes(b"".join(b"\x00" * 4093 + v.upper().encode() for v in played.needles.values))
    assert played.needles.in_files(leak) == {"hub.db-wal": set(range(len(played.needles.values)))}


@needs_proc
def test_the_hubs_memory_holds_no_value_and_no_trait(played: Played) -> None:
    hub = workers(played.deployment, HUB)
    assert len(hub) >= 2, "the server and its worker"
    # The scan reads the worker's real heap: it finds what the hub does know.
    known = Needles(["accompagnement_global", "referent_parcours"])
    assert any(known.in_memory(pid) == {0, 1} for pid in hub)
    # The persons are invented, so a failing assertion may show what was found.
    found = {played.needles.values[number] for pid in hub for number in played.needles.in_memory(pid)}
    assert found == set()


@needs_proc
def test_a_source_does_hold_them_in_memory(played: Played) -> None:
    # The same scan over an edge, which opens fragments to answer: were it blind, the test above would prove nothing.
    assert any(
        played.needles.in_memory(pid) for name in ("caf", "departement") for pid in workers(played.deployment, name)
    )
