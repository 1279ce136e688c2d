"""What a source said of one person, field by field, over time: for the data team that answers "what changed?"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from connectors.kit.edge_archive import Version
from connectors.kit.port import Json


@dataclass(frozen=True, slots=True)
class Said:
    """One field as it once was: the statement, true from ``since`` until ``until``, and the format that said it."""

    path: str
    format: str
    since: datetime
    until: datetime
    statement: Json


def timeline(present: Json, versions: Iterable[Version]) -> dict[str, list[Said]]:
    """Return, by field, the states other than what is said of it now (``present``: path → statement), latest first.

    A field that never said anything else is not in it. When a fact was fetched does not make it another.
    """
    found: dict[str, list[Said]] = {}
    for version in versions:
        for path, statement in version.statements.items():
            states = found.setdefault(path, [])
            newer = next((state for state in reversed(states) if state.format == version.format), None)
            after = present.get(path) if newer is None else newer.statement
            if newer is not None and _same(newer.statement, statement):
                states[states.index(newer)] = Said(path, version.format, version.as_of, newer.until, newer.statement)
            elif after is None or not _same(after, statement):
                states.append(Said(path, version.format, version.as_of, version.until, statement))
    return {path: states for path, states in sorted(found.items()) if states}


def _same(one: Json, other: Json) -> bool:
    return _content(one) == _content(other)


def _content(statement: Json) -> Json:
    return {name: value for name, value in statement.items() if name != "date_collecte"}
