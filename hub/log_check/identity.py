"""Who is whom, as humans decided it: every row of those tables is one an event added, and none took away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hub.log_check.finding import wrong
from hub.log_check.snapshot import Snapshot
from hub.store.identity_changes import BOUND, EVENT, row_digest

_COLUMNS: Final = {str(table.name): tuple(str(column.name) for column in table.columns) for table in BOUND}


class Identity:
    """Takes in the events that changed those tables, in the order of the journal."""

    def __init__(self) -> None:
        self._there: dict[str, set[str]] = {name: set() for name in _COLUMNS}

    def add(self, body: Any, seq: int) -> None:
        """Take in a match event about no one; raises ``Wrong`` (``content``) when it tells of no such change."""
        if not isinstance(body, Mapping) or set(body) != {"event", "added", "removed"} or body["event"] != EVENT:
            wrong("journal", f"seq {seq}", "content")
        for name, digests in body["removed"].items():
            self._there[name].difference_update(digests)
        for name, digests in body["added"].items():
            self._there[name].update(digests)

    def check(self, snapshot: Snapshot) -> None:
        """Hold the tables against what was taken in. Raises ``Wrong``: ``row`` for one no event put there, ``missing``
        when one that an event put there is gone."""
        for name, columns in _COLUMNS.items():
            left = set(self._there[name])
            names = ", ".join(f'"{column}"' for column in columns)
            query = f"SELECT {names} FROM {name} ORDER BY 1, 2"  # noqa: S608 (our own names)
            for place, values in enumerate(snapshot.rows(query), start=1):
                digest = _digest(name, dict(zip(columns, values, strict=True)))
                if digest not in left:
                    wrong(name, f"row {place}", "row")
                left.remove(digest)
            if left:
                wrong(name, "-", "missing")


def _digest(name: str, row: Mapping[str, Any]) -> str | None:
    try:
        return row_digest(name, row)
    except (TypeError, ValueError):  # a value of a kind that has no JSON: the hub wrote no such row
        return None
