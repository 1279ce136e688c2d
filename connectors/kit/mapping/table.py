"""A mapping applied to many lines of a table at once, a column at a time (ADR 0025).

Most of a line is looked up and not read. Nothing is decided here: a line that holds anything but plain values (refused,
in doubt, of the future) is left to a :class:`~connectors.kit.mapping.run.Run`, and of the others a :class:`TableRun`
says what that would say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Final

from connectors.kit.mapping.rules import Value
from connectors.kit.mapping.run import Run, SubjectFragment
from connectors.kit.mapping.table_rules import AnyReading, Aside, Cells, TableRules, Told, table_rules
from connectors.kit.partner import Format
from connectors.kit.port import Json
from connectors.kit.readers.table import TableLine, TableReader


class TableRun:
    """A mapping at work on the lines of one table, beside the ``run`` that takes what it leaves. Not for threads."""

    def __init__(self, run: Run, rules: TableRules, names: Sequence[str | None]) -> None:
        self._now = run.now
        self._rules = rules
        self._names = names
        self._begun = False
        self._passed_by = 0
        """How many of the next batches are left whole."""

    @classmethod
    def of(cls, native: Format, reader: TableReader, run: Run, names: Sequence[str | None]) -> TableRun | None:
        """Return one for a table of ``reader`` whose places feed the columns ``names``.

        ``None`` for a format whose record schema or rules do not go by columns: all of its lines are left to the run.
        """
        aside, columns = Aside(), [name for name in names if name is not None]
        judges = native.schema.by_member(columns) if len({*columns}) == len(columns) else None
        if judges is None or not run.separable or not run.instant(run.now)[1]:
            return None
        cells = {name: Cells(partial(reader.said, name), judges[name], aside) for name in columns}
        rules = table_rules(native.mapping, run, cells, aside)
        return None if rules is None else cls(run, rules, names)

    def told(self, lines: Sequence[TableLine]) -> list[SubjectFragment | None]:
        """Return what each line says, ``None`` for one that is left to the run.

        After lines most of which were left, so are all of the next: those would cost as much again.
        """
        if not lines:
            return []
        if self._passed_by:
            self._passed_by -= 1
            return [None] * len(lines)
        found = self._told(lines)
        if 2 * found.count(None) > len(found):
            self._passed_by = _PASSED_BY
        return found

    def _told(self, lines: Sequence[TableLine]) -> list[SubjectFragment | None]:
        count, rules, aside = len(lines), self._rules, self._rules.aside
        aside.met = False
        columns = zip(*(line.cells for line in lines), strict=True)
        cells = {name: column for name, column in zip(self._names, columns, strict=True) if name is not None}
        as_of = [None] * count if rules.as_of is None else rules.as_of.of(cells, count)
        since = {told.since: told.since.of(cells, count) for told in rules.fields if told.since is not None}
        if not self._begun:
            self._begin(since)
        said = {told.name: told.reading.of(cells, count) for told in (*rules.traits, *rules.fields)}
        keys = [part.of(cells, count) for part in rules.local_id if isinstance(part, AnyReading)]
        unread = [reading.of(cells, count) for reading in rules.unread]
        left: Iterable[bool] = repeat(False, count)
        if aside.met:
            everything = (as_of, *since.values(), *said.values(), *keys, *unread)
            left = [aside in line for line in zip(*everything, strict=True)]
            said = {name: [None if each is aside else each for each in column] for name, column in said.items()}
        traits = {told.name: _values(said[told.name]) for told in rules.traits}
        statements = {
            told.path: self._statements(told, said[told.name], None if told.since is None else since[told.since])
            for told in (*rules.traits, *rules.fields)
            if told.path is not None
        }
        local_ids = self._local_ids(said, iter(keys), identities := _by_line(traits, count))
        return [
            None
            if leave or not told or local_id is None
            else SubjectFragment(line.position, local_id, identite, {"v": 1, "statements": told}, at or self._now, True)
            for line, leave, at, local_id, identite, told in zip(
                *(lines, left, as_of, local_ids, identities, _by_line(statements, count)), strict=True
            )
        ]

    def _begin(self, since: Mapping[AnyReading, Sequence[Any]]) -> None:
        """Make statements true since what the first line is: in most files, so are all."""
        self._begun = True
        for told in self._rules.fields:
            first = None if told.since is None else since[told.since][0]
            told.form["date_effet"] = None if first is self._rules.aside else first

    def _statements(self, told: Told, said: Sequence[Any], since: Sequence[Any] | None) -> list[Json | None]:
        """Return the statement of each line, true since when its own cells say."""
        if since is None:
            return [each and each[1] for each in said]
        usual = told.form["date_effet"]
        return [
            each and (each[1] if at == usual or each[0] is None else {**each[1], "date_effet": at})
            for each, at in zip(said, since, strict=True)
        ]

    def _local_ids(
        self, said: Mapping[str, Sequence[Any]], keys: Iterator[Sequence[Any]], identities: Sequence[Json]
    ) -> list[str | None]:
        """Return the local id of each line, ``None`` where nothing or no plain value tells it."""
        columns = [
            _values(said[part.name])
            if isinstance(part, Told)
            else next(keys)
            if isinstance(part, AnyReading)
            else [_read(part, identite) for identite in identities]
            for part in self._rules.local_id
        ]
        if len(columns) == 1:
            return [None if part is None or part is _REFUSED else str(part) for part in columns[0]]
        return [_joined(parts) for parts in zip(*columns, strict=True)]


_PASSED_BY: Final = 7
"""Batches left whole after one most of which was left: one look in eight, in a file of which nothing can be told here.

A look in vain costs at most what there is to look up, every cell; refusing a line one by one may end at the first. So a
look costs up to 11 times its batch (all cells formulas; 0.5 to 2 times where one cell is wrong), and a file of such
batches 1 + 11 / (1 + 7) = 2.4 times, where a look at each would make it 12. The price: after refusals that stand alone,
the next 7 batches go one by one, 2.4 times as slowly as by column. Fewer would raise the first figure, more make the
second last longer. Both at once (one batch of eight all formulas, the others plain) make about 3 times.
"""
_REFUSED: Final = object()


def _read(value: Value, identite: Json) -> Any:
    try:
        return value.read(identite)
    except Exception:  # as in a ``Memory``; and of a line that is left, the traits are not all there
        return _REFUSED


def _joined(parts: Sequence[Any]) -> str | None:
    if _REFUSED in parts or all(part is None for part in parts):
        return None
    return "|".join("" if part is None else str(part) for part in parts)


def _values(said: Sequence[Any]) -> list[Any]:
    return [each and each[0] for each in said]


def _by_line(columns: Mapping[str, Sequence[Any]], count: int) -> list[Json]:
    """Return what ``columns`` hold of each line, in their order under their names; nothing stands for ``None``."""
    held = {name: column for name, column in columns.items() if column.count(None) < count}
    whole = not any(column.count(None) for column in held.values())
    form = dict.fromkeys(held) if whole else {}  # of its size from the start
    lines: list[Json] = list(map(dict.copy, repeat(form, count)))
    for name, column in held.items():
        for line, each in zip(lines, column, strict=True):
            if whole or each is not None:
                line[name] = each
    return lines
