"""``table``: a table as people send it, a CSV one month and a workbook the next; told apart by its first bytes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any, BinaryIO

from connectors.kit.port import Quarantined, RawRecord
from connectors.kit.readers.csv_table import CsvReader
from connectors.kit.readers.grouping import grouped
from connectors.kit.readers.ooxml import is_workbook
from connectors.kit.readers.table import Layout, Row, TableLine, TableReader
from connectors.kit.readers.xlsx import XlsxReader
from connectors.kit.runtime.errors import ErrorKind, MaillonError

_CSV_ONLY = frozenset({"delimiter", "encodings", "max_line"})
_XLSX_ONLY = frozenset({"numbers", "dates", "sheet"})
_GROUPS = frozenset({"group_by", "lines"})


class SpreadsheetReader(TableReader):
    """Options: those of ``csv`` and those of ``xlsx``; ``group_by`` and ``lines`` (see ``grouping``): the columns that
    tell whose a line is, and those that each line has of its own. A workbook's stream must be able to seek.
    """

    by_line = True  # each way is that of the one reader or the other

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._csv = CsvReader({name: value for name, value in given.items() if name not in _XLSX_ONLY | _GROUPS})
        self._xlsx = XlsxReader({name: value for name, value in given.items() if name not in _CSV_ONLY | _GROUPS})
        self.columns = self._xlsx.columns
        self._key, self._lines = (list(given.get(name, ())) for name in ("group_by", "lines"))
        if not {*self._key, *self._lines} <= self.columns.known or bool(self._key) != bool(self._lines):
            raise MaillonError(ErrorKind.CONFIGURATION, "options group_by, lines: columns, both or neither")
        if self._key:  # a record of many lines is not small, and no line
            self.at_once, self.by_line = 1, False

    def laid_out(self, layout: Layout) -> SpreadsheetReader:
        """Return a reader of either kind of file, laid out as ``layout`` says."""
        reader = copy.copy(self)
        reader.layout, reader._csv, reader._xlsx = layout, self._csv.laid_out(layout), self._xlsx.laid_out(layout)
        return reader

    def rows(self, stream: BinaryIO) -> Iterator[Row | Quarantined]:
        """Yield every line that holds something."""
        return self._for(stream).rows(stream)

    def lines(self, stream: BinaryIO) -> Iterator[TableLine | Quarantined]:
        """Yield what ``read`` would where each record is a line. See ``TableReader``."""
        return self._for(stream).lines(stream)

    def read(self, stream: BinaryIO) -> Iterator[RawRecord | Quarantined]:
        """Yield one record a line. See ``port.Reader``."""
        found = self._for(stream).read(stream)
        return grouped(found, self._key, self._lines) if self._key else found

    def _for(self, stream: BinaryIO) -> CsvReader | XlsxReader:
        if isinstance(stream, BufferedReader):  # a file or a pipe: a table goes through either
            start = stream.peek(4)[:4]
        else:
            start = stream.read(4)
            stream.seek(0)
        return self._xlsx if is_workbook(start) and stream.seekable() else self._csv
