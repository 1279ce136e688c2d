"""What the table readers share (``csv``, ``xlsx``): one line of headings, one record a line, columns known in advance.

The manifest names the columns in our own words; a confirmed matching (``connectors.kit.matching``) says which heading
of a real file stands for each. Cells are trimmed; an empty cell, a literal ``NULL`` and what people write where they
know nothing (``-``, ``NR``, ``néant``…) say nothing.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, BinaryIO, Final, NamedTuple, Self

from connectors.kit.port import Json, Quarantined, RawRecord, Reason
from connectors.kit.runtime.errors import ErrorKind, MaillonError

_FORMULA: Final = re.compile(r"[=@].|[+-].*[(|!]", re.DOTALL)
_MAY_RUN: Final = "=@+-"
_NOTHING: Final = frozenset(
    {"-", "--", "–", "—", "/", "?", "nr", "n.r.", "n/r", "nc", "n.c.", "n/c", "n/a", "nsp", "néant", "neant"}
    | {"non renseigné", "non renseignée", "non communiqué", "non communiquée", "sans objet"}
)
"""What stands in a cell instead of nothing, whatever its case. A zero is none of them."""
_LONGEST_NOTHING: Final = max(map(len, _NOTHING))
_ERROR: Final = re.compile(r"#(?:N/A|REF!|NOM\?|NAME\?|VALEUR!|VALUE!|DIV/0!|NUL!|NULL!|NOMBRE!|NUM!)")
"""What a spreadsheet that could not calculate a cell writes into a CSV."""
_OF_HEADINGS: Final = frozenset(
    {
        *(Reason.MISSING_COLUMN, Reason.UNKNOWN_COLUMN, Reason.DUPLICATE_COLUMN),
        *(Reason.WRONG_DELIMITER, Reason.UNREAD_SHEET),
    }
)
_NUMBER_OR_PHONE: Final = re.compile(r"[+-][0-9 .,()/\u00a0\u202f-]*")


@dataclass(frozen=True, slots=True)
class Typed:
    """A cell that is no text: what it shows, and its ``kind`` (``number``, ``date``, ``time``, ``formula``,
    ``error``; ``long``: a text of more than ``max_cell``, not kept). Which kinds a column takes is for the column to
    say.
    """

    text: str
    kind: str


Cell = str | Typed | None


Row = tuple[int, Sequence[Cell] | Reason]
"""One line of a table: its number, and its cells or why it has none."""


@dataclass(slots=True)
class TableLine:
    """One line below the headings, as wide as they are: where it stood, the column each place feeds, its cells.

    ``names`` is one object for all lines of a table; a place that feeds no column has none.
    """

    position: str
    names: tuple[str | None, ...]
    cells: Sequence[Cell]


def is_of_headings(reason: Reason, detail: str) -> bool:
    """Return whether a file was refused for its headings, which a confirmed matching may put right.

    ``column_shift`` is said of a line too, which has too many cells or too few: then it names no column.
    """
    return reason in _OF_HEADINGS or (reason is Reason.COLUMN_SHIFT and bool(detail))


class Refusal(NamedTuple):
    """Why a cell is refused, never the cell."""

    reason: Reason
    detail: str = ""


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
    by_line = True
    """Whether :meth:`lines` may be read instead of :meth:`read`, and :meth:`said` asked of each cell by itself: not of
    a reader with one of these of its own, unless its class says so."""
    at_once = 64
    """Records that may be held together: one is at most a text of ``max_cell`` for each of the columns."""

    def __init_subclass__(cls) -> None:
        above = next(each for each in cls.__mro__[1:] if issubclass(each, TableReader))
        own = any(getattr(cls, way) is not getattr(above, way) for way in ("read", "lines", "record", "said"))
        if own and "by_line" not in cls.__dict__:
            cls.by_line = False

    @abstractmethod
    def rows(self, stream: BinaryIO) -> Iterator[Row | Quarantined]:
        """Yield every line of the table that is not blank, and an entry for what hides lines from us."""

    @abstractmethod
    def laid_out(self, layout: Layout) -> TableReader:
        """Return a reader like this one for files laid out as ``layout``."""

    def read(self, stream: BinaryIO) -> Iterator[RawRecord | Quarantined]:
        """Yield one record a line, ``{column: text or null}``. See ``port.Reader``."""
        for line in self.lines(stream):
            yield self.record(line) if isinstance(line, TableLine) else line

    def lines(self, stream: BinaryIO) -> Iterator[TableLine | Quarantined]:
        """Yield what :meth:`read` would, the cells of each line still as they are in the file."""
        names: tuple[str | None, ...] | None = None
        width = 0
        for row in self.rows(stream):
            if isinstance(row, Quarantined):
                yield row
                continue
            number, cells = row
            if names is not None:
                position = f"line {number}"
                if isinstance(cells, Reason):
                    yield Quarantined(position, "", cells)
                elif len(cells) == width:
                    yield TableLine(position, names, cells)
                elif len(cells) < width and self.trimmed:
                    yield TableLine(position, names, (*cells, *repeat(None, width - len(cells))))
                else:
                    yield Quarantined(position, "", Reason.COLUMN_SHIFT)
            elif self.layout is None or number >= self.layout.line:
                found, faults = self._names(row)
                yield from faults
                if faults:
                    return
                names, width = tuple(found), len(found)

    def record(self, line: TableLine) -> RawRecord | Quarantined:
        """Return the record that a line of this table is."""
        data: Json = {}
        for name, cell in zip(line.names, line.cells, strict=True):
            if name is None:
                continue
            said = self.said(name, cell)
            if isinstance(said, Refusal):
                return Quarantined(line.position, f"/{name}", *said)
            data[name] = said
        return RawRecord(line.position, data)

    def said(self, column: str, cell: Cell) -> str | Refusal | None:
        """Return what a cell of ``column`` says, ``None`` when that is nothing, or why it is refused."""
        if isinstance(cell, Typed):
            refused = self._refused(column, cell)
            return cell.text if refused is None else refused
        text = said(cell)
        if text is None:
            return None
        if len(text) > self.columns.max_cell:
            return Refusal(Reason.TOO_LARGE)
        if text[0] == "#" and _ERROR.fullmatch(text):
            return Refusal(Reason.CELL_TYPE, "error")
        return Refusal(Reason.FORMULA) if text[0] in _MAY_RUN and is_formula(text) else text

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
            moved = _moved(found, [*map(_composed, self.layout.headings)])
            faults = [Quarantined(position, "", Reason.COLUMN_SHIFT, f"column {place}") for place in moved]
            feeds = {_composed(heading): column for column, heading in self.layout.columns.items()}
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

    def _refused(self, column: str, cell: Typed) -> Refusal | None:
        if cell.kind == "long" or len(cell.text) > self.columns.max_cell:
            return Refusal(Reason.TOO_LARGE)
        if cell.kind == "formula":
            return Refusal(Reason.FORMULA)
        if cell.kind == "number":
            return None if column in self.columns.numbers else Refusal(Reason.NUMBER_IN_CODE)
        if cell.kind == "date" and column in self.columns.dates:
            return None
        return Refusal(Reason.CELL_TYPE, cell.kind)


def headings(row: Row) -> list[str]:
    """Return the trimmed headings of a line, an accent in one character however the file writes it (NFC)."""
    cells: Sequence[Cell] = () if isinstance(row[1], Reason) else row[1]
    texts = ((cell.text if isinstance(cell, Typed) else cell or "") for cell in cells)
    return [_composed(text).strip() for text in texts]


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def said(cell: str | None) -> str | None:
    """Return what a cell says, ``None`` when that is nothing."""
    text = cell.strip() if cell else ""
    if not text or text == "NULL" or (len(text) <= _LONGEST_NOTHING and text.casefold() in _NOTHING):
        return None
    return text


def is_formula(text: str) -> bool:
    """Say whether a spreadsheet would run ``text`` when it opens a file that holds it (OWASP, CSV injection).

    A negative amount or an international telephone number is none.
    """
    return text[0] in _MAY_RUN and bool(_FORMULA.match(text)) and not _NUMBER_OR_PHONE.fullmatch(text)


def _moved(found: Sequence[str], confirmed: Sequence[str]) -> list[int]:
    """Return the places where the headings are not those that were confirmed; one more or less is the last place."""
    places = [place for place, (one, other) in enumerate(zip(found, confirmed, strict=False), 1) if one != other]
    return places or ([min(len(found), len(confirmed)) + 1] if len(found) != len(confirmed) else [])
