"""A mapping's rules as functions of the cells they name, each worked out once for the same cells (ADR 0025)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.kit.mapping.code import FORMS, absent, aware, holds
from connectors.kit.mapping.columns import KEPT, LONGEST, Judge
from connectors.kit.mapping.expression_reach import members_read, members_said_first
from connectors.kit.mapping.expressions import Expression
from connectors.kit.mapping.rules import IDENTITY_FIELDS, FieldRule, Subject, Value
from connectors.kit.mapping.run import FormatMapping, Run
from connectors.kit.port import Json
from connectors.kit.readers.table import Cell, Typed
from connectors.kit.transforms.base import as_is, text
from schemas import registry


class Aside:
    """Stands for what is no plain value. ``met`` is set whenever it is given out."""

    __slots__ = ("met",)

    def __init__(self) -> None:
        self.met = False


class Memory(dict[Any, Any]):
    """A cell, or several, → what they mean, worked out once. What is ``aside`` is not kept, and tells each time."""

    __slots__ = ("_aside", "_read")

    def __init__(self, read: Callable[[Any], Any], aside: Aside) -> None:
        self._read = read
        self._aside = aside

    def __missing__(self, cells: Any) -> Any:
        try:
            meaning = self._read(cells)
        except Exception:  # a refusal, or what a partner's own transform raises: the run meets it in its turn
            meaning = self._aside
        if meaning is self._aside:
            self._aside.met = True
        elif len(self) < KEPT and (len(cells) <= LONGEST if type(cells) is str else _is_short(cells)):
            self[cells] = meaning
        return meaning


class Cells:
    """What the cells of one column say, as far as the reader and the record's schema take them."""

    __slots__ = ("_aside", "blank", "fits", "said")

    def __init__(self, said: Callable[[Cell], object], fits: Judge, aside: Aside) -> None:
        """``said`` gives the text of a cell, ``None`` when it says nothing, anything else when it is refused."""
        self._aside = aside
        self.said = said
        self.fits = fits
        self.blank = None if fits(None) else aside
        """What an empty cell says."""

    def read(self, cell: Cell) -> Any:
        """Return what a cell says: a text, nothing, or ``aside``."""
        said = self.said(cell)
        if said is None:
            return self.blank
        return said if type(said) is str and self.fits(said) else self._aside


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one value of the mapping says of the cells of the ``columns`` it looks at."""

    columns: tuple[str, ...]
    memory: Memory

    def of(self, cells: Mapping[str, Sequence[Cell]], count: int) -> list[Any]:
        """Return what it says of each of ``count`` lines, whose cells are given column by column."""
        if len(self.columns) == 1:
            return list(map(self.memory.__getitem__, cells[self.columns[0]]))
        if not self.columns:
            return [self.memory[()]] * count
        return list(map(self.memory.__getitem__, zip(*(cells[name] for name in self.columns), strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class FirstSaid:
    """What the first of several cells that says something means: each column read by itself, for it repeats more."""

    readings: tuple[Reading, ...]
    """Each of one column; ``_BLANK`` is given for a cell that says nothing, but by the last."""
    aside: Aside

    def of(self, cells: Mapping[str, Sequence[Cell]], count: int) -> list[Any]:
        """Return what it says of each of ``count`` lines, ``aside`` where any of the cells is."""
        *before, last = self.readings
        found = last.of(cells, count)
        for reading in reversed(before):
            pairs = zip(reading.of(cells, count), found, strict=True)
            found = [then if said is _BLANK or then is self.aside else said for said, then in pairs]
        return found


AnyReading = Reading | FirstSaid
_BLANK: Final = object()


@dataclass(frozen=True, slots=True)
class Told:
    """One trait or one dossier field. Its ``reading`` gives ``(value, statement)``, the same two for the same cells.

    An absence is the statement of no value.
    """

    name: str
    """Of a trait its own, of a field its path."""
    path: str | None
    """Where the statement stands; of a trait that the source does not state, nowhere."""
    reading: AnyReading
    form: Json
    """A statement without its value: how the next one is made, true since what it says."""
    since: AnyReading | None = None


@dataclass(frozen=True, slots=True)
class TableRules:
    """All that is said of a line."""

    aside: Aside
    as_of: AnyReading | None
    traits: tuple[Told, ...]
    fields: tuple[Told, ...]
    local_id: tuple[Told | AnyReading | Value, ...]
    """A :class:`Told` is one of the fields; a :class:`Value` is read of the traits."""
    unread: tuple[Reading, ...]
    """Of columns that no rule looks at: whether their cells are what they may be."""


def table_rules(mapping: FormatMapping, run: Run, columns: Mapping[str, Cells], aside: Aside) -> TableRules | None:
    """Return the rules of ``mapping`` for a table that has ``columns``, ``None`` where they look at more than cells."""
    subject = _only_subject(mapping)
    if subject is None or _says_twice(subject):
        return None
    rules = _Rules(mapping, run, columns, aside)
    try:
        return TableRules(
            aside=aside,
            as_of=None if mapping.as_of is None else rules.moment(mapping.as_of),
            traits=tuple(rules.trait(name, value, subject.asserts_identity) for name, value in subject.identity),
            fields=tuple(map(rules.field, subject.fields)),
            local_id=tuple(map(rules.part_of_id, subject.local_id)),
            unread=tuple(rules.unread()),  # once all that is read is known
        )
    except _MoreThanCellsError:
        return None


def _only_subject(mapping: FormatMapping) -> Subject | None:
    """The subject of a mapping whose records are one person each, all with the same rules."""
    if mapping.household or mapping.asked or mapping.collected or len(mapping.subjects) != 1:
        return None
    (subject,) = mapping.subjects
    parts = subject.each, subject.roles, subject.when, subject.outcome
    return None if subject.same or any(part is not None for part in parts) else subject


def _says_twice(subject: Subject) -> bool:
    """Say whether a field is a trait too: where it says nothing, the trait stands."""
    return any(rule.path == f"identite.{name}" for name, _ in subject.identity for rule in subject.fields)


class _MoreThanCellsError(Exception):
    """A rule looks at more than the cells of a line."""


class _Rules:
    """Makes the readings of one table."""

    def __init__(self, mapping: FormatMapping, run: Run, columns: Mapping[str, Cells], aside: Aside) -> None:
        self._mapping = mapping
        self._run = run
        self._columns = columns
        self._aside = aside
        self._looked_at: set[str] = set()
        self._alike: dict[object, Told] = {}
        self._since: dict[int, AnyReading] = {}

    def moment(self, value: Value) -> AnyReading:
        aside, latest = self._aside, self._run.latest

        def then(written: str) -> Any:
            at = aware(written)
            return aside if at is not None and at > latest else at

        return self._reading(value, None, then)

    def trait(self, name: str, value: Value, stated: bool) -> Told:
        aside, today, is_birth = self._aside, self._run.today, name == "date_naissance"
        path = f"identite.{name}" if stated and name in IDENTITY_FIELDS else None
        shown, form = FORMS.get(name) if path else None, self._form(self._mapping.base_legale)
        accepts = None if path is None else registry.value_validator(path).accepts

        def then(trait: Any) -> Any:
            if is_birth and str(trait) > today:
                return aside
            # A copy is made in half the time of another dictionary.
            statement = form.copy()
            statement["valeur"] = said = trait if shown is None else shown(trait)
            return (trait, statement) if shown is None or accepts is None or accepts(said) else aside

        return Told(name, path, self._reading(value, accepts if shown is None else None, then), form)

    def field(self, rule: FieldRule) -> Told:
        if rule.absences:
            raise _MoreThanCellsError
        form, judge = self._form(rule.base_legale), registry.value_validator(rule.path).accepts

        def then(value: Any) -> Any:
            statement = form.copy()
            statement["valeur"] = value
            return value, statement

        since = None if rule.date_effet is None else self._since_when(rule.date_effet)
        source, instant = form["source"], form["date_collecte"]
        nothing = None if rule.absent is None else (None, absent(rule.absent, source, instant))
        told = Told(rule.path, rule.path, self._reading(rule.value, judge, then, rule.when, nothing), form, since)
        if rule.when is None:
            self._alike.setdefault(_meant(rule.value), told)
        return told

    def _form(self, base_legale: str) -> Json:
        """Return a statement without its value; when there is no value there is none of it."""
        instant, _ = self._run.instant(self._run.now)
        form = {"valeur": None, "date_effet": None, "base_legale": base_legale}
        return form | {"source": self._mapping.source, "date_collecte": instant}

    def _since_when(self, value: Value) -> AnyReading:
        if id(value) not in self._since:
            self._since[id(value)] = self._reading(value, registry.provenance_validator("date_effet").accepts)
        return self._since[id(value)]

    def part_of_id(self, value: Value) -> Told | AnyReading | Value:
        if not value.several and value.sources[0].text == "identite":
            return value
        return self._alike.get(_meant(value)) or self._reading(value, None)

    def _reading(
        self,
        value: Value,
        judge: Judge | None,
        then: Callable[[Any], Any] | None = None,
        when: Expression | None = None,
        nothing: Any = None,
    ) -> AnyReading:
        """Make the reading of a value: ``then`` what it means is made of a value, ``nothing`` of none."""
        columns = tuple(name for name in self._named(value, when) if name in self._columns)
        self._looked_at.update(columns)
        aside, read, plain, cells = self._aside, value.read, value.plain, [self._columns[name] for name in columns]

        def meaning(raw: Any) -> Any:
            said = None if raw is None else read(raw)
            if said is not None and judge is not None and not judge(said):
                return aside
            return nothing if said is None else said if then is None else then(said)

        def of_cells(line: Any) -> Any:
            several = line if len(cells) != 1 else (line,)
            record = {name: each.read(cell) for name, each, cell in zip(columns, cells, several, strict=True)}
            if aside in record.values():
                return aside
            scope = {"record": record, "it": record}
            return meaning(value.raw(scope)) if when is None or holds(when.get(scope)) else None

        members = [] if value.several or when is not None else members_said_first(value.sources[0])
        members = [name for name in members if name in self._columns]
        if not members:
            return Reading(columns, Memory(of_cells, aside))

        def of_one(name: str, otherwise: Any) -> Reading:
            """Make the reading of a column, ``otherwise`` where its cell says nothing."""
            said_by, fits = self._columns[name].said, self._columns[name].fits
            blank = otherwise if self._columns[name].blank is None else aside

            def of_cell(cell: Any) -> Any:  # ``Cells.read`` and ``meaning``, without their calls
                raw = said_by(cell)
                if raw is None:
                    return blank
                if type(raw) is not str or not fits(raw):
                    return aside
                said = (raw.strip() or None) if plain and raw.isascii() and raw.isprintable() else read(raw)
                if said is not None and judge is not None and not judge(said):
                    return aside
                return nothing if said is None else said if then is None else then(said)

            return Reading((name,), Memory(of_cell, aside))

        *before, last = members
        readings = (*(of_one(name, _BLANK) for name in before), of_one(last, nothing))
        return FirstSaid(readings, aside) if before else readings[0]

    def unread(self) -> Iterator[Reading]:
        for name in self._columns:
            if name not in self._looked_at:
                yield Reading((name,), Memory(self._columns[name].read, self._aside))

    def _named(self, value: Value, when: Expression | None) -> list[str]:
        named: set[str] = set()
        for expression in (*value.sources, *([] if when is None else [when])):
            members = members_read(expression)
            if members is None:
                raise _MoreThanCellsError
            named |= members
        return sorted(named)


def _meant(value: Value) -> object:
    """What two values have in common that say the same of every cell."""
    sources = tuple(source.text for source in value.sources)
    # Of a text ``as_is`` says what ``text`` does; of a truth or a list it does not.
    transform = text if value.transform is as_is and _is_one_cell(value) else value.transform
    return sources, value.several, transform, id(value.table) if value.table else 0


def _is_one_cell(value: Value) -> bool:
    """Say whether a value is what one member of the record says, as it stands."""
    source = value.sources[0]
    return not value.several and len(members_said_first(source)) == 1


def _is_short(cells: Any) -> bool:
    if isinstance(cells, tuple):
        return all(map(_is_short, cells))
    return cells is None or len(cells.text if isinstance(cells, Typed) else cells) <= LONGEST
