"""``csv``: a table with one header line, one record a line, columns declared in the manifest.

A line is parsed by itself, so that a stray quotation mark costs one record and not the rest of the file. Only a line
that ends inside quotation marks goes on below, and only over lines that are too short to be somebody else's. Cells
are trimmed; an empty cell says nothing, nor do ``NULL`` and its like (``table``).
"""

from __future__ import annotations

import copy
import csv
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

from connectors.kit.port import Quarantined, Reason
from connectors.kit.readers.bounds import lines, options
from connectors.kit.readers.table import Columns, Layout, Row, TableReader
from connectors.kit.runtime.errors import ErrorKind, MaillonError

_BOM: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_FIELD: Final = csv.field_size_limit()
DELIMITERS: Final = (";", ",", "\t", "|")
MOST_LINES: Final = 20
"""Lines one cell may run over: an address or a note does, a lost quotation mark does not count."""

_MALFORMED: Final = Reason.MALFORMED

_Line = tuple[int, bytes | None]


class CsvReader(TableReader):
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
        self.columns = Columns.of(found)
        self._delimiter: str = found["delimiter"]
        self._encodings: list[str] = list(found["encodings"])
        self._max_line: int = found["max_line"]
        if self._delimiter not in DELIMITERS:
            raise MaillonError(ErrorKind.CONFIGURATION, "option delimiter is none of ; , | or tab")
        if not set(self._encodings) <= {"utf-8", "windows-1252"} or not self._encodings:
            raise MaillonError(ErrorKind.CONFIGURATION, "option encodings: utf-8, windows-1252")

    def laid_out(self, layout: Layout) -> CsvReader:
        """Return a reader of files separated and headed as ``layout`` says."""
        reader = copy.copy(self)
        reader.layout = layout
        reader._delimiter = layout.delimiter or self._delimiter
        return reader

    def rows(self, stream: BinaryIO) -> Iterator[Row | Quarantined]:
        """Yield every line that is not blank."""
        encodings, blank = list(self._encodings), f" \t{self._delimiter}"
        coming, ahead, width = lines(stream, self._max_line), deque[_Line](), 0
        while line := ahead.popleft() if ahead else next(coming, None):
            number, raw = line
            if raw is None:
                yield number, Reason.TOO_LARGE
                continue
            if number == 1:
                if raw.startswith(_UTF_16):
                    yield Quarantined("document", "", Reason.ENCODING)
                    return
                if raw.startswith(_BOM):
                    raw, encodings = raw.removeprefix(_BOM), ["utf-8"]
            text = self._decode(raw, encodings)
            if text is None:
                yield number, Reason.ENCODING
                continue
            if text[:1] in blank and not text.strip(blank):
                continue
            cells = self._cells(text)
            if cells is _MALFORMED and '"' in text:
                cells = self._cells_below(text, coming, ahead, encodings, width) or cells
            if not width and not isinstance(cells, Reason):
                width = len(cells) if self.layout is None or self._is_below(number) else 0
            yield number, cells

    def _is_below(self, number: int) -> bool:
        """Say whether a line is the headings or below them; of a file nobody has matched yet, none is known to be."""
        return self.layout is not None and bool(self.layout.headings) and number >= self.layout.line

    def _decode(self, raw: bytes, encodings: list[str]) -> str | None:
        """Decode one line; the first line with an accent settles the encoding of the file (``encodings`` shrinks)."""
        if len(encodings) == 1 or raw.isascii():
            try:
                return raw.decode(encodings[0])
            except UnicodeDecodeError:
                return None
        for encoding in encodings:
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError:
                continue
            encodings[:] = [encoding]
            return text
        return None

    def _cells_below(
        self, text: str, coming: Iterator[_Line], ahead: deque[_Line], encodings: list[str], width: int
    ) -> list[str] | None:
        """Return the ``width`` cells of a line whose last quotation mark is closed on a line below, taking those.

        ``None``, and nothing is taken, when none does within ``MOST_LINES``, or when one of them has as many cells as
        a record: two persons are never read as one. Headings tell the width (0): none that goes on below may hold what
        separates cells, as any line of a table does. ``ahead`` holds what was looked at.
        """
        for place in range(MOST_LINES):
            if place == len(ahead):
                line = next(coming, None)
                if line is None:
                    return None
                ahead.append(line)
            _, raw = ahead[place]
            more = None if raw is None else self._decode(raw, encodings)
            if more is None or len(text) + len(more) > self._max_line:
                return None
            if width and more.count(self._delimiter) >= width - 1:
                return None
            text = f"{text}\n{more}"
            if '"' in more and text.count('"') % 2 == 0:
                cells = self._cells(text)
                if isinstance(cells, Reason) or (width and len(cells) != width):
                    return None
                if not width and any("\n" in cell and self._delimiter in cell for cell in cells):
                    return None
                for _ in range(place + 1):
                    ahead.popleft()
                return cells
        return None

    def _cells(self, text: str) -> list[str] | Reason:
        if '"' not in text and "\r" not in text and "\0" not in text and len(text) <= _FIELD:
            return text.split(self._delimiter)  # what the parser gives for it
        if "\0" in text:
            return _MALFORMED
        try:
            return next(csv.reader([text], delimiter=self._delimiter, strict=True))
        except (csv.Error, StopIteration):
            return _MALFORMED
