"""``csv``: a table with one header line, one record a line, columns declared in the manifest.

A line is parsed by itself, so that a stray quotation mark costs one record and not the rest of the file; a cell
therefore holds no line break. Cells are trimmed; an empty cell and a literal ``NULL`` say nothing.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers.bounds import lines, options
from connectors.kit.runtime.errors import ErrorKind, MaillonError

_BOM = b"\xef\xbb\xbf"


class CsvReader:
    """Options: ``columns`` (all must be there, in any order), ``optional`` (may be), ``delimiter`` (``;``),
    ``encodings`` (``utf-8``, ``windows-1252``: the first in which a line decodes; a file that began in one stays in
    it once an accent has been seen), ``max_cell`` (4,096 characters), ``max_line`` (65,536 bytes).
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        found = options(
            given,
            columns=list,
            optional=[],
            delimiter=";",
            encodings=["utf-8", "windows-1252"],
            max_cell=4096,
            max_line=65536,
        )
        self._required, self._optional = list(found["columns"]), list(found["optional"])
        self._delimiter: str = found["delimiter"]
        self._encodings: list[str] = list(found["encodings"])
        self._max_cell: int = found["max_cell"]
        self._max_line: int = found["max_line"]
        if self._delimiter not in {";", ",", "\t", "|"}:
            raise MaillonError(ErrorKind.CONFIGURATION, "option delimiter is none of ; , | or tab")
        if not set(self._encodings) <= {"utf-8", "windows-1252"} or not self._encodings:
            raise MaillonError(ErrorKind.CONFIGURATION, "option encodings: utf-8, windows-1252")

    def read(self, stream: BinaryIO) -> Iterator[RawRecord | Quarantined]:
        """Yield one record a line, ``{column: text or null}``. See ``port.Reader``."""
        encodings, columns = list(self._encodings), None
        for number, raw in lines(stream, self._max_line):
            position = f"line {number}"
            if raw is None:
                yield Quarantined(position, "", Reason.TOO_LARGE)
                if columns is None:
                    return
                continue
            if number == 1 and raw.startswith(_BOM):
                raw, encodings = raw.removeprefix(_BOM), ["utf-8"]
            text = self._decode(raw, encodings)
            if text is not None and not text.strip():
                continue
            cells = self._cells(text) if text is not None else Reason.ENCODING
            if columns is None:
                faults = [Quarantined(position, "", cells)] if isinstance(cells, Reason) else self._header(cells)
                if faults or isinstance(cells, Reason):
                    yield from faults
                    return
                columns = [cell.strip() for cell in cells]
            elif isinstance(cells, Reason):
                yield Quarantined(position, "", cells)
            else:
                yield self._record(position, columns, cells)

    def _record(self, position: str, columns: list[str], cells: list[str]) -> RawRecord | Quarantined:
        if len(cells) != len(columns):
            return Quarantined(position, "", Reason.COLUMN_SHIFT)
        for column, cell in zip(columns, cells, strict=True):
            if len(cell) > self._max_cell:
                return Quarantined(position, f"/{column}", Reason.TOO_LARGE)
        return RawRecord(position, {name: _said(cell) for name, cell in zip(columns, cells, strict=True)})

    def _header(self, cells: list[str]) -> list[Quarantined]:
        """Name what is wrong with the header, never by quoting it: a file without one begins with a person."""
        names = [cell.strip() for cell in cells]
        known = {*self._required, *self._optional}
        if not known & set(names):
            if len(names) == 1:
                return [Quarantined("line 1", "", Reason.WRONG_DELIMITER)]
            return [Quarantined("line 1", "", Reason.MISSING_COLUMN, "en-tête")]
        unknown = [f"column {place}" for place, name in enumerate(names, 1) if name not in known]
        twice = sorted({name for name in names if name in known and names.count(name) > 1})
        return [
            *(Quarantined("line 1", "", Reason.MISSING_COLUMN, name) for name in self._required if name not in names),
            *(Quarantined("line 1", "", Reason.UNKNOWN_COLUMN, place) for place in unknown),
            *(Quarantined("line 1", "", Reason.DUPLICATE_COLUMN, name) for name in twice),
        ]

    def _decode(self, raw: bytes, encodings: list[str]) -> str | None:
        """Decode one line; the first line with an accent settles the encoding of the file (``encodings`` shrinks)."""
        if raw.isascii():
            return raw.decode("ascii")
        for encoding in encodings:
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError:
                continue
            encodings[:] = [encoding]
            return text
        return None

    def _cells(self, text: str) -> list[str] | Reason:
        if "\0" in text:
            return Reason.MALFORMED
        try:
            return next(csv.reader([text], delimiter=self._delimiter, strict=True))
        except (csv.Error, StopIteration):
            return Reason.MALFORMED


def _said(cell: str) -> str | None:
    cell = cell.strip()
    return None if cell in {"", "NULL"} else cell
