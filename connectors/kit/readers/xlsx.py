"""``xlsx``: a sheet of a workbook, one line of headings, one record a line, read with constant memory.

What a cell *holds* is read, not what Excel shows, and never through a time zone: a date is counted from its serial
number, a number is written back to 15 digits as Excel itself rounds it. A number where a code is expected is refused
(its leading zeros may be gone), and so is a date made of a code. A formula is refused, not read from its last result,
which nobody may have recalculated: paste its values. Nothing is ever evaluated.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, BinaryIO, Final

from lxml import etree

from connectors.kit.port import Quarantined, Reason
from connectors.kit.readers.bounds import MEBIBYTE, options
from connectors.kit.readers.ooxml import Package, Sheet, Unreadable, reading
from connectors.kit.readers.table import Cell, Columns, Layout, Row, TableReader, Typed
from connectors.kit.readers.xml_events import elements

_ESCAPED: Final = re.compile(r"_x(?![Dd][89A-Fa-f])([0-9A-Fa-f]{4})_")
"""How a character XML does not hold is written (ECMA-376 part 1, 22.4.2.4); half a character is left as it stands."""
_PLACE: Final = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")
_MERGED: Final = re.compile(r"[A-Z]{1,3}[0-9]{1,7}:[A-Z]{1,3}([0-9]{1,7})")
_WIDEST: Final = 16_384
_ROW: Final = MEBIBYTE
_MAX_SHARED: Final = 64 * MEBIBYTE
_MAX_SHEET: Final = 1024 * MEBIBYTE
_LAST_DAY: Final = 2_958_465
"""The serial number of 31 December 9999."""


class XlsxReader(TableReader):
    """Options: ``columns`` (all must be there, in any order), ``optional`` (may be), ``numbers`` and ``dates`` (the
    columns whose cells may be such; in all others they are refused), ``sheet`` (name; without it the first that is
    visible, and an entry for each further one that holds anything), ``max_cell`` (4,096 characters).
    """

    trimmed = True

    def __init__(self, given: Mapping[str, Any]) -> None:
        found = options(given, columns=list, optional=[], numbers=[], dates=[], sheet="", max_cell=4096)
        self.columns = Columns.of(found)
        self._sheet: str = found["sheet"]

    def laid_out(self, layout: Layout) -> XlsxReader:
        """Return a reader of workbooks laid out as ``layout`` says."""
        reader = copy.copy(self)
        reader.layout = layout
        reader._sheet = layout.sheet or self._sheet
        return reader

    def rows(self, stream: BinaryIO) -> Iterator[Row | Quarantined]:
        """Yield every line of the sheet that holds something."""
        try:
            package = Package(stream)
            sheet, others = self._chosen(package)
            cells = _Cells(_shared(package), package.date_formats(), package.from_1904, self.columns.max_cell)
            yield from _rows(package, sheet, cells, self.layout.line if self.layout else 0)
            for place, other in others:
                if next(_rows(package, other, cells), None) is not None:
                    yield Quarantined("document", "", Reason.UNREAD_SHEET, f"sheet {place}")
        except Unreadable as refusal:
            yield Quarantined("document", "", refusal.reason, refusal.detail)

    def _chosen(self, package: Package) -> tuple[Sheet, list[tuple[int, Sheet]]]:
        """Return the sheet to read, and those left unread without anyone having said so."""
        sheets = list(enumerate(package.sheets, 1))
        if self._sheet:
            sheets = [(place, sheet) for place, sheet in sheets if sheet.name == self._sheet][:1]
        if not sheets:
            raise Unreadable(Reason.MISSING_COLUMN, "sheet")
        return sheets[0][1], sheets[1:]


class _Cells:
    """Reads one cell at a time, with what the whole workbook shares: texts, styles, the first day of its calendar."""

    def __init__(self, shared: list[str], shown: tuple[str, ...], from_1904: bool, max_cell: int) -> None:
        self._shared = shared
        self._shown = shown
        self._from_1904 = from_1904
        self._max_cell = max_cell

    def read(self, cell: Any) -> Cell:
        kind = cell.get("t", "n")
        written = formula = None
        for child in cell:
            name = etree.QName(child).localname
            if name == "f":
                formula = True
            elif name == "v":
                written = child.text
            elif name == "is":
                written = _text(child)
        if formula:
            return Typed("", "formula")
        if written is None:
            return None
        if kind in {"str", "inlineStr"}:
            text = _clean(written)
            return text if len(text) <= self._max_cell else self._bounded(text.strip())
        if kind == "s":
            return self._shared_text(written)
        if kind == "n":
            return self._number(written.strip(), cell.get("s", "0"))
        if kind == "b":
            return "vrai" if written.strip() == "1" else "faux"
        if kind == "d":
            day = self._bounded(written.strip())
            return Typed(day, "date") if isinstance(day, str) else day
        return Typed("", "error")

    def _bounded(self, text: str) -> str | Typed:
        """Return ``text`` if a cell may be as long: lines are held many at a time, and a cell could be a mebibyte."""
        return text if len(text) <= self._max_cell else Typed("", "long")

    def _shared_text(self, written: str) -> Cell:
        try:
            return self._shared[int(written)] if len(written) < 9 and int(written) >= 0 else Typed("", "error")
        except (ValueError, IndexError):
            return Typed("", "error")

    def _number(self, written: str, style: str) -> Cell:
        try:
            number = Decimal(written)
        except InvalidOperation:
            return Typed("", "error")
        if not number.is_finite() or abs(number.adjusted()) > 30:
            return Typed("", "error")
        index = int(style) if style.isascii() and style.isdigit() and len(style) < 7 else 0
        shown = self._shown[index] if index < len(self._shown) else ""
        if shown == "date":
            day = calendar(number, self._from_1904)
            return Typed("", "error") if day is None else Typed(day, "date")
        return Typed("", "time") if shown else Typed(plain(number), "number")


def calendar(serial: Decimal, from_1904: bool = False) -> str | None:
    """Return the day (and the time, where there is one) of an Excel serial number, as ISO 8601 without a zone.

    ``None`` for what is no day: a time alone, a negative number, 29 February 1900 (which Excel believes existed:
    serial 60), a day after 9999. From 1904 the count starts at 1 January 1904 = 0 (ECMA-376 part 1, 18.17.4.1).
    """
    if from_1904:
        serial += 1462
    day = int(serial)
    if not 1 <= day <= _LAST_DAY or day == 60:
        return None
    first = datetime(1899, 12, 31 if day < 60 else 30)  # noqa: DTZ001 (a calendar day: no zone may ever apply)
    at = first + timedelta(days=day, seconds=int(((serial - day) * 86_400).to_integral_value()))
    return at.date().isoformat() if at.time() == at.min.time() else at.isoformat()


def plain(number: Decimal) -> str:
    """Return a cell's number to the 15 digits Excel keeps, without exponent: ``0.30000000000000004`` is ``0.3``."""
    rounded = Decimal(f"{number:.15g}")
    return f"{rounded.normalize():f}" if rounded else "0"


