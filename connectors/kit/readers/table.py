"""What the table readers share (``csv``, ``xlsx``): one line of headings, one record a line, columns known in advance.

The manifest names the columns in our own words; a confirmed matching (``connectors.kit.matching``) says which heading
of a real file stands for each. Cells are trimmed; an empty cell and a literal ``NULL`` say nothing.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, BinaryIO, Final, Self

from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.runtime.errors import ErrorKind, MaillonError

_FORMULA: Final = re.compile(r"[=@].|[+-].*[(|!]", re.DOTALL)
_MAY_RUN: Final = "=@+-"
_NUMBER_OR_PHONE: Final = re.compile(r"[+-][0-9 .,()/\u00a0\u202f-]*")


@dataclass(frozen=True, slots=True)
class Typed:
    """A cell that is no text: what it shows, and its ``kind`` (``number``, ``date``, ``time``, ``formula``,
    ``error``). Which kinds a column takes is for the column to say.
    """

    text: str
    kind: str


Cell = str | Typed | None


Row = tuple[int, Sequence[Cell] | Reason]
"""One line of a table: its number, and its cells or why it has none."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How one confirmed file is laid out: where its headings stand, what they are, which expected column each feeds."""

    line: int
    headings: tuple[str, ...]
    columns: Mapping[str, str]
    """Expected column → heading."""
    delimiter: str = ""
    sheet: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns a table must and may have, and what each takes beside text."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    numbers: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()
    max_cell: int = 4096
    known: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Raise ``MaillonError(CONFIGURATION)`` for a kind given to a column that is not one."""
        object.__setattr__(self, "known", frozenset((*self.required, *self.optional)))
        if stray := sorted((self.numbers | self.dates) - self.known):
            raise MaillonError(ErrorKind.CONFIGURATION, f"{stray[0]} is not one of the columns")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return the columns a manifest's checked ``options`` name."""
        return cls(
            tuple(options["columns"]),
            tuple(options["optional"]),
            frozenset(options.get("numbers", ())),
            frozenset(options.get("dates", ())),
            options["max_cell"],
        )


class TableReader(ABC):
    """Reads the records of a table whose ``rows`` a subclass finds in the bytes."""

    columns: Columns
    layout: Layout | None = None
    trimmed = False
    """Whether the empty cells at the end of a line are left out of the file."""
    at_once = 64
    """Records that may be held together: one is at most a text of ``max_cell`` for each of the columns."""

    @abstractmethod
    def rows(self, stream: BinaryIO) -> Iterator[Row | Quarantined]:
        """Yield every line of the table that is not blank, and an entry for what hides lines from us."""

    @abstractmethod
    def laid_out(self, layout: Layout) -> TableReader:
        """Return a reader like this one for files laid out as ``layout``."""

    def read(self, stream: BinaryIO) -> Iterator[RawRecord | Quarantined]:
        """Yield one record a line, ``{column: text or null}``. See ``port.Reader``."""
        names: Sequence[str | None] | None = None
        for row in self.rows(stream):
            if isinstance(row, Quarantined):
                yield row
            elif names is not None:
                yield self._record(row, names)
            elif self.layout is None or row[0] >= self.layout.line:
                names, faults = self._names(row)
                yield from faults
                if faults:
                    return

    def _names(self, row: Row) -> tuple[Sequence[str | None], list[Quarantined]]:
        """Return the column each place feeds (``None``: none), and what is wrong with the headings.

        Never by quoting them: a file without headings begins with a person.
        """
        number, cells = row
        position = f"line {number}"
        if isinstance(cells, Reason):
            return (), [Quarantined(position, "", cells)]
        found = headings(row)
        if self.layout is not None:
            moved = _moved(found, self.layout.headings)
            faults = [Quarantined(position, "", Reason.COLUMN_SHIFT, f"column {place}") for place in moved]
            feeds = {heading: column for column, heading in self.layout.columns.items()}
            return [feeds.get(heading) for heading in found], faults
        return found, [Quarantined(position, "", reason, detail) for reason, detail in self._wrong(found)]

    def _wrong(self, found: Sequence[str]) -> list[tuple[Reason, str]]:
        known, required = self.columns.known, self.columns.required
        if not known & set(found):
            is_one = len(found) == 1 and not self.trimmed
            return [(Reason.WRONG_DELIMITER, "") if is_one else (Reason.MISSING_COLUMN, "en-tête")]
        return [
            *((Reason.MISSING_COLUMN, name) for name in required if name not in found),
            *((Reason.UNKNOWN_COLUMN, f"column {place}") for place, name in enumerate(found, 1) if name not in known),
            *((Reason.DUPLICATE_COLUMN, name) for name in sorted(known) if found.count(name) > 1),
        ]

    def _record(self, row: Row, names: Sequence[str | None]) -> RawRecord | Quarantined:
        number, cells = row
        position = f"line {number}"
        if isinstance(cells, Reason):
            return Quarantined(position, "", cells)
        missing = len(names) - len(cells)
        if missing < 0 or (missing and not self.trimmed):
            return Quarantined(position, "", Reason.COLUMN_SHIFT)
        data: dict[str, str | None] = {}
        longest, cells = self.columns.max_cell, (*cells, *repeat(None, missing)) if missing else cells
        for name, cell in zip(names, cells, strict=True):
            if name is None:
                continue
            if type(cell) is str:  # as in ``said``, without its call
                text = cell.strip()
                if not text or text == "NULL":
                    data[name] = None
                elif len(text) > longest:
                    return Quarantined(position, f"/{name}", Reason.TOO_LARGE)
                elif text[0] in _MAY_RUN and is_formula(text):
                    return Quarantined(position, f"/{name}", Reason.FORMULA)
                else:
                    data[name] = text
            elif isinstance(cell, Typed):
                refused = (Reason.TOO_LARGE, "") if len(cell.text) > longest else self._refused(name, cell)
                if refused is not None:
                    return Quarantined(position, f"/{name}", *refused)
                data[name] = cell.text
            else:
                data[name] = None
        return RawRecord(position, data)

    def _refused(self, column: str, cell: Typed) -> tuple[Reason, str] | None:
        if cell.kind == "formula":
            return Reason.FORMULA, ""
        if cell.kind == "number":
            return None if column in self.columns.numbers else (Reason.NUMBER_IN_CODE, "")
        if cell.kind == "date" and column in self.columns.dates:
            return None
        return Reason.CELL_TYPE, cell.kind


def headings(row: Row) -> list[str]:
    """Return the trimmed headings of a line."""
    cells: Sequence[Cell] = () if isinstance(row[1], Reason) else row[1]
    return [(cell.text if isinstance(cell, Typed) else cell or "").strip() for cell in cells]


def said(cell: str | None) -> str | None:
    """Return what a cell says, ``None`` when that is nothing."""
    cell = (cell or "").strip()
    return None if cell in {"", "NULL"} else cell


def is_formula(text: str) -> bool:
    """Say whether a spreadsheet would run ``text`` when it opens a file that holds it (OWASP, CSV injection).

    A negative amount or an international telephone number is none.
    """
    return text[0] in _MAY_RUN and bool(_FORMULA.match(text)) and not _NUMBER_OR_PHONE.fullmatch(text)


def _moved(found: Sequence[str], confirmed: Sequence[str]) -> list[int]:
    """Return the places where the headings are not those that were confirmed; one more or less is the last place."""
    places = [place for place, (one, other) in enumerate(zip(found, confirmed, strict=False), 1) if one != other]
    return places or ([min(len(found), len(confirmed)) + 1] if len(found) != len(confirmed) else [])
