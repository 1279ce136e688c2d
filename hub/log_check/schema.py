"""Whether the file is defined as the hub defines it: a trigger dropped for an hour is how history is rewritten."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from hub.log_check.finding import wrong
from hub.log_check.snapshot import Snapshot, open_snapshot
from hub.store.engine import open_engine
from hub.store.migrations import upgrade

_MASTER = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name"


def check_schema(snapshot: Snapshot, branch: str = "hub") -> None:
    """Compare tables, indexes and triggers with those of a new file of ``branch``; raises ``Wrong`` at the first."""
    found = {(kind, name): sql for kind, name, sql in snapshot.rows(_MASTER)}
    expected = _expected(branch)
    for (kind, name), sql in expected.items():
        if found.get((kind, name)) != sql:
            wrong(name, kind, "schema")
    for kind, name in found:
        if (kind, name) not in expected:
            wrong(name, kind, "schema")


def check_file(snapshot: Snapshot) -> None:
    """Let the database library check its own pages and indexes, and that every row named is there."""
    if snapshot.one("PRAGMA integrity_check(1)") != ("ok",):
        wrong("hub.db", "-", "file")
    broken = snapshot.one("PRAGMA foreign_key_check")
    if broken is not None:
        wrong(str(broken[0]), f"row {broken[1]}", "foreign_key")


@cache
def _expected(branch: str) -> dict[tuple[str, str], str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new.db"
        engine = open_engine(path)
        upgrade(engine, branch)
        engine.dispose()
        with open_snapshot(path) as fresh:
            return {(kind, name): sql for kind, name, sql in fresh.rows(_MASTER)}