def _rows(package: Package, sheet: Sheet, cells: _Cells, headed: int = 0) -> Iterator[Row | Quarantined]:
    """Yield every line that holds something; one entry at the end when cells below the headings are merged.

    The headings are on the line ``headed``, 0 for the first that holds something.
    """
    number, first = 0, headed
    with package.part(sheet.part, _MAX_SHEET) as stream, reading():
        if stream is None:
            raise Unreadable(Reason.TRUNCATED, "sheet")
        for element in elements(stream, ("{*}row", "{*}mergeCell"), _ROW):
            if element.tag.endswith("}mergeCell"):
                merged = _MERGED.fullmatch(element.get("ref", ""))
                if merged and first and int(merged[1]) > first:
                    yield Quarantined("document", "", Reason.MERGED_CELLS)
                    return
                continue
            given = element.get("r", "")
            number = int(given) if given.isascii() and given.isdigit() and len(given) < 8 else number + 1
            found = _line(element, cells)
            if isinstance(found, Reason) or found:
                first = first or number
                yield number, found


def _line(row: Any, cells: _Cells) -> list[Cell] | Reason:
    """Return the cells of a row, each at its place; rows are written without their empty cells."""
    found: list[Cell] = []
    for element in row:
        place = _PLACE.fullmatch(element.get("r", ""))
        column = _column(place[1]) if place else len(found)
        if column < len(found) or column >= _WIDEST:
            return Reason.MALFORMED
        found.extend([None] * (column - len(found)))
        found.append(cells.read(element))
    while found and (found[-1] is None or (isinstance(found[-1], str) and not found[-1].strip())):
        found.pop()
    return found


def _column(letters: str) -> int:
    value = 0
    for letter in letters:
        value = value * 26 + ord(letter) - 64
    return value - 1


def _shared(package: Package) -> list[str]:
    with package.part("xl/sharedStrings.xml", _MAX_SHARED) as stream, reading():
        return [] if stream is None else [_text(each) for each in elements(stream, ("{*}si",), _ROW)]


def _text(element: Any) -> str:
    """Return the text of a rich or plain string, without its phonetic runs."""
    parts = [each.text or "" for each in element.iterfind("{*}t")]
    parts += [each.text or "" for each in element.iterfind("{*}r/{*}t")]
    return _clean("".join(parts))


def _clean(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "_x" in text else text
