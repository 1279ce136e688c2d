"""CSV: encodings, headings, quoted cells and lines that are not what the others are."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.port import Quarantined, RawRecord, Reason
from connectors.kit.readers.csv_table import CsvReader
from connectors.kit.readers.table import Layout, is_formula
from tests.kit.reading import CSV, read, reasons, records


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "windows-1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_encodings(encoding: str, end: str) -> None:
    data = end.join(["nom;id", " Éloïse ;1", '"D""Arc; fille";2', "NULL;3", "", "Zoé;4"]).encode(encoding)
    assert records(read("csv", data, CSV)) == [
        {"nom": "Éloïse", "id": "1"},
        {"nom": 'D"Arc; fille', "id": "2"},
        {"nom": None, "id": "3"},
        {"nom": "Zoé", "id": "4"},
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("id,nom", [(Reason.WRONG_DELIMITER, "")]),
        ("1;TANGUY", [(Reason.MISSING_COLUMN, "en-tête")]),
        ("id", [(Reason.MISSING_COLUMN, "nom")]),
        ("id;nom;age", [(Reason.UNKNOWN_COLUMN, "column 3")]),
        ("id;nom;id", [(Reason.DUPLICATE_COLUMN, "id")]),
        ("id;TANGUY", [(Reason.MISSING_COLUMN, "nom"), (Reason.UNKNOWN_COLUMN, "column 2")]),
    ],
)
def test_a_wrong_header_is_named_and_no_row_read(header: str, expected: list[tuple[Reason, str]]) -> None:
    found = read("csv", f"{header}\n1;TANGUY\n".encode(), CSV)
    assert [(item.reason, item.detail) for item in found if isinstance(item, Quarantined)] == expected
    assert records(found) == []


def test_a_bad_row_costs_one_row() -> None:
    rows = [b"1;A", b"2", b"3;B;x", b'4;"ouvert', b"5;B\x00C", b"6;\x81", b"7;" + b"A" * 5000, b"8;H"]
    found = read("csv", b"id;nom\n" + b"\n".join(rows), CSV)
    assert [record["id"] for record in records(found)] == ["1", "8"]
    assert reasons(found) == [
        ("line 3", Reason.COLUMN_SHIFT),
        ("line 4", Reason.COLUMN_SHIFT),
        ("line 5", Reason.MALFORMED),
        ("line 6", Reason.MALFORMED),
        ("line 7", Reason.ENCODING),
        ("line 8", Reason.TOO_LARGE),
    ]


def test_a_quoted_line_break_stays_in_its_cell() -> None:
    rows = ['1;"Bât. ""B""\n12 rue des Ajoncs\n\n29000 Quimper"', "2;B", '3;"a;b\nc"', '"4";"D\n"', "5;E"]
    for end in ("\n", "\r\n"):
        found = read("csv", "\n".join(["id;nom", *rows]).replace("\n", end).encode(), CSV)
        assert records(found) == [
            {"id": "1", "nom": 'Bât. "B"\n12 rue des Ajoncs\n\n29000 Quimper'},
            {"id": "2", "nom": "B"},
            {"id": "3", "nom": "a;b\nc"},
            {"id": "4", "nom": "D"},
            {"id": "5", "nom": "E"},
        ]
        assert [item.position for item in found if isinstance(item, RawRecord)] == [
            *("line 2", "line 6", "line 7", "line 9", "line 11")
        ]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        (['1;"a', "2;b", '3;c"'], ["2", "3"]),  # closed two lines on: those between are persons of their own
        (['1;"a', '2;b";c'], []),  # together of the right width, and still two persons
        (['1;"a', "b", "2;c"], ["2"]),  # never closed
        (['1;"a', *["x"] * 30, 'b"', "2;c"], ["2"]),  # closed too far away
        (['1;"a', "\0", 'b"', "2;c"], ["2"]),
        (['1;"a', 'b"c', 'd"', "2;c"], ["2"]),  # text behind the quotation mark
        (['1;"a', 'b";c;d', "2;c"], ["2"]),  # cells too many
    ],
)
def test_a_stray_quotation_mark_never_joins_two_persons(rows: list[str], kept: list[str]) -> None:
    found = read("csv", "\n".join(["id;nom", *rows]).encode(), CSV)
    assert [record["id"] for record in records(found)] == kept
    assert len(found) == len([row for row in rows if row])  # every line ends somewhere


def test_lines_looked_at_ahead_are_bounded_and_read_in_their_turn() -> None:
    rows = ['1;"a', "x" * 70_000, "2;b", '3;"c', "é".encode("windows-1252"), 'd"', "4;e"]
    data = b"id;nom\n" + b"\n".join(row.encode() if isinstance(row, str) else row for row in rows)
    found = read("csv", data, CSV | {"encodings": ["utf-8"]})
    assert [record["id"] for record in records(found)] == ["2", "4"]
    assert (reasons(found)[1], reasons(found)[3]) == (("line 3", Reason.TOO_LARGE), ("line 6", Reason.ENCODING))


def test_an_encoding_once_seen_is_kept() -> None:
    data = "id;nom\n1;Éloïse\n".encode() + "2;Zoé\n".encode("windows-1252") + "3;Zoé\n".encode()
    found = read("csv", data, CSV)
    assert [record["nom"] for record in records(found)] == ["Éloïse", "Zoé"]
    assert reasons(found) == [("line 3", Reason.ENCODING)]


SAYS_NOTHING = (
    "NULL",
    "-",
    "–",
    "?",
    "/",
    "NR",
    "n.r.",
    "NC",
    "N/A",
    "NSP",
    "Néant",
    "NÉANT",
    "non renseigné",
)


@pytest.mark.parametrize("cell", SAYS_NOTHING)
def test_what_people_write_instead_of_nothing_says_nothing(cell: str) -> None:
    assert records(read("csv", f"id;nom\n1; {cell} \n".encode(), CSV)) == [{"id": "1", "nom": None}]


@pytest.mark.parametrize(
    "cell", ["0", "0,00", "N", "Null", "NON", "Sans", "Nr 4", "-5", "X", "Narcisse", "Inconnue de tous"]
)
def test_what_says_something_is_kept(cell: str) -> None:
    assert records(read("csv", f"id;nom\n1;{cell}\n".encode(), CSV)) == [{"id": "1", "nom": cell}]


@pytest.mark.parametrize("cell", ["#N/A", "#REF!", "#VALEUR!", "#NOM?", "#DIV/0!"])
def test_a_failed_calculation_is_refused_and_is_no_value(cell: str) -> None:
    found = read("csv", f"id;nom\n1;{cell}\n2;#4 rue X\n".encode(), CSV)
    assert [(item.path, item.reason) for item in found if isinstance(item, Quarantined)] == [("/nom", Reason.CELL_TYPE)]
    assert records(found) == [{"id": "2", "nom": "#4 rue X"}]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 999), st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20)),
        max_size=8,
    )
)
def test_csv_round_trip(rows: list[tuple[int, str]]) -> None:
    lines = ["id;nom", *(f'{number};"{name.replace(chr(34), chr(34) * 2)}"' for number, name in rows)]
    found = read("csv", "\n".join(lines).encode(), CSV)
    said = [None if name.strip() in ("", "--", "—", *SAYS_NOTHING) else name.strip() for _, name in rows]
    said = [name for name in said if name is None or not is_formula(name)]
    assert [record["nom"] for record in records(found)] == said


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from('ab;,"\r\0 é=NUL'), max_size=12), st.sampled_from(";,"))
def test_a_line_has_the_cells_the_standard_parser_finds(text: str, delimiter: str) -> None:
    found = CsvReader({"columns": ["a"], "delimiter": delimiter})._cells(text)
    try:
        expected: object = (
            Reason.MALFORMED if "\0" in text else next(csv.reader([text], delimiter=delimiter, strict=True))
        )
    except (csv.Error, StopIteration):
        expected = Reason.MALFORMED
    assert found == expected or (text == "" and found == [""])  # a line that is blank is never asked


def test_a_line_beyond_what_the_standard_parser_takes_is_malformed() -> None:
    reader = CsvReader({"columns": ["a"], "max_line": 1_000_000})
    assert reader._cells("x" * (csv.field_size_limit() + 1)) is Reason.MALFORMED


@pytest.mark.parametrize(("confirmed", "sent"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_heading_is_the_same_however_its_accent_is_written(confirmed: str, sent: str) -> None:
    """A Mac writes an accent as a second character; the file is no other for it."""
    heading, other = (unicodedata.normalize(form, "Prénom(s)") for form in (confirmed, sent))
    layout = Layout(1, (heading,), {"a": heading}, ";")
    (record,) = CsvReader({"columns": ["a"]}).laid_out(layout).read(io.BytesIO(f"{other}\nZoé\n".encode()))
    assert isinstance(record, RawRecord)
    assert record.data == {"a": "Zoé"}
