"""``kill -9`` at a random moment: what was acknowledged is there, and the file is whole."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from sqlalchemy import select, text

from consent.model import EventKind
from hub.app import close_hub
from hub.store import tables
from hub.store.engine import open_engine
from tests.hub.conftest import World
from tests.hub.crash import crash
from tests.hub.failpoints import FAILPOINTS, RANDOM

ROOT = Path(__file__).resolve().parents[2]
RUNS = 4
PER_RUN = 48


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """The whole hub, over its HTTP interface; the writer alone is killed far more often below."""
    world = World(tmp_path)
    refs = [world.register("departement", n) for n in range(1, 25)]
    token = world.token("departement")
    events = [world.event(refs[n % len(refs)], EventKind.GRANTED) for n in range(RUNS * PER_RUN)]
    close_hub(world.hub)
    chance = random.Random(11)  # noqa: S311 (moments, not secrets)
    acknowledged: set[str] = set()
    engine = open_engine(world.home.database)
    interrupted = 0
    for run in range(RUNS):
        file = tmp_path / f"events{run}.json"
        file.write_text(json.dumps(events[run * PER_RUN : (run + 1) * PER_RUN]))
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.hub.writing_child", str(world.home.path), str(file), token],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        assert child.stdout is not None
        said = [child.stdout.readline().strip() for _ in range(chance.randint(1, PER_RUN // 2))]
        child.kill()
        said += [line.strip() for line in child.stdout if line.endswith("\n")]
        child.wait()
        # The hub's own log lines share the stream with the acknowledgements.
        acknowledged |= {line for line in said if len(line) == 36}
        interrupted += sum(len(line) == 36 for line in said) < PER_RUN
        with engine.connect() as connection:
            kept = set(connection.execute(select(tables.consent_event.c.record_id)).scalars())
            assert acknowledged <= kept
            assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
            sequence = list(connection.execute(select(tables.journal.c.seq).order_by(tables.journal.c.seq)).scalars())
            assert sequence == list(range(1, len(sequence) + 1))
            numbers = connection.execute(
                select(tables.entry.c.leaf_index).order_by(tables.entry.c.leaf_index)
            ).scalars()
            assert list(numbers) == list(range(len(sequence)))
            versions = connection.execute(select(tables.person.c.version)).scalars()
            assert sum(versions) == len(kept)
    engine.dispose()
    assert interrupted >= RUNS // 2
    assert len(acknowledged) >= RUNS


def test_nothing_acknowledged_is_lost_wherever_the_writer_is_killed(tmp_path: Path) -> None:
    """The small form of ``python -m tests.hub.crash --runs 200``: every failpoint, and as many random moments."""
    report = crash(tmp_path, runs=20, seed=7)
    assert report.is_clean, str(report)
    assert set(report.runs) == {RANDOM, *FAILPOINTS}
    assert set(report.acknowledged) == {"consent", "person", "access"}
    assert report.interrupted >= 10
    assert report.leaves > sum(report.acknowledged.values())
