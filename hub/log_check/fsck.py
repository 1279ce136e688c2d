"""The whole audit, pass after pass, the cheapest proof of tampering first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hub.log_check.events import check_contents, check_events
from hub.log_check.finding import Finding, Wrong
from hub.log_check.keybook import open_keybook
from hub.log_check.schema import check_file, check_schema
from hub.log_check.snapshot import open_snapshot
from hub.log_check.tree import Trust, check_tree

Step = Callable[[str, int, int], None]
"""Called with the name of the pass, how much is done, of how much."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it: the first thing wrong, or None; how many leaves, how many events were opened and emptied, and
    the largest tree each witness of the directory has verifiably cosigned, by its key's name."""

    finding: Finding | None
    leaves: int = 0
    opened: int = 0
    emptied: int = 0
    cosigned: Mapping[str, int] = field(default_factory=dict)


def fsck(database: Path, trust: Trust, *, home: Path | None = None, step: Step = lambda *_: None) -> Report:
    """Audit the database file; with ``home``, whose secrets open what is sealed, the domain rows and chains too.

    Reads only. Raises ``MaillonError(CONFIGURATION)`` when a file is not there or is no database.
    """
    try:
        with ExitStack() as stack:
            # The database first: each key an event needs was durable before the event (hub.store.secrets).
            snapshot = stack.enter_context(open_snapshot(database))
            keys = None if home is None else stack.enter_context(open_keybook(home))
            step("file", 0, 1)
            check_schema(snapshot)
            check_file(snapshot)
            tree = check_tree(snapshot, trust, lambda done, count: step("tree", done, count))
            step("contents", 0, 1)
            told = check_contents(snapshot)
            if keys is not None:
                told = check_events(snapshot, keys, lambda done, count: step("events", done, count))
    except Wrong as found:
        return Report(found.finding)
    return Report(None, tree.size, told.opened, told.emptied, tree.cosigned)
