"""What a connector is made of: a reader turns a source's bytes into records, a mapping turns records into fragments.

Everything that cannot be read or mapped leaves as a :class:`Quarantined` entry beside the good ones: a position, a
path and a reason, never a value. Readers stream; none of them holds more than one record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, BinaryIO, NamedTuple, Protocol

Json = dict[str, Any]
"""A JSON object, as ``json`` reads it."""


class Reason(StrEnum):
    """Why a record, or the rest of a file, was set aside. Stable codes, shown in French by the pages."""

    # The bytes
    EMPTY = "empty"
    """A file that holds no record at all: more often a failed export than good news."""
    MALFORMED = "malformed"
    ENCODING = "encoding"
    DUPLICATE_KEY = "duplicate_key"
    TOO_LARGE = "too_large"
    DTD_REFUSED = "dtd_refused"
    TRUNCATED = "truncated"
    COUNT_MISMATCH = "count_mismatch"
    # The table
    WRONG_DELIMITER = "wrong_delimiter"
    MISSING_COLUMN = "missing_column"
    UNKNOWN_COLUMN = "unknown_column"
    DUPLICATE_COLUMN = "duplicate_column"
    COLUMN_SHIFT = "column_shift"
    """A line has another number of cells than the headings, or the headings are not those that were confirmed."""
    FORMULA = "formula"
    """A cell that is a formula, or a text that a spreadsheet would run as one. None is ever evaluated."""
    NUMBER_IN_CODE = "number_in_code"
    """A spreadsheet holds a number where a code stands: its leading zeros may be gone."""
    CELL_TYPE = "cell_type"
    """A spreadsheet cell of a kind its column does not take: a date made of a code, an error, a time."""
    MERGED_CELLS = "merged_cells"
    """Merged cells below the headings: all but the first are empty in the file."""
    SCATTERED = "scattered"
    """Lines of one number stand apart in a table that brings them together: sort it by that number."""
    CONTRADICTS = "contradicts"
    """Two lines of one number say different things of the person."""
    UNREAD_SHEET = "unread_sheet"
    """A workbook holds a further sheet with content, and nothing says which one to read."""
    # The record
    SCHEMA = "schema"
    UNKNOWN_CODE = "unknown_code"
    BAD_DATE = "bad_date"
    BAD_NUMBER = "bad_number"
    BAD_VALUE = "bad_value"
    BAD_NIR = "bad_nir"
    CONTROL_CHARACTER = "control_character"
    """A text holds a character nobody sees that changes how it reads: a control, a change of writing direction."""
    NAMES_NOT_SEPARATED = "names_not_separated"
    """A surname and given names in one text, and nothing tells where the surname ends, or which comes first."""
    IDENTITY = "identity"
    ANSWER_ABOUT_ANOTHER = "answer_about_another"
    """The answer does not contain the person it was asked about."""
    NO_SUBJECT = "no_subject"
    FRAGMENT = "fragment"
    """The mapping's result is not a valid fragment: the mapping is at fault, not the source."""


class RawRecord(NamedTuple):
    """One record as the source wrote it: where it stood (``line 12``, ``record 3``) and its content."""

    position: str
    data: Json


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One thing set aside: where, which path inside (names from our schemas only), why. Never a value."""

    position: str
    path: str
    reason: Reason
    detail: str = ""
    """A word from our own vocabulary that makes the reason precise (a schema keyword, a column of the manifest)."""


class Reader(Protocol):
    """Streams the records of one file. Built from the options of a manifest, which it has already checked.

    A reader of small records may have an ``at_once``: how many of them may be held together (1 without it).
    """

    def read(self, stream: BinaryIO) -> Iterator[RawRecord | Quarantined]:
        """Yield every record of ``stream`` in order, and an entry for each that cannot be read.

        Raises nothing for bad content: what cannot be read is an entry, and ends the stream when the rest is lost.
        Memory stays bounded whatever the file holds.
        """
        ...
